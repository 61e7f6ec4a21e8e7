package grad

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// binding is what a binder works on: a node with the shape of every operand known.
type binding struct {
	tape *Tape
	node *model.Node
	in   []*operand       // nil for an absent one
	out  []*value         // nil for an absent one
	val  []*tensor.Tensor // the values of constant inputs
}

// binder sets the forward and backward function of a step. Both run often: they allocate nothing. Either may stay nil: nothing
// is to be done.
type binder func(b *binding, s *step) error

type opKey struct{ domain, op string }

var binders = map[opKey]binder{}

// register is called by the ops_*.go files, one table each.
func register(domain string, table map[string]binder) struct{} {
	for op, fn := range table {
		binders[opKey{domain, op}] = fn
	}
	return struct{}{}
}

// Supports reports whether the package has the operator's derivative.
func Supports(domain, op string) bool { return binders[opKey{domain, op}] != nil }

// unsupported is a binder's error for a form of an operator without a derivative here.
type unsupported string

func (u unsupported) Error() string { return string(u) }

// has reports whether optional input i is present.
func (b *binding) has(i int) bool { return i < len(b.in) && b.in[i] != nil }

// needs reports whether input i is present and wants a gradient.
func (b *binding) needs(i int) bool { return b.has(i) && b.in[i].needs }

// floats refuses inputs that are present and not F32.
func (b *binding) floats(which ...int) error {
	for _, i := range which {
		if b.has(i) && b.in[i].dtype != tensor.F32 {
			return unsupported(fmt.Sprintf("input %d is %v, only F32 is trained", i, b.in[i].dtype))
		}
	}
	return nil
}

// fixed refuses inputs that want a gradient which the operator does not give.
func (b *binding) fixed(which ...int) error {
	for _, i := range which {
		if b.needs(i) {
			return unsupported(fmt.Sprintf("no gradient for input %d", i))
		}
	}
	return nil
}

// axis returns an attribute as an axis of rank axes.
func (b *binding) axis(name string, def, rank int) (int, error) {
	return normAxis(int(b.node.Int(name, int64(def))), rank)
}

func normAxis(a, rank int) (int, error) {
	if a < -rank || a >= rank {
		return 0, fmt.Errorf("axis %d of %d", a, rank)
	}
	if a < 0 {
		a += rank
	}
	return a, nil
}

// ints returns the elements of constant input i.
func (b *binding) ints(i int) ([]int64, error) {
	if b.val[i] == nil || b.val[i].DType != tensor.I64 {
		return nil, unsupported(fmt.Sprintf("input %d is no constant of integers", i))
	}
	return b.val[i].I64(), nil
}

// view makes output 0 share the memory of input 0.
func (b *binding) view() {
	v, of := b.out[0], b.in[0].value
	v.root, v.needs, v.constant = of.root, of.needs, of.constant
	v.view = &tensor.Tensor{DType: v.dtype, Shape: v.shape}
}

// scratch asks for n elements of the arena that nobody else writes.
func (b *binding) scratch(n int) *buffer {
	buf := &buffer{n: n}
	b.tape.bufs = append(b.tape.bufs, buf)
	return buf
}

// room asks for n elements of memory that other operators write too: it is one operator's only while that runs. An operator asks once.
func (b *binding) room(n int) *buffer {
	buf := &buffer{n: n}
	b.tape.rooms = append(b.tape.rooms, buf)
	return buf
}

// parts is how many parts a task of split has at most.
func (b *binding) parts() int { return b.tape.o.Pool.Threads() }

// smallWork is the number of elements below which a task stays on the calling thread.
const smallWork = 1 << 13

// split returns a function that does items [0, total) with fn, in parallel if they are work enough; each costs about cost
// elements. fn gets the number of its part, for scratch memory.
func (b *binding) split(total, cost int, fn func(part, lo, hi int)) func() {
	if total*cost < smallWork || b.parts() == 1 {
		return func() { fn(0, 0, total) }
	}
	pool := b.tape.o.Pool
	task := kernels.TaskFunc(func(part, parts int) {
		if lo, hi := kernels.Span(total, 1, part, parts); lo < hi {
			fn(part, lo, hi)
		}
	})
	return func() { pool.Run(task) }
}

// blockElements is how many elements are worked on at once, so that they stay in the nearest cache.
const blockElements = 1024

// elements is split for n elements, with fn called for blocks of them.
func (b *binding) elements(n int, fn func(lo, hi int)) func() {
	return b.split((n+blockElements-1)/blockElements, blockElements, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			fn(i*blockElements, min((i+1)*blockElements, n))
		}
	})
}

// written returns a function that gives an operand the gradient that f writes to d for elements [lo, hi), a block at a time: where
// it lies if it is the first share, else through room of its own.
func (b *binding) written(o *operand, f func(d []float32, lo, hi int)) func() {
	room := b.scratch(b.parts() * blockElements)
	return b.split((o.n+blockElements-1)/blockElements, blockElements, func(part, from, to int) {
		for i := from; i < to; i++ {
			lo, hi := i*blockElements, min((i+1)*blockElements, o.n)
			dst := o.root.grad[lo:hi]
			if !o.add {
				f(dst, lo, hi)
				continue
			}
			d := room.data[part*blockElements:][:hi-lo]
			f(d, lo, hi)
			kernels.Add(dst, dst, d)
		}
	})
}

// chunks is into how many shares a sum over items is cut, whatever the number of threads.
const chunks = 16

// shares returns a function that adds to the gradients of operands sums over items [0, total): fn, which runs as a part, adds the
// shares of [lo, hi) to sums, which are zero before, and nil for operands without a gradient. The shares are added in order, so the
// result does not depend on the threads.
func (b *binding) shares(operands []*operand, total, cost int, fn func(part int, sums [][]float32, lo, hi int)) func() {
	count := min(chunks, total)
	bufs := make([]*buffer, len(operands))
	list := make([][][]float32, b.parts())
	for i := range list {
		list[i] = make([][]float32, len(operands))
	}
	var add []func()
	for i, o := range operands {
		if o == nil || !o.needs {
			continue
		}
		bufs[i] = b.scratch(o.n * count)
		add = append(add, b.elements(o.n, func(lo, hi int) {
			g := o.sink(lo, hi)
			for j := range count {
				kernels.Add(g, g, bufs[i].data[j*o.n+lo:])
			}
		}))
	}
	share := b.split(count, cost*total/max(count, 1), func(part, lo, hi int) {
		for i := lo; i < hi; i++ {
			sums := list[part]
			for j, o := range operands {
				if bufs[j] != nil {
					sums[j] = bufs[j].data[i*o.n : (i+1)*o.n]
					clear(sums[j])
				}
			}
			fn(part, sums, total*i/count, total*(i+1)/count)
		}
	})
	return func() {
		share()
		for _, f := range add {
			f()
		}
	}
}

// chunked is shares for one operand, which has a gradient.
func (b *binding) chunked(o *operand, total, cost int, fn func(part int, sum []float32, lo, hi int)) func() {
	return b.shares([]*operand{o}, total, cost, func(part int, sums [][]float32, lo, hi int) { fn(part, sums[0], lo, hi) })
}

// run makes a function without a result one that has.
func run(f func()) func() error {
	return func() error {
		f()
		return nil
	}
}

// all returns a function that calls those that are not nil in order, or nil if there are none.
func all(fs ...func()) func() {
	var list []func()
	for _, f := range fs {
		if f != nil {
			list = append(list, f)
		}
	}
	if list == nil {
		return nil
	}
	return func() {
		for _, f := range list {
			f()
		}
	}
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
