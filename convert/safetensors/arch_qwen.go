package safetensors

var (
	_ = register(architecture{modelType: "qwen2", class: "Qwen2ForCausalLM", name: "qwen2", build: buildQwen2,
		models: "Qwen 1.5, Qwen2, Qwen2.5, QwQ, DeepSeek-R1 distillations of Qwen"})
	_ = register(architecture{modelType: "qwen3", class: "Qwen3ForCausalLM", name: "qwen3", build: buildQwen3,
		models: "Qwen3"})
)

// buildQwen2 lowers Qwen2ForCausalLM (Qwen team 2024): llama with biases of queries, keys and values, and a sliding window in the
// layers from max_window_layers on, if it is switched on.
func buildQwen2(b *builder) int {
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 32, context: 32768, eps: 1e-6})
	d.attention.biasQKV = true
	d.qwenWindow(b)
	d.gated(b, inner, false, act)
	return d.build(b)
}

// buildQwen3 lowers Qwen3ForCausalLM (Qwen team 2025): qwen2 without biases, but with normalized heads.
func buildQwen3(b *builder) int {
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 32, headDim: 128, context: 32768, eps: 1e-6})
	bias := b.config.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	d.attention.normalize = b.normHeads("q_norm", "k_norm", d.norm)
	d.qwenWindow(b)
	d.gated(b, inner, false, act)
	return d.build(b)
}

// qwenWindow reads the sliding window of the qwen family.
func (d *decoder) qwenWindow(b *builder) {
	c := b.config
	window := c.window("sliding_window", 4096)
	if !c.flag("use_sliding_window", false) {
		window = 0
	}
	first := int(c.number("max_window_layers", 28))
	sliding := d.sliding(b, func(i int) bool { return i >= first })
	d.byLayer = func(i int, a *attention) {
		if window > 0 && sliding(i) {
			a.window = window
		}
	}
}
