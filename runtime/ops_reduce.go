package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The reductions over axes. Floats are summed in float64, so results do not depend on the order
// in any way that matters; integers in int64, wrapping to their type at the end.

var _ = register("", operands(1, map[string]Binder{
	"ReduceSum":       reduction64(sumFold),
	"ReduceMean":      reduction64(meanFold),
	"ReduceProd":      reduction64(prodFold),
	"ReduceMax":       reduction64(maxFold),
	"ReduceMin":       reduction64(minFold),
	"ReduceL1":        reduction64(l1Fold),
	"ReduceL2":        reduction64(l2Fold),
	"ReduceSumSquare": reduction64(sumSquareFold),
	"ReduceLogSum":    reduction64(logSumFold),
	"ReduceLogSumExp": reduction64(logSumExpFold),
}))

// foldKind names a way to join the elements of a group.
type foldKind uint8

const (
	sumFold foldKind = iota
	meanFold
	prodFold
	maxFold
	minFold
	l1Fold
	l2Fold
	sumSquareFold
	logSumFold
	logSumExpFold
)

// groups describes a reduction as kept and reduced axes in turn, merged.
type groups struct {
	kept, reduced []int // offsets of the first element of each output, and of each member of a group
	run, step     int   // the members also repeat along run elements, step apart
	inner         int   // outputs that lie side by side in the input, so that rows can be joined
}

// reduceAxes returns which axes are reduced: input 1, all without it, none if the
// attribute noop_with_empty_axes says so.
func (b *Bind) reduceAxes() ([]bool, error) {
	rank := len(b.In[0].Shape)
	axes, err := b.constInts(1)
	if err != nil {
		return nil, err
	}
	mask := make([]bool, rank)
	if len(axes) == 0 {
		for a := range mask {
			mask[a] = b.Node.Int("noop_with_empty_axes", 0) == 0
		}
	}
	for _, a := range axes {
		if a, err = b.normAxis(a, rank); err != nil {
			return nil, err
		}
		mask[a] = true
	}
	return mask, nil
}

// newGroups lists the offsets of a reduction of a row-major tensor over the axes in mask. The last run of
// reduced axes is left to step, run; that of kept axes counts as inner.
func newGroups(shape []int, mask []bool) groups {
	st := strides(shape)
	g := groups{run: 1, step: 1, inner: 1}
	a := len(shape)
	for a > 0 && (!mask[a-1] || shape[a-1] == 1) {
		a--
		g.inner *= shape[a]
	}
	tail := a
	for a > 0 && (mask[a-1] || shape[a-1] == 1) {
		a--
		g.run *= shape[a]
	}
	if a < tail {
		g.step = st[tail-1]
	}
	g.kept, g.reduced = []int{0}, []int{0}
	for i := range a {
		list := &g.kept
		if mask[i] {
			list = &g.reduced
		}
		next := make([]int, 0, len(*list)*shape[i])
		for _, off := range *list {
			for j := range shape[i] {
				next = append(next, off+j*st[i])
			}
		}
		*list = next
	}
	return g
}

func reduction64(kind foldKind) Binder {
	return func(b *Bind) (Run, error) {
		mask, err := b.reduceAxes()
		if err != nil {
			return nil, err
		}
		g := newGroups(b.In[0].Shape, mask)
		if len(g.kept)*g.inner != b.Out[0].Len() {
			return nil, b.errorf("%v reduced over %v does not give %v", b.In[0], mask, b.Out[0])
		}
		switch dt := b.In[0].DType; dt {
		case tensor.F32:
			return reduceFloat(b, kind, g, func(v float32) float64 { return float64(v) }, func(v float64) float32 { return float32(v) }), nil
		case tensor.F64:
			return reduceFloat(b, kind, g, func(v float64) float64 { return v }, func(v float64) float64 { return v }), nil
		case tensor.F16, tensor.BF16:
			h := halfOf(dt)
			return reduceFloat(b, kind, g, func(u uint16) float64 { return float64(h.from(u)) },
				func(v float64) uint16 { return h.to(toOdd(v)) }), nil
		case tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.U32:
			low, high := integerLimits(b.In[0].DType)
			return widenedIntegers(func(b *Bind) (Run, error) { return reduceInt(b, kind, g, low, high), nil })(b)
		case tensor.BOOL:
			return reduceInt[uint8](b, kind, g, 0, 1), nil
		case tensor.I32:
			return reduceInt[int32](b, kind, g, math.MinInt32, math.MaxInt32), nil
		case tensor.I64:
			return reduceInt[int64](b, kind, g, math.MinInt64, math.MaxInt64), nil
		case tensor.U64:
			return reduceInt[uint64](b, kind, g, 0, math.MaxUint64), nil
		}
		return nil, b.unsupportedType(b.In[0].DType)
	}
}

