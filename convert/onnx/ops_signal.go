package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lowerDFT: the axis became an input in 20, and its default went from 1 to -2.
func lowerDFT(l *lowering) error {
	if l.opset < 20 {
		axis, ok := l.attr("axis")
		if !ok {
			axis = model.IntAttr(1)
		}
		v, err := l.scalar("axis", tensor.I64, float64(axis.Int))
		if err != nil {
			return err
		}
		l.setIn(2, v)
	}
	l.keep()
	return nil
}
