package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lowerUpsample: it gave way to Resize in 10. The scales were two attributes in 1, one
// in 7 and an input in 9.
func lowerUpsample(l *lowering) error {
	scales := l.in(1)
	if a, ok := l.attr("scales"); ok {
		scales = l.floats("scales", a.Floats...)
	} else if h, ok := l.attr("height_scale"); ok {
		w, _ := l.attr("width_scale")
		scales = l.floats("scales", 1, 1, h.Float, w.Float)
	}
	if scales == "" {
		return l.broken("it has no scales")
	}
	return l.oldResize(scales)
}

// oldResize emits a Resize as Upsample and opset 10 did it: output pixel i lies at i / scale.
func (l *lowering) oldResize(scales string) error {
	mode, _ := l.attr("mode")
	attrs := model.Attrs{
		"coordinate_transformation_mode": model.StringAttr("asymmetric"),
		"mode":                           model.StringAttr("nearest"),
		"nearest_mode":                   model.StringAttr("floor"),
	}
	switch mode.Str {
	case "", "nearest":
		// Where an image shrinks, ONNX Runtime rounds up in these opsets.
		if v := l.im.vals[scales]; v != nil && v.DType == tensor.F32 {
			shrinks, grows := false, false
			for _, s := range v.F32() {
				shrinks, grows = shrinks || s < 1, grows || s > 1
			}
			if shrinks && !grows {
				attrs["nearest_mode"] = model.StringAttr("ceil")
			}
		}
	case "linear", "bilinear":
		attrs["mode"] = model.StringAttr("linear")
		delete(attrs, "nearest_mode")
	default:
		return l.broken("unknown mode %q", mode.Str)
	}
	l.finish("Resize", attrs, l.in(0), "", scales)
	return nil
}

// lowerResize: 11 brought coordinate transformations and regions. Until 13, unused inputs
// had to be there and empty.
func lowerResize(l *lowering) error {
	if l.opset < 11 {
		return l.oldResize(l.in(1))
	}
	for i := 1; i <= 2; i++ {
		if t, ok := l.im.graph.Init[l.in(i)]; ok && t.Len() == 0 {
			l.setIn(i, "")
		}
	}
	mode := l.attrs["coordinate_transformation_mode"].Str
	if mode != "tf_crop_and_resize" && l.in(1) != "" {
		l.setIn(1, "")
	}
	if mode == "tf_half_pixel_for_nn" {
		// It went in 13. Rounding (i + .5) / scale down is rounding (i + .5) / scale - .5 to the
		// nearest, halves up.
		if m := l.attrs["mode"].Str; m != "" && m != "nearest" || l.attrs["nearest_mode"].Str != "floor" {
			return l.reject("Resize with tf_half_pixel_for_nn that does not round down", "use half_pixel")
		}
		l.attrs["coordinate_transformation_mode"] = model.StringAttr("half_pixel")
		l.attrs["nearest_mode"] = model.StringAttr("round_prefer_ceil")
	}
	l.keep()
	return nil
}

// lowerGridSample: 20 renamed the modes.
func lowerGridSample(l *lowering) error {
	if l.opset < 20 {
		switch l.attrs["mode"].Str {
		case "", "bilinear":
			l.attrs["mode"] = model.StringAttr("linear")
		case "bicubic":
			l.attrs["mode"] = model.StringAttr("cubic")
		}
	}
	l.keep()
	return nil
}
