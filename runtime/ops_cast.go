package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", operands(1, map[string]Binder{
	"Cast":     bindCast,
	"CastLike": bindCast,
	"BitCast":  bindView,
	"Identity": bindView,
	"Dropout":  bindDropout,
	"Clip":     bindClip,
}))

var _ = register("", operands(3, map[string]Binder{"Where": bindWhere}))

// castNumber converts as NumPy on amd64 does: towards zero; a float outside the range of a
// 32- or 64-bit type gives that type's smallest number (0x80...), narrower and
// unsigned types keep the low bits. Go leaves these cases to the machine.
func castNumber[S, D number](s S) D {
	var d D
	switch any(d).(type) {
	case float32, float64:
		return D(s)
	}
	var one S = 1
	if one/2 == 0 { // integer to integer wraps in Go, too
		return D(s)
	}
	f := float64(s)
	switch any(d).(type) {
	case int64:
		return D(truncate64(f))
	case uint64:
		if f >= 1<<63 && f < 1<<64 {
			return D(uint64(f))
		}
		return D(truncate64(f))
	case uint32:
		return D(truncate64(f))
	}
	if !(f > math.MinInt32-1.0 && f < math.MaxInt32+1.0) {
		var low int32 = math.MinInt32
		return D(low)
	}
	return D(int32(f))
}

func truncate64(f float64) int64 {
	if f >= -(1<<63) && f < 1<<63 {
		return int64(f)
	}
	return math.MinInt64
}

// bindCast converts between all element types; BOOL is 1 for all but zero. Rounding to
// a narrower float is to nearest even; see ops_cast_small.go for the types of 8 bits and less.
func bindCast(b *Bind) (Run, error) {
	from, to := b.In[0].DType, b.Out[0].DType
	if from == to {
		b.Alias(0, 0)
		return nil, nil
	}
	switch {
	case from == tensor.STRING:
		return castFromString(b)
	case to == tensor.STRING:
		return castToString(b)
	}
	switch from {
	case tensor.F32:
		return castFrom[float32](b)
	case tensor.F64:
		return castFrom[float64](b)
	case tensor.I8:
		return castFrom[int8](b)
	case tensor.U8:
		return castFrom[uint8](b)
	case tensor.BOOL:
		return castFrom[uint8](b)
	case tensor.I16:
		return castFrom[int16](b)
	case tensor.U16:
		return castFrom[uint16](b)
	case tensor.I32:
		return castFrom[int32](b)
	case tensor.U32:
		return castFrom[uint32](b)
	case tensor.I64:
		return castFrom[int64](b)
	case tensor.U64:
		return castFrom[uint64](b)
	case tensor.F16:
		if to == tensor.F32 {
			return mapSlices(b, 2, kernels.ExpandF16), nil
		}
		return castFromHalf(b)
	case tensor.BF16:
		if to == tensor.F32 {
			return mapSlices(b, 2, kernels.ExpandBF16), nil
		}
		return castFromHalf(b)
	default:
		if from.IsSmall() {
			return castFromSmall(b)
		}
	}
	return nil, b.unsupportedType(from)
}

func castFrom[S number](b *Bind) (Run, error) {
	switch to := b.Out[0].DType; to {
	case tensor.F32:
		return castElements[S, float32](b), nil
	case tensor.F64:
		return castElements[S, float64](b), nil
	case tensor.I8:
		return castElements[S, int8](b), nil
	case tensor.U8:
		return castElements[S, uint8](b), nil
	case tensor.I16:
		return castElements[S, int16](b), nil
	case tensor.U16:
		return castElements[S, uint16](b), nil
	case tensor.I32:
		return castElements[S, int32](b), nil
	case tensor.U32:
		return castElements[S, uint32](b), nil
	case tensor.I64:
		return castElements[S, int64](b), nil
	case tensor.U64:
		return castElements[S, uint64](b), nil
	case tensor.BOOL:
		return mapElements(b, 1, func(x S) bool { return x != 0 }), nil
	case tensor.F16, tensor.BF16:
		h := halfOf(to)
		return mapElements(b, 4, func(x S) uint16 { return h.to(toOdd(float64(x))) }), nil
	default:
		if to.IsSmall() {
			return castToSmall[S](b), nil
		}
	}
	return nil, b.unsupportedType(b.Out[0].DType)
}

func castElements[S, D number](b *Bind) Run { return mapElements(b, 2, castNumber[S, D]) }

