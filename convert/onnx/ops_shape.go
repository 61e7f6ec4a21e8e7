package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lowerConstant lifts a constant to the top graph's initializers.
func lowerConstant(l *lowering) error {
	t, err := model.ConstantValue(&model.Node{Op: "Constant", Name: l.path, Attrs: l.attrs})
	if err != nil {
		return l.broken("it has no value")
	}
	if len(l.outputs) != 1 || l.outputs[0] == "" {
		return l.broken("it has %d outputs, not one", len(l.outputs))
	}
	l.im.addInit(l.outputs[0], t)
	l.im.countWeight("", t)
	return nil
}

// intsInput makes an attribute of integers input i, unless that is there already.
func (l *lowering) intsInput(attr string, i int) {
	if a, ok := l.attr(attr); ok && l.in(i) == "" {
		l.setIn(i, l.ints(attr, a.Ints...))
	}
}

// lowerReshape: the shape became an input in 5.
func lowerReshape(l *lowering) error {
	l.intsInput("shape", 1)
	l.keep()
	return nil
}

// lowerAxes: the axes became an input in 13 (Squeeze, Unsqueeze, ReduceSum) and 18 (the other reductions).
func lowerAxes(l *lowering) error {
	l.intsInput("axes", 1)
	l.keep()
	return nil
}

// lowerSplit: the sizes became an input in 13, and since 18 equal parts must be asked for.
func lowerSplit(l *lowering) error {
	l.intsInput("split", 1)
	if _, ok := l.attrs["num_outputs"]; !ok && l.in(1) == "" {
		l.attrs["num_outputs"] = model.IntAttr(int64(len(l.outputs)))
	}
	l.keep()
	return nil
}

// lowerSlice: starts, ends and axes became inputs in 10.
func lowerSlice(l *lowering) error {
	l.intsInput("starts", 1)
	l.intsInput("ends", 2)
	l.intsInput("axes", 3)
	l.keep()
	return nil
}

// lowerPad: pads (paddings before 2) and the value became inputs in 11.
func lowerPad(l *lowering) error {
	l.intsInput("paddings", 1)
	l.intsInput("pads", 1)
	if a, ok := l.attr("value"); ok && l.in(2) == "" && a.Float != 0 {
		v, err := l.scalar("value", l.dtype(l.in(0)), float64(a.Float))
		if err != nil {
			return err
		}
		l.setIn(2, v)
	}
	l.keep()
	return nil
}

// lowerConcat: the axis had a default before 4.
func lowerConcat(l *lowering) error {
	if _, ok := l.attrs["axis"]; !ok && l.opset < 4 {
		l.attrs["axis"] = model.IntAttr(1)
	}
	l.keep()
	return nil
}

// lowerTile: before 6 it repeated along one axis.
func lowerTile(l *lowering) error {
	if l.opset >= 6 || len(l.inputs) < 3 {
		l.keep()
		return nil
	}
	rank, count, axis := l.rank(l.in(0)), l.im.vals[l.in(1)], l.im.vals[l.in(2)]
	if rank < 0 || count == nil || axis == nil || count.DType != tensor.I64 || axis.DType != tensor.I64 || count.Len() != 1 || axis.Len() != 1 {
		return l.reject("Tile with a computed axis", "export with opset 6 or newer")
	}
	if a := axis.I64()[0]; a < 0 || a >= int64(rank) {
		return l.broken("axis %d of %d dimensions", a, rank)
	}
	repeats := make([]int64, rank)
	for i := range repeats {
		repeats[i] = 1
	}
	repeats[axis.I64()[0]] = count.I64()[0]
	l.finish("Tile", nil, l.in(0), l.ints("repeats", repeats...))
	return nil
}

// lowerScatter: renamed in 11.
func lowerScatter(l *lowering) error {
	l.finish("ScatterElements", l.attrs, l.inputs...)
	return nil
}

// lowerTopK: k became an input in 10.
func lowerTopK(l *lowering) error {
	if a, ok := l.attr("k"); ok && l.in(1) == "" {
		l.setIn(1, l.ints("k", a.Int))
	}
	l.keep()
	return nil
}
