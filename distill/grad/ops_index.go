package grad

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", map[string]binder{"Gather": bindGather})

// bindGather binds Gather along an axis: rows of an embedding, or the tokens whose logits are wanted. Rows that are taken more
// than once get the sum of their gradients, in the order of the indices.
func bindGather(b *binding, s *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	x, index, y := b.in[0], b.in[1], b.out[0]
	if index.dtype != tensor.I64 {
		return unsupported("indices of type " + index.dtype.String())
	}
	axis, err := b.axis("axis", 0, len(x.shape))
	if err != nil {
		return err
	}
	outer, rows, inner := product(x.shape[:axis]), x.shape[axis], product(x.shape[axis+1:])
	at := make([]int, index.n)
	forward := b.split(outer*len(at), inner, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			from := (i/len(at)*rows + at[i%len(at)]) * inner
			copy(y.x()[i*inner:(i+1)*inner], x.x()[from:])
		}
	})
	s.forward = func() error {
		for i, v := range index.tensor().I64() {
			if v < -int64(rows) || v >= int64(rows) {
				return fmt.Errorf("index %d is %d, there are %d", i, v, rows)
			}
			if v < 0 {
				v += int64(rows)
			}
			at[i] = int(v)
		}
		forward()
		return nil
	}
	// Each part has columns of its own, so that it meets every row in the same order.
	columns := (inner + lineFloats - 1) / lineFloats
	s.backward = all(b.elements(x.n, func(lo, hi int) { x.sink(lo, hi) }),
		b.split(columns, outer*len(at)*lineFloats, func(_, first, last int) {
			lo, hi := first*lineFloats, min(last*lineFloats, inner)
			for i := range outer * len(at) {
				to := (i/len(at)*rows + at[i%len(at)]) * inner
				dst := x.root.grad[to+lo : to+hi]
				kernels.Add(dst, dst, y.dy()[i*inner+lo:])
			}
		}))
	return nil
}
