package safetensors

import (
	"math"

	"github.com/dsk-toolkit/dsk/model"
)

var (
	_ = register(architecture{modelType: "gpt2", class: "GPT2LMHeadModel", name: "gpt2", build: buildGPT2,
		models: "GPT-2, DistilGPT2, Cerebras-GPT"})
	_ = register(architecture{modelType: "gpt_bigcode", class: "GPTBigCodeForCausalLM", name: "gpt_bigcode", build: buildGPTBigCode,
		models: "SantaCoder, StarCoder"})
	_ = register(architecture{modelType: "gpt_neo", class: "GPTNeoForCausalLM", name: "gpt_neo", build: buildGPTNeo,
		models: "GPT-Neo, TinyStories"})
	_ = register(architecture{modelType: "gptj", class: "GPTJForCausalLM", name: "gptj", build: buildGPTJ,
		models: "GPT-J"})
)

// readGPT reads the keys of gpt2 and names tensors as it does.
func readGPT(b *builder) (d *decoder, inner int, act string) {
	c := b.config
	heads := c.countAny("n_head", "num_attention_heads", "num_heads")
	d = &decoder{
		stack: stack{
			width: c.countAny("n_embd", "hidden_size"), layers: c.countAny("n_layer", "num_hidden_layers", "num_layers"),
			base: "transformer.", layer: "h.%d.", preAttention: "ln_1", preMLP: "ln_2",
			norm: norm{kind: layerNorm, bias: true, eps: c.positive("layer_norm_epsilon", 1e-5)},
		},
		vocab: c.count("vocab_size"), embedding: "wte", finalNorm: "ln_f", head: "lm_head", positions: "wpe",
	}
	d.context = c.countOr("n_positions", c.countOr("max_position_embeddings", 1024))
	d.attention = attention{prefix: "attn", heads: heads, kvHeads: heads, headDim: c.headSize(d.width, heads), o: "c_proj", biasQKV: true, biasO: true}
	inner = c.countOr("n_inner", c.countOr("intermediate_size", 4*d.width))
	act = b.activation("activation_function", "gelu_new")
	if c.flag("add_cross_attention", false) {
		c.unsupported("add_cross_attention", "only models without an encoder are known")
	}
	return d, inner, act
}

// buildGPT2 lowers GPT2LMHeadModel (Radford et al. 2019), whose weights are stored as [in, out].
func buildGPT2(b *builder) int {
	c := b.config
	d, inner, act := readGPT(b)
	d.tied(b, true)
	a := &d.attention
	a.fused = fusedInOrder("c_attn", d.width, d.width)
	a.fused.transposed, a.oTransposed = true, true
	d.gptScale(b)
	if c.flag("scale_attn_by_inverse_layer_idx", false) {
		scale := orDefaultScale(*a)
		d.byLayer = func(i int, a *attention) { a.scale = scale / float64(i+1) }
	}
	d.mlp = func(out, x, prefix string, _ int) string {
		x = b.linearView(out+".up", x, prefix+"mlp.c_fc", "t", columnsOf(inner, inner, d.width, from(0)), true, from(0), act)
		return b.linearView(out, x, prefix+"mlp.c_proj", "t", columnsOf(d.width, d.width, inner, from(0)), true, from(0), model.ActNone)
	}
	return d.build(b)
}

// gptScale reads whether scores are divided by the square root of a head's size.
func (d *decoder) gptScale(b *builder) {
	if !b.config.flag("scale_attn_weights", true) {
		d.attention.scale = 1
	}
}

func orDefaultScale(a attention) float64 {
	if a.scale != 0 {
		return a.scale
	}
	return 1 / math.Sqrt(float64(a.headDim))
}

// buildGPTBigCode lowers GPTBigCodeForCausalLM (SantaCoder, StarCoder; Li et al. 2023): gpt2 with one head of keys and
// values.
func buildGPTBigCode(b *builder) int {
	c := b.config
	d, inner, _ := readGPT(b)
	act := b.activation("activation_function", "gelu_pytorch_tanh")
	d.tied(b, true)
	a := &d.attention
	if c.flag("multi_query", true) {
		a.kvHeads = 1
		a.fused = fusedInOrder("c_attn", a.heads*a.headDim, a.headDim)
	} else {
		a.fused = fusedPerGroup("c_attn", a.heads, a.heads, a.headDim)
	}
	d.gptScale(b)
	d.plain(b, "mlp.c_fc", "mlp.c_proj", inner, true, act)
	return d.build(b)
}

// buildGPTNeo lowers GPTNeoForCausalLM (Black et al. 2021): gpt2 with separate products, scores that are not scaled, and a window in
// some layers.
func buildGPTNeo(b *builder) int {
	c := b.config
	d, inner, act := readGPT(b)
	d.context = c.countOr("max_position_embeddings", 2048)
	d.tied(b, true)
	a := &d.attention
	a.prefix, a.o, a.biasQKV, a.scale = "attn.attention", "out_proj", false, 1
	window := c.countOr("window_size", 256)
	local := gptNeoLocal(c, d.layers)
	d.byLayer = func(i int, a *attention) {
		if local[i] {
			a.window = window
		}
	}
	d.plain(b, "mlp.c_fc", "mlp.c_proj", inner, true, act)
	return d.build(b)
}

// gptNeoLocal reads which layers have a window: attention_layers, or attention_types, a list of [kinds, how often].
func gptNeoLocal(c *config, layers int) []bool {
	var kinds []string
	if !c.get("attention_layers", &kinds, "a list of texts") {
		var types [][2]any
		c.get("attention_types", &types, "a list of [kinds, how often]")
		for _, t := range types {
			list, _ := t[0].([]any)
			times, _ := t[1].(float64)
			for n := 0; n < int(times) && len(list) > 0 && len(kinds) < layers; n++ {
				for _, k := range list {
					s, _ := k.(string)
					kinds = append(kinds, s)
				}
			}
		}
		if types == nil {
			for i := range min(layers, maxLayers) {
				kinds = append(kinds, []string{"global", "local"}[i%2])
			}
		}
	}
	out := make([]bool, len(kinds))
	for i, k := range kinds {
		out[i] = k == "local"
		if k != "local" && k != "global" {
			c.unsupported("attention of type "+k, "global and local are known")
		}
	}
	if len(out) < layers {
		c.wrong = append(c.wrong, "attention_layers and attention_types do not cover num_layers")
	}
	return out
}

// buildGPTJ lowers GPTJForCausalLM (Wang and Komatsuzaki 2021): parallel layers, interleaved rotation of a part of each head.
func buildGPTJ(b *builder) int {
	c := b.config
	d, inner, act := readGPT(b)
	d.context = c.countOr("n_positions", c.countOr("max_position_embeddings", 2048))
	d.positions, d.preMLP, d.parallel = "", "", true
	d.tied(b, false)
	d.headBias = "lm_head.bias"
	a := &d.attention
	a.o, a.biasQKV, a.biasO = "out_proj", false, false
	rotated := a.headDim
	if raw, ok := c.values["rotary_dim"]; !ok || string(raw) != "null" {
		rotated = c.countOr("rotary_dim", 64)
	}
	a.rope, d.context = ropeWith(c, "rope", a.headDim, rotated, d.context, 10000)
	a.rope.interleaved = true
	d.plain(b, "mlp.fc_in", "mlp.fc_out", inner, true, act)
	return d.build(b)
}
