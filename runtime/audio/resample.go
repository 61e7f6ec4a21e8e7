package audio

import "math"

const (
	// zeroCrossings is how far the sinc reaches to each side, rolloff where the pass band ends relative to the lower rate's limit, and
	// kaiserBeta the window's: frequencies that would fold back are 80 dB down.
	zeroCrossings = 32
	rolloff       = 0.95
	kaiserBeta    = 9
	// tableSteps is how many values of the windowed sinc lie between two crossings; between them it is linear, which is exact to 5e-6.
	tableSteps = 512
)

// At returns the recording with another rate: each sample is the band-limited interpolation of the old ones at its time (Smith, "Digital audio
// resampling", 1984: a sinc under a Kaiser window).
func (s *Sound) At(rate int) *Sound {
	if rate == s.Rate {
		return s
	}
	ratio := float64(s.Rate) / float64(rate)
	// The sinc's scale: 1 if the rate grows, else wider, so that it cuts off below the new limit.
	scale := math.Min(1, 1/ratio) * rolloff
	table, reach := windowedSinc(), zeroCrossings/scale
	out := &Sound{Rate: rate, Samples: make([]float32, int(math.Floor(float64(len(s.Samples))/ratio)))}
	for i := range out.Samples {
		at := float64(i) * ratio
		first, last := max(int(math.Ceil(at-reach)), 0), min(int(math.Floor(at+reach)), len(s.Samples)-1)
		var sum float64
		for j := first; j <= last; j++ {
			x := math.Abs(float64(j)-at) * scale * tableSteps
			k := int(x)
			if k >= len(table)-1 {
				continue
			}
			sum += float64(s.Samples[j]) * (table[k] + (x-float64(k))*(table[k+1]-table[k]))
		}
		out.Samples[i] = float32(sum * scale)
	}
	return out
}

// windowedSinc is one side of sin(pi x)/(pi x) under the window.
func windowedSinc() []float64 {
	table := make([]float64, zeroCrossings*tableSteps+1)
	for i := range table {
		x := float64(i) / tableSteps
		w := x / zeroCrossings
		table[i] = bessel0(kaiserBeta*math.Sqrt(1-w*w)) / bessel0(kaiserBeta)
		if x > 0 {
			table[i] *= math.Sin(math.Pi*x) / (math.Pi * x)
		}
	}
	return table
}

// bessel0 is the modified Bessel function of order 0, by its series.
func bessel0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-17*sum; k++ {
		term *= x * x / (4 * k * k)
		sum += term
	}
	return sum
}
