package safetensors

var (
	_ = register(architecture{modelType: "olmo", class: "OlmoForCausalLM", name: "olmo", build: buildOlmo,
		models: "OLMo"})
	_ = register(architecture{modelType: "olmo2", class: "Olmo2ForCausalLM", name: "olmo2", build: buildOlmo2,
		models: "OLMo 2"})
	_ = register(architecture{modelType: "exaone4", class: "Exaone4ForCausalLM", name: "exaone4", build: buildExaone4,
		models: "EXAONE 4.0"})
)

// readClip reads the limit of queries, keys and values.
func (d *decoder) readClip(b *builder) {
	if _, ok := b.config.raw("clip_qkv"); ok {
		d.attention.clip = b.config.positive("clip_qkv", 1)
	}
}

// buildOlmo lowers OlmoForCausalLM (Groeneveld et al. 2024): llama with norms without weights.
func buildOlmo(b *builder) int {
	d, inner, act := readDecoder(b, llamaDefaults{context: 2048, eps: 1e-5})
	d.norm = norm{kind: layerNorm, eps: 1e-5, bare: true}
	bias := b.config.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	d.readClip(b)
	d.gated(b, inner, false, act)
	return d.build(b)
}

// buildOlmo2 lowers Olmo2ForCausalLM (OLMo team 2024): norms behind attention and MLP, queries and keys normalized over
// all heads.
func buildOlmo2(b *builder) int {
	d, inner, act := readDecoder(b, llamaDefaults{context: 2048, eps: 1e-5})
	d.behind()
	bias := b.config.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	d.attention.normalize = b.normAll("q_norm", "k_norm", d.norm)
	d.gated(b, inner, false, act)
	return d.build(b)
}

// behind has attention and MLP normalized instead of their input.
func (d *decoder) behind() {
	d.preAttention, d.postAttention = "", "post_attention_layernorm"
	d.preMLP, d.postMLP = "", "post_feedforward_layernorm"
}

// buildExaone4 lowers Exaone4ForCausalLM (LG AI Research 2025): norms behind, normalized heads, and rotation only in
// layers with a sliding window, if there are any.
func buildExaone4(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 32, context: 2048, eps: 1e-5})
	d.behind()
	d.attention.normalize = b.normHeads("q_norm", "k_norm", d.norm)
	window := c.window("sliding_window", 4096)
	pattern := 4
	if raw, ok := c.raw("sliding_window_pattern"); ok && raw[0] == '"' {
		pattern = max(len(c.text("sliding_window_pattern", "")), 1) // such as "LLLG": the last is global
	} else {
		pattern = c.countOr("sliding_window_pattern", 4)
	}
	sliding := d.sliding(b, func(i int) bool { return window > 0 && (i+1)%pattern != 0 })
	d.byLayer = func(i int, a *attention) {
		switch {
		case window > 0 && sliding(i):
			a.window = window
		case window > 0:
			a.rope = nil
		}
	}
	d.gated(b, inner, false, act)
	return d.build(b)
}
