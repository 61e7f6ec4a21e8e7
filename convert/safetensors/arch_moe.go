package safetensors

import (
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
)

var (
	_ = register(architecture{modelType: "mixtral", class: "MixtralForCausalLM", name: "mixtral", build: buildMixtral,
		models: "Mixtral 8x7B, 8x22B"})
	_ = register(architecture{modelType: "qwen2_moe", class: "Qwen2MoeForCausalLM", name: "qwen2_moe", build: buildQwen2MoE,
		models: "Qwen1.5-MoE, Qwen2-57B-A14B"})
	_ = register(architecture{modelType: "qwen3_moe", class: "Qwen3MoeForCausalLM", name: "qwen3_moe", build: buildQwen3MoE,
		models: "Qwen3-30B-A3B, Qwen3-235B-A22B"})
	_ = register(architecture{modelType: "olmoe", class: "OlmoeForCausalLM", name: "olmoe", build: buildOlmoe,
		models: "OLMoE"})
	_ = register(architecture{modelType: "granitemoe", class: "GraniteMoeForCausalLM", name: "granitemoe", build: buildGraniteMoE,
		models: "Granite 3 MoE"})
	_ = register(architecture{modelType: "gpt_oss", class: "GptOssForCausalLM", name: "gpt_oss", build: buildGPTOSS,
		models: "gpt-oss in BF16"})
)

// buildMixtral lowers MixtralForCausalLM (Jiang et al. 2024): mistral with experts.
func buildMixtral(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 8, context: 131072, eps: 1e-5, theta: 1e6})
	d.attention.window = c.window("sliding_window", 0)
	e := readExperts(c, "num_local_experts", 8, 2)
	e.inner, e.act = inner, act
	d.mlp = func(out, x, prefix string, _ int) string {
		p := prefix + "block_sparse_moe."
		return b.softRouted(out, x, p+"gate", d.width, e, true, b.gatedExperts(p+"experts", d.width, "w1", "w3", "w2"))
	}
	return d.build(b)
}

// qwenSparse returns which layers of the qwen family have experts.
func (d *decoder) qwenSparse(b *builder) func(i int) bool {
	c := b.config
	step := c.countOr("decoder_sparse_step", 1)
	var dense []int
	c.get("mlp_only_layers", &dense, "a list of numbers")
	return func(i int) bool { return !slices.Contains(dense, i) && (i+1)%step == 0 }
}

// buildQwen2MoE lowers Qwen2MoeForCausalLM (Qwen team 2024): qwen2 with experts and one more that always counts, by a gate.
func buildQwen2MoE(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 16, context: 32768, eps: 1e-6})
	d.attention.biasQKV = c.flag("qkv_bias", true)
	d.qwenWindow(b)
	e := readExperts(c, "num_experts", 60, 4)
	e.inner, e.act = c.countOr("moe_intermediate_size", 1408), act
	shared := c.countOr("shared_expert_intermediate_size", 5632)
	normalize, sparse := c.flag("norm_topk_prob", false), d.qwenSparse(b)
	d.mlp = func(out, x, prefix string, i int) string {
		p := prefix + "mlp"
		if !sparse(i) {
			return b.gatedMLP(out, x, p, d.width, inner, false, act)
		}
		y := b.softRouted(out, x, p+".gate", d.width, e, normalize, b.gatedExperts(p+".experts", d.width, "gate_proj", "up_proj", "down_proj"))
		s := b.gatedMLP(out+".shared", x, p+".shared_expert", d.width, shared, false, act)
		gate := b.linear(out+".shared_gate", x, p+".shared_expert_gate", 1, d.width, false, model.ActSigmoid)
		return b.onnx("Add", out+".sum", nil, y, b.onnx("Mul", out+".shared_weighted", nil, s, gate))
	}
	return d.build(b)
}

// buildQwen3MoE lowers Qwen3MoeForCausalLM (Qwen team 2025): qwen3 with experts.
func buildQwen3MoE(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 4, context: 32768, eps: 1e-6})
	bias := c.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	d.attention.normalize = b.normHeads("q_norm", "k_norm", d.norm)
	if c.flag("use_sliding_window", false) {
		d.attention.window = c.window("sliding_window", 4096)
	}
	e := readExperts(c, "num_experts", 128, 8)
	e.inner, e.act = c.countOr("moe_intermediate_size", 768), act
	normalize, sparse := c.flag("norm_topk_prob", false), d.qwenSparse(b)
	d.mlp = func(out, x, prefix string, i int) string {
		p := prefix + "mlp"
		if !sparse(i) {
			return b.gatedMLP(out, x, p, d.width, inner, false, act)
		}
		return b.softRouted(out, x, p+".gate", d.width, e, normalize, b.gatedExperts(p+".experts", d.width, "gate_proj", "up_proj", "down_proj"))
	}
	return d.build(b)
}

