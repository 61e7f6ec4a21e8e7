package model

import "sort"

// KnownOps returns the names of the operators that the graph language has in a domain, in order.
func KnownOps(domain string) []string {
	var names []string
	for k := range opTable {
		if k.domain == domain {
			names = append(names, k.op)
		}
	}
	sort.Strings(names)
	return names
}
