package safetensors

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// attention describes a layer's attention.
type attention struct {
	prefix         string // of the checkpoint's names: prefix.q_proj and so on
	width          int    // of the hidden state
	heads, kvHeads int
	headDim        int
	biasQKV, biasO bool
	unbiasedK      bool    // keys have no bias even with biasQKV
	q, k, v, o     string  // the products' names; "" for q_proj and so on
	oTransposed    bool    // it is stored as [in, out]
	fused          *fused  // nil: q_proj, k_proj and v_proj
	clip           float64 // if > 0, queries, keys and values are clamped to [-clip, clip]
	// normalize returns queries and keys as they are normalized before their rotation; nil: not at all.
	normalize func(out, q, k string, a attention) (string, string)
	rope      *rope   // nil: none
	window    int     // 0: all tokens before; else the last window of them
	scale     float64 // of the scores; 0: 1/sqrt(headDim)
	softcap   float64 // if > 0, scores become softcap tanh(score/softcap)
	bias      string  // a value to add to the scores, "" for none
	sinks     string  // the checkpoint's [heads] scores of a key without a value, "" for none
	lengths   string  // a value I64 [batch], how many keys there are; "": as many as in the operand
	allKeys   bool    // a query sees later keys, too
}

// fused describes one product prefix.name of total outputs for queries, keys and values.
type fused struct {
	name       string
	total      int
	q, k, v    func(r int) int // which of the outputs
	transposed bool            // the weight is stored as [in, out]
}

// fusedInOrder has all queries first, then all keys, then all values.
func fusedInOrder(name string, qWidth, kvWidth int) *fused {
	return &fused{name: name, total: qWidth + 2*kvWidth, q: from(0), k: from(qWidth), v: from(qWidth + kvWidth)}
}

// fusedPerGroup has, for each key/value head, the queries of its group of heads, its key and its value.
func fusedPerGroup(name string, heads, kvHeads, headDim int) *fused {
	group := heads / kvHeads
	stride := (group + 2) * headDim
	return &fused{name: name, total: kvHeads * stride, q: perHead(stride, 0, group*headDim),
		k: perHead(stride, group*headDim, headDim), v: perHead(stride, (group+1)*headDim, headDim)}
}

// named returns the name that is there, or def.
func named(name, def string) string {
	if name == "" {
		return def
	}
	return name
}

// project adds the product that makes queries, keys or values, each of which lie in heads of x's last axis of n elements.
func (b *builder) project(out, x, name string, a attention, heads int, bias bool) string {
	return b.linear(out, x, a.prefix+"."+name, heads*a.headDim, a.width, bias, model.ActNone)
}

// queries, keys and values add the products of an attention that are not fused.
func (b *builder) queries(out, x string, a attention) string {
	return b.project(out+".q", x, named(a.q, "q_proj"), a, a.heads, a.biasQKV)
}

func (b *builder) keys(out, x string, a attention) string {
	return b.project(out+".k", x, named(a.k, "k_proj"), a, a.kvHeads, a.biasQKV && !a.unbiasedK)
}

func (b *builder) values(out, x string, a attention) string {
	return b.project(out+".v", x, named(a.v, "v_proj"), a, a.kvHeads, a.biasQKV)
}

// projections adds the products that make queries, keys and values.
func (b *builder) projections(out, x string, a attention) (q, k, v string) {
	qWidth, kvWidth := a.heads*a.headDim, a.kvHeads*a.headDim
	f := a.fused
	if f == nil {
		return b.queries(out, x, a), b.keys(out, x, a), b.values(out, x, a)
	}
	part := func(name string, n int, at func(int) int) string {
		w := rowsOf(f.total, n, a.width, at)
		if f.transposed {
			w = columnsOf(f.total, n, a.width, at)
		}
		return b.linearView(out+"."+name, x, a.prefix+"."+f.name, name, w, a.biasQKV, at, model.ActNone)
	}
	return part("q", qWidth, f.q), part("k", kvWidth, f.k), part("v", kvWidth, f.v)
}

// attention adds causal self-attention with a cache of keys and values, cache_k.<layer> and
// cache_v.<layer> F32 [batch, ctx, kvHeads*headDim]. Keys go into the cache after their rotation.
func (b *builder) attention(out, x string, layer int, a attention) string {
	q, k, v := b.operands(out, x, a)
	k = b.cache("k", layer, k, a.kvHeads*a.headDim)
	v = b.cache("v", layer, v, a.kvHeads*a.headDim)
	a.lengths = kvLen
	return b.attended(out, q, k, v, a)
}

