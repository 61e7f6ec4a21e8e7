package safetensors

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/model"
)

var (
	_ = register(architecture{modelType: "deepseek_v2", class: "DeepseekV2ForCausalLM", name: "deepseek_v2", build: buildDeepSeekV2,
		models: "DeepSeek-V2, V2-Lite, Coder-V2"})
	_ = register(architecture{modelType: "deepseek_v3", class: "DeepseekV3ForCausalLM", name: "deepseek_v3", build: buildDeepSeekV3,
		models: "DeepSeek-V3, R1, in BF16"})
)

// latent describes multi-head latent attention (DeepSeek 2024): keys and values come from a narrow product that all
// heads share, and only a part of each key, the same for all heads, is rotated.
type latent struct {
	qRank          int // 0: queries come straight from the hidden state
	kvRank         int
	plain, rotated int // parts of a query and key head
	value          int // size of a value head
	norm           norm
	bias           bool
}

// readDeepSeek reads what the versions have in common.
func readDeepSeek(b *builder) (d *decoder, inner int, act string) {
	c := b.config
	d, inner, act = readDecoder(b, llamaDefaults{headDim: 64, context: 2048, eps: 1e-6})
	l := latent{kvRank: c.countOr("kv_lora_rank", 512), plain: c.countOr("qk_nope_head_dim", 128), rotated: c.countOr("qk_rope_head_dim", 64),
		value: c.countOr("v_head_dim", 128), norm: norm{eps: 1e-6}, bias: c.flag("attention_bias", false)}
	if _, ok := c.raw("q_lora_rank"); ok {
		l.qRank = c.countOr("q_lora_rank", 1536)
	}
	if l.plain+l.rotated > maxHeadDim || l.value > maxHeadDim {
		c.wrong = append(c.wrong, fmt.Sprintf("the sizes of a head, %d+%d and %d, are above the limit of %d", l.plain, l.rotated, l.value, maxHeadDim))
	}
	a := &d.attention
	a.kvHeads, a.headDim = a.heads, l.plain+l.rotated
	a.rope, d.context = ropeWith(c, "rope", a.headDim, l.rotated, c.countOr("max_position_embeddings", 2048), 10000)
	a.rope.interleaved = c.flag("rope_interleave", true)
	a.scale = 1 / math.Sqrt(float64(a.headDim))
	// With yarn, the scores are scaled as well.
	if s := c.sub("rope_scaling"); s != nil && s.text("rope_type", s.text("type", "")) == "yarn" {
		if m := s.number("mscale_all_dim", 0); m != 0 {
			scale := yarnScale(s.positive("factor", 1), m)
			a.scale *= float64(scale * scale)
		}
	}
	d.attend = func(out, x string, i int, a attention) string { return b.latentAttention(out, x, i, a, l) }
	return d, inner, act
}

// latentAttention adds the attention with caches of whole keys and values. The rotated part comes first in each head,
// where RotaryEmbedding wants it; the checkpoint has it last.
func (b *builder) latentAttention(out, x string, layer int, a attention, l latent) string {
	head := l.rotated + l.plain
	rotatedFirst := func(r int) int { return r/head*head + (r%head+l.plain)%head }
	total := a.heads * head
	var q string
	if l.qRank == 0 {
		q = b.linearView(out+".q", x, a.prefix+".q_proj", "turned", rowsOf(total, total, a.width, rotatedFirst), false, nil, model.ActNone)
	} else {
		q = b.linear(out+".q_a", x, a.prefix+".q_a_proj", l.qRank, a.width, l.bias, model.ActNone)
		q = b.norm(out+".q_a_norm", q, a.prefix+".q_a_layernorm", l.qRank, l.norm)
		q = b.linearView(out+".q", q, a.prefix+".q_b_proj", "turned", rowsOf(total, total, l.qRank, rotatedFirst), false, nil, model.ActNone)
	}
	q = b.rotate(out+".q_rotated", q, a.rope, a.heads)

	down := func(part string, n, first int) string {
		return b.linearView(out+"."+part, x, a.prefix+".kv_a_proj_with_mqa", part, rowsOf(l.kvRank+l.rotated, n, a.width, from(first)), l.bias, from(first), model.ActNone)
	}
	common := b.norm(out+".kv_norm", down("kv", l.kvRank, 0), a.prefix+".kv_a_layernorm", l.kvRank, l.norm)
	up := func(part string, first, size int) string {
		stride := l.plain + l.value
		return b.linearView(out+"."+part, common, a.prefix+".kv_b_proj", part,
			rowsOf(a.heads*stride, a.heads*size, l.kvRank, perHead(stride, first, size)), false, nil, model.ActNone)
	}
	k := b.rotate(out+".k_common_rotated", down("k_common", l.rotated, l.kvRank), a.rope, 1)
	k = b.splitHeads(out+".k_common_head", k, 1, l.rotated)
	k = b.onnx("Expand", out+".k_common_heads", nil, k, b.ints(1, 1, int64(a.heads), int64(l.rotated)))
	k = b.onnx("Concat", out+".k_heads", model.Attrs{"axis": model.IntAttr(-1)}, k, b.splitHeads(out+".k_plain_heads", up("k_plain", 0, l.plain), a.heads, l.plain))
	k = b.cache("k", layer, b.mergeHeads(out+".k", k, total), total)
	v := b.cache("v", layer, up("v", l.plain, l.value), a.heads*l.value)
	a.lengths = kvLen
	y := b.scores(out+".heads", q, k, v, a)
	return b.linear(out, y, a.prefix+".o_proj", a.width, a.heads*l.value, l.bias, model.ActNone)
}

