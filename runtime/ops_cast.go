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
	"Clip":     widenedIntegers(bindClip),
}))

var _ = register("", operands(3, map[string]Binder{"Where": bindWhere}))

// castNumber converts as NumPy on amd64 does: towards zero; a float outside the range of a
// 32- or 64-bit type gives that type's smallest number (0x80...), narrower and
// unsigned types keep the low bits. Go leaves these cases to the machine.
func castNumber[D number](f float64) D {
	var d D
	switch any(d).(type) {
	case float32, float64:
		return D(f)
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

// castBlock is how many elements a cast holds in its wide form at a time.
const castBlock = 256

// A cast goes through a wide form that holds every number of the source type: an integer is the bits of its int64 (of its uint64 if the
// type is U64), a float those of its float64. So each type is read and written in one place, not each pair of types.
type (
	wideReader func(v []uint64, src *tensor.Tensor, at int)
	wideWriter func(dst *tensor.Tensor, at int, v []uint64)
)

// bindCast converts between all element types; BOOL is 1 for all but zero. Rounding to
// a narrower float is to nearest even; see ops_cast_small.go for the types of 8 bits and less.
func bindCast(b *Bind) (Run, error) {
	from, to := b.In[0].DType, b.Out[0].DType
	switch {
	case from == to:
		b.Alias(0, 0)
		return nil, nil
	case from == tensor.STRING:
		return castFromString(b)
	case to == tensor.STRING:
		return castToString(b)
	case from == tensor.F16 && to == tensor.F32:
		return mapSlices(b, 2, kernels.ExpandF16), nil
	case from == tensor.BF16 && to == tensor.F32:
		return mapSlices(b, 2, kernels.ExpandBF16), nil
	}
	read, integers := wideFrom(from)
	if read == nil {
		return nil, b.unsupportedType(from)
	}
	write := b.wideTo(to, from, integers)
	if write == nil {
		return nil, b.unsupportedType(to)
	}
	in, out := b.In[0], b.Out[0]
	if from.Size() == to.Size() {
		b.InPlace(0, 0)
	}
	block := min(in.Len(), castBlock)
	scratch := b.Scratch(8 * block * b.parts())
	return simple(b.split(in.Len(), 64, 4, func(part, lo, hi int) {
		v := tensor.View[uint64](scratch)[part*block:][:block]
		for ; lo < hi; lo += len(v) {
			v = v[:min(len(v), hi-lo)]
			read(v, in, lo)
			write(out, lo, v)
		}
	})), nil
}

// wideFrom returns how elements of a type are read, and whether they are integers; nil if there is no way.
func wideFrom(dt tensor.DType) (read wideReader, integers bool) {
	switch dt {
	case tensor.F32:
		return readFloats[float32], false
	case tensor.F64:
		return readFloats[float64], false
	case tensor.F16, tensor.BF16:
		h := halfOf(dt)
		return func(v []uint64, src *tensor.Tensor, at int) {
			for i, u := range tensor.View[uint16](src)[at:][:len(v)] {
				v[i] = math.Float64bits(float64(h.from(u)))
			}
		}, false
	case tensor.I8:
		return readIntegers[int8], true
	case tensor.U8, tensor.BOOL:
		return readIntegers[uint8], true
	case tensor.I16:
		return readIntegers[int16], true
	case tensor.U16:
		return readIntegers[uint16], true
	case tensor.I32:
		return readIntegers[int32], true
	case tensor.U32:
		return readIntegers[uint32], true
	case tensor.I64, tensor.U64:
		return readIntegers[uint64], true
	}
	if dt.IsSmall() {
		return readSmall(dt), false
	}
	return nil, false
}

func readFloats[S float](v []uint64, src *tensor.Tensor, at int) {
	for i, x := range tensor.View[S](src)[at:][:len(v)] {
		v[i] = math.Float64bits(float64(x))
	}
}

func readIntegers[S integer](v []uint64, src *tensor.Tensor, at int) {
	for i, x := range tensor.View[S](src)[at:][:len(v)] {
		v[i] = uint64(x)
	}
}

// wideTo returns how elements of a type are written; nil if there is no way. Integers lose their high bits.
func (b *Bind) wideTo(to, from tensor.DType, integers bool) wideWriter {
	if integers {
		unsigned := from == tensor.U64
		switch {
		case b.smallInt(to):
			return func(dst *tensor.Tensor, at int, v []uint64) {
				for i, x := range v {
					dst.Data[at+i] = tensor.WrapSmall(to, uint8(x))
				}
			}
		case to == tensor.F32: // in one rounding
			return func(dst *tensor.Tensor, at int, v []uint64) {
				d := dst.F32()[at:][:len(v)]
				for i, x := range v {
					if d[i] = float32(int64(x)); unsigned {
						d[i] = float32(x)
					}
				}
			}
		case to.IsInteger():
			return integerWriter(to.Size())
		}
		write := b.wideTo(to, tensor.F64, false)
		if write == nil {
			return nil
		}
		return func(dst *tensor.Tensor, at int, v []uint64) {
			for i, x := range v {
				f := float64(int64(x))
				if unsigned {
					f = float64(x)
				}
				v[i] = math.Float64bits(f)
			}
			write(dst, at, v)
		}
	}
	switch to {
	case tensor.F32:
		return writeNumbers[float32]
	case tensor.F64:
		return writeNumbers[float64]
	case tensor.I8:
		return writeNumbers[int8]
	case tensor.U8:
		return writeNumbers[uint8]
	case tensor.I16:
		return writeNumbers[int16]
	case tensor.U16:
		return writeNumbers[uint16]
	case tensor.I32:
		return writeNumbers[int32]
	case tensor.U32:
		return writeNumbers[uint32]
	case tensor.I64:
		return writeNumbers[int64]
	case tensor.U64:
		return writeNumbers[uint64]
	case tensor.BOOL:
		return func(dst *tensor.Tensor, at int, v []uint64) {
			d := tensor.View[bool](dst)[at:][:len(v)]
			for i, x := range v {
				d[i] = math.Float64frombits(x) != 0
			}
		}
	case tensor.F16, tensor.BF16:
		h := halfOf(to)
		return func(dst *tensor.Tensor, at int, v []uint64) {
			d := tensor.View[uint16](dst)[at:][:len(v)]
			for i, x := range v {
				d[i] = h.to(toOdd(math.Float64frombits(x)))
			}
		}
	}
	if to.IsSmall() {
		return writeSmall(b.smallCode(to))
	}
	return nil
}

// integerWriter writes the low bytes of integers.
func integerWriter(size int) wideWriter {
	switch size {
	case 1:
		return writeLow[uint8]
	case 2:
		return writeLow[uint16]
	case 4:
		return writeLow[uint32]
	}
	return writeLow[uint64]
}

func writeLow[D unsignedInt](dst *tensor.Tensor, at int, v []uint64) {
	d := tensor.View[D](dst)[at:][:len(v)]
	for i, x := range v {
		d[i] = D(x)
	}
}

func writeNumbers[D number](dst *tensor.Tensor, at int, v []uint64) {
	d := tensor.View[D](dst)[at:][:len(v)]
	for i, x := range v {
		d[i] = castNumber[D](math.Float64frombits(x))
	}
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
		return func(t *tensor.Tensor, i int, v float64) { tensor.View[uint64](t)[i] = castNumber[uint64](v) }
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
	case tensor.I32:
		return clip[int32](b, math.MinInt32, math.MaxInt32), nil
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
