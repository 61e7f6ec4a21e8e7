package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", operands(2, map[string]Binder{
	"QuantizeLinear":   bindQuantize,
	"DequantizeLinear": bindDequantize,
}))

var _ = register("", operands(1, map[string]Binder{"DynamicQuantizeLinear": bindDynamicQuantize}))

// scales are the scale (input 1) and zero point (input 2) of a quantization: one for
// the tensor, one for each index of an axis, or one for each block along it.
type scales struct {
	b      *Bind
	scale  []float32
	zero   []float32
	axis   bool // else one for the tensor
	dim    int  // of the axis
	inner  int  // elements after it
	block  int  // 0: one for each index
	blocks int
}

func (b *Bind) scales() (*scales, error) {
	x, scale := b.In[0], b.In[1]
	n := scale.Len()
	if !scale.DType.IsFloat() {
		return nil, b.errorf("scale %v is not a float", scale)
	}
	if b.Has(2) && (b.In[2].Len() != n || !b.In[2].DType.IsInteger() && !b.In[2].DType.IsSmall()) {
		return nil, b.errorf("scale %v with zero point %v", scale, b.In[2])
	}
	s := &scales{b: b, scale: make([]float32, n), zero: make([]float32, n), block: int(b.Node.Int("block_size", 0))}
	if n != 1 || s.block > 0 {
		axis, err := b.axis("axis", 1, len(x.Shape))
		if err != nil {
			return nil, err
		}
		s.axis, s.dim, s.inner, s.blocks = true, x.Shape[axis], product(x.Shape[axis+1:]), 1
		want := s.dim
		if s.block > 0 {
			s.blocks = (s.dim + s.block - 1) / s.block
			want = product(x.Shape[:axis]) * s.blocks * s.inner
		}
		if n != want {
			return nil, b.errorf("%d scales for %v, want %d", n, x, want)
		}
	}
	if b.IsConst(1) && (!b.Has(2) || b.IsConst(2)) {
		s.load()
		s.b = nil
	}
	return s, nil
}

// load reads the operands, once if they are constants.
func (s *scales) load() {
	if s.b == nil {
		return
	}
	loadScale := loaderOf(s.b.In[1].DType)
	for i := range s.scale {
		s.scale[i] = float32(loadScale(s.b.In[1], i))
	}
	if s.b.Has(2) {
		loadZero := loaderOf(s.b.In[2].DType)
		for i := range s.zero {
			s.zero[i] = float32(loadZero(s.b.In[2], i))
		}
	}
}

// bytes returns the quantization if it is one of whole tensors to or from bytes, known ahead.
func (s *scales) bytes(dt tensor.DType) (kernels.Quantized, bool) {
	if dt != tensor.U8 || s.axis || s.b != nil || len(s.scale) != 1 {
		return kernels.Quantized{}, false
	}
	return kernels.Quantized{Scale: s.scale[0], Zero: uint8(s.zero[0])}, true
}

// at returns the number of element i's scale, and for how many elements it goes on (step 0) or goes
// up by one each (step 1).
func (s *scales) at(i int) (k, step, n int) {
	if !s.axis {
		return 0, 0, math.MaxInt
	}
	r, c := i/s.inner, i%s.inner
	o, a := r/s.dim, r%s.dim
	switch {
	case s.block == 0 && s.inner == 1:
		return a, 1, s.dim - a
	case s.block == 0:
		return a, 0, s.inner - c
	case s.inner == 1:
		return o*s.blocks + a/s.block, 0, min(s.block-a%s.block, s.dim-a)
	}
	return (o*s.blocks+a/s.block)*s.inner + c, 1, s.inner - c
}

