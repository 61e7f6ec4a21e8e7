package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lowerNLLLoss: -input[n, target[n]] * weight[target[n]], reduced.
func lowerNLLLoss(l *lowering) error {
	return l.loss(l.in(0))
}

// lowerCrossEntropy: the loss of LogSoftmax over axis 1, which is the second output.
func lowerCrossEntropy(l *lowering) error {
	logs := l.im.unique(l.path + "/LogSoftmax")
	if len(l.outputs) > 1 && l.outputs[1] != "" {
		logs = l.outputs[1]
	}
	l.emit("", "LogSoftmax", logs, []string{l.in(0)}, []string{logs}, model.Attrs{"axis": model.IntAttr(1)})
	return l.loss(logs)
}

// loss emits the first output from logarithms of probabilities; inputs 1 and 2 are the
// targets and the classes' weights.
func (l *lowering) loss(logs string) error {
	reduction := "mean"
	if a, ok := l.attrs["reduction"]; ok {
		reduction = a.Str
	}
	target, weight, counted := l.in(1), "", ""
	axis := l.ints("axis", 1)
	zero, err := l.scalar("zero", l.dtype(logs), 0)
	if err != nil {
		return err
	}
	one, err := l.scalar("one", l.dtype(logs), 1)
	if err != nil {
		return err
	}
	if a, ok := l.attrs["ignore_index"]; ok {
		dt := l.dtype(target)
		if dt != tensor.I32 {
			dt = tensor.I64
		}
		ignored, err := l.scalar("ignored", dt, float64(a.Int))
		if err != nil {
			return err
		}
		first, err := l.scalar("first", dt, 0)
		if err != nil {
			return err
		}
		counted = l.apply("Not", nil, l.apply("Equal", nil, target, ignored))
		target = l.apply("Where", nil, counted, target, first)
	}
	if w := l.in(2); w != "" {
		weight = l.apply("Gather", model.Attrs{"axis": model.IntAttr(0)}, w, target)
	}
	if counted != "" {
		if weight == "" {
			weight = one
		}
		weight = l.apply("Where", nil, counted, weight, zero)
	}
	picked := l.apply("GatherElements", model.Attrs{"axis": model.IntAttr(1)}, logs, l.apply("Unsqueeze", nil, target, axis))
	y := l.apply("Neg", nil, l.apply("Squeeze", nil, picked, axis))
	if weight != "" {
		y = l.apply("Mul", nil, y, weight)
	}
	l.outputs = l.outputs[:1]
	scalar := model.Attrs{"keepdims": model.IntAttr(0)}
	switch {
	case reduction == "none":
		l.to("Identity", nil, y)
	case reduction == "sum":
		l.to("ReduceSum", scalar, y)
	case weight == "":
		l.to("ReduceMean", scalar, y)
	default:
		l.to("Div", nil, l.apply("ReduceSum", scalar, y), l.apply("ReduceSum", scalar, weight))
	}
	return nil
}
