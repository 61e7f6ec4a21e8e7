package runtime

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

type signedInt interface {
	int8 | int16 | int32 | int64
}

type unsignedInt interface {
	uint8 | uint16 | uint32 | uint64
}

type integer interface{ signedInt | unsignedInt }

type float interface{ float32 | float64 }

type number interface{ integer | float }

// half is how a 16-bit float type is read, and written with rounding to nearest even.
type half struct {
	from func(uint16) float32
	to   func(float32) uint16
}

// halfOf returns the codec of F16 or BF16.
func halfOf(dt tensor.DType) half {
	if dt == tensor.F16 {
		return half{kernels.F16ToF32, kernels.F32ToF16}
	}
	return half{kernels.BF16ToF32, kernels.F32ToBF16}
}

func isHalf(dt tensor.DType) bool { return dt == tensor.F16 || dt == tensor.BF16 }

// toOdd rounds a double to float32 so that a further rounding to 16 bits gives what
// rounding the double directly would: inexact results get an odd last bit.
func toOdd(x float64) float32 {
	f := float32(x)
	if float64(f) == x || math.IsNaN(x) || math.IsInf(float64(f), 0) {
		return f
	}
	b := math.Float32bits(f)
	if math.Abs(float64(f)) > math.Abs(x) {
		b--
	}
	return math.Float32frombits(b | 1)
}

// errorf names the node in a binder's error.
func (b *Bind) errorf(format string, args ...any) error {
	return fmt.Errorf("node %v: %w", b.Node, fmt.Errorf(format, args...))
}

// constInts returns the values of integer input i, which the binder must know:
// errNeedsValue if they are not known yet. An absent input gives nil.
func (b *Bind) constInts(i int) ([]int, error) {
	if !b.Has(i) {
		return nil, nil
	}
	if !b.IsConst(i) {
		return nil, errNeedsValue
	}
	return intsOf(b.In[i])
}

// intsOf returns an I64 or I32 tensor's values.
func intsOf(t *tensor.Tensor) ([]int, error) {
	out := make([]int, t.Len())
	switch t.DType {
	case tensor.I64:
		for i, v := range t.I64() {
			out[i] = int(v)
		}
	case tensor.I32:
		for i, v := range tensor.View[int32](t) {
			out[i] = int(v)
		}
	default:
		return nil, fmt.Errorf("%v where integers are wanted", t.DType)
	}
	return out, nil
}

// axis returns attribute name as an axis of a tensor of the given rank, counted from 0.
func (b *Bind) axis(name string, def int64, rank int) (int, error) {
	return b.normAxis(int(b.Node.Int(name, def)), rank)
}

func (b *Bind) normAxis(a, rank int) (int, error) {
	if a < -rank || a >= rank {
		return 0, b.errorf("axis %d of a tensor of rank %d", a, rank)
	}
	if a < 0 {
		a += rank
	}
	return a, nil
}

// splitWork is how many cheap element operations are worth waking the pool for.
const splitWork = 1 << 15

// split returns a function that does body over [0, total), in parts on the pool where
// the work, total x cost, is large enough. Parts start at multiples of unit. It is called once, at
// bind; body gets the part's number, below b.parts().
func (b *Bind) split(total, unit, cost int, body func(part, lo, hi int)) func() {
	if b.parts() == 1 || total <= unit || total*cost < splitWork {
		return func() {
			if total > 0 {
				body(0, 0, total)
			}
		}
	}
	var task kernels.Task = kernels.TaskFunc(func(part, parts int) {
		if lo, hi := kernels.Span(total, unit, part, parts); lo < hi {
			body(part, lo, hi)
		}
	})
	return func() { b.Pool.Run(task) }
}

// parts is the largest number of parts that split makes.
func (b *Bind) parts() int {
	if b.Pool == nil {
		return 1
	}
	return b.Pool.Threads()
}

// simple makes a Run of a function that cannot fail.
func simple(f func()) Run {
	return func() error { f(); return nil }
}

// dense wraps binders that read their operands in row-major order.
func dense(table map[string]Binder) map[string]Binder {
	for op, fn := range table {
		table[op] = func(b *Bind) (Run, error) {
			for _, t := range b.In {
				switch {
				case t == nil:
				case t.Layout != tensor.RowMajor:
					return nil, b.errorf("no kernel for the %v layout", t.Layout)
				case len(t.Shape) > maxRank/2:
					return nil, b.errorf("a tensor of rank %d; at most %d is supported", len(t.Shape), maxRank/2)
				}
			}
			return fn(b)
		}
	}
	return table
}

// operands is dense for binders that need the first n inputs and the first output.
func operands(n int, table map[string]Binder) map[string]Binder {
	for op, fn := range table {
		table[op] = func(b *Bind) (Run, error) {
			for i := range n {
				if !b.Has(i) {
					return nil, b.errorf("input %d is missing", i)
				}
			}
			if len(b.Out) == 0 || b.Out[0] == nil && !someOutputs[op] {
				return nil, b.errorf("its output is not named")
			}
			if !dataShapes[op] {
				for i, o := range b.Out {
					if o != nil && o.Shape == nil {
						return nil, b.errorf("the shape of output %d is not known", i)
					}
				}
			}
			return fn(b)
		}
	}
	return dense(table)
}

// someOutputs are the operators of which any output may be left out.
var someOutputs = map[string]bool{"Dropout": true, "Split": true, "TopK": true, "Unique": true, "DynamicQuantizeLinear": true}

// dataShapes are the operators that make outputs whose shapes only their data tell.
var dataShapes = map[string]bool{"NonZero": true, "Unique": true, "Compress": true, "NonMaxSuppression": true,
	"If": true, "Loop": true, "Scan": true}

// isScalar reports whether input i is present and holds one number that an operator can take as a parameter.
func (b *Bind) isScalar(i int, ok func(tensor.DType) bool) bool {
	return b.Has(i) && ok(b.In[i].DType) && b.In[i].Len() == 1
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// strides returns the distances between neighbours along each axis of a row-major tensor, in elements.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}
