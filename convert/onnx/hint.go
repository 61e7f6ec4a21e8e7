package onnx

import (
	"fmt"
	"sort"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// advice names the known way around for operators that have one.
var advice = map[string]string{
	"ImageDecoder": "decode the image before the model",
	"ATen":         "export with operator_export_type=ONNX",
}

// hint says what is nearest to an operator that is not supported.
func (im *importer) hint(domain, op string) string {
	if h := advice[op]; h != "" {
		return h
	}
	if domain != "" && model.KnownOp("", op) {
		return "the standard operator " + op + " is supported"
	}
	candidates := append(model.KnownOps(""), sortedKeys(replaced)...)
	if domain == domainMicrosoft {
		candidates = append(candidates, sortedKeys(microsoftRules)...)
	}
	best := fault.Nearest(op, candidates)
	if best == "" {
		return ""
	}
	return "the nearest supported operator is " + best
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// collapse joins items that differ only in where they are.
func collapse(items []fault.Item) []fault.Item {
	first := map[fault.Item]int{}
	var out []fault.Item
	var counts []int
	for _, it := range items {
		key := it
		key.Where = ""
		i, ok := first[key]
		if !ok {
			first[key] = len(out)
			out = append(out, it)
			counts = append(counts, 1)
			continue
		}
		counts[i]++
	}
	for i, n := range counts {
		if n > 1 {
			out[i].Where += fmt.Sprintf(" and %d more", n-1)
		}
	}
	return out
}
