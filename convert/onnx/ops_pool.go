package onnx

import "github.com/dsk-toolkit/dsk/model"

// lowerLp: p was a float before 2.
func lowerLp(l *lowering) error {
	if p := l.attrs["p"]; p.Kind == model.AttrFloat {
		if p.Float != float32(int64(p.Float)) {
			return l.reject(l.op+" with a fractional p", "")
		}
		l.attrs["p"] = model.IntAttr(int64(p.Float))
	}
	l.keep()
	return nil
}

// lowerRoiAlign: before 16, there was no offset of half a pixel, which is now the default.
func lowerRoiAlign(l *lowering) error {
	if _, ok := l.attrs["coordinate_transformation_mode"]; !ok && l.opset < 16 {
		l.attrs["coordinate_transformation_mode"] = model.StringAttr("output_half_pixel")
	}
	l.keep()
	return nil
}
