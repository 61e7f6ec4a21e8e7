package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lowerBroadcast: before 7, B was broadcast to A only if asked for, and could be laid on
// A's axes from "axis" on, where it is now aligned with the last.
func lowerBroadcast(l *lowering) error {
	broadcast, _ := l.attr("broadcast")
	axis, hasAxis := l.attr("axis")
	if broadcast.Int == 0 || !hasAxis {
		l.keep()
		return nil
	}
	a, b := l.rank(l.in(0)), l.rank(l.in(1))
	if a < 0 || b < 0 {
		return l.reject(l.op+" with broadcast along an axis of an unknown rank", "fix the input's shape, or export with opset 7 or newer")
	}
	at := axis.Int
	if at < 0 {
		at += int64(a)
	}
	if at < 0 || at+int64(b) > int64(a) {
		return l.broken("broadcast of %d dimensions onto %d from axis %d", b, a, axis.Int)
	}
	l.setIn(1, l.trailing(l.in(1), b, a-b-int(at)))
	l.keep()
	return nil
}

// trailing appends n dimensions of 1 to a value of a rank.
func (l *lowering) trailing(value string, rank, n int) string {
	if n <= 0 {
		return value
	}
	axes := make([]int64, n)
	for i := range axes {
		axes[i] = int64(rank + i)
	}
	return l.apply("Unsqueeze", nil, value, l.ints("axes", axes...))
}

// lowerClip: the limits became inputs in 11.
func lowerClip(l *lowering) error {
	for i, name := range []string{"min", "max"} {
		a, ok := l.attr(name)
		if !ok || l.in(i+1) != "" {
			continue
		}
		v, err := l.scalar(name, l.dtype(l.in(0)), float64(a.Float))
		if err != nil {
			return err
		}
		l.setIn(i+1, v)
	}
	l.keep()
	return nil
}

// lowerPRelu: before 7, a slope vector went with the channels.
func lowerPRelu(l *lowering) error {
	if l.opset < 7 && l.rank(l.in(1)) == 1 && l.rank(l.in(0)) > 2 {
		if d := l.shape(l.in(1))[0]; d.N != 1 {
			l.setIn(1, l.trailing(l.in(1), 1, l.rank(l.in(0))-2))
		}
	}
	l.keep()
	return nil
}

// lowerCast: before 6, the type was a name.
func lowerCast(l *lowering) error {
	if a := l.attrs["to"]; a.Kind == model.AttrString {
		code := 0
		for i, name := range dtypeNames {
			if name == a.Str {
				code = i
			}
		}
		if _, err := model.ElemType(int64(code)); err != nil {
			return l.reject("Cast to "+a.Str, "")
		}
		l.attrs["to"] = model.IntAttr(int64(code))
	}
	l.keep()
	return nil
}

// lowerSelu: the defaults had fewer digits before 6.
func lowerSelu(l *lowering) error {
	if l.opset < 6 {
		for name, def := range map[string]float32{"alpha": 1.6732, "gamma": 1.0507} {
			if _, ok := l.attrs[name]; !ok {
				l.attrs[name] = model.FloatAttr(def)
			}
		}
	}
	l.keep()
	return nil
}

// lowerDropout passes the input on, as inference does. Only a model that asks for training
// mode with an input (since 12) keeps the operator.
func lowerDropout(l *lowering) error {
	if mode := l.in(2); mode != "" {
		if v := l.im.vals[mode]; v == nil || v.Len() != 1 || v.Data[0] != 0 {
			l.keep()
			return nil
		}
	}
	mask, maskUsed := "", false
	if len(l.outputs) > 1 {
		mask, maskUsed = l.outputs[1], l.used[1]
	}
	l.outputs = l.outputs[:1]
	l.finish("Identity", nil, l.in(0))
	if !maskUsed {
		return nil
	}
	// Everything is kept. The mask has the input's type before 10 and is of bools since.
	dt := tensor.BOOL
	if l.opset < 10 {
		dt = l.dtype(l.in(0))
	}
	one := tensor.New(dt, 1)
	switch dt {
	case tensor.BOOL:
		one.Data[0] = 1
	case tensor.F32:
		tensor.View[float32](one)[0] = 1
	case tensor.F64:
		tensor.View[float64](one)[0] = 1
	default:
		tensor.View[uint16](one)[0] = 0x3c00 // 1 in F16
	}
	shape := l.apply("Shape", nil, l.in(0))
	l.emit("", "ConstantOfShape", "", []string{shape}, []string{mask}, model.Attrs{"value": {Kind: model.AttrTensor, Tensor: one}})
	return nil
}

// lowerAffine: y = alpha x + beta, an experimental operator that went in 10.
func lowerAffine(l *lowering) error {
	alpha, hasAlpha := l.attr("alpha")
	beta, hasBeta := l.attr("beta")
	if !hasAlpha {
		alpha.Float = 1
	}
	if !hasBeta {
		beta.Float = 0
	}
	dt := l.dtype(l.in(0))
	a, err := l.scalar("alpha", dt, float64(alpha.Float))
	if err != nil {
		return err
	}
	b, err := l.scalar("beta", dt, float64(beta.Float))
	if err != nil {
		return err
	}
	l.finish("Add", nil, l.apply("Mul", nil, l.in(0), a), b)
	return nil
}

// lowerImageScaler: y = scale x + bias[channel], an experimental operator that went in 10.
func lowerImageScaler(l *lowering) error {
	scale, ok := l.attr("scale")
	if !ok {
		scale.Float = 1
	}
	bias := l.attrs["bias"].Floats
	s, err := l.scalar("scale", l.dtype(l.in(0)), float64(scale.Float))
	if err != nil {
		return err
	}
	y := l.apply("Mul", nil, l.in(0), s)
	b := l.constant("bias", tensor.FromSlice(append([]float32{}, bias...), 1, len(bias), 1, 1))
	l.finish("Add", nil, y, b)
	return nil
}

// lowerGemm: before 7, C was broadcast only if asked for; a right model asked where it matters. Some exporters write a
// vector C with an element for each row of the product, which the standard's broadcasting does not have: it is taken as a column.
func lowerGemm(l *lowering) error {
	l.drop("broadcast")
	side := func(i int, transposed string, axis int) model.Dim {
		s := l.shape(l.in(i))
		if len(s) != 2 {
			return model.Unknown
		}
		if l.attrs[transposed].Int != 0 {
			axis = 1 - axis
		}
		return s[axis]
	}
	rows, columns := side(0, "transA", 0), side(1, "transB", 1)
	if c := l.shape(l.in(2)); len(c) == 1 && c[0].N > 1 && c[0].N == rows.N && columns.IsKnown() && columns.N != c[0].N {
		l.setIn(2, l.apply("Unsqueeze", nil, l.in(2), l.ints("axes", 1)))
		l.im.warnings = append(l.im.warnings, "node "+l.path+": its C has an element for each row and is taken as a column")
	}
	l.keep()
	return nil
}
