package onnx

import "github.com/dsk-toolkit/dsk/model"

// lowerQuantAxis: the axis means nothing with one scale for all, and its default of 1 lies
// outside of a vector.
func lowerQuantAxis(l *lowering) error {
	axis := int64(1)
	if a, ok := l.attrs["axis"]; ok {
		axis = a.Int
	}
	if r := l.rank(l.in(0)); r >= 0 && axis >= int64(r) {
		l.attrs["axis"] = model.IntAttr(0)
	}
	l.keep()
	return nil
}