func castFromHalf(b *Bind) (Run, error) {
	h := halfOf(b.In[0].DType)
	switch to := b.Out[0].DType; to {
	case tensor.F64:
		return castHalf[float64](b, h), nil
	case tensor.I8:
		return castHalf[int8](b, h), nil
	case tensor.U8:
		return castHalf[uint8](b, h), nil
	case tensor.I16:
		return castHalf[int16](b, h), nil
	case tensor.U16:
		return castHalf[uint16](b, h), nil
	case tensor.I32:
		return castHalf[int32](b, h), nil
	case tensor.U32:
		return castHalf[uint32](b, h), nil
	case tensor.I64:
		return castHalf[int64](b, h), nil
	case tensor.U64:
		return castHalf[uint64](b, h), nil
	case tensor.BOOL:
		return mapElements(b, 4, func(u uint16) bool { return h.from(u) != 0 }), nil
	case tensor.F16, tensor.BF16:
		g := halfOf(to)
		return mapElements(b, 4, func(u uint16) uint16 { return g.to(h.from(u)) }), nil
	default:
		if to.IsSmall() {
			code := b.smallCode(to)
			return mapElements(b, 8, func(u uint16) uint8 { return code(h.from(u)) }), nil
		}
	}
	return nil, b.unsupportedType(b.Out[0].DType)
}

func castHalf[D number](b *Bind, h half) Run {
	return mapElements(b, 4, func(u uint16) D { return castNumber[float32, D](h.from(u)) })
}

// loaderOf returns how element i of a tensor is read as a float64, or nil. It is for parameters
// and rare operators: it looks the slice up for each element.
func loaderOf(dt tensor.DType) func(t *tensor.Tensor, i int) float64 {
	switch dt {
	case tensor.F32:
		return loadNumber[float32]
	case tensor.F64:
		return loadNumber[float64]
	case tensor.F16, tensor.BF16:
		h := halfOf(dt)
		return func(t *tensor.Tensor, i int) float64 { return float64(h.from(tensor.View[uint16](t)[i])) }
	case tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32, tensor.I64:
		return func(t *tensor.Tensor, i int) float64 { return float64(loadInt(t, i)) }
	case tensor.U64:
		return loadNumber[uint64]
	}
	if dt.IsSmall() {
		table := tensor.DecodeSmall(dt)
		return func(t *tensor.Tensor, i int) float64 { return float64(table[t.Data[i]]) }
	}
	return nil
}

func loadNumber[T number](t *tensor.Tensor, i int) float64 { return float64(tensor.View[T](t)[i]) }

// loadInt reads element i of an integer or BOOL tensor; U64 wraps around.
func loadInt(t *tensor.Tensor, i int) int64 {
	switch t.DType {
	case tensor.I8:
		return int64(tensor.View[int8](t)[i])
	case tensor.U8, tensor.BOOL:
		return int64(t.Data[i])
	case tensor.I16:
		return int64(tensor.View[int16](t)[i])
	case tensor.U16:
		return int64(tensor.View[uint16](t)[i])
	case tensor.I32:
		return int64(tensor.View[int32](t)[i])
	case tensor.U32:
		return int64(tensor.View[uint32](t)[i])
	}
	return tensor.View[int64](t)[i]
}

// storeInt writes element i of an integer tensor, cut to its width.
func storeInt(t *tensor.Tensor, i int, v int64) {
	switch t.DType.Size() {
	case 1:
		t.Data[i] = byte(v)
	case 2:
		tensor.View[uint16](t)[i] = uint16(v)
	case 4:
		tensor.View[uint32](t)[i] = uint32(v)
	default:
		tensor.View[uint64](t)[i] = uint64(v)
	}
}

// storerOf returns how a float64 is written as element i of a tensor, or nil.
func storerOf(dt tensor.DType) func(t *tensor.Tensor, i int, v float64) {
	switch dt {
	case tensor.F32:
		return func(t *tensor.Tensor, i int, v float64) { t.F32()[i] = float32(v) }
	case tensor.F64:
		return func(t *tensor.Tensor, i int, v float64) { tensor.View[float64](t)[i] = v }
	case tensor.F16, tensor.BF16:
		h := halfOf(dt)
		return func(t *tensor.Tensor, i int, v float64) { tensor.View[uint16](t)[i] = h.to(toOdd(v)) }
	case tensor.U64:
		return func(t *tensor.Tensor, i int, v float64) { tensor.View[uint64](t)[i] = castNumber[float64, uint64](v) }
	}
	if dt.IsInteger() {
		return func(t *tensor.Tensor, i int, v float64) { storeInt(t, i, truncate64(v)) }
	}
	return nil
}

// bindView binds an operator that only gives its operand's bytes another name or type.
func bindView(b *Bind) (Run, error) {
	if b.In[0].DType.Holds() {
		return func() error { b.SetOut(0, b.In[0]); return nil }, nil
	}
	b.Alias(0, 0)
	return nil, nil
}

// bindDropout is the identity, with a mask of ones, but for the training mode. Inputs: x, ratio, training_mode.
func bindDropout(b *Bind) (Run, error) {
	if b.Has(2) {
		isBool := func(dt tensor.DType) bool { return dt == tensor.BOOL }
		if !b.isScalar(2, isBool) || b.Has(1) && !b.isScalar(1, tensor.DType.IsFloat) {
			return nil, b.errorf("operands %v are not a ratio and a training mode", b.In[1:])
		}
		if !b.IsConst(2) || b.Has(1) && !b.IsConst(1) {
			return nil, errNeedsValue
		}
		ratio := 0.5
		if b.Has(1) {
			ratio = loaderOf(b.In[1].DType)(b.In[1], 0)
		}
		if loadInt(b.In[2], 0) != 0 && ratio != 0 {
			return bindDropoutTraining(b, ratio)
		}
	}
	if b.HasOut(0) {
		b.Alias(0, 0)
	}
	if !b.HasOut(1) {
		return nil, nil
	}
	mask := b.Out[1]
	return simple(func() { fillSlice(mask.Data, 1) }), nil
}