// buildOlmoe lowers OlmoeForCausalLM (Muennighoff et al. 2024): experts, queries and keys normalized over all heads.
func buildOlmoe(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{context: 4096, eps: 1e-5})
	bias := c.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	d.attention.normalize = b.normAll("q_norm", "k_norm", d.norm)
	d.readClip(b)
	e := readExperts(c, "num_experts", 64, 8)
	e.inner, e.act = inner, act
	normalize := c.flag("norm_topk_prob", false)
	d.mlp = func(out, x, prefix string, _ int) string {
		p := prefix + "mlp"
		return b.softRouted(out, x, p+".gate", d.width, e, normalize, b.gatedExperts(p+".experts", d.width, "gate_proj", "up_proj", "down_proj"))
	}
	return d.build(b)
}

// buildGraniteMoE lowers GraniteMoeForCausalLM (IBM 2024): granite with experts, whose weights are stacked. A softmax of the chosen
// scores is the softmax of all of them, normalized.
func buildGraniteMoE(b *builder) int {
	d, inner, act := readGranite(b)
	e := readExperts(b.config, "num_local_experts", 8, 2)
	d.mlp = func(out, x, prefix string, _ int) string {
		p := prefix + "block_sparse_moe."
		return b.softRouted(out, x, p+"router.layer", d.width, e, true, func(out, x string, r *routed) string {
			part := func(name, of string, v view, x, act string) string {
				of = p + of + ".weight"
				return r.product(out+"."+name, act, x, "", func(i int) string {
					return b.matrixView(fmt.Sprintf("%s.%d.%s", of, i, name), of, v.slab(e.count, i))
				})
			}
			gate := part("gate", "input_linear", rowsOf(2*inner, inner, d.width, from(0)), x, act)
			up := part("up", "input_linear", rowsOf(2*inner, inner, d.width, from(inner)), x, model.ActNone)
			return part("down", "output_linear", rowsOf(d.width, d.width, inner, from(0)), b.onnx("Mul", out+".product", nil, gate, up), model.ActNone)
		})
	}
	return d.build(b)
}

// buildGPTOSS lowers GptOssForCausalLM (OpenAI 2025): experts with biases and clamped gates, whose weights are stacked as
// [in, out] with gate and up in turns; scores of a key without a value in each head.
func buildGPTOSS(b *builder) int {
	c := b.config
	d, inner, _ := readDecoder(b, llamaDefaults{kvHeads: 8, headDim: 64, context: 131072, eps: 1e-5, theta: 150000})
	bias := c.flag("attention_bias", true)
	a := &d.attention
	a.biasQKV, a.biasO, a.sinks = bias, bias, "sinks"
	window := c.window("sliding_window", 128)
	sliding := d.sliding(b, func(i int) bool { return i%2 == 0 })
	d.byLayer = func(i int, a *attention) {
		if sliding(i) {
			a.window = window
		}
	}
	e := readExperts(c, "num_local_experts", 128, 4)
	const alpha = 1.702
	limit := c.positive("swiglu_limit", 7)
	d.mlp = func(out, x, prefix string, _ int) string {
		p := prefix + "mlp."
		scores := b.linear(out+".router", x, p+"router", e.count, d.width, true, model.ActNone)
		top, indices := b.topK(out+".top", scores, e.chosen)
		return b.mixture(out, x, indices, b.softmax(out+".softmax", top), e, func(out, x string, r *routed) string {
			part := func(name, of string, total, n, k int, at func(int) int, x string) string {
				of = p + "experts." + of
				bias := b.tableView(of+"_bias."+name, of+"_bias", e.count, total, n, at)
				return r.product(out+"."+name, model.ActNone, x, bias, func(i int) string {
					return b.matrixView(fmt.Sprintf("%s.%d.%s", of, i, name), of, columnsOf(total, n, k, at).slab(e.count, i))
				})
			}
			gate := part("gate", "gate_up_proj", 2*inner, inner, d.width, func(r int) int { return 2 * r }, x)
			up := part("up", "gate_up_proj", 2*inner, inner, d.width, func(r int) int { return 2*r + 1 }, x)
			gate = b.onnx("Clip", out+".gate_clipped", nil, gate, "", b.scalar(limit))
			gate = b.onnx("Swish", out+".gate_swish", model.Attrs{"alpha": model.FloatAttr(alpha)}, gate)
			up = b.onnx("Add", out+".up_plus_1", nil, b.clip(out+".up_clipped", up, limit), b.scalar(1))
			return part("down", "down_proj", d.width, d.width, inner, from(0), b.onnx("Mul", out+".product", nil, gate, up))
		})
	}
	return d.build(b)
}
