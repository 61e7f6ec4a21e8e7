package eval

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// ReceptiveFields returns up to limit rows, spread evenly, of every image of x [B,C,spatial...], or with the channels last, as weights of the given
// shape [M,kernel...,C] meet them: channels last, zero where the window hangs over the edge.
func ReceptiveFields(n *model.Node, x *tensor.Tensor, weights []int, limit int) []float32 {
	last, _, err := model.ChannelsLast(n)
	if err != nil {
		return nil
	}
	spatial, channels := x.Shape[2:], x.Shape[1]
	if last {
		r := len(x.Shape) - 1
		spatial, channels = x.Shape[1:r], x.Shape[r]
	}
	w, err := model.WindowOf(n, model.Dims(spatial...), model.Dims(weights[1:len(weights)-1]...))
	if err != nil || n.Int("group", 1) != 1 {
		return nil
	}
	dims, err := w.Out(n, model.Dims(spatial...), false)
	if err != nil {
		return nil
	}
	places := 1
	for _, d := range dims {
		places *= d.N
	}
	taps, area := 1, 1
	for i, k := range w.Kernel {
		taps *= k
		area *= spatial[i]
	}
	toChannel, toPixel := area, 1 // elements from a channel, and from a pixel, to the next
	if last {
		toChannel, toPixel = 1, channels
	}
	rows := min(places, limit)
	out := make([]float32, x.Shape[0]*rows*taps*channels)
	data := x.F32()
	at := 0
	for image := range x.Shape[0] {
		pixels := data[image*channels*area:][:channels*area]
		for r := range rows {
			place := r * places / rows
			for tap := range taps {
				if p := pixel(w, place, tap, dims, spatial); p >= 0 {
					for c := range channels {
						out[at+c] = pixels[c*toChannel+p*toPixel]
					}
				}
				at += channels
			}
		}
	}
	return out
}

// Places returns the channels of the output y of a convolution, or of what it adds there, at the places that ReceptiveFields gives the rows of.
func Places(n *model.Node, y *tensor.Tensor, limit int) []float32 {
	_, last, err := model.ChannelsLast(n)
	if err != nil {
		return nil
	}
	channels := y.Shape[1]
	if last {
		channels = y.Shape[len(y.Shape)-1]
	}
	area := y.Len() / max(1, y.Shape[0]*channels)
	toChannel, toPlace := area, 1 // elements from a channel, and from a place, to the next
	if last {
		toChannel, toPlace = 1, channels
	}
	rows := min(area, limit)
	out := make([]float32, 0, y.Shape[0]*rows*channels)
	for image := range y.Shape[0] {
		values := y.F32()[image*area*channels:][:area*channels]
		for r := range rows {
			at := r * area / rows * toPlace
			for c := range channels {
				out = append(out, values[at+c*toChannel])
			}
		}
	}
	return out
}

// pixel returns the number of the input pixel that a tap of the window at an output place reads, or -1
// for padding.
func pixel(w *model.Window, place, tap int, out []model.Dim, in []int) int {
	at, step := 0, 1
	for i := len(in) - 1; i >= 0; i-- {
		x := place%out[i].N*w.Stride[i] + tap%w.Kernel[i]*w.Dilation[i] - w.Before[i]
		place, tap = place/out[i].N, tap/w.Kernel[i]
		if x < 0 || x >= in[i] {
			return -1
		}
		at += x * step
		step *= in[i]
	}
	return at
}
