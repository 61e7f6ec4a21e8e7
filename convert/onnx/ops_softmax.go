package onnx

import "github.com/dsk-toolkit/dsk/model"

// lowerSoftmax: before 13, the input was seen as a matrix with the dimensions from "axis" (1
// by default) on as one row, and the row was normalized; since then one dimension is (the last by default).
func lowerSoftmax(l *lowering) error {
	if l.opset >= 13 {
		l.keep()
		return nil
	}
	x := l.in(0)
	rank := l.rank(x)
	axis := int64(1)
	if a, ok := l.attr("axis"); ok {
		axis = a.Int
	}
	if rank >= 0 {
		if axis < 0 {
			axis += int64(rank)
		}
		if axis < 0 || axis > int64(rank) {
			return l.broken("axis %d of %d dimensions", axis, rank)
		}
		// If only one dimension of the row is not 1, normalizing it is the same.
		wide, count := int64(rank)-1, 0
		for i := axis; i < int64(rank); i++ {
			if l.shape(x)[i].N != 1 {
				wide = i
				count++
			}
		}
		if axis < int64(rank) && count <= 1 {
			l.attrs["axis"] = model.IntAttr(wide)
			l.keep()
			return nil
		}
	}
	shape := l.apply("Shape", nil, x)
	rows := l.apply("Flatten", model.Attrs{"axis": model.IntAttr(axis)}, x)
	y := l.apply(l.op, model.Attrs{"axis": model.IntAttr(-1)}, rows)
	l.finish("Reshape", nil, y, shape)
	return nil
}