// bindClip binds min(max(x, low), high), with limits that may be absent; high wins if they cross.
func bindClip(b *Bind) (Run, error) {
	for i := 1; i < len(b.In); i++ {
		if b.Has(i) && (b.In[i].DType != b.In[0].DType || b.In[i].Len() != 1) {
			return nil, b.errorf("limit %v of a tensor %v", b.In[i], b.In[0])
		}
	}
	if !b.Has(1) && !b.Has(2) {
		return bindView(b)
	}
	switch dt := b.In[0].DType; dt {
	case tensor.F32:
		return mapSlices(b, 1, func(dst, x []float32) {
			a := kernels.Activation{Kind: kernels.ActClip, Alpha: float32(math.Inf(-1)), Beta: float32(math.Inf(1))}
			if b.Has(1) {
				a.Alpha = b.In[1].F32()[0]
			}
			if b.Has(2) {
				a.Beta = b.In[2].F32()[0]
			}
			kernels.Activate(dst, x, a)
		}), nil
	case tensor.F64:
		return clip(b, math.Inf(-1), math.Inf(1)), nil
	case tensor.F16, tensor.BF16:
		return clipHalf(b, halfOf(dt)), nil
	case tensor.I8:
		return clip[int8](b, math.MinInt8, math.MaxInt8), nil
	case tensor.U8:
		return clip[uint8](b, 0, math.MaxUint8), nil
	case tensor.I16:
		return clip[int16](b, math.MinInt16, math.MaxInt16), nil
	case tensor.U16:
		return clip[uint16](b, 0, math.MaxUint16), nil
	case tensor.I32:
		return clip[int32](b, math.MinInt32, math.MaxInt32), nil
	case tensor.U32:
		return clip[uint32](b, 0, math.MaxUint32), nil
	case tensor.I64:
		return clip[int64](b, math.MinInt64, math.MaxInt64), nil
	case tensor.U64:
		return clip[uint64](b, 0, math.MaxUint64), nil
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

func clip[T number](b *Bind, low, high T) Run {
	return mapSlices(b, 2, func(dst, x []T) {
		lo, hi := low, high
		if b.Has(1) {
			lo = tensor.View[T](b.In[1])[0]
		}
		if b.Has(2) {
			hi = tensor.View[T](b.In[2])[0]
		}
		for i, v := range x {
			dst[i] = min(max(v, lo), hi)
		}
	})
}

func clipHalf(b *Bind, h half) Run {
	return mapSlices(b, 8, func(dst, x []uint16) {
		lo, hi := float32(math.Inf(-1)), float32(math.Inf(1))
		if b.Has(1) {
			lo = h.from(tensor.View[uint16](b.In[1])[0])
		}
		if b.Has(2) {
			hi = h.from(tensor.View[uint16](b.In[2])[0])
		}
		for i, u := range x {
			dst[i] = h.to(min(max(h.from(u), lo), hi))
		}
	})
}

// bindWhere picks x where the condition holds, else y; for any element type.
func bindWhere(b *Bind) (Run, error) {
	if b.In[0].DType != tensor.BOOL || b.In[1].DType != b.In[2].DType {
		return nil, b.errorf("no kernel for operands %v, %v, %v", b.In[0], b.In[1], b.In[2])
	}
	w := newBroadcast(b.Out[0].Shape, b.In[0].Shape, b.In[1].Shape, b.In[2].Shape)
	if w == nil {
		return nil, b.errorf("operands %v, %v, %v do not broadcast to %v", b.In[0], b.In[1], b.In[2], b.Out[0].Shape)
	}
	switch b.In[1].DType.Size() {
	case 1:
		return where[uint8](b, w), nil
	case 2:
		return where[uint16](b, w), nil
	case 4:
		return where[uint32](b, w), nil
	}
	return where[uint64](b, w), nil
}

func where[T tensor.Element](b *Bind, w *broadcast) Run {
	return simple(b.split(b.Out[0].Len(), 64, 4, func(_, lo, hi int) {
		dst, cond := tensor.View[T](b.Out[0]), b.In[0].Data
		xs, ys := tensor.View[T](b.In[1]), tensor.View[T](b.In[2])
		var c cursor
		for c.seek(w, lo); lo < hi; {
			n := c.run(hi - lo)
			ci, xi, yi := c.at(0), c.at(1), c.at(2)
			for i := range dst[lo : lo+n] {
				if cond[ci] != 0 {
					dst[lo+i] = xs[xi]
				} else {
					dst[lo+i] = ys[yi]
				}
				ci += w.step[0]
				xi += w.step[1]
				yi += w.step[2]
			}
			c.advance(n)
			lo += n
		}
	}))
}
