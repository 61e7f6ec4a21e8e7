package safetensors

var (
	_ = register(architecture{modelType: "llama", class: "LlamaForCausalLM", name: "llama", build: buildLlama,
		models: "Llama 1 to 3, SmolLM 1 and 2, TinyLlama, Vicuna, Yi, DeepSeek LLM and Coder, DeepSeek-R1 distillations of Llama"})
	_ = register(architecture{modelType: "mistral", class: "MistralForCausalLM", name: "mistral", build: buildMistral,
		models: "Mistral 7B, Nemo, Small, Zephyr"})
)

// buildLlama lowers LlamaForCausalLM (Touvron et al. 2023).
func buildLlama(b *builder) int {
	d, inner, act := readDecoder(b, llamaDefaults{context: 2048, eps: 1e-6})
	bias := b.config.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	d.gated(b, inner, b.config.flag("mlp_bias", false), act)
	return d.build(b)
}

// buildMistral lowers MistralForCausalLM (Jiang et al. 2023): llama with a sliding window and without biases.
func buildMistral(b *builder) int {
	d, inner, act := readDecoder(b, llamaDefaults{kvHeads: 8, context: 131072, eps: 1e-6})
	d.attention.window = b.config.window("sliding_window", 4096)
	d.gated(b, inner, false, act)
	return d.build(b)
}
