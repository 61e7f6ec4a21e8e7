package runtime

import (
	"fmt"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// CacheType is how a session keeps the keys and values of attention. A graph declares its caches as F32; states that
// only TensorScatter writes and only Attention reads may be kept in fewer bytes, and all others stay as declared.
type CacheType string

// The cache types.
const (
	CacheF32 CacheType = "f32" // as the graph says; the default
	CacheF16 CacheType = "f16" // half the bytes
	// CacheBF16 has half the bytes too, and the fastest products where there is AMX, which rounds queries and weights as well.
	CacheBF16 CacheType = "bf16"
	CacheI8   CacheType = "int8" // a byte an element and a float32 scale for each head and token
)

// ParseCacheType reads f32, f16, bf16 or int8; the empty string is CacheF32.
func ParseCacheType(s string) (CacheType, error) {
	switch c := CacheType(strings.ToLower(s)); c {
	case "":
		return CacheF32, nil
	case CacheF32, CacheF16, CacheBF16, CacheI8:
		return c, nil
	}
	return "", &fault.Usage{What: fmt.Sprintf("cache type %q: must be f32, f16, bf16 or int8", s)}
}

func (c CacheType) rows() kernels.RowKind {
	switch c {
	case CacheF16:
		return kernels.RowsF16
	case CacheBF16:
		return kernels.RowsBF16
	case CacheI8:
		return kernels.RowsI8
	}
	return kernels.RowsF32
}

// cacheRows says how a state F32 [batch, tokens, heads*dim] is kept: as bytes [batch, tokens, heads*kind.RowBytes(dim)],
// head by head in a token's row.
type cacheRows struct {
	kind       kernels.RowKind
	shape      []int // as declared
	heads, dim int
}

// rowBytes are the bytes of a head of a token, stride those of a token.
func (c *cacheRows) rowBytes() int { return c.kind.RowBytes(c.dim) }
func (c *cacheRows) stride() int   { return c.heads * c.rowBytes() }

// tensorShape is the shape of the bytes.
func (c *cacheRows) tensorShape() []int { return []int{c.shape[0], c.shape[1], c.stride()} }

// declared is the type that the graph knows.
func (c *cacheRows) declared() model.Type {
	t := model.Type{DType: tensor.F32}
	for _, n := range c.shape {
		t.Shape = append(t.Shape, model.Known(n))
	}
	return t
}

// of returns the rows of one head.
func (c *cacheRows) of(t *tensor.Tensor, batch, head int) kernels.Rows {
	from := batch*c.shape[1]*c.stride() + head*c.rowBytes()
	return kernels.Rows{Kind: c.kind, Data: t.Data[min(from, len(t.Data)):], Stride: c.stride()}
}

// cacheHeads returns the number of heads of each state that may be kept in another type than its own: F32 of three axes,
// the batch, tokens and heads; read once, by the TensorScatter that writes its new value along the tokens; and that value read
// only as keys or values of Attention with one number of heads.
func cacheHeads(g *model.Graph) map[string]int {
	uses := map[string][]cacheUse{}
	var visit func(n *model.Node, nested bool)
	visit = func(n *model.Node, nested bool) {
		for i, name := range n.Inputs {
			u := cacheUse{node: n, input: i}
			if nested {
				u.node = nil
			}
			uses[name] = append(uses[name], u)
		}
		for _, sub := range n.Subgraphs() {
			for _, m := range sub.Nodes {
				visit(m, true)
			}
			for _, o := range sub.Outputs {
				uses[o.Name] = append(uses[o.Name], cacheUse{})
			}
		}
	}
	for _, n := range g.Nodes {
		visit(n, false)
	}
	for _, o := range g.Outputs {
		uses[o.Name] = append(uses[o.Name], cacheUse{})
	}
	found := map[string]int{}
	for _, st := range g.States {
		shape, in := st.Input.Type.Shape, uses[st.Input.Name]
		if st.Input.Type.DType != tensor.F32 || len(shape) != 3 || !shape[2].IsKnown() || len(in) != 1 || !in[0].writes(st.Output) {
			continue
		}
		heads := 0
		for _, u := range uses[st.Output] {
			n := u.heads()
			if n < 1 || heads != 0 && n != heads {
				heads = -1
				break
			}
			heads = n
		}
		if heads > 0 && shape[2].N > 0 && shape[2].N%heads == 0 {
			found[st.Input.Name] = heads
		}
	}
	return found
}

// cacheUse is a place where a value is read: an input of a node of the graph, or elsewhere (no node).
type cacheUse struct {
	node  *model.Node
	input int
}

// writes reports whether the use is that of a cache which TensorScatter updates to out along the second of three axes.
func (u cacheUse) writes(out string) bool {
	n := u.node
	if n == nil || !n.Is("", "TensorScatter") || u.input != 0 || n.Outputs[0] != out {
		return false
	}
	axis := n.Int("axis", -2)
	return axis == 1 || axis == -2
}

// heads returns the heads of the keys or values that Attention reads there, or 0 if it does not, or wants more than its result.
func (u cacheUse) heads() int {
	n := u.node
	if n == nil || !n.Is("", "Attention") || u.input != 1 && u.input != 2 {
		return 0
	}
	for i, name := range n.Inputs {
		if (i == 4 || i == 5) && name != "" {
			return 0
		}
	}
	for i, name := range n.Outputs {
		if i > 0 && name != "" {
			return 0
		}
	}
	return int(n.Int("kv_num_heads", 0))
}

// bindCacheScatter binds TensorScatter into a cache that is kept in rows.
func bindCacheScatter(b *Bind) (Run, error) {
	rows, cache, update := b.cache[0], b.In[0], b.In[1]
	tokens := 0
	if len(update.Shape) == 3 {
		tokens = update.Shape[1]
	}
	if err := needShape(b, "the update", update, rows.shape[0], tokens, rows.shape[2]); err != nil {
		return nil, err
	}
	if update.DType != tensor.F32 {
		return nil, b.unsupportedType(update.DType)
	}
	at, circular, err := scatterPlace(b, rows.shape[0])
	if err != nil {
		return nil, err
	}
	b.Alias(0, 0)
	s := &tensorScatter{at: at, circular: circular, batch: rows.shape[0], length: rows.shape[1], rows: tokens}
	size := rows.rowBytes()
	store := b.split(s.batch*tokens*rows.heads, 1, rows.dim, func(_, lo, hi int) {
		src := update.F32()
		for u := lo; u < hi; u++ {
			batch, token, head := u/(tokens*rows.heads), u/rows.heads%tokens, u%rows.heads
			p := (s.first(batch) + token) % s.length
			to := (batch*s.length+p)*rows.stride() + head*size
			rows.kind.Store(cache.Data[to:to+size], src[u*rows.dim:(u+1)*rows.dim])
		}
	})
	return func() error {
		if err := s.check(); err != nil {
			return err
		}
		store()
		return nil
	}, nil
}
