package kernels

// Task is work that a Pool splits: Do(i, n) does part i of n. Parts must be independent,
// and the result must not depend on n.
type Task interface{ Do(part, parts int) }

// TaskFunc makes a Task of a function. Make it once, when an operator is bound:
// a closure built in the steady state would be an allocation.
type TaskFunc func(part, parts int)

// Do calls f.
func (f TaskFunc) Do(part, parts int) { f(part, parts) }

// Span returns the half-open range of part i of n when total items are split in units of unit.
func Span(total, unit, part, parts int) (lo, hi int) {
	units := (total + unit - 1) / unit
	lo = units * part / parts * unit
	hi = units * (part + 1) / parts * unit
	return min(lo, total), min(hi, total)
}

// Pool is a set of workers; see NewPool.
type Pool struct{ threads int }
