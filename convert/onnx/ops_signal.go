package onnx

import (
	"math"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lowerDFT: the axis became an input in 20, and its default went from 1 to -2.
func lowerDFT(l *lowering) error {
	rank := int64(l.rank(l.in(0)))
	if rank < 2 {
		return l.reject("DFT of an unknown rank", "fix the input's shape")
	}
	axis := int64(1)
	if a, ok := l.attrs["axis"]; ok {
		axis = a.Int
	} else if l.opset >= 20 {
		axis = -2
		if l.in(2) != "" {
			v := l.im.vals[l.in(2)]
			if v == nil || v.DType != tensor.I64 || v.Len() != 1 {
				return l.reject("DFT along a computed axis", "")
			}
			axis = v.I64()[0]
		}
	}
	if axis < 0 {
		axis += rank
	}
	if axis < 0 || axis >= rank-1 {
		return l.broken("axis %d of %d dimensions", axis, rank)
	}
	inverse, onesided := l.attrs["inverse"].Int != 0, l.attrs["onesided"].Int != 0
	if inverse && onesided {
		return l.reject("inverse DFT of one side", "")
	}
	l.fourier(l.in(0), rank, axis, l.in(1), inverse, onesided)
	return nil
}

// fourier emits the discrete Fourier transform of x, whose last axis is (re, im) or (re), as
// products with the matrices of cosines and sines,
//
//	y = C x + S x R, C[k,n] = cos(2 pi k n / N), S[k,n] = sin(2 pi k n / N), R = (0 -1; 1 0),
//
// with -R and y / N for the inverse. k n is reduced modulo N in integers and the rest is done in
// F64, so that what should vanish does.
func (l *lowering) fourier(x string, rank, axis int64, length string, inverse, onesided bool) {
	dt := l.dtype(x)
	zero, one, two := l.ints("zero", 0), l.ints("one", 1), l.ints("two", 2)
	// (re) becomes (re, 0).
	if last := l.shape(x); last[rank-1].N != 2 {
		pads := l.apply("Concat", model.Attrs{"axis": model.IntAttr(0)},
			l.ints("before", make([]int64, 2*rank-1)...), l.apply("Sub", nil, two, l.dim(x, rank-1)))
		x = l.apply("Pad", nil, x, pads)
	}
	perm := make([]int64, 0, rank)
	for i := range rank - 1 {
		if i != axis {
			perm = append(perm, i)
		}
	}
	back := make([]int64, rank)
	perm = append(perm, axis, rank-1)
	for i, p := range perm {
		back[p] = int64(i)
	}
	x = l.apply("Transpose", model.Attrs{"perm": model.IntsAttr(perm...)}, x)
	n := l.dim(x, rank-2)
	if length != "" {
		n = l.apply("Reshape", nil, l.cast(length, tensor.I64), one)
		x = l.apply("Slice", nil, x, zero, n, l.ints("axis", rank-2))
	}
	bins := n
	if onesided {
		bins = l.apply("Add", nil, l.apply("Div", nil, n, two), one)
	}
	k := l.apply("Unsqueeze", nil, l.count(bins), one)
	kn := l.apply("Mod", nil, l.apply("Mul", nil, k, l.count(l.dim(x, rank-2))), n)
	turn := l.constant("turn", tensor.FromSlice([]float64{2 * math.Pi}, 1))
	angle := l.apply("Mul", nil, l.apply("Div", nil, l.cast(kn, tensor.F64), l.cast(n, tensor.F64)), turn)
	rotation := []float64{0, -1, 1, 0}
	if inverse {
		rotation = []float64{0, 1, -1, 0}
	}
	r := l.constant("rotation", tensor.FromSlice(rotation, 2, 2))
	x = l.cast(x, tensor.F64)
	y := l.apply("Add", nil, l.apply("MatMul", nil, l.apply("Cos", nil, angle), x),
		l.apply("MatMul", nil, l.apply("MatMul", nil, l.apply("Sin", nil, angle), x), r))
	if inverse {
		y = l.apply("Div", nil, y, l.cast(n, tensor.F64))
	}
	y = l.cast(y, dt)
	l.to("Transpose", model.Attrs{"perm": model.IntsAttr(back...)}, y)
}

// lowerSTFT: signal [batch, length, 1 or 2], frame_step, window, frame_length.
func lowerSTFT(l *lowering) error {
	x, step, window := l.in(0), l.in(1), l.in(2)
	if l.rank(x) != 3 {
		return l.reject("STFT of an unknown rank", "fix the input's shape")
	}
	one := l.ints("one", 1)
	var size string
	switch {
	case l.in(3) != "":
		size = l.apply("Reshape", nil, l.cast(l.in(3), tensor.I64), one)
	case window != "":
		size = l.dim(window, 0)
	default:
		return l.broken("neither window nor frame length is given")
	}
	step = l.apply("Reshape", nil, l.cast(step, tensor.I64), one)
	frames := l.apply("Add", nil, l.apply("Div", nil, l.apply("Sub", nil, l.dim(x, 1), size), step), one)
	starts := l.apply("Unsqueeze", nil, l.apply("Mul", nil, l.count(frames), step), one)
	x = l.apply("Gather", model.Attrs{"axis": model.IntAttr(1)}, x, l.apply("Add", nil, starts, l.count(size)))
	if window != "" {
		x = l.apply("Mul", nil, x, l.apply("Unsqueeze", nil, window, one))
	}
	onesided := true
	if a, ok := l.attrs["onesided"]; ok {
		onesided = a.Int != 0
	}
	l.fourier(x, 4, 2, "", false, onesided)
	return nil
}

// windows are the factors of 1, -cos(a), cos(2a), a = 2 pi n / N.
var windows = map[string][3]float64{
	"HannWindow": {.5, .5, 0}, "HammingWindow": {25. / 46, 21. / 46, 0}, "BlackmanWindow": {.42, .5, .08},
}

// lowerWindow: N is the size, or one less for a window that is symmetric instead of periodic.
func lowerWindow(l *lowering) error {
	size := l.apply("Reshape", nil, l.cast(l.in(0), tensor.I64), l.ints("one", 1))
	period := size
	if a, ok := l.attrs["periodic"]; ok && a.Int == 0 {
		period = l.apply("Sub", nil, size, l.ints("less", 1))
	}
	turn := l.floats("turn", float32(2*math.Pi))
	angle := l.apply("Mul", nil, l.apply("Div", nil, l.cast(l.count(size), tensor.F32), l.cast(period, tensor.F32)), turn)
	f := windows[l.op]
	y := l.apply("Sub", nil, l.floats("constant", float32(f[0])), l.apply("Mul", nil, l.apply("Cos", nil, angle), l.floats("cos", float32(f[1]))))
	if f[2] != 0 {
		double := l.apply("Cos", nil, l.apply("Add", nil, angle, angle))
		y = l.apply("Add", nil, y, l.apply("Mul", nil, double, l.floats("double", float32(f[2]))))
	}
	code := int64(1)
	if a, ok := l.attrs["output_datatype"]; ok {
		code = a.Int
	}
	if _, err := model.ElemType(code); err != nil {
		return l.reject(l.op+" of "+dtypeName(int(code)), "")
	}
	l.to("Cast", model.Attrs{"to": model.IntAttr(code)}, y)
	return nil
}