// groups says how experts are chosen by groups first (DeepSeek 2024).
type groups struct {
	count, chosen int
	best          int // how many experts of a group make its score
}

// readGroups reads the groups; the zero value if there are none.
func readGroups(c *config, e experts, best int) groups {
	g := groups{count: c.countOr("n_group", 1), chosen: c.countOr("topk_group", 1), best: best}
	if g.count == 1 {
		return groups{}
	}
	if e.count%g.count != 0 || g.chosen > g.count || e.chosen > g.chosen*(e.count/g.count) {
		c.wrong = append(c.wrong, fmt.Sprintf("%d experts cannot be chosen from %d of %d groups of %d experts", e.chosen, g.chosen, g.count, e.count))
		return groups{}
	}
	g.best = min(best, e.count/g.count)
	return g
}

// limit makes the scores [batch, seq, count] of experts outside the best groups 0.
func (g groups) limit(b *builder, out, scores string, count int) string {
	if g.count == 0 {
		return scores
	}
	x := b.splitHeads(out+".groups", scores, g.count, count/g.count)
	best, _ := b.topK(out+".group_best", x, g.best)
	best = b.onnx("ReduceSum", out+".group_scores", model.Attrs{"keepdims": model.IntAttr(0)}, best, b.ints(-1))
	_, indices := b.topK(out+".group_top", best, g.chosen)
	mask := b.scatter(out+".group_mask", best, indices, b.filled(out+".group_ones", indices, 1))
	mask = b.onnx("Unsqueeze", out+".group_factor", nil, mask, b.ints(-1))
	return b.mergeHeads(out+".limited", b.onnx("Mul", out+".grouped", nil, x, mask), count)
}

// deepSeekMLP has the first layers dense, and in the others experts beside shared ones that always count. route returns
// weights and places of the chosen experts for their products with the router.
func (d *decoder) deepSeekMLP(b *builder, inner int, act string, e experts, route func(out, x, prefix string) (weights, indices string)) {
	c := b.config
	e.act, e.inner = act, c.countOr("moe_intermediate_size", 1407)
	dense, scale := int(c.number("first_k_dense_replace", 0)), c.positive("routed_scaling_factor", 1)
	shared := 0
	if _, ok := c.raw("n_shared_experts"); ok {
		shared = c.countOr("n_shared_experts", 1) * e.inner
	}
	bias := c.flag("mlp_bias", false)
	d.mlp = func(out, x, prefix string, i int) string {
		p := prefix + "mlp"
		if i < dense {
			return b.gatedMLP(out, x, p, d.width, inner, bias, act)
		}
		weights, indices := route(out, x, p+".gate")
		weights = b.scaled(out+".weights_scaled", weights, scale)
		y := b.mixture(out, x, indices, weights, e, b.gatedExperts(p+".experts", d.width, "gate_proj", "up_proj", "down_proj"))
		if shared == 0 {
			return y
		}
		return b.onnx("Add", out+".sum", nil, y, b.gatedMLP(out+".shared", x, p+".shared_experts", d.width, shared, bias, act))
	}
}

// buildDeepSeekV2 lowers DeepseekV2ForCausalLM (DeepSeek 2024).
func buildDeepSeekV2(b *builder) int {
	c := b.config
	d, inner, act := readDeepSeek(b)
	e := readExperts(c, "n_routed_experts", 64, 6)
	var g groups
	switch method := c.text("topk_method", "greedy"); method {
	case "greedy":
	case "group_limited_greedy":
		g = readGroups(c, e, 1)
	default:
		c.unsupported("topk_method "+method, "known are greedy and group_limited_greedy")
	}
	d.deepSeekMLP(b, inner, act, e, func(out, x, gate string) (weights, indices string) {
		scores := b.softmax(out+".scores", b.linear(out+".router", x, gate, e.count, d.width, false, model.ActNone))
		weights, indices = b.topK(out+".top", g.limit(b, out, scores, e.count), e.chosen)
		return weights, indices
	})
	return d.build(b)
}

// buildDeepSeekV3 lowers DeepseekV3ForCausalLM (V3 and R1; DeepSeek 2024): a router with sigmoids, whose choice has a
// bias that the weights do not have.
func buildDeepSeekV3(b *builder) int {
	c := b.config
	d, inner, act := readDeepSeek(b)
	e := readExperts(c, "n_routed_experts", 256, 8)
	g := readGroups(c, e, 2)
	normalize := c.flag("norm_topk_prob", true)
	d.deepSeekMLP(b, inner, act, e, func(out, x, gate string) (weights, indices string) {
		scores := b.linear(out+".scores", x, gate, e.count, d.width, false, model.ActSigmoid)
		choice := b.onnx("Add", out+".choice", nil, scores, b.vector(gate+".e_score_correction_bias", e.count))
		_, indices = b.topK(out+".top", g.limit(b, out, choice, e.count), e.chosen)
		weights = b.onnx("GatherElements", out+".top_scores", model.Attrs{"axis": model.IntAttr(-1)}, scores, indices)
		if normalize {
			weights = b.normalized(out+".normalized", weights, 1e-20)
		}
		return weights, indices
	})
	return d.build(b)
}
