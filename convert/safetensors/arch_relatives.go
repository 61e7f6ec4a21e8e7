package safetensors

import "fmt"

// Relatives of llama that differ in little.
var (
	_ = register(architecture{modelType: "stablelm", class: "StableLmForCausalLM", name: "stablelm", build: buildStableLM,
		models: "StableLM 2, StableLM 3B, Stable Code"})
	_ = register(architecture{modelType: "starcoder2", class: "Starcoder2ForCausalLM", name: "starcoder2", build: buildStarCoder2,
		models: "StarCoder2"})
	_ = register(architecture{modelType: "glm", class: "GlmForCausalLM", name: "glm", build: buildGLM,
		models: "GLM-4 9B"})
	_ = register(architecture{modelType: "glm4", class: "Glm4ForCausalLM", name: "glm4", build: buildGLM4,
		models: "GLM-4-0414"})
	_ = register(architecture{modelType: "granite", class: "GraniteForCausalLM", name: "granite", build: buildGranite,
		models: "Granite 3"})
	_ = register(architecture{modelType: "nemotron", class: "NemotronForCausalLM", name: "nemotron", build: buildNemotron,
		models: "Nemotron-4, Minitron"})
	_ = register(architecture{modelType: "ernie4_5", class: "Ernie4_5ForCausalLM", name: "ernie4_5", build: buildErnie,
		models: "ERNIE 4.5 (dense)"})
	_ = register(architecture{modelType: "smollm3", class: "SmolLM3ForCausalLM", name: "smollm3", build: buildSmolLM3,
		models: "SmolLM3"})
)

// buildStableLM lowers StableLmForCausalLM (Bellagente et al. 2024): norms with biases, heads rotated in part.
func buildStableLM(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 32, context: 4096, epsKey: "layer_norm_eps", eps: 1e-5, rotary: 0.25})
	d.norm.kind, d.norm.bias = layerNorm, true
	d.attention.biasQKV = c.flag("use_qkv_bias", false)
	if c.flag("use_parallel_residual", false) {
		d.parallel, d.preMLP = true, ""
	}
	if c.flag("qk_layernorm", false) {
		d.attention.normalize = b.normEachHead("q_layernorm", "k_layernorm", norm{kind: layerNorm, eps: d.norm.eps}, func(prefix string, heads, headDim int) string {
			rows := make([]string, heads)
			for i := range rows {
				rows[i] = fmt.Sprintf("%s.norms.%d.weight", prefix, i)
			}
			return b.stacked(prefix+".norms", rows, headDim)
		})
	}
	d.gated(b, inner, false, act)
	return d.build(b)
}

// buildStarCoder2 lowers Starcoder2ForCausalLM (Lozhkov et al. 2024): norms and products with biases, a plain MLP.
func buildStarCoder2(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 2, context: 4096, epsKey: "norm_epsilon", eps: 1e-5, act: "gelu_pytorch_tanh", tied: true})
	d.norm.kind, d.norm.bias = layerNorm, true
	bias := c.flag("use_bias", true)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	d.attention.window = c.window("sliding_window", 0)
	d.plain(b, "mlp.c_fc", "mlp.c_proj", inner, bias, act)
	return d.build(b)
}

// readGLM reads what glm and glm4 have in common: interleaved rotation of half of each head, fused gate and up.
func readGLM(b *builder) *decoder {
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 2, headDim: 128, context: 131072, eps: 1.5625e-07, rotary: 0.5})
	d.attention.rope.interleaved = true
	d.attention.biasQKV = b.config.flag("attention_bias", false)
	d.gatedFused(b, "mlp.gate_up_proj", "mlp.down_proj", inner, false, act)
	return d
}

// buildGLM lowers GlmForCausalLM (GLM-4, GLM team 2024).
func buildGLM(b *builder) int { return readGLM(b).build(b) }

// buildGLM4 lowers Glm4ForCausalLM (GLM-4-0414): glm with norms behind attention and MLP as well.
func buildGLM4(b *builder) int {
	d := readGLM(b)
	d.postAttention, d.postMLP = "post_self_attn_layernorm", "post_mlp_layernorm"
	return d.build(b)
}

// readGranite reads what granite and granitemoe have in common: factors of embedding, scores, sums and logits.
func readGranite(b *builder) (d *decoder, inner int, act string) {
	c := b.config
	d, inner, act = readDecoder(b, llamaDefaults{context: 2048, eps: 1e-6})
	d.embeddingScale = c.number("embedding_multiplier", 1)
	d.residualScale = c.number("residual_multiplier", 1)
	d.logitScale = 1 / c.positive("logits_scaling", 1)
	d.attention.scale = c.number("attention_multiplier", 1)
	bias := c.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	return d, inner, act
}

// buildGranite lowers GraniteForCausalLM (IBM 2024).
func buildGranite(b *builder) int {
	d, inner, act := readGranite(b)
	d.gated(b, inner, b.config.flag("mlp_bias", false), act)
	return d.build(b)
}

// buildNemotron lowers NemotronForCausalLM (Parmar et al. 2024): norms whose weights are stored less 1, squared ReLU, heads rotated in
// part.
func buildNemotron(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{context: 4096, epsKey: "norm_eps", eps: 1e-5, act: actRelu2, rotary: 0.5})
	d.norm.kind, d.norm.bias, d.norm.add = layerNorm, true, 1
	bias := c.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	d.plain(b, "mlp.up_proj", "mlp.down_proj", inner, c.flag("mlp_bias", false), act)
	return d.build(b)
}

// buildErnie lowers Ernie4_5ForCausalLM (Baidu 2025): llama with interleaved rotation.
func buildErnie(b *builder) int {
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 2, headDim: 128, context: 131072, eps: 1e-5, theta: 500000, tied: true})
	d.attention.rope.interleaved = true
	bias := b.config.flag("use_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	d.gated(b, inner, bias, act)
	return d.build(b)
}

// buildSmolLM3 lowers SmolLM3ForCausalLM (Hugging Face 2025): llama with layers that are not rotated.
func buildSmolLM3(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 4, context: 32768, eps: 1e-6, theta: 2e6, tied: true})
	bias := c.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	interval := c.countOr("no_rope_layer_interval", 4)
	rotates := func(i int) bool { return (i+1)%interval != 0 }
	var list []int
	if c.get("no_rope_layers", &list, "a list of 0 and 1") {
		if len(list) < d.layers {
			c.wrong = append(c.wrong, fmt.Sprintf("no_rope_layers has %d elements for %d layers", len(list), d.layers))
		}
		rotates = func(i int) bool { return list[i] != 0 } // 1: it is rotated, whatever the name says
	}
	window := c.window("sliding_window", 0)
	if !c.flag("use_sliding_window", false) {
		window = 0
	}
	sliding := d.sliding(b, func(i int) bool { return !rotates(i) })
	d.byLayer = func(i int, a *attention) {
		if !rotates(i) {
			a.rope = nil
		}
		if window > 0 && sliding(i) {
			a.window = window
		}
	}
	d.gated(b, inner, c.flag("mlp_bias", false), act)
	return d.build(b)
}
