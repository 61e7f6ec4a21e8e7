package safetensors

import "math"

var (
	_ = register(architecture{modelType: "gemma", class: "GemmaForCausalLM", name: "gemma", build: buildGemma,
		models: "Gemma, CodeGemma"})
	_ = register(architecture{modelType: "gemma2", class: "Gemma2ForCausalLM", name: "gemma2", build: buildGemma2,
		models: "Gemma 2"})
	_ = register(architecture{modelType: "gemma3_text", class: "Gemma3ForCausalLM", name: "gemma3", build: buildGemma3,
		models: "Gemma 3 1B and 270M"})
)

// readGemma reads what the gemmas have in common: a scaled embedding, which is the head, and norms whose weights are
// stored less 1.
func readGemma(b *builder, l llamaDefaults) (d *decoder, inner int, act string) {
	l.eps, l.headDim, l.tied = 1e-6, 256, true
	d, inner, act = readDecoder(b, l)
	d.norm.add = 1
	d.embeddingScale = math.Sqrt(float64(d.width))
	bias := b.config.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	return d, inner, act
}

// buildGemma lowers GemmaForCausalLM (Gemma team 2024).
func buildGemma(b *builder) int {
	d, inner, act := readGemma(b, llamaDefaults{kvHeads: 16, context: 8192, act: "gelu_pytorch_tanh"})
	d.gated(b, inner, false, act)
	return d.build(b)
}

// sandwich adds what gemma 2 and 3 have: norms before and after, caps of scores and logits, a scale of its own and
// sliding windows in all but each pattern-th layer.
func (d *decoder) sandwich(b *builder, pattern, defaultWindow, defaultScalar int, capped bool) (sliding func(i int) bool, window int) {
	c := b.config
	d.preAttention, d.postAttention = "input_layernorm", "post_attention_layernorm"
	d.preMLP, d.postMLP = "pre_feedforward_layernorm", "post_feedforward_layernorm"
	limit := func(key string, def float64) float64 {
		if raw, ok := c.values[key]; ok && string(raw) == "null" || !ok && !capped {
			return 0
		}
		return c.positive(key, def)
	}
	d.attention.softcap = limit("attn_logit_softcapping", 50)
	d.logitSoftcap = limit("final_logit_softcapping", 30)
	d.attention.scale = 1 / math.Sqrt(c.positive("query_pre_attn_scalar", float64(defaultScalar)))
	return d.sliding(b, func(i int) bool { return (i+1)%pattern != 0 }), c.window("sliding_window", defaultWindow)
}

// buildGemma2 lowers Gemma2ForCausalLM (Gemma team 2024).
func buildGemma2(b *builder) int {
	d, inner, _ := readGemma(b, llamaDefaults{kvHeads: 4, context: 8192})
	act := b.activation("hidden_activation", "gelu_pytorch_tanh")
	sliding, window := d.sandwich(b, 2, 4096, 256, true)
	d.byLayer = func(i int, a *attention) {
		if sliding(i) {
			a.window = window
		}
	}
	d.gated(b, inner, false, act)
	return d.build(b)
}

// buildGemma3 lowers Gemma3ForCausalLM (Gemma team 2025): gemma 2 with normalized heads, and another base of rotation
// in the layers with a sliding window.
func buildGemma3(b *builder) int {
	c := b.config
	d, inner, _ := readGemma(b, llamaDefaults{kvHeads: 4, context: 131072, theta: 1e6})
	act := b.activation("hidden_activation", "gelu_pytorch_tanh")
	pattern := c.countOr("sliding_window_pattern", c.countOr("_sliding_window_pattern", 6))
	sliding, window := d.sandwich(b, pattern, 4096, 256, false)
	local := plainRope("rope_local", d.attention.headDim, d.attention.headDim, c.positive("rope_local_base_freq", 10000))
	local.positions = d.context
	d.attention.normalize = b.normHeads("q_norm", "k_norm", d.norm)
	if c.flag("use_bidirectional_attention", false) {
		c.unsupported("use_bidirectional_attention", "")
	}
	d.byLayer = func(i int, a *attention) {
		if sliding(i) {
			a.window, a.rope = window, local
		}
	}
	d.gated(b, inner, false, act)
	return d.build(b)
}
