package grad

var _ = register("", map[string]binder{
	"Reshape": bindReshaped, "Flatten": bindReshaped, "Squeeze": bindReshaped, "Unsqueeze": bindReshaped,
	"Transpose": bindTranspose, "Concat": bindConcat, "Split": bindSplit, "Slice": bindSlice, "Expand": bindExpand,
})

// bindReshaped is an operator that changes the shape alone.
func bindReshaped(b *binding, _ *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	b.view()
	return nil
}

// bindMove binds an operator whose output consists of copies of elements of input 0, which are a of the move.
func bindMove(b *binding, s *step, m move) {
	x, y := b.in[0], b.out[0]
	s.forward = run(b.moving(m, func(m *move) { m.copy(y.x(), x.x()) }))
	s.backward = all(b.elements(x.n, func(lo, hi int) { x.sink(lo, hi) }),
		b.moving(m.reversed(), func(m *move) { m.add(x.root.grad, y.dy(), 1) }))
}

func bindTranspose(b *binding, s *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	shape := b.in[0].shape
	of := strides(shape)
	m := move{n: b.out[0].shape, bs: strides(b.out[0].shape)}
	perm := b.node.Ints("perm")
	for i := range shape {
		from := len(shape) - 1 - i
		if perm != nil {
			from = int(perm[i])
		}
		m.as = append(m.as, of[from])
	}
	bindMove(b, s, m)
	return nil
}

func bindExpand(b *binding, s *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	bindMove(b, s, repeat(b.in[0].shape, b.out[0].shape))
	return nil
}

// repeat is the move of a value to one that it broadcasts to.
func repeat(from, to []int) move {
	m := move{n: to, as: make([]int, len(to)), bs: strides(to)}
	of := strides(from)
	for i, d := range from {
		if d > 1 {
			m.as[i+len(to)-len(from)] = of[i]
		}
	}
	return m
}

// bindSlice binds Slice of constant places.
func bindSlice(b *binding, s *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	shape := b.in[0].shape
	m := move{n: b.out[0].shape, as: strides(shape), bs: strides(b.out[0].shape)}
	starts, err := b.ints(1)
	if err != nil {
		return err
	}
	axes, steps := make([]int64, len(starts)), make([]int64, len(starts))
	for i := range starts {
		axes[i], steps[i] = int64(i), 1
	}
	if b.has(3) {
		if axes, err = b.ints(3); err != nil {
			return err
		}
	}
	if b.has(4) {
		if steps, err = b.ints(4); err != nil {
			return err
		}
	}
	of := strides(shape)
	for i, start := range starts {
		a, err := normAxis(int(axes[i]), len(shape))
		if err != nil {
			return err
		}
		n := int64(shape[a])
		if start < 0 {
			start += n
		}
		if steps[i] > 0 {
			start = min(max(start, 0), n)
		} else {
			start = min(max(start, 0), n-1)
		}
		m.a += int(start) * of[a]
		m.as[a] = int(steps[i]) * of[a]
	}
	if product(m.n) == 0 {
		return unsupported("an empty slice")
	}
	bindMove(b, s, m)
	return nil
}

func bindConcat(b *binding, s *step) error {
	y := b.out[0]
	axis, err := b.axis("axis", 0, len(y.shape))
	if err != nil {
		return err
	}
	var forward, backward []func()
	at := 0
	for i, x := range b.in {
		if err := b.floats(i); err != nil {
			return err
		}
		m := move{n: x.shape, as: strides(x.shape), bs: strides(y.shape), b: at * strides(y.shape)[axis]}
		at += x.shape[axis]
		if x.n == 0 {
			continue
		}
		forward = append(forward, b.moving(m, func(m *move) { m.copy(y.x(), x.x()) }))
		if x.needs {
			backward = append(backward, b.elements(x.n, func(lo, hi int) { x.sink(lo, hi) }),
				b.moving(m.reversed(), func(m *move) { m.add(x.root.grad, y.dy(), 1) }))
		}
	}
	s.forward, s.backward = run(all(forward...)), all(backward...)
	return nil
}

func bindSplit(b *binding, s *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	x := b.in[0]
	axis, err := b.axis("axis", 0, len(x.shape))
	if err != nil {
		return err
	}
	var forward []func()
	backward := []func(){b.elements(x.n, func(lo, hi int) { x.sink(lo, hi) })}
	sizes, at := make([]int64, len(b.out)), 0
	if b.has(1) {
		if sizes, err = b.ints(1); err != nil {
			return err
		}
	} else {
		each := (x.shape[axis] + len(b.out) - 1) / len(b.out)
		for i := range sizes {
			sizes[i] = int64(min(each, x.shape[axis]-i*each))
		}
	}
	for i, y := range b.out {
		begin := at
		at += int(sizes[i])
		if y == nil || y.n == 0 {
			continue
		}
		m := move{n: y.shape, as: strides(x.shape), bs: strides(y.shape), a: begin * strides(x.shape)[axis]}
		forward = append(forward, b.moving(m, func(m *move) { m.copy(y.x(), x.x()) }))
		backward = append(backward, b.moving(m.reversed(), func(m *move) { m.add(x.root.grad, y.dy(), 1) }))
	}
	s.forward, s.backward = run(all(forward...)), all(backward...)
	return nil
}