// uncached adds self-attention over the tokens of a pass alone.
func (b *builder) uncached(out, x string, _ int, a attention) string {
	q, k, v := b.operands(out, x, a)
	return b.attended(out, q, k, v, a)
}

// operands adds queries, keys and values as they go into the scores.
func (b *builder) operands(out, x string, a attention) (q, k, v string) {
	q, k, v = b.projections(out, x, a)
	if a.clip > 0 {
		q, k, v = b.clip(out+".q_clipped", q, a.clip), b.clip(out+".k_clipped", k, a.clip), b.clip(out+".v_clipped", v, a.clip)
	}
	if a.normalize != nil {
		q, k = a.normalize(out, q, k, a)
	}
	if a.rope != nil {
		q = b.rotate(out+".q_rotated", q, a.rope, a.heads)
		k = b.rotate(out+".k_rotated", k, a.rope, a.kvHeads)
	}
	return q, k, v
}

// attended adds the attention of queries to keys and values, and the product behind it.
func (b *builder) attended(out, q, k, v string, a attention) string {
	y := b.scores(out+".heads", q, k, v, a)
	o, qWidth := a.prefix+"."+named(a.o, "o_proj"), a.heads*a.headDim
	if a.oTransposed {
		return b.linearView(out, y, o, "t", columnsOf(a.width, a.width, qWidth, from(0)), a.biasO, from(0), model.ActNone)
	}
	return b.linear(out, y, o, a.width, qWidth, a.biasO, model.ActNone)
}

// scores adds the attention of the queries to keys and values.
func (b *builder) scores(out, q, k, v string, a attention) string {
	attrs := model.Attrs{"q_num_heads": model.IntAttr(int64(a.heads)), "kv_num_heads": model.IntAttr(int64(a.kvHeads))}
	if !a.allKeys {
		attrs["is_causal"] = model.IntAttr(1)
	}
	if a.window > 0 {
		attrs["local_window_size"] = model.IntAttr(int64(a.window))
	}
	if a.scale != 0 {
		attrs["scale"] = model.FloatAttr(float32(a.scale))
	}
	if a.softcap != 0 {
		attrs["softcap"] = model.FloatAttr(float32(a.softcap))
	}
	in := []string{q, k, v, a.bias, "", "", a.lengths}
	if a.sinks != "" {
		in = append(in, b.vector(a.sinks, a.heads))
	}
	for in[len(in)-1] == "" {
		in = in[:len(in)-1]
	}
	return b.onnx("Attention", out, attrs, in...)
}

// normHeads normalizes each head of queries and keys, with weights that the heads share.
func (b *builder) normHeads(q, k string, n norm) func(out, qs, ks string, a attention) (string, string) {
	return func(out, qs, ks string, a attention) (string, string) {
		return b.headNorm(out+".q_norm", qs, a.prefix+"."+q, a.heads, a.headDim, n),
			b.headNorm(out+".k_norm", ks, a.prefix+"."+k, a.kvHeads, a.headDim, n)
	}
}

// normAll normalizes queries and keys over all heads at once.
func (b *builder) normAll(q, k string, n norm) func(out, qs, ks string, a attention) (string, string) {
	return func(out, qs, ks string, a attention) (string, string) {
		return b.norm(out+".q_norm", qs, a.prefix+"."+q, a.heads*a.headDim, n),
			b.norm(out+".k_norm", ks, a.prefix+"."+k, a.kvHeads*a.headDim, n)
	}
}

// normEachHead normalizes each head with weights of its own; weights returns the value [heads, headDim] of those
// under a name.
func (b *builder) normEachHead(q, k string, n norm, weights func(prefix string, heads, headDim int) string) func(out, qs, ks string, a attention) (string, string) {
	return func(out, qs, ks string, a attention) (string, string) {
		return b.headNormEach(out+".q_norm", qs, weights(a.prefix+"."+q, a.heads, a.headDim), a.heads, a.headDim, n),
			b.headNormEach(out+".k_norm", ks, weights(a.prefix+"."+k, a.kvHeads, a.headDim), a.kvHeads, a.headDim, n)
	}
}

// clip clamps x to [-limit, limit].
func (b *builder) clip(out, x string, limit float64) string {
	return b.onnx("Clip", out, nil, x, b.scalar(-limit), b.scalar(limit))
}

