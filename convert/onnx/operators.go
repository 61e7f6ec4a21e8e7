package onnx

import (
	"fmt"
	"sort"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Operator is an entry of the table of operators that an import takes.
type Operator struct {
	Domain string `json:"domain"` // "" is ai.onnx
	Op     string `json:"op"`
	// Opsets are the versions of the domain whose form of the operator is understood.
	Opsets string `json:"opsets"`
	// Translated says that the operator becomes others, whose element types are its own.
	Translated bool `json:"translated,omitempty"`
	// DTypes are the element types of the first operand for which there is a kernel.
	DTypes []string `json:"dtypes,omitempty"`
}

// versions are the newest operator sets of the domains.
var versions = map[string]int{"": model.Opset, domainMicrosoft: 1, model.DomainML: 5}

// Operators lists every operator that an import takes, from the tables that the import works by: those of the graph language
// that the runtime supports, and those that rules translate. types tells an operator's element types.
func Operators(supports func(domain, op string) bool, types func(domain, op string) []tensor.DType) []Operator {
	var list []Operator
	seen := map[funcKey]bool{}
	add := func(domain, op string, translated bool) {
		k := funcKey{domain: domain, name: op}
		if seen[k] {
			return
		}
		seen[k] = true
		o := Operator{Domain: domain, Op: op, Opsets: fmt.Sprintf("1-%d", versions[domain]), Translated: translated}
		if !translated {
			for _, dt := range types(domain, op) {
				o.DTypes = append(o.DTypes, dt.String())
			}
		}
		list = append(list, o)
	}
	for domain := range versions {
		for _, op := range model.KnownOps(domain) {
			if supports(domain, op) {
				add(domain, op, false)
			}
		}
	}
	for op := range replaced {
		add("", op, true)
	}
	for op := range microsoftRules {
		add(domainMicrosoft, op, true)
	}
	for op := range mlRules {
		add(model.DomainML, op, true)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Domain != list[j].Domain {
			return list[i].Domain < list[j].Domain
		}
		return list[i].Op < list[j].Op
	})
	return list
}