// columns is how many outputs that lie side by side are reduced together.
const columns = 256

func reduceFloat[T tensor.Element](b *Bind, kind foldKind, g groups, load func(T) float64, store func(float64) T) Run {
	in, out := b.In[0], b.Out[0]
	count := len(g.reduced) * g.run
	acc := b.Scratch(b.parts() * 2 * columns * 8)
	blocks := (g.inner + columns - 1) / columns
	return simple(b.split(len(g.kept)*blocks, 1, count*min(g.inner, columns), func(part, lo, hi int) {
		dst, src := tensor.View[T](out), tensor.View[T](in)
		scratch := tensor.View[float64](acc)[part*2*columns:][:2*columns]
		for i := lo; i < hi; i++ {
			k, c0 := i/blocks, i%blocks*columns
			n := min(columns, g.inner-c0)
			v, peak := scratch[:n], scratch[columns:][:n]
			if kind == logSumExpFold {
				foldGroup(maxFold, peak, peak, g, src, g.kept[k]+c0, load)
				for j, p := range peak {
					if math.IsInf(p, 0) {
						peak[j] = 0 // exp(x - inf) would be NaN
					}
				}
			}
			foldGroup(kind, v, peak, g, src, g.kept[k]+c0, load)
			o := dst[k*g.inner+c0:][:n]
			for j := range o {
				o[j] = store(finish(kind, v[j], peak[j], count))
			}
		}
	}))
}

// foldGroup joins the groups of len(v) neighbouring outputs whose first member is src[at].
func foldGroup[T tensor.Element](kind foldKind, v, peak []float64, g groups, src []T, at int, load func(T) float64) {
	fillSlice(v, start(kind))
	for _, off := range g.reduced {
		if len(v) == 1 && g.step == 1 {
			row := src[at+off : at+off+g.run]
			if f, ok := any(row).([]float32); !ok || !foldRow32(kind, &v[0], f) {
				foldRow(kind, &v[0], peak[0], row, load)
			}
			continue
		}
		for r := range g.run {
			row := src[at+off+r*g.step:][:len(v)]
			if f, ok := any(row).([]float32); !ok || !foldColumns32(kind, v, f) {
				foldColumns(kind, v, peak, row, load)
			}
		}
	}
}

// foldRow32 is foldRow for the kinds that have an F32 kernel.
func foldRow32(kind foldKind, v *float64, x []float32) bool {
	switch kind {
	case sumFold, meanFold, logSumFold:
		for len(x) > 0 { // blocks keep the rounding of F32 sums small
			n := min(len(x), columns)
			*v += float64(kernels.SumRow(x[:n]))
			x = x[n:]
		}
		return true
	case maxFold:
		if len(x) > 0 && !math.IsNaN(float64(kernels.SumRow(x))) { // without a NaN in x
			*v = max(*v, float64(kernels.MaxRow(x)))
			return true
		}
	}
	return false
}

// foldColumns32 is foldColumns for the kinds that F32 has a loop of its own for.
func foldColumns32(kind foldKind, v []float64, x []float32) bool {
	switch kind {
	case sumFold, meanFold, logSumFold:
		for j, e := range x {
			v[j] += float64(e)
		}
		return true
	case maxFold:
		for j, e := range x {
			if f := float64(e); f > v[j] || f != f {
				v[j] = f
			}
		}
		return true
	}
	return false
}

