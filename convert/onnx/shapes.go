package onnx

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// fixShapes puts the user's shapes into the inputs' types, and the value of a named
// dimension into every input that has it.
func (im *importer) fixShapes() error {
	inputs := map[string]*model.Value{}
	var known []string
	for i := range im.graph.Inputs {
		inputs[im.graph.Inputs[i].Name] = &im.graph.Inputs[i]
		known = append(known, im.graph.Inputs[i].Name)
	}
	syms := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(im.opts.InputShapes)) {
		shape := im.opts.InputShapes[name]
		in := inputs[name]
		if in == nil {
			return &fault.Usage{What: fmt.Sprintf("input shape of %q: the model has no such input; it has %q", name, known)}
		}
		if in.Type.Shape != nil && len(in.Type.Shape) != len(shape) {
			return &fault.Usage{What: fmt.Sprintf("input shape of %q: %v has %d dimensions, the input is %v", name, shape, len(shape), in.Type)}
		}
		if _, err := tensor.NumElements(shape); err != nil {
			return &fault.Usage{What: fmt.Sprintf("input shape of %q: %v", name, err)}
		}
		for i, d := range in.Type.Shape {
			if d.IsKnown() && d.N != shape[i] {
				return &fault.Usage{What: fmt.Sprintf("input shape of %q: dimension %d is %d in the model, not %d", name, i, d.N, shape[i])}
			}
			if had, ok := syms[d.Sym]; ok && d.Sym != "" && had != shape[i] {
				return &fault.Usage{What: fmt.Sprintf("input shape of %q: dimension %q cannot be both %d and %d", name, d.Sym, had, shape[i])}
			}
			if d.Sym != "" {
				syms[d.Sym] = shape[i]
			}
		}
		in.Type.Shape = model.Dims(shape...)
	}
	for i := range im.graph.Inputs {
		for j, d := range im.graph.Inputs[i].Type.Shape {
			if n, ok := syms[d.Sym]; ok && d.Sym != "" {
				im.graph.Inputs[i].Type.Shape[j] = model.Known(n)
			}
		}
	}
	return nil
}
