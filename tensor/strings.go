package tensor

import (
	"slices"
	"sync"
)

// Strings are interned: an element of a STRING tensor is a number in one table of the process. So every operator
// that moves elements moves strings as well, and equal strings have equal numbers. The table only grows: what
// programs feed to models with strings are words and labels, not streams of data. The numbers mean nothing in a
// file: models keep strings in attributes.
var interned = struct {
	sync.RWMutex
	numbers map[string]uint64
	list    []string
}{numbers: map[string]uint64{"": 0}, list: []string{""}}

// Intern returns the number of a string; that of "" is 0.
func Intern(s string) uint64 {
	interned.RLock()
	n, ok := interned.numbers[s]
	interned.RUnlock()
	if ok {
		return n
	}
	interned.Lock()
	defer interned.Unlock()
	if n, ok := interned.numbers[s]; ok {
		return n
	}
	n = uint64(len(interned.list))
	interned.numbers[s] = n
	interned.list = append(interned.list, s)
	return n
}

// InternedString returns the string with a number, "" for a number that no string has.
func InternedString(n uint64) string {
	interned.RLock()
	defer interned.RUnlock()
	if n < uint64(len(interned.list)) {
		return interned.list[n]
	}
	return ""
}

// FromStrings returns a STRING tensor.
func FromStrings(v []string, shape ...int) *Tensor {
	numbers := make([]uint64, len(v))
	for i, s := range v {
		numbers[i] = Intern(s)
	}
	t := FromSlice(numbers, shape...)
	t.DType = STRING
	return t
}

// Strings returns the elements of a STRING tensor.
func (t *Tensor) Strings() []string {
	out := make([]string, t.Len())
	for i, n := range View[uint64](t) {
		out[i] = InternedString(n)
	}
	return out
}

// Holding returns a sequence or an optional value of the type dt.
func Holding(dt DType, items ...*Tensor) *Tensor {
	return &Tensor{DType: dt, Shape: []int{}, Data: []byte{}, Items: slices.Clone(items)}
}
