package safetensors

import "fmt"

var (
	_ = register(architecture{modelType: "llama", class: "LlamaForCausalLM", name: "llama", build: buildLlama})
	_ = register(architecture{modelType: "mistral", class: "MistralForCausalLM", name: "mistral", build: buildMistral})
)

// llama holds the defaults in which the relatives of llama differ: what transformers takes for keys that
// config.json does not have.
type llama struct {
	kvHeads       int // 0: as many as query heads
	context       int
	eps           float64
	slidingWindow int // 0: none
	biases        bool
}

// buildLlama lowers LlamaForCausalLM (Touvron et al. 2023).
func buildLlama(b *builder) int {
	return llama{context: 2048, eps: 1e-6, biases: true}.build(b)
}

// buildMistral lowers MistralForCausalLM (Jiang et al. 2023): llama with a sliding window and without biases.
func buildMistral(b *builder) int {
	window := b.config.countOr("sliding_window", 4096)
	if raw, ok := b.config.values["sliding_window"]; ok && string(raw) == "null" {
		window = 0
	}
	return llama{kvHeads: 8, context: 131072, eps: 1e-6, slidingWindow: window}.build(b)
}

func (l llama) build(b *builder) int {
	c := b.config
	width, inner := c.count("hidden_size"), c.count("intermediate_size")
	layers, heads := c.count("num_hidden_layers"), c.count("num_attention_heads")
	vocab := c.count("vocab_size")
	if l.kvHeads == 0 {
		l.kvHeads = heads
	}
	kvHeads := c.countOr("num_key_value_heads", l.kvHeads)
	headDim := c.countOr("head_dim", max(width/heads, 1))
	eps := c.positive("rms_norm_eps", l.eps)
	act := b.activation("hidden_act", "silu")
	attentionBias := l.biases && c.flag("attention_bias", false)
	mlpBias := l.biases && c.flag("mlp_bias", false)
	if headDim > maxHeadDim {
		c.wrong = append(c.wrong, fmt.Sprintf("the size of a head, %d, is above the limit of %d", headDim, maxHeadDim))
		headDim = maxHeadDim
	}
	if heads%kvHeads != 0 {
		c.wrong = append(c.wrong, fmt.Sprintf("num_attention_heads %d is no multiple of num_key_value_heads %d", heads, kvHeads))
	}
	rope, context := readRope(c, "rope", headDim, c.countOr("max_position_embeddings", l.context), 10000)
	if l.slidingWindow >= context {
		l.slidingWindow = 0
	}
	head := b.headTable("lm_head.weight", "model.embed_tokens.weight")
	if c.failed() || b.tooManyLayers(layers) {
		return 0
	}

	b.lmInputs()
	hidden := b.embed("embedding", inputIDs, "model.embed_tokens.weight", vocab, width)
	for i := range layers {
		from := fmt.Sprintf("model.layers.%d.", i)
		to := fmt.Sprintf("layers.%d.", i)
		x := b.rmsNorm(to+"attention_norm", hidden, from+"input_layernorm.weight", width, eps)
		x = b.attention(to+"attention", x, i, attention{
			prefix: from + "self_attn", width: width, heads: heads, kvHeads: kvHeads, headDim: headDim,
			biasQKV: attentionBias, biasO: attentionBias, rope: rope, window: l.slidingWindow,
		})
		hidden = b.onnx("Add", to+"attention_sum", nil, hidden, x)
		x = b.rmsNorm(to+"mlp_norm", hidden, from+"post_attention_layernorm.weight", width, eps)
		x = b.gatedMLP(to+"mlp", x, from+"mlp", width, inner, mlpBias, act)
		hidden = b.onnx("Add", to+"mlp_sum", nil, hidden, x)
	}
	hidden = b.rmsNorm("final_norm", hidden, "model.norm.weight", width, eps)
	b.lmHead(hidden, head, vocab, width)
	return context
}
