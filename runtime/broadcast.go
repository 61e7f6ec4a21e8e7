package runtime

import "slices"

// maxRank bounds the axes that a broadcast or a strided copy walks; operands have at most half as many.
const maxRank = 16

// broadcast walks the elements of an output together with those of up to three operands that are
// broadcast to it. Axes along which all operands move alike are merged; the last
// axis that remains is the inner loop.
type broadcast struct {
	dims   []int // outer axes
	inner  int
	stride [3][]int // per operand and outer axis, in elements
	step   [3]int   // per operand along the inner axis: 0 or 1
}

// newBroadcast prepares the walk; the operands' shapes must broadcast to out.
// It returns nil if they do not, or if too many axes are left.
func newBroadcast(out []int, ops ...[]int) *broadcast {
	w := &broadcast{}
	dims := []int{}
	var st [3][]int
	full := make([][]int, len(ops))
	for i, s := range ops {
		if len(s) > len(out) {
			return nil
		}
		full[i] = append(slices.Repeat([]int{1}, len(out)-len(s)), s...)
	}
	own := make([][]int, len(ops))
	for i := range ops {
		own[i] = strides(full[i])
	}
	for a, d := range out {
		if d == 1 {
			continue
		}
		var s [3]int
		for i := range ops {
			switch full[i][a] {
			case d:
				s[i] = own[i][a]
			case 1:
			default:
				return nil
			}
		}
		if n := len(dims); n > 0 && mergeable(&st, &s, d, len(ops)) {
			dims[n-1] *= d
			for i := range ops {
				st[i][n-1] = s[i]
			}
			continue
		}
		dims = append(dims, d)
		for i := range ops {
			st[i] = append(st[i], s[i])
		}
	}
	if len(dims) > maxRank {
		return nil
	}
	w.inner = 1
	if n := len(dims); n > 0 {
		w.dims, w.inner = dims[:n-1], dims[n-1]
		for i := range ops {
			w.step[i] = st[i][n-1]
			w.stride[i] = st[i][:n-1]
		}
	}
	return w
}

// mergeable reports whether an axis of d elements and strides s continues the last axis in st.
func mergeable(st *[3][]int, s *[3]int, d, ops int) bool {
	for i := range ops {
		if st[i][len(st[i])-1] != s[i]*d {
			return false
		}
	}
	return true
}

// cursor is a place in a broadcast.
type cursor struct {
	w   *broadcast
	idx [maxRank]int
	col int
	row [3]int // offset of the row's first element
}

// seek moves to output element n.
func (c *cursor) seek(w *broadcast, n int) {
	c.w = w
	if w.inner == 0 {
		return
	}
	c.col = n % w.inner
	n /= w.inner
	c.row = [3]int{}
	for a := len(w.dims) - 1; a >= 0; a-- {
		c.idx[a] = n % w.dims[a]
		n /= w.dims[a]
		for i := range w.stride {
			if w.stride[i] != nil {
				c.row[i] += c.idx[a] * w.stride[i][a]
			}
		}
	}
}

// at returns the offset of operand i.
func (c *cursor) at(i int) int { return c.row[i] + c.col*c.w.step[i] }

// run returns how many elements, at most n, lie before the end of the row.
func (c *cursor) run(n int) int { return min(n, c.w.inner-c.col) }

// advance moves n elements on, at most to the end of the row.
func (c *cursor) advance(n int) {
	w := c.w
	if c.col += n; c.col < w.inner {
		return
	}
	c.col = 0
	for a := len(w.dims) - 1; a >= 0; a-- {
		c.idx[a]++
		for i := range w.stride {
			if w.stride[i] != nil {
				c.row[i] += w.stride[i][a]
			}
		}
		if c.idx[a] < w.dims[a] {
			return
		}
		for i := range w.stride {
			if w.stride[i] != nil {
				c.row[i] -= w.stride[i][a] * w.dims[a]
			}
		}
		c.idx[a] = 0
	}
}
