package runtime

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// bindRotaryEmbedding binds RotaryEmbedding: X as for Attention, cos and sin caches [positions, n] with
// position_ids[batch, tokens], or [batch, tokens, n] without; 2n elements of a head are rotated.
func bindRotaryEmbedding(b *Bind) (Run, error) {
	if err := needInputs(b, 3); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1, 2); err != nil {
		return nil, err
	}
	x, cos, sin, y := b.In[0], b.In[1], b.In[2], b.Out[0]
	h, err := headsOf(b, "X", x.Shape, int(b.Node.Int("num_heads", 0)))
	if err != nil {
		return nil, err
	}
	if err := needShape(b, "Y", y, x.Shape...); err != nil {
		return nil, err
	}
	if err := needShape(b, "sin_cache", sin, cos.Shape...); err != nil {
		return nil, err
	}
	dim := int(b.Node.Int("rotary_embedding_dim", 0))
	if dim == 0 {
		dim = h.dim
	}
	if dim < 0 || dim > h.dim || dim%2 != 0 || len(cos.Shape) == 0 || cos.Shape[len(cos.Shape)-1] != dim/2 {
		return nil, b.errorf("caches of shape %v rotate %d of %d elements of a head", cos.Shape, dim, h.dim)
	}
	batch, half := x.Shape[0], dim/2
	positions := batch * h.tokens
	var ids *tensor.Tensor
	if b.Has(3) {
		ids = b.In[3]
		if ids.DType != tensor.I64 {
			return nil, b.unsupportedType(ids.DType)
		}
		if err := needShape(b, "position_ids", ids, batch, h.tokens); err != nil {
			return nil, err
		}
		if len(cos.Shape) != 2 {
			return nil, b.errorf("cos_cache has shape %v, want [positions,%d]", cos.Shape, half)
		}
		positions = cos.Shape[0]
	} else if err := needShape(b, "cos_cache", cos, batch, h.tokens, half); err != nil {
		return nil, err
	}
	interleaved := b.Node.Int("interleaved", 0) != 0
	b.InPlace(0, 0)
	rotate := b.split(batch*h.tokens, 1, h.n*h.dim, func(_, lo, hi int) {
		src, dst, c, s := x.F32(), y.F32(), cos.F32(), sin.F32()
		for t := lo; t < hi; t++ {
			p := t
			if ids != nil {
				p = int(ids.I64()[t])
			}
			c, s := c[p*half:(p+1)*half], s[p*half:(p+1)*half]
			at := t/h.tokens*h.batch + t%h.tokens*h.token
			for i := range h.n {
				o := at + i*h.head
				kernels.RopeRow(dst[o:o+h.dim], src[o:o+h.dim], c, s, interleaved)
			}
		}
	})
	return func() error {
		if ids != nil {
			for i, p := range ids.I64() {
				if p < 0 || p >= int64(positions) {
					return fmt.Errorf("position_ids[%d] is %d, but the caches hold %d positions", i, p, positions)
				}
			}
		}
		rotate()
		return nil
	}, nil
}

// bindTensorScatter binds TensorScatter: the cache with the update written along the axis from
// write_indices[b] on (0 if absent); the mode circular goes on at the beginning. A session's state is
// updated where it lies, so that only the update's rows are written.
func bindTensorScatter(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if b.cache[0] != nil {
		return bindCacheScatter(b)
	}
	cache, update, out := b.In[0], b.In[1], b.Out[0]
	rank := len(cache.Shape)
	axis, err := b.axis("axis", -2, rank)
	if err != nil {
		return nil, err
	}
	if axis == 0 {
		return nil, b.errorf("the axis must not be the batch")
	}
	if update.DType != cache.DType || out.DType != cache.DType {
		return nil, b.errorf("cache of type %v, update of type %v", cache.DType, update.DType)
	}
	if err := needShape(b, "the output", out, cache.Shape...); err != nil {
		return nil, err
	}
	want := append([]int(nil), cache.Shape...)
	if len(update.Shape) == rank {
		want[axis] = update.Shape[axis]
	}
	if err := needShape(b, "the update", update, want...); err != nil {
		return nil, err
	}
	at, circular, err := scatterPlace(b, cache.Shape[0])
	if err != nil {
		return nil, err
	}
	if b.IsState(0) {
		b.Alias(0, 0)
	} else {
		b.InPlace(0, 0)
	}
	s := &tensorScatter{cache: cache, update: update, out: out, at: at, circular: circular,
		batch: cache.Shape[0], outer: product(cache.Shape[1:axis]), length: cache.Shape[axis], rows: update.Shape[axis],
		inner: product(cache.Shape[axis+1:]) * cache.DType.Size()}
	return s.run, nil
}

// scatterPlace reads where TensorScatter writes: write_indices, or nil, and whether it goes on at the beginning.
func scatterPlace(b *Bind, batch int) (at *tensor.Tensor, circular bool, err error) {
	if b.Has(2) {
		at = b.In[2]
		if at.DType != tensor.I64 {
			return nil, false, b.unsupportedType(at.DType)
		}
		if err := needShape(b, "write_indices", at, batch); err != nil {
			return nil, false, err
		}
	}
	mode := b.Node.Str("mode", "linear")
	if mode != "linear" && mode != "circular" {
		return nil, false, b.errorf("unknown mode %q", mode)
	}
	return at, mode == "circular", nil
}

type tensorScatter struct {
	cache, update, out, at *tensor.Tensor
	circular               bool
	batch, outer           int
	length, rows           int // of the cache and of the update, along the axis
	inner                  int // bytes of a row
}

// check refuses rows that the cache has no place for.
func (s *tensorScatter) check() error {
	for i := range s.batch {
		p := s.first(i)
		switch {
		case p < 0 || s.circular && p >= s.length && s.rows > 0:
			return fmt.Errorf("write_indices[%d] is %d, but the cache holds %d rows", i, p, s.length)
		case s.rows > s.length || !s.circular && p > s.length-s.rows:
			return fmt.Errorf("%d rows from %d do not fit a cache of %d", s.rows, p, s.length)
		}
	}
	return nil
}

func (s *tensorScatter) run() error {
	if err := s.check(); err != nil {
		return err
	}
	if len(s.out.Data) == 0 {
		return nil
	}
	if &s.out.Data[0] != &s.cache.Data[0] {
		copy(s.out.Data, s.cache.Data)
	}
	for i := range s.batch {
		p := s.first(i)
		head := min(s.rows, s.length-p)
		for o := range s.outer {
			block := (i*s.outer + o)
			dst := s.out.Data[block*s.length*s.inner : (block+1)*s.length*s.inner]
			src := s.update.Data[block*s.rows*s.inner : (block+1)*s.rows*s.inner]
			copy(dst[p*s.inner:], src[:head*s.inner])
			copy(dst, src[head*s.inner:])
		}
	}
	return nil
}

// first returns the row at which batch i is written.
func (s *tensorScatter) first(i int) int {
	if s.at == nil {
		return 0
	}
	return int(s.at.I64()[i])
}
