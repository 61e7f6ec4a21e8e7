package quant

import (
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// maxGain bounds how much a channel is raised.
const maxGain = 64

// equalize raises the channels of images that one scale would give few levels: the filters that make such a channel are
// multiplied by a gain, and the weights that read it divided by it, which changes nothing else where the activation between is
// Relu, LeakyRelu or a Clip from 0 (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019).
// The gains are (R/m)^a for the channel's largest value m and R, the largest of all, with the a that the readers' predicted error is least for.
func (s *statics) equalize() {
	makers, readers := map[string]*staticConv{}, map[string][]*staticConv{}
	for _, c := range s.convs {
		makers[c.node.Outputs[0]] = c
		readers[c.node.In(0)] = append(readers[c.node.In(0)], c)
	}
	uses := map[string]int{}
	for _, n := range s.g.Nodes {
		for _, in := range n.Inputs {
			uses[in]++
		}
	}
	for _, out := range s.g.Outputs {
		uses[out.Name]++
	}
	for _, c := range s.convs {
		v := c.node.In(0)
		from, o := makers[v], s.seen[v]
		if from == nil || o == nil || readers[v][0] != c || uses[v] != len(readers[v]) || len(s.group[v].values) > 1 {
			continue
		}
		if o.channels == len(from.bias) && from.gainable() {
			s.raise(o, from, readers[v])
		}
	}
}

// gainable reports whether multiplying filters multiplies what a convolution yields.
func (c *staticConv) gainable() bool {
	n := c.node
	if n.In(3) != "" {
		return false
	}
	switch n.Str("activation", model.ActNone) {
	case model.ActNone, model.ActRelu, model.ActLeakyRelu:
		return true
	case model.ActClip:
		p := n.Floats("activation_params")
		return len(p) == 2 && p[0] == 0
	}
	return false
}

// raise chooses and applies the gains of a value's channels.
func (s *statics) raise(o *observed, from *staticConv, to []*staticConv) {
	most := make([]float64, o.channels)
	for ch := range most {
		most[ch] = float64(max(o.hi[ch], -o.lo[ch]))
	}
	top := slices.Max(most)
	if top == 0 {
		return
	}
	best, least := []float64(nil), math.Inf(1)
	for step := range 5 {
		gain := make([]float64, o.channels)
		for ch, m := range most {
			gain[ch] = maxGain
			if m > 0 {
				gain[ch] = min(math.Pow(top/m, float64(step)/4), maxGain)
			}
		}
		var lost float64
		for _, c := range to {
			lost += c.predictedError(o, gain, top/255)
		}
		if lost < least {
			best, least = gain, lost
		}
	}
	for m := range from.bias {
		for i := range from.w[m*from.k : (m+1)*from.k] {
			from.w[m*from.k+i] = float32(float64(from.w[m*from.k+i]) * best[m])
		}
		from.bias[m] = float32(float64(from.bias[m]) * best[m])
	}
	for _, c := range to {
		for m := range c.bias {
			for i := range c.k {
				c.w[m*c.k+i] = float32(float64(c.w[m*c.k+i]) / best[c.channel(m, i)])
			}
		}
	}
	for i := range o.samples {
		o.samples[i] = float32(float64(o.samples[i]) * best[i%o.channels])
	}
	for ch, g := range best {
		o.lo[ch], o.hi[ch], o.sum[ch] = float32(float64(o.lo[ch])*g), float32(float64(o.hi[ch])*g), o.sum[ch]*g
	}
}

// predictedError is the mean square, up to a factor, of what rounding does to what a convolution yields, if its input's channels are
// multiplied by gain and rounded to multiples of step, and its weights, divided by gain, to 8 bits.
func (c *staticConv) predictedError(o *observed, gain []float64, step float64) float64 {
	square := make([]float64, o.channels)
	for i, v := range o.samples {
		square[i%o.channels] += float64(v) * float64(v)
	}
	pixels := float64(max(len(o.samples)/o.channels, 1))
	var all float64
	for m := range c.bias {
		var most, weights, inputs float64
		for i, w := range c.w[m*c.k : (m+1)*c.k] {
			ch := c.channel(m, i)
			v := float64(w) / gain[ch]
			most = max(most, math.Abs(v))
			weights += float64(v * v)
			inputs += float64(square[ch] / pixels * gain[ch] * gain[ch])
		}
		all += float64(weights*step*step) + float64(most/127*most/127*inputs)
	}
	return all
}

// gridded returns filters rounded to multiples of the largest weight over 127, and the bias, less what the rounding adds on average
// to what the convolution yields.
func (c *staticConv) gridded(in *observed) (rows, bias []float32) {
	rows, bias = make([]float32, len(c.w)), slices.Clone(c.bias)
	for m := range bias {
		row := c.w[m*c.k : (m+1)*c.k]
		var most float64
		for _, v := range row {
			most = max(most, math.Abs(float64(v)))
		}
		scale := float32(most / 127)
		if scale == 0 {
			continue
		}
		var shift float64
		for i, v := range row {
			r := float32(math.RoundToEven(float64(v)/float64(scale))) * scale
			rows[m*c.k+i] = r
			if in != nil && in.count > 0 && (c.group > 1 || in.channels == c.depth()) {
				shift += float64((float64(v) - float64(r)) * in.sum[c.channel(m, i)] / float64(in.count))
			}
		}
		bias[m] += float32(shift)
	}
	return rows, bias
}

// floatRows returns filters in row-major order, nil if they are of a type other than float32.
func floatRows(w *tensor.Tensor) ([]float32, error) {
	loaded, err := w.Loaded()
	if err != nil || loaded.DType != tensor.F32 {
		return nil, err
	}
	n, k := w.Shape[0], w.Len()/max(w.Shape[0], 1)
	if loaded.Layout != tensor.Panel16 {
		return slices.Clone(loaded.F32()), nil
	}
	out := make([]float32, n*k)
	for r := range n {
		kernels.PanelRowF32(out[r*k:(r+1)*k], kernels.Weights{Kind: kernels.KindF32, N: n, K: k, Data: loaded.Data}, r)
	}
	return out, nil
}
