package safetensors

import (
	"fmt"
	"unsafe"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// view is a matrix of n rows and k columns that lies within a tensor of the checkpoint: the queries' part of a
// fused weight, one expert of many, or a weight that is stored as [in, out]. Its elements stay in the file.
type view struct {
	shape []int           // the tensor's
	n, k  int             // of the view
	row   func(r int) int // the place of element (r, 0), in elements
	step  int             // from one column to the next, in elements
}

// rowsOf is a view of n rows of a matrix [total, k]: row r is the matrix's row at(r).
func rowsOf(total, n, k int, at func(r int) int) view {
	return view{shape: []int{total, k}, n: n, k: k, row: func(r int) int { return at(r) * k }, step: 1}
}

// from selects rows from first on.
func from(first int) func(r int) int { return func(r int) int { return first + r } }

// perHead selects the rows of one operand out of heads that lie in groups of stride rows: row r of it is row
// r%size of group r/size, which begins first rows into the group.
func perHead(stride, first, size int) func(r int) int {
	return func(r int) int { return r/size*stride + first + r%size }
}

// columnsOf is the view of a matrix [k, total] whose row r is the matrix's column at(r).
func columnsOf(total, n, k int, at func(r int) int) view {
	return view{shape: []int{k, total}, n: n, k: k, row: at, step: total}
}

// slab is view v of matrix i of a stack of count.
func (v view) slab(count, i int) view {
	size, row := v.shape[0]*v.shape[1], v.row
	v.shape = []int{count, v.shape[0], v.shape[1]}
	v.row = func(r int) int { return i*size + row(r) }
	return v
}

// span is where the view's elements lie, if its rows come in order.
func (v view) span() (lo, hi int) { return v.row(0), v.row(v.n-1) + (v.k-1)*v.step + 1 }

// fits reports whether the view lies within its tensor.
func (v view) fits() bool {
	total, err := tensor.NumElements(v.shape)
	if err != nil || v.n < 1 || v.k < 1 || v.n > total/v.k {
		return false
	}
	for r := range v.n {
		if at := v.row(r); at < 0 || at+(v.k-1)*v.step >= total {
			return false
		}
	}
	return true
}

// matrixView adds a view of the checkpoint's tensor as the initializer name, in panels and in the checkpoint's
// element type.
func (b *builder) matrixView(name, of string, v view) string {
	if _, ok := b.graph.Init[name]; ok {
		return name
	}
	if w, ok := b.weight(of, v.shape...); ok {
		if !v.fits() {
			b.wrong = append(b.wrong, fmt.Sprintf("tensor %s of shape %v cannot be divided as config.json calls for", of, v.shape))
			return name
		}
		b.params += int64(v.n) * int64(v.k)
		b.graph.Init[name] = w.panelsOf(v)
	}
	return name
}

// matrixFrom adds a matrix [n, k] that lies behind the first rows of the checkpoint's tensor.
func (b *builder) matrixFrom(name string, first, n, k int) string {
	if first == 0 {
		return b.matrix(name, n, k)
	}
	return b.matrixView(name+".used", name, rowsOf(first+n, n, k, from(first)))
}

// vectorView adds n elements of the checkpoint's tensor, which has the shape, as the initializer name, F32: element i is
// the tensor's element at(i) plus add.
func (b *builder) vectorView(name, of string, shape []int, n int, at func(i int) int, add float32) string {
	if _, ok := b.graph.Init[name]; ok {
		return name
	}
	w, ok := b.weight(of, shape...)
	if !ok {
		return name
	}
	t, err := w.vector()
	if err != nil {
		if b.failed == nil {
			b.failed = err
		}
		return name
	}
	src := t.F32()
	if n > len(src) || n > 0 && (at(0) < 0 || at(n-1) >= len(src)) {
		b.wrong = append(b.wrong, fmt.Sprintf("tensor %s of shape %v cannot be divided as config.json calls for", of, shape))
		return name
	}
	b.params += int64(n)
	out := tensor.New(tensor.F32, n)
	for i, dst := 0, out.F32(); i < n; i++ {
		dst[i] = src[at(i)] + add
	}
	b.graph.Init[name] = out
	return name
}

// tableView adds rows of n elements of the checkpoint's tensor [rows, total] as the initializer name, F32: element i of a row is its element at(i).
func (b *builder) tableView(name, of string, rows, total, n int, at func(i int) int) string {
	b.vectorView(name, of, []int{rows, total}, rows*n, func(i int) int { return i/n*total + at(i%n) }, 0)
	if t := b.graph.Init[name]; t != nil {
		t.Shape = []int{rows, n}
	}
	return name
}

// linearView is linear with a view of prefix.weight and elements at(0) to at(n-1) of prefix.bias; part tells the
// views of one weight apart.
func (b *builder) linearView(out, x, prefix, part string, v view, bias bool, at func(i int) int, act string) string {
	in := []string{x, b.matrixView(prefix+".weight."+part, prefix+".weight", v)}
	if bias {
		total := v.shape[0]
		if v.step > 1 {
			total = v.shape[1]
		}
		in = append(in, b.vectorView(prefix+".bias."+part, prefix+".bias", []int{total}, v.n, at, 0))
	}
	return b.product(out, act, in...)
}

// product is act(x W^T + bias) of operands that are in the graph already.
func (b *builder) product(out, act string, in ...string) string {
	return b.activated("Linear", out, act, in...)
}

// activated adds an operator of ours that ends with an activation, and nodes for activations that it does not have.
func (b *builder) activated(op, out, act string, in ...string) string {
	attrs := model.Attrs{}
	switch act {
	case model.ActNone:
	case actRelu2:
		attrs["activation"] = model.StringAttr(model.ActRelu)
		y := b.node(model.DomainDsk, op, out+".relu", attrs, in...)
		return b.onnx("Mul", out, nil, y, y)
	case actQuickGelu:
		y := b.node(model.DomainDsk, op, out+".linear", nil, in...)
		return b.onnx("Swish", out, model.Attrs{"alpha": model.FloatAttr(quickGeluAlpha)}, y)
	default:
		attrs["activation"] = model.StringAttr(act)
	}
	return b.node(model.DomainDsk, op, out, attrs, in...)
}

// panelsOf is panels for a view of the tensor.
func (w weight) panelsOf(v view) *tensor.Tensor {
	return tensor.Deferred(w.DType, []int{v.n, v.k}, tensor.Panel16, nil, func(dst []byte) error {
		if w.read != nil {
			return w.readView(dst, v)
		}
		src, size := w.bytes(), w.DType.Size()
		lo, hi := v.span()
		defer w.file.mapping.Advise(tensor.AdviceDontNeed, w.Offset+lo*size, (hi-lo)*size)
		if v.step > 1 {
			if err := w.finiteFrom(src, lo, hi); err != nil {
				return err
			}
		} else {
			for r := range v.n {
				if err := w.finiteFrom(src, v.row(r), v.row(r)+v.k); err != nil {
					return err
				}
			}
		}
		w.packView(dst, src, v)
		return nil
	})
}

// packView packs 16 rows at a time: straight out of the file where they lie at even distances and aligned, else out
// of a copy.
func packView[T float32 | uint16](dst, src []byte, v view, pack func(dst, src []T, n, k, rowStride, colStride int)) {
	const rows = kernels.PanelRows
	var z T
	size := int(unsafe.Sizeof(z))
	elems, aligned := viewOf[T](src)
	var copied []T
	for r := 0; r < v.n; r += rows {
		m := min(rows, v.n-r)
		out, _ := viewOf[T](dst[r*v.k*size : (r+rows)*v.k*size])
		first, stride, even := v.row(r), 1, aligned
		if m > 1 {
			stride = v.row(r+1) - first
			for i := 2; i < m && even; i++ {
				even = v.row(r+i) == first+i*stride
			}
		}
		if even && stride > 0 {
			pack(out, elems[first:], m, v.k, stride, v.step)
			continue
		}
		if copied == nil {
			copied = make([]T, rows*v.k)
		}
		raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(copied))), len(copied)*size)
		for i := range m {
			at := v.row(r+i) * size
			if v.step == 1 {
				copy(raw[i*v.k*size:(i+1)*v.k*size], src[at:])
				continue
			}
			for c := range v.k {
				copy(raw[(i*v.k+c)*size:(i*v.k+c+1)*size], src[at+c*v.step*size:])
			}
		}
		pack(out, copied[:m*v.k], m, v.k, v.k, 1)
	}
}