// alibi adds the bias of "attention with linear biases" (Press et al. 2022): slope[h] * (s - last) for key s and the last key,
// F32 [batch, heads, 1, ctx]. Softmax does not see what all keys of a query have in common, so this is slope[h] * (s - query).
func (b *builder) alibi(slopes []float64) string {
	keys := b.keyPositions()
	one := b.constant("one_row", tensor.FromSlice([]int64{1}, 1))
	last := b.onnx("Sub", "alibi.last", nil, kvLen, one)
	axes := b.constant("axes_123", tensor.FromSlice([]int64{1, 2, 3}, 3))
	last = b.onnx("Unsqueeze", "alibi.last_column", nil, last, axes)
	distance := b.onnx("Sub", "alibi.offset", nil, keys, last)
	distance = b.onnx("Cast", "alibi.distance", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.F32))}, distance)
	return b.onnx("Mul", "alibi", nil, distance, b.slopes(slopes))
}

// alibiBF16 is the bias as falcon computes it: slopes, positions of keys and their product are rounded to BF16, and the scale of
// the scores applies to the bias, too.
func (b *builder) alibiBF16(slopes []float64, scale float64) string {
	round := func(out, x string) string {
		x = b.onnx("Cast", out+".bf16", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.BF16))}, x)
		return b.onnx("Cast", out, model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.F32))}, x)
	}
	keys := round("alibi.keys", b.keyPositions())
	y := b.onnx("Mul", "alibi.product", nil, keys, round("alibi.slopes_rounded", b.slopes(slopes)))
	return b.onnx("Mul", "alibi", nil, round("alibi.rounded", y), b.scalar(scale))
}

// keyPositions is 0, 1, ... for all places of the caches: I64 [ctx].
func (b *builder) keyPositions() string {
	ctx := b.onnx("Shape", "ctx_len", model.Attrs{"start": model.IntAttr(1), "end": model.IntAttr(2)}, "cache_k.0")
	count := b.onnx("Squeeze", "ctx_count", nil, ctx)
	return b.onnx("Range", "key_positions", nil, "zero", count, "one")
}

func (b *builder) slopes(v []float64) string {
	t := tensor.New(tensor.F32, 1, len(v), 1, 1)
	for i, s := range v {
		t.F32()[i] = float32(s)
	}
	return b.constant("alibi.slopes", t)
}

// alibiSlopes are 2^(-8/n), 2^(-16/n), ... for a power of two n of heads; else those of the power below, and for the rest every
// second one of the power above.
func alibiSlopes(heads int) []float64 {
	n := 1
	for n*2 <= heads {
		n *= 2
	}
	var out []float64
	for i := range n {
		out = append(out, pow(2, -8*float64(i+1)/float64(n)))
	}
	for i := 0; len(out) < heads; i += 2 {
		out = append(out, pow(2, -4*float64(i+1)/float64(n)))
	}
	return out
}

// alibiSlopesMax are MPT's slopes, 2^(-biasMax*i/n) for the power of two n at or above heads. If that is above, those with an
// even number come first, and those beyond the heads are left out.
func alibiSlopesMax(heads int, biasMax float64) []float64 {
	n := 1
	for n < heads {
		n *= 2
	}
	all := make([]float64, n)
	for i := range all {
		all[i] = pow(2, -biasMax*float64(i+1)/float64(n))
	}
	if n == heads {
		return all
	}
	var out []float64
	for i := 1; i < n; i += 2 {
		out = append(out, all[i])
	}
	for i := 0; i < n; i += 2 {
		out = append(out, all[i])
	}
	return out[:heads]
}

// scalar is an F32 constant.
func (b *builder) scalar(v float64) string {
	name := fmt.Sprintf("scalar_%08x", math.Float32bits(float32(v)))
	return b.constant(name, tensor.FromSlice([]float32{float32(v)}, scalarShape...))
}

// ints is a constant vector of integers.
func (b *builder) ints(v ...int64) string {
	parts := make([]string, len(v))
	for i, x := range v {
		parts[i] = strconv.FormatInt(x, 10)
	}
	return b.constant("ints_"+strings.Join(parts, "_"), tensor.FromSlice(v, len(v)))
}

func decimal(n int) string { return strconv.Itoa(n) }

// scaled is x times factor.
func (b *builder) scaled(out, x string, factor float64) string {
	if factor == 1 {
		return x
	}
	return b.onnx("Mul", out, nil, x, b.scalar(factor))
}

// softcapped is limit tanh(x/limit).
func (b *builder) softcapped(out, x string, limit float64) string {
	x = b.onnx("Div", out+".share", nil, x, b.scalar(limit))
	x = b.onnx("Tanh", out+".tanh", nil, x)
	return b.onnx("Mul", out, nil, x, b.scalar(limit))
}
