package grad

var _ = register("", map[string]binder{"ReduceSum": reduce(false), "ReduceMean": reduce(true)})

// reduce makes a binder of the sum, or the mean, over constant axes.
func reduce(mean bool) binder {
	return func(b *binding, s *step) error {
		if err := b.floats(0); err != nil {
			return err
		}
		x, y := b.in[0], b.out[0]
		gone := make([]bool, len(x.shape))
		if b.has(1) && b.in[1].n > 0 {
			axes, err := b.ints(1)
			if err != nil {
				return err
			}
			for _, axis := range axes {
				a, err := normAxis(int(axis), len(x.shape))
				if err != nil {
					return err
				}
				gone[a] = true
			}
		} else if b.node.Int("noop_with_empty_axes", 0) != 0 {
			b.view()
			return nil
		} else {
			for i := range gone {
				gone[i] = true
			}
		}
		m := move{n: x.shape, as: strides(x.shape), bs: make([]int, len(x.shape))}
		at := 1
		for i := len(x.shape) - 1; i >= 0; i-- {
			if !gone[i] {
				m.bs[i] = at
				at *= x.shape[i]
			}
		}
		scale := float32(1)
		if mean {
			scale = float32(y.n) / float32(x.n)
		}
		sum := b.moving(m, func(m *move) { m.add(y.x(), x.x(), scale) })
		s.forward = func() error {
			clear(y.x())
			sum()
			return nil
		}
		s.backward = all(b.elements(x.n, func(lo, hi int) { x.sink(lo, hi) }),
			b.moving(m.reversed(), func(m *move) { m.add(x.root.grad, y.dy(), scale) }))
		return nil
	}
}
