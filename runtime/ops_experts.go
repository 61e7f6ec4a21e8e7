package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register(model.DomainDsk, map[string]Binder{"Dispatch": bindDispatch, "Experts": bindExperts, "Combine": bindCombine})

// needI64 checks that an input holds row-major I64.
func needI64(b *Bind, i int) error {
	if t := b.In[i]; t.DType != tensor.I64 || t.Layout != tensor.RowMajor {
		return b.unsupportedType(t.DType)
	}
	return nil
}

// bindDispatch binds dsk.Dispatch: a stable counting sort of the tokens' rows by their experts.
func bindDispatch(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0); err != nil {
		return nil, err
	}
	if err := needI64(b, 1); err != nil {
		return nil, err
	}
	if !b.HasOut(1) || !b.HasOut(2) {
		return nil, b.errorf("outputs 1 and 2 are needed")
	}
	x, chosen, y := b.In[0], b.In[1], b.Out[0]
	rank := len(chosen.Shape)
	if rank == 0 || len(x.Shape) != rank || product(x.Shape[:rank-1]) != product(chosen.Shape[:rank-1]) {
		return nil, b.errorf("rows %v do not fit experts %v", x.Shape, chosen.Shape)
	}
	count, each, k := b.Out[1].Len(), chosen.Shape[rank-1], x.Shape[rank-1]
	total := product(chosen.Shape)
	if err := needShape(b, "the output", y, total, k); err != nil {
		return nil, err
	}
	if err := needShape(b, "output 2", b.Out[2], chosen.Shape...); err != nil {
		return nil, err
	}
	move := b.split(total, 1, k/8, func(_, lo, hi int) {
		slots, src, dst := tensor.View[int64](b.Out[2]), x.F32(), y.F32()
		for i := lo; i < hi; i++ {
			t, s := i/each, int(slots[i])
			copy(dst[s*k:(s+1)*k], src[t*k:(t+1)*k])
		}
	})
	return func() error {
		experts, ends, slots := tensor.View[int64](chosen), tensor.View[int64](b.Out[1]), tensor.View[int64](b.Out[2])
		clear(ends)
		for _, e := range experts {
			if e < 0 || e >= int64(count) {
				return b.errorf("expert %d of %d is chosen", e, count)
			}
			ends[e]++
		}
		// Each expert's count becomes its first row; once all its rows have their slots, it has moved on to its end.
		first := int64(0)
		for e, n := range ends {
			ends[e] = first
			first += n
		}
		for i, e := range experts {
			slots[i] = ends[e]
			ends[e]++
		}
		move()
		return nil
	}, nil
}

// bindExperts binds dsk.Experts. Experts without rows are not touched, so a decoding step reads the weights of those that its token
// chose only.
func bindExperts(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 2); err != nil {
		return nil, err
	}
	if err := needI64(b, 1); err != nil {
		return nil, err
	}
	x, y, count := b.In[0], b.Out[0], len(b.In)-model.ExpertWeights
	if len(x.Shape) != 2 || len(y.Shape) != 2 || count < 1 {
		return nil, b.errorf("%d experts for rows %v", count, x.Shape)
	}
	rows, k, n := x.Shape[0], x.Shape[1], y.Shape[1]
	if err := needShape(b, "ends", b.In[1], count); err != nil {
		return nil, err
	}
	if err := needShape(b, "the output", y, rows, n); err != nil {
		return nil, err
	}
	if b.Has(2) {
		if err := needShape(b, "the bias", b.In[2], count, n); err != nil {
			return nil, err
		}
		if !b.IsConst(2) {
			return nil, b.errorf("the bias of experts must be a constant")
		}
	}
	act, err := fusedActivation(b)
	if err != nil {
		return nil, err
	}
	experts := make([]*rowProduct, count)
	need := 0
	for e := range experts {
		i := model.ExpertWeights + e
		if !b.IsConst(i) || len(b.In[i].Shape) != 2 {
			return nil, b.errorf("weights of expert %d must be a constant matrix", e)
		}
		w, err := weightPanels(b, b.In[i], n, k, k, 1)
		if err != nil {
			return nil, err
		}
		p := &rowProduct{n: n, k: k, act: act, wide: floatActs(b)}
		if b.Has(2) {
			p.bias = &tensor.Tensor{DType: tensor.F32, Shape: []int{n}, Data: b.In[2].Data[e*n*4 : (e+1)*n*4]}
		}
		p.fix(b.Pool, w, true)
		experts[e] = p
		need = max(need, p.scratchBytes(rows))
	}
	scratch := b.Scratch(need)
	return func() error {
		ends := tensor.View[int64](b.In[1])
		if err := b.soundEnds(ends, rows); err != nil {
			return err
		}
		lo := 0
		for e, end := range ends {
			if hi := int(end); hi > lo {
				experts[e].run(y.F32()[lo*n:hi*n], n, x.F32()[lo*k:hi*k], k, hi-lo, scratch.Data)
				lo = hi
			}
		}
		return nil
	}, nil
}

// soundEnds checks that ends divides rows into consecutive parts.
func (b *Bind) soundEnds(ends []int64, rows int) error {
	last := int64(0)
	for _, end := range ends {
		if end < last {
			return b.errorf("the ends of experts fall from %d to %d", last, end)
		}
		last = end
	}
	if last != int64(rows) {
		return b.errorf("the last expert ends at %d of %d rows", last, rows)
	}
	return nil
}

// bindCombine binds dsk.Combine. A token's rows are added in the order of its choices.
func bindCombine(b *Bind) (Run, error) {
	if err := needInputs(b, 3); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 2); err != nil {
		return nil, err
	}
	if err := needI64(b, 1); err != nil {
		return nil, err
	}
	x, slots, weights, y := b.In[0], b.In[1], b.In[2], b.Out[0]
	rank := len(slots.Shape)
	if len(x.Shape) != 2 || rank == 0 || !tensor.SameShape(slots.Shape, weights.Shape) {
		return nil, b.errorf("rows %v, slots %v and weights %v", x.Shape, slots.Shape, weights.Shape)
	}
	rows, n, each, tokens := x.Shape[0], x.Shape[1], slots.Shape[rank-1], product(slots.Shape[:rank-1])
	if err := needShape(b, "the output", y, append(append([]int(nil), slots.Shape[:rank-1]...), n)...); err != nil {
		return nil, err
	}
	sum := b.split(tokens, 1, each*n/8, func(_, lo, hi int) {
		at, w, src, dst := tensor.View[int64](slots), weights.F32(), x.F32(), y.F32()
		for t := lo; t < hi; t++ {
			row := dst[t*n : (t+1)*n]
			clear(row)
			for j := t * each; j < (t+1)*each; j++ {
				kernels.Axpy(row, src[int(at[j])*n:(int(at[j])+1)*n], w[j])
			}
		}
	})
	return func() error {
		for _, s := range tensor.View[int64](slots) {
			if s < 0 || s >= int64(rows) {
				return b.errorf("slot %d of %d rows", s, rows)
			}
		}
		sum()
		return nil
	}, nil
}
