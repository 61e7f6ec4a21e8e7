package grad

var _ = register("", map[string]binder{"Pad": bindPad})

// bindPad binds Pad with a constant, which gets no gradient; a negative padding cuts off.
func bindPad(b *binding, s *step) error {
	if err := b.floats(0, 2); err != nil {
		return err
	}
	if err := b.fixed(2); err != nil {
		return err
	}
	if mode := b.node.Str("mode", "constant"); mode != "constant" {
		return unsupported("mode " + mode)
	}
	x, y := b.in[0], b.out[0]
	pads, err := b.ints(1)
	if err != nil {
		return err
	}
	axes := make([]int64, len(x.shape))
	for i := range axes {
		axes[i] = int64(i)
	}
	if b.has(3) {
		if axes, err = b.ints(3); err != nil {
			return err
		}
	}
	m := move{n: append([]int(nil), x.shape...), as: strides(x.shape), bs: strides(y.shape)}
	for i, axis := range axes {
		a, err := normAxis(int(axis), len(x.shape))
		if err != nil {
			return err
		}
		before, after := int(pads[i]), int(pads[i+len(axes)])
		m.n[a] += min(before, 0) + min(after, 0)
		m.a += max(-before, 0) * m.as[a]
		m.b += max(before, 0) * m.bs[a]
		if m.n[a] <= 0 {
			return unsupported("a padding that cuts everything off")
		}
	}
	bindMove(b, s, m)
	move := s.forward
	fill := b.elements(y.n, func(lo, hi int) {
		var value float32
		if b.has(2) {
			value = b.in[2].x()[0]
		}
		for i := range y.x()[lo:hi] {
			y.x()[lo+i] = value
		}
	})
	s.forward = func() error {
		fill()
		return move()
	}
	return nil
}