// bindQuantize binds y = saturate(round(x / scale) + zero), rounding half to even.
func bindQuantize(b *Bind) (Run, error) {
	s, err := b.scales()
	if err != nil {
		return nil, err
	}
	switch dt := b.In[0].DType; dt {
	case tensor.F32:
		if q, ok := s.bytes(b.Out[0].DType); ok {
			return simple(b.split(b.In[0].Len(), 64, 1, func(_, lo, hi int) {
				kernels.QuantizeBytes(b.Out[0].Data[lo:hi], b.In[0].F32()[lo:hi], q)
			})), nil
		}
		return quantizeF32(b, s)
	case tensor.F64, tensor.F16, tensor.BF16:
		return widened(bindQuantize)(b)
	case tensor.I32:
		return through(bindQuantize, tensor.F32, func(t *tensor.Tensor) bool { return t.DType == tensor.I32 }, loadI32AsF32, nil)(b)
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

func loadI32AsF32(wide, narrow *tensor.Tensor) {
	dst := wide.F32()
	for i, v := range tensor.View[int32](narrow) {
		dst[i] = float32(v)
	}
}

func quantizeF32(b *Bind, s *scales) (Run, error) {
	switch b.Out[0].DType {
	case tensor.U8:
		return quantizeTo[uint8](b, s, 0, math.MaxUint8), nil
	case tensor.I8:
		return quantizeTo[int8](b, s, math.MinInt8, math.MaxInt8), nil
	case tensor.U16:
		return quantizeTo[uint16](b, s, 0, math.MaxUint16), nil
	case tensor.I16:
		return quantizeTo[int16](b, s, math.MinInt16, math.MaxInt16), nil
	default:
		if dt := b.Out[0].DType; b.smallInt(dt) {
			low, high := tensor.RangeSmall(dt)
			return quantizeTo[int8](b, s, float32(low), float32(high)), nil
		} else if dt.IsSmall() {
			return quantizeToFloat(b, s), nil
		}
	}
	return nil, b.unsupportedType(b.Out[0].DType)
}

func quantizeTo[Q int8 | uint8 | int16 | uint16](b *Bind, s *scales, low, high float32) Run {
	in, out := b.In[0], b.Out[0]
	do := b.split(in.Len(), 64, 8, func(_, lo, hi int) {
		dst, src := tensor.View[Q](out), in.F32()
		for lo < hi {
			k, step, n := s.at(lo)
			n = min(n, hi-lo)
			quantizeRow(dst[lo:lo+n], src[lo:lo+n], s.scale[k:], s.zero[k:], step, low, high)
			lo += n
		}
	})
	return func() error {
		s.load()
		do()
		return nil
	}
}

// quantizeToFloat is quantizeTo for small floats: x / scale, rounded to the type. Their zero point is 0.
func quantizeToFloat(b *Bind, s *scales) Run {
	in, out := b.In[0], b.Out[0]
	code := b.smallCode(out.DType)
	do := b.split(in.Len(), 64, 8, func(_, lo, hi int) {
		src := in.F32()
		for lo < hi {
			k, step, n := s.at(lo)
			n = min(n, hi-lo)
			for i, v := range src[lo : lo+n] {
				out.Data[lo+i] = code(v/s.scale[k] + s.zero[k])
				k += step
			}
			lo += n
		}
	})
	return func() error {
		s.load()
		do()
		return nil
	}
}

// quantizeRow is the F32 form: adding 1.5 x 2^23 rounds a small number to an integer, half to even.
// A NaN gives the zero point.
func quantizeRow[Q int8 | uint8 | int16 | uint16](dst []Q, x, scale, zero []float32, step int, low, high float32) {
	const round = 3 << 22
	k := 0
	for i, v := range x {
		z := zero[k]
		v = min(max(v/scale[k], low-z), high-z)
		if v != v {
			v = 0
		}
		dst[i] = Q(int32(math.Float32bits(v+round)-math.Float32bits(round)) + int32(z))
		k += step
	}
}

// bindDequantize binds y = (x - zero) * scale.
func bindDequantize(b *Bind) (Run, error) {
	if isHalf(b.Out[0].DType) {
		return widened(bindDequantize)(b)
	}
	s, err := b.scales()
	if err != nil {
		return nil, err
	}
	if q, ok := s.bytes(b.In[0].DType); ok && b.Out[0].DType == tensor.F32 {
		return simple(b.split(b.In[0].Len(), 64, 1, func(_, lo, hi int) {
			kernels.DequantizeBytes(b.Out[0].F32()[lo:hi], b.In[0].Data[lo:hi], q)
		})), nil
	}
	switch b.In[0].DType {
	case tensor.U8:
		return dequantizeFrom[uint8](b, s)
	case tensor.I8:
		return dequantizeFrom[int8](b, s)
	case tensor.U16:
		return dequantizeFrom[uint16](b, s)
	case tensor.I16:
		return dequantizeFrom[int16](b, s)
	case tensor.I32:
		return dequantizeFrom[int32](b, s)
	case tensor.I4, tensor.I2:
		return dequantizeFrom[int8](b, s)
	case tensor.U4, tensor.U2:
		return dequantizeFrom[uint8](b, s)
	default:
		if b.In[0].DType.IsSmall() {
			return dequantizeFromFloat(b, s)
		}
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

func dequantizeFrom[Q integer](b *Bind, s *scales) (Run, error) {
	in, out := b.In[0], b.Out[0]
	if out.DType != tensor.F32 {
		return nil, b.unsupportedType(out.DType)
	}
	do := b.split(in.Len(), 64, 4, func(_, lo, hi int) {
		dst, src := out.F32(), tensor.View[Q](in)
		for lo < hi {
			k, step, n := s.at(lo)
			n = min(n, hi-lo)
			d := dst[lo : lo+n]
			for i, q := range src[lo : lo+n] {
				if in.DType == tensor.I32 { // whose difference is exact in float64 only
					d[i] = float32((float64(q) - float64(s.zero[k])) * float64(s.scale[k]))
				} else {
					d[i] = (float32(q) - s.zero[k]) * s.scale[k]
				}
				k += step
			}
			lo += n
		}
	})
	return func() error {
		s.load()
		do()
		return nil
	}, nil
}

// dequantizeFromFloat is bindDequantize for small floats.
func dequantizeFromFloat(b *Bind, s *scales) (Run, error) {
	in, out := b.In[0], b.Out[0]
	table := tensor.DecodeSmall(in.DType)
	store := storerOf(out.DType)
	if store == nil {
		return nil, b.unsupportedType(out.DType)
	}
	do := b.split(in.Len(), 64, 8, func(_, lo, hi int) {
		for lo < hi {
			k, step, n := s.at(lo)
			n = min(n, hi-lo)
			for i, q := range in.Data[lo : lo+n] {
				store(out, lo+i, float64((table[q]-s.zero[k])*s.scale[k]))
				k += step
			}
			lo += n
		}
	})
	return func() error {
		s.load()
		do()
		return nil
	}, nil
}

// bindDynamicQuantize quantizes to U8 with a scale and zero point from the data's range, which is made to
// hold 0. Outputs: y, scale, zero point.
func bindDynamicQuantize(b *Bind) (Run, error) {
	in := b.In[0]
	if in.DType != tensor.F32 {
		return nil, b.unsupportedType(in.DType)
	}
	parts := b.parts()
	ranges := make([][2]float32, parts)
	var q kernels.Quantized
	measure := b.split(in.Len(), 64, 1, func(part, lo, hi int) {
		low, high := kernels.Range(in.F32()[lo:hi])
		ranges[part] = [2]float32{min(ranges[part][0], low), max(ranges[part][1], high)}
	})
	store := b.split(in.Len(), 64, 1, func(_, lo, hi int) { kernels.QuantizeBytes(b.Out[0].Data[lo:hi], in.F32()[lo:hi], q) })
	return simple(func() {
		clear(ranges)
		measure()
		var low, high float32
		for _, r := range ranges {
			low, high = min(low, r[0]), max(high, r[1])
		}
		q = kernels.Dynamic(low, high)
		if b.HasOut(1) {
			b.Out[1].F32()[0] = q.Scale
		}
		if b.HasOut(2) {
			b.Out[2].Data[0] = q.Zero
		}
		if b.HasOut(0) {
			store()
		}
	}), nil
}
