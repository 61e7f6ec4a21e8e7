package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
)

// lowerBatchNorm: "spatial" went in 9, "is_test" in 7; the outputs of training went in 14.
func lowerBatchNorm(l *lowering) error {
	spatial, hasSpatial := l.attr("spatial")
	l.drop("is_test", "momentum")
	training, _ := l.attr("training_mode")
	for i := 1; i < len(l.outputs); i++ {
		if l.used[i] {
			training.Int = 1
		}
	}
	if training.Int != 0 {
		return l.reject("BatchNormalization in training mode", "export the model for inference (model.eval())")
	}
	l.outputs = l.outputs[:1]
	if !hasSpatial || spatial.Int != 0 {
		l.keep()
		return nil
	}
	// Every position has statistics of its own: y = (x - mean) / sqrt(var + epsilon) * scale + bias.
	epsilon := float32(1e-5)
	if a, ok := l.attr("epsilon"); ok {
		epsilon = a.Float
	}
	eps, err := l.scalar("epsilon", l.dtype(l.in(0)), float64(epsilon))
	if err != nil {
		return err
	}
	dev := l.apply("Sqrt", nil, l.apply("Add", nil, l.in(4), eps))
	unit := l.apply("Div", nil, l.apply("Sub", nil, l.in(0), l.in(3)), dev)
	l.finish("Add", nil, l.apply("Mul", nil, unit, l.in(1)), l.in(2))
	return nil
}

// lowerGroupNorm: before 21, scale and bias had one value a group; since, one a channel.
func lowerGroupNorm(l *lowering) error {
	if l.opset >= 21 {
		l.keep()
		return nil
	}
	groups := l.attrs["num_groups"].Int
	if groups <= 0 {
		return l.broken("num_groups is %d", groups)
	}
	var wide string
	if s := l.shape(l.in(0)); len(s) > 1 && s[1].IsKnown() {
		if int64(s[1].N)%groups != 0 {
			return l.broken("%d channels in %d groups", s[1].N, groups)
		}
		wide = l.ints("shape", groups, int64(s[1].N)/groups)
	} else {
		g := l.ints("groups", groups)
		channels := l.apply("Shape", model.Attrs{"start": model.IntAttr(1), "end": model.IntAttr(2)}, l.in(0))
		wide = l.apply("Concat", model.Attrs{"axis": model.IntAttr(0)}, g, l.apply("Div", nil, channels, g))
	}
	one, flat := l.ints("axes", 1), l.ints("flat", -1)
	for i := 1; i <= 2; i++ {
		v := l.apply("Expand", nil, l.apply("Unsqueeze", nil, l.in(i), one), wide)
		l.setIn(i, l.apply("Reshape", nil, v, flat))
	}
	l.keep()
	return nil
}
