package grad

import "github.com/dsk-toolkit/dsk/kernels"

// move relates the elements of two values by strides: element (i0, i1, ...) of a box is at a + sum i*as of one and at
// b + sum i*bs of the other. A stride of 0 repeats an element, or sums over an axis.
type move struct {
	n, as, bs []int
	a, b      int
}

// merged drops axes of one element and joins those that lie one behind the other in both.
func (m move) merged() move {
	out := move{a: m.a, b: m.b}
	for i, n := range m.n {
		if n == 1 {
			continue
		}
		if k := len(out.n) - 1; k >= 0 && out.as[k] == n*m.as[i] && out.bs[k] == n*m.bs[i] {
			out.n[k], out.as[k], out.bs[k] = out.n[k]*n, m.as[i], m.bs[i]
			continue
		}
		out.n, out.as, out.bs = append(out.n, n), append(out.as, m.as[i]), append(out.bs, m.bs[i])
	}
	return out
}

// reversed exchanges the two values.
func (m move) reversed() move { return move{n: m.n, as: m.bs, bs: m.as, a: m.b, b: m.a} }

// rows calls f for each row of the last axis: n elements from a in steps of as and from b in steps of bs.
func (m *move) rows(f func(n, a, as, b, bs int)) {
	k := len(m.n) - 1
	if k < 0 {
		f(1, m.a, 1, m.b, 1)
		return
	}
	for r := range product(m.n[:k]) {
		a, b := m.a, m.b
		for i := k - 1; i >= 0; i-- {
			a, b = a+r%m.n[i]*m.as[i], b+r%m.n[i]*m.bs[i]
			r /= m.n[i]
		}
		f(m.n[k], a, m.as[k], b, m.bs[k])
	}
}

// copy writes the elements of a to their places in b.
func (m *move) copy(dst, src []float32) {
	m.rows(func(n, a, as, b, bs int) {
		if as == 1 && bs == 1 {
			copy(dst[b:b+n], src[a:a+n])
			return
		}
		for i := range n {
			dst[b+i*bs] = src[a+i*as]
		}
	})
}

// add adds scale times the elements of a to their places in b.
func (m *move) add(dst, src []float32, scale float32) {
	m.rows(func(n, a, as, b, bs int) {
		switch {
		case bs == 0 && as == 1:
			dst[b] += scale * kernels.SumRow(src[a:a+n])
		case as == 0 && bs == 1 && n > 1:
			kernels.AddScalar(dst[b:b+n], dst[b:b+n], scale*src[a])
		case as == 1 && bs == 1:
			kernels.Axpy(dst[b:b+n], src[a:], scale)
		default:
			for i := range n {
				dst[b+i*bs] += scale * src[a+i*as]
			}
		}
	})
}

// strides returns those of a row-major value.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	at := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = at
		at *= shape[i]
	}
	return s
}

// parts cuts the move along its first axis so that parts write different elements of b, or returns nil if it cannot be cut.
func (m *move) parts(count int) []move {
	if len(m.n) < 2 || m.bs[0] == 0 || count < 2 {
		return nil
	}
	var out []move
	for i := range count {
		lo, hi := m.n[0]*i/count, m.n[0]*(i+1)/count
		if lo == hi {
			continue
		}
		p := *m
		p.n = append([]int{hi - lo}, m.n[1:]...)
		p.a, p.b = m.a+lo*m.as[0], m.b+lo*m.bs[0]
		out = append(out, p)
	}
	return out
}

// moving returns a function that calls do for the move, in parallel where it is large.
func (b *binding) moving(m move, do func(m *move)) func() {
	m = m.merged()
	parts := m.parts(b.parts())
	if len(parts) < 2 {
		return func() { do(&m) }
	}
	return b.split(len(parts), product(m.n)/len(parts), func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			do(&parts[i])
		}
	})
}
