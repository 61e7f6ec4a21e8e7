package safetensors

var (
	_ = register(architecture{modelType: "phi", class: "PhiForCausalLM", name: "phi", build: buildPhi,
		models: "Phi-1, Phi-1.5, Phi-2"})
	_ = register(architecture{modelType: "phi3", class: "Phi3ForCausalLM", name: "phi3", build: buildPhi3,
		models: "Phi-3, Phi-3.5, Phi-4"})
)

// buildPhi lowers PhiForCausalLM (phi-1, 1.5 and 2; Gunasekar et al. 2023): parallel layers, heads rotated in part.
func buildPhi(b *builder) int {
	c := b.config
	d, inner, act := readDecoder(b, llamaDefaults{context: 2048, epsKey: "layer_norm_eps", eps: 1e-5, act: "gelu_new", rotary: 0.5})
	d.norm.kind, d.norm.bias = layerNorm, true
	d.finalNorm, d.preMLP, d.parallel, d.headBias = "final_layernorm", "", true, "lm_head.bias"
	a := &d.attention
	a.biasQKV, a.biasO, a.o = true, true, "dense"
	if c.flag("qk_layernorm", false) {
		a.normalize = b.normHeads("q_layernorm", "k_layernorm", d.norm)
	}
	d.plain(b, "mlp.fc1", "mlp.fc2", inner, true, act)
	return d.build(b)
}

// buildPhi3 lowers Phi3ForCausalLM (phi-3 and phi-4; Abdin et al. 2024): llama with fused products.
func buildPhi3(b *builder) int {
	d, inner, act := readDecoder(b, llamaDefaults{context: 4096, eps: 1e-5})
	a := &d.attention
	a.fused = fusedInOrder("qkv_proj", a.heads*a.headDim, a.kvHeads*a.headDim)
	a.window = b.config.window("sliding_window", 0)
	d.gatedFused(b, "mlp.gate_up_proj", "mlp.down_proj", inner, false, act)
	return d.build(b)
}
