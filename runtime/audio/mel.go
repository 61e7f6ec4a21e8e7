package audio

import (
	"encoding/json"
	"math"
	"math/cmplx"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Settings are what a model of speech carries beside its weights (model.AssetAudio).
type Settings struct {
	Rate   int `json:"sampling_rate"` // samples a second
	Window int `json:"n_fft"`         // samples of a frame
	Hop    int `json:"hop_length"`    // from one frame to the next
	Bins   int `json:"feature_size"`  // mel bands
	// Multilingual models are told the language and the task.
	Multilingual bool `json:"multilingual"`
	// Suppress lists tokens that never come, BeginSuppress those that do not come first.
	Suppress      []int32 `json:"suppress,omitempty"`
	BeginSuppress []int32 `json:"begin_suppress,omitempty"`
}

const (
	maxWindow = 1 << 12
	maxBins   = 4096
)

// ParseSettings reads and checks settings.
func ParseSettings(data []byte) (*Settings, error) {
	s := &Settings{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fault.Formatf("asset audio.json", "%v", err)
	}
	if s.Rate < minRate || s.Rate > maxRate || s.Window < 2 || s.Window > maxWindow || s.Hop < 1 || s.Hop > maxWindow || s.Bins < 1 || s.Bins > maxBins {
		return nil, fault.Formatf("asset audio.json", "%d bands of frames of %d samples every %d, at %d samples a second", s.Bins, s.Window, s.Hop, s.Rate)
	}
	return s, nil
}

// The constants of the logarithmic spectrum (Radford et al. 2022, and Hugging Face's WhisperFeatureExtractor).
const (
	melFloor = 1e-10
	melRange = 8 // powers of ten below the loudest
)

// melBank computes features. It keeps what frames have in common; it is not safe for concurrent use.
type melBank struct {
	Settings
	window  []float64   // periodic Hann
	filters [][]float64 // by band, over the Window/2+1 frequencies
	first   []int       // the first frequency of a band whose weight is not 0
	fft     *fourier
}

func newMelBank(s Settings) *melBank {
	b := &melBank{Settings: s, fft: newFourier(s.Window)}
	for i := range s.Window {
		b.window = append(b.window, 0.5-0.5*math.Cos(2*math.Pi*float64(i)/float64(s.Window)))
	}
	b.filters, b.first = melFilters(s)
	return b
}

// melOf and hertzOf are Slaney's mel scale ("Auditory toolbox", 1998): linear below 1000 Hz, logarithmic above.
func melOf(hertz float64) float64 {
	if hertz < 1000 {
		return 3 * hertz / 200
	}
	return 15 + math.Log(hertz/1000)*27/math.Log(6.4)
}

func hertzOf(mel float64) float64 {
	if mel < 15 {
		return 200 * mel / 3
	}
	return 1000 * math.Exp((mel-15)*math.Log(6.4)/27)
}

// melFilters are triangles between neighbours of Bins+2 frequencies at even distances on the mel scale, of area 1 on that of hertz.
func melFilters(s Settings) (filters [][]float64, first []int) {
	limit := float64(s.Rate / 2)
	edges := make([]float64, s.Bins+2)
	for i := range edges {
		edges[i] = hertzOf(melOf(limit) * float64(i) / float64(s.Bins+1))
	}
	n := s.Window/2 + 1
	for band := range s.Bins {
		low, mid, high := edges[band], edges[band+1], edges[band+2]
		var f []float64
		from := 0
		for i := range n {
			hertz := limit * float64(i) / float64(n-1)
			v := math.Max(0, math.Min((hertz-low)/(mid-low), (high-hertz)/(high-mid))) * 2 / (high - low)
			if v == 0 && f == nil {
				from = i + 1
				continue
			}
			f = append(f, v)
		}
		filters, first = append(filters, f), append(first, from)
	}
	return filters, first
}

// features are the logarithms of the mel spectrum of samples, which are taken to go on with zeros, F32 [1, bins, frames]:
//
//	x = log10(max(filters |FFT(window frame)|^2, 1e-10));  (max(x, max x - 8) + 4) / 4
//
// Frame t is centred on sample t Hop; before the first and behind the last sample the sound is mirrored.
func (b *melBank) features(samples []float32, frames int) *tensor.Tensor {
	out := tensor.New(tensor.F32, 1, b.Bins, frames)
	dst := out.F32()
	length := frames * b.Hop
	at := func(i int) float64 {
		// Mirrored at the ends, which are not doubled; the sound is much longer than a frame, or silent there.
		if i < 0 {
			i = -i
		}
		if i >= length {
			i = 2*(length-1) - i
		}
		if i < 0 || i >= len(samples) {
			return 0
		}
		return float64(samples[i])
	}
	frame, power := make([]complex128, b.Window), make([]float64, b.Window/2+1)
	loudest := math.Inf(-1)
	for t := range frames {
		for i := range frame {
			frame[i] = complex(at(t*b.Hop-b.Window/2+i)*b.window[i], 0)
		}
		for i, v := range b.fft.transform(frame)[:len(power)] {
			power[i] = real(v)*real(v) + imag(v)*imag(v)
		}
		for band, f := range b.filters {
			var sum float64
			for i, w := range f {
				sum += w * power[b.first[band]+i]
			}
			x := math.Log10(math.Max(sum, melFloor))
			loudest = math.Max(loudest, x)
			dst[band*frames+t] = float32(x)
		}
	}
	for i, v := range dst {
		dst[i] = float32((math.Max(float64(v), loudest-melRange) + 4) / 4)
	}
	return out
}

// fourier transforms sequences of one length, by its prime factors (Cooley and Tukey 1965).
type fourier struct {
	factors []int
	roots   []complex128
	a, b    []complex128
}

func newFourier(n int) *fourier {
	f := &fourier{a: make([]complex128, n), b: make([]complex128, n)}
	for i := range n {
		f.roots = append(f.roots, cmplx.Rect(1, -2*math.Pi*float64(i)/float64(n)))
	}
	for p, rest := 2, n; rest > 1; p++ {
		for ; rest%p == 0; rest /= p {
			f.factors = append(f.factors, p)
		}
	}
	return f
}

// transform returns the spectrum of x, valid until the next call.
func (f *fourier) transform(x []complex128) []complex128 {
	copy(f.a, x)
	src, dst := f.a, f.b
	n, done := len(x), 1 // sequences of length done, interleaved with stride n/done, are transformed
	for _, p := range f.factors {
		stride := n / (done * p)
		for k := range done {
			for s := range stride {
				for q := range p {
					var sum complex128
					for r := range p {
						// Root number r (k + q done) of done p-th.
						sum += src[(k*p+r)*stride+s] * f.roots[r*(k+q*done)%(done*p)*stride]
					}
					dst[(q*done+k)*stride+s] = sum
				}
			}
		}
		src, dst, done = dst, src, done*p
	}
	return src
}