func start(kind foldKind) float64 {
	switch kind {
	case prodFold:
		return 1
	case maxFold:
		return math.Inf(-1)
	case minFold:
		return math.Inf(1)
	}
	return 0
}

// foldRow joins all of x to one accumulator.
func foldRow[T tensor.Element](kind foldKind, v *float64, peak float64, x []T, load func(T) float64) {
	a := *v
	switch kind {
	case sumFold, meanFold, logSumFold:
		for _, e := range x {
			a += load(e)
		}
	case prodFold:
		for _, e := range x {
			a *= load(e)
		}
	case maxFold:
		for _, e := range x {
			a = max(a, load(e))
		}
	case minFold:
		for _, e := range x {
			a = min(a, load(e))
		}
	case l1Fold:
		for _, e := range x {
			a += math.Abs(load(e))
		}
	case l2Fold, sumSquareFold:
		for _, e := range x {
			f := load(e)
			a += float64(f * f)
		}
	case logSumExpFold:
		for _, e := range x {
			a += math.Exp(load(e) - peak)
		}
	}
	*v = a
}

// foldColumns joins x[j] to accumulator j.
func foldColumns[T tensor.Element](kind foldKind, v, peak []float64, x []T, load func(T) float64) {
	switch kind {
	case sumFold, meanFold, logSumFold:
		for j, e := range x {
			v[j] += load(e)
		}
	case maxFold:
		for j, e := range x {
			v[j] = max(v[j], load(e))
		}
	default:
		for j := range x {
			foldRow(kind, &v[j], peak[j], x[j:j+1], load)
		}
	}
}

func finish(kind foldKind, v, peak float64, count int) float64 {
	switch kind {
	case meanFold:
		return v / float64(count)
	case l2Fold:
		return math.Sqrt(v)
	case logSumFold:
		return math.Log(v)
	case logSumExpFold:
		return math.Log(v) + peak
	}
	return v
}

// integerLimits returns the least and the greatest number of a type that is narrower than I64.
func integerLimits(dt tensor.DType) (low, high int64) {
	bits := 8 * dt.Size()
	switch dt {
	case tensor.U8, tensor.U16, tensor.U32:
		return 0, 1<<bits - 1
	}
	return -1 << (bits - 1), 1<<(bits-1) - 1
}

// reduceInt is the form for integers; low and high are the type's limits, results of empty groups.
func reduceInt[T integer](b *Bind, kind foldKind, g groups, low, high T) Run {
	in, out := b.In[0], b.Out[0]
	count := len(g.reduced) * g.run
	return simple(b.split(out.Len(), 1, count, func(_, lo, hi int) {
		dst, src := tensor.View[T](out), tensor.View[T](in)
		for i := lo; i < hi; i++ {
			at := g.kept[i/g.inner] + i%g.inner
			var sum T
			var logs float64
			peak, floor, prod := low, high, T(1)
			for _, off := range g.reduced {
				for r := range g.run {
					v := src[at+off+r*g.step]
					switch kind {
					case sumFold, meanFold, logSumFold:
						sum += v
					case prodFold:
						prod *= v
					case maxFold:
						peak = max(peak, v)
					case minFold:
						floor = min(floor, v)
					case l1Fold:
						sum += max(v, -v)
					case l2Fold, sumSquareFold:
						sum += v * v
					case logSumExpFold:
						logs += math.Exp(float64(v))
					}
				}
			}
			switch kind {
			case prodFold:
				dst[i] = prod
			case maxFold:
				dst[i] = peak
			case minFold:
				dst[i] = floor
			case meanFold:
				dst[i] = sum / T(max(count, 1))
			case l2Fold:
				dst[i] = castNumber[T](math.Sqrt(float64(sum)))
			case logSumFold:
				dst[i] = castNumber[T](math.Log(float64(sum)))
			case logSumExpFold:
				dst[i] = castNumber[T](math.Log(logs))
			default:
				dst[i] = sum
			}
		}
	}))
}
