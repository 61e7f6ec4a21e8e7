package picture

import (
	"fmt"
	"math"
)

// Filter is a resampling filter, as PIL names and computes them: the support grows with the
// reduction, so shrinking does not alias.
type Filter string

// The filters.
const (
	Bilinear Filter = "bilinear"
	Bicubic  Filter = "bicubic" // a = -1/2
)

// support returns half the filter's width at scale 1 and its weight at distance x.
func (f Filter) kernel() (support float64, weight func(x float64) float64, err error) {
	switch f {
	case Bilinear, "":
		return 1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }, nil
	case Bicubic:
		return 2, func(x float64) float64 {
			const a = -0.5
			x = math.Abs(x)
			switch {
			case x < 1:
				return ((a+2)*x-(a+3))*x*x + 1
			case x < 2:
				return (((x-5)*x+8)*x - 4) * a
			}
			return 0
		}, nil
	}
	return 0, nil, fmt.Errorf("unknown filter %q; the filters are bilinear and bicubic", string(f))
}

// precision is the number of fraction bits of a fixed-point weight: PIL's, so that results agree byte for byte.
const precision = 32 - 8 - 2

// taps are the source pixels and weights of one output pixel.
type taps struct {
	first   int
	weights []int32
}

// resampling returns the taps of every output pixel when in pixels become out.
func resampling(in, out int, f Filter) ([]taps, error) {
	support, weight, err := f.kernel()
	if err != nil {
		return nil, err
	}
	scale := float64(in) / float64(out)
	stretch := max(scale, 1)
	support *= stretch
	list := make([]taps, out)
	for x := range list {
		center := (float64(x) + 0.5) * scale
		first := max(int(center-support+0.5), 0)
		last := min(int(center+support+0.5), in)
		w := make([]float64, last-first)
		var sum float64
		for i := range w {
			w[i] = weight((float64(i+first) - center + 0.5) / stretch)
			sum += w[i]
		}
		t := taps{first: first, weights: make([]int32, len(w))}
		for i, v := range w {
			if sum != 0 {
				v /= sum
			}
			t.weights[i] = int32(math.Floor(v*(1<<precision) + 0.5))
			if v < 0 {
				t.weights[i] = int32(math.Ceil(v*(1<<precision) - 0.5))
			}
		}
		list[x] = t
	}
	return list, nil
}

// Resize returns the image at another size; width first, then height, rounded to bytes in between.
func (m *RGB) Resize(w, h int, f Filter) (*RGB, error) {
	if w < 1 || h < 1 || w > maxPixels/h {
		return nil, fmt.Errorf("size %d x %d is out of range", w, h)
	}
	out := m
	if w != m.W {
		list, err := resampling(m.W, w, f)
		if err != nil {
			return nil, err
		}
		out = &RGB{W: w, H: m.H, Pix: make([]byte, 3*w*m.H)}
		for y := range m.H {
			src := m.Pix[3*m.W*y:][:3*m.W]
			for x, t := range list {
				mix(out.Pix[3*(w*y+x):], src[3*t.first:], 3, t.weights)
			}
		}
	}
	if h == m.H {
		return out, nil
	}
	list, err := resampling(m.H, h, f)
	if err != nil {
		return nil, err
	}
	tall := &RGB{W: w, H: h, Pix: make([]byte, 3*w*h)}
	for y, t := range list {
		for x := range w {
			mix(tall.Pix[3*(w*y+x):], out.Pix[3*(w*t.first+x):], 3*w, t.weights)
		}
	}
	return tall, nil
}

// mix writes one pixel: the weighted sum of pixels that lie stride bytes apart.
func mix(dst, src []byte, stride int, weights []int32) {
	r, g, b := int32(1)<<(precision-1), int32(1)<<(precision-1), int32(1)<<(precision-1)
	at := 0
	for _, w := range weights {
		r += w * int32(src[at])
		g += w * int32(src[at+1])
		b += w * int32(src[at+2])
		at += stride
	}
	dst[0], dst[1], dst[2] = clamp8(r>>precision), clamp8(g>>precision), clamp8(b>>precision)
}

// Crop returns the part of the image with its top left corner at (x, y); what lies outside is 0.
func (m *RGB) Crop(x, y, w, h int) *RGB {
	out := &RGB{W: w, H: h, Pix: make([]byte, 3*w*h)}
	out.paste(m, -x, -y)
	return out
}

// Mirror returns the image with left and right exchanged.
func (m *RGB) Mirror() *RGB {
	out := &RGB{W: m.W, H: m.H, Pix: make([]byte, len(m.Pix))}
	for at := 0; at < len(m.Pix); at += 3 * m.W {
		for x := range m.W {
			copy(out.Pix[at+3*x:][:3], m.Pix[at+3*(m.W-1-x):])
		}
	}
	return out
}

// paste draws src with its top left corner at (x, y).
func (m *RGB) paste(src *RGB, x, y int) {
	x0, x1 := max(x, 0), min(x+src.W, m.W)
	for row := max(y, 0); row < min(y+src.H, m.H) && x0 < x1; row++ {
		copy(m.Pix[3*(m.W*row+x0):3*(m.W*row+x1)], src.Pix[3*(src.W*(row-y)+x0-x):])
	}
}
