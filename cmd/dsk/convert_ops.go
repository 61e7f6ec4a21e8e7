package main

import (
	"strings"

	"github.com/dsk-toolkit/dsk/convert/onnx"
	"github.com/dsk-toolkit/dsk/runtime"
)

// listOperators prints what an import of ONNX models takes.
func (a *app) listOperators() {
	ops := onnx.Operators(runtime.Supports, runtime.ElementTypes)
	if a.json {
		a.printJSON("convert --list-ops", map[string]any{"operators": ops})
		return
	}
	for _, o := range ops {
		name := o.Op
		if o.Domain != "" {
			name = o.Domain + "." + name
		}
		types := strings.Join(o.DTypes, " ")
		switch {
		case o.Translated:
			types = "translated"
		case types == "":
			types = "as its parts"
		}
		a.print("%-42s %-5s %s", name, o.Opsets, types)
	}
	a.print("%d operators", len(ops))
}
