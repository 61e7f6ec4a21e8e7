package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lowerScan: before 9, every state and scanned value had a batch dimension in front, the
// first input held lengths, and the directions were of the inputs only. Such a scan is a
// scan over the batch (axis 0 of everything) whose body is today's scan over the sequence.
func lowerScan(l *lowering) error {
	if l.opset >= 9 {
		l.keep()
		return nil
	}
	if l.in(0) != "" {
		return l.reject("Scan with sequence lengths", "export with opset 9 or newer")
	}
	inner, scanned := l.attrs["body"].Graph, l.attrs["num_scan_inputs"].Int
	states := int64(len(l.inputs)) - 1 - scanned
	if inner == nil || scanned <= 0 || states < 0 || int64(len(inner.Inputs)) != states+scanned || int64(len(inner.Outputs)) < states {
		return l.broken("its inputs and outputs do not fit its body")
	}
	attrs := model.Attrs{"body": l.attrs["body"], "num_scan_inputs": model.IntAttr(scanned)}
	if d, ok := l.attrs["directions"]; ok {
		attrs["scan_input_directions"] = d
	}
	outer := &model.Graph{Name: inner.Name}
	n := &model.Node{Op: "Scan", Name: l.im.unique(l.path + "/Scan"), Attrs: attrs}
	for i, in := range inner.Inputs {
		v := model.Value{Name: l.im.unique(in.Name), Type: l.element(l.inputs[i+1])}
		outer.Inputs = append(outer.Inputs, v)
		n.Inputs = append(n.Inputs, v.Name)
	}
	for _, out := range inner.Outputs {
		v := model.Value{Name: l.im.unique(out.Name)}
		outer.Outputs = append(outer.Outputs, v)
		n.Outputs = append(n.Outputs, v.Name)
	}
	outer.Nodes = []*model.Node{n}
	l.finish("Scan", model.Attrs{
		"body":            {Kind: model.AttrGraph, Graph: outer},
		"num_scan_inputs": model.IntAttr(states + scanned),
	}, l.inputs[1:]...)
	return nil
}

// element returns the type of a value without its first dimension.
func (l *lowering) element(name string) model.Type {
	t := l.im.types[name]
	if t.DType == tensor.Invalid || len(t.Shape) == 0 {
		return model.Type{}
	}
	return model.Type{DType: t.DType, Shape: t.Shape[1:]}
}
