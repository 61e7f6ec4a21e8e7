package distill

import (
	"math"
	"math/rand/v2"

	"github.com/dsk-toolkit/dsk/dataset/picture"
)

// Augment changes pictures at random so that a student sees each in many forms. The zero value changes nothing.
type Augment struct {
	Flip   bool `json:"flip"`   // mirrors every second picture
	Shift  int  `json:"shift"`  // moves by up to so many pixels each way: a crop of the picture with a border of zeros
	Cutout int  `json:"cutout"` // sets a square of so many pixels a side to zero (DeVries and Taylor 2017)
	// Zoom shows a part of the picture, of at least this share of its width and height, in its full size; 0: all of it.
	Zoom float64 `json:"zoom,omitempty"`
}

// Picks returns the random numbers of a sample in an epoch: the same ones whenever it is asked, so that a training that is
// resumed goes on as if it had not ended.
func Picks(seed uint64, epoch, sample int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(epoch)<<32|uint64(uint32(sample))))
}

// Order returns the samples of an epoch in the order of their use.
func Order(seed uint64, epoch, samples int) []int {
	return rand.New(rand.NewPCG(seed^0x9e3779b97f4a7c15, uint64(epoch))).Perm(samples)
}

// zoom returns the part of an image that a random form of it shows, in the image's proportions.
func (a *Augment) zoom(img *picture.RGB, r *rand.Rand) *picture.RGB {
	share := a.Zoom + float64((1-a.Zoom)*r.Float64())
	w, h := max(1, int(share*float64(img.W))), max(1, int(share*float64(img.H)))
	return img.Crop(r.IntN(img.W-w+1), r.IntN(img.H-h+1), w, h)
}

// part returns a random part of a photograph in the proportions w : h. It is not smaller than w by h where the photograph is not, so that nothing is
// blown up; between that and the largest part all scales are as likely.
func part(img *picture.RGB, w, h int, r *rand.Rand) *picture.RGB {
	most := min(float64(img.W)/float64(w), float64(img.H)/float64(h))
	scale := most
	if most > 1 {
		scale = math.Exp(r.Float64() * math.Log(most))
	}
	w, h = max(1, min(img.W, int(scale*float64(w)))), max(1, min(img.H, int(scale*float64(h))))
	return img.Crop(r.IntN(img.W-w+1), r.IntN(img.H-h+1), w, h)
}

// Apply writes a changed form of the picture src [channels, h, w] to dst. What is shown of it is not its business: see Zoom.
func (a *Augment) Apply(dst, src []float32, channels, h, w int, r *rand.Rand) {
	flip := a.Flip && r.IntN(2) == 1
	dx, dy := 0, 0
	if a.Shift > 0 {
		dx, dy = r.IntN(2*a.Shift+1)-a.Shift, r.IntN(2*a.Shift+1)-a.Shift
	}
	for c := range channels {
		for y := range h {
			out := dst[(c*h+y)*w:][:w]
			sy := y + dy
			if sy < 0 || sy >= h {
				clear(out)
				continue
			}
			in := src[(c*h+sy)*w:][:w]
			for x := range out {
				sx := x + dx
				if out[x] = 0; sx >= 0 && sx < w {
					if flip {
						sx = w - 1 - sx
					}
					out[x] = in[sx]
				}
			}
		}
	}
	if a.Cutout == 0 {
		return
	}
	cx, cy := r.IntN(w)-a.Cutout/2, r.IntN(h)-a.Cutout/2
	for c := range channels {
		for y := max(cy, 0); y < min(cy+a.Cutout, h); y++ {
			if x0, x1 := max(cx, 0), min(cx+a.Cutout, w); x0 < x1 {
				clear(dst[(c*h+y)*w+x0 : (c*h+y)*w+x1])
			}
		}
	}
}

// mix changes the picture dst [channels, h, w] into one of itself and other: half of the time the mean of both with a random weight (Zhang et al.,
// "mixup", 2018), else itself with a random rectangle of the other (Yun et al., "CutMix", 2019). A teacher that labels the results shows a
// student much more of itself than a few thousand pictures do (Beyer et al., "A good teacher is patient and consistent", 2022).
func mix(dst, other []float32, channels, h, w int, r *rand.Rand) {
	share := r.Float32() // of the other
	if r.IntN(2) == 0 {
		for i, v := range other {
			dst[i] = float32(dst[i]*(1-share)) + float32(v*share)
		}
		return
	}
	side := math.Sqrt(float64(share))
	high, wide := int(side*float64(h)), int(side*float64(w))
	y0, x0 := r.IntN(h-high+1), r.IntN(w-wide+1)
	for c := range channels {
		for y := y0; y < y0+high; y++ {
			at := (c*h+y)*w + x0
			copy(dst[at:at+wide], other[at:at+wide])
		}
	}
}
