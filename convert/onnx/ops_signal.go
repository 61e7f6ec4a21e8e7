package onnx

import (
	"math"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lowerDFT: the axis became an input in 20, and its default went from 1 to -2.
func lowerDFT(l *lowering) error {
	axis := int64(1)
	a, ok := l.attr("axis")
	if ok {
		axis = a.Int
	}
	if l.in(2) == "" && (ok || l.opset < 20) {
		l.setIn(2, l.constant("axis", tensor.FromSlice([]int64{axis})))
	}
	l.keep()
	return nil
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
	attrs := model.Attrs{}
	if onesided {
		attrs["onesided"] = model.IntAttr(1)
	}
	l.to("DFT", attrs, x)
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
