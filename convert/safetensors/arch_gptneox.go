package safetensors

import (
	"math"

	"github.com/dsk-toolkit/dsk/model"
)

var (
	_ = register(architecture{modelType: "gpt_neox", class: "GPTNeoXForCausalLM", name: "gpt_neox", build: buildGPTNeoX,
		models: "GPT-NeoX, Pythia, StableLM alpha"})
	_ = register(architecture{modelType: "bloom", class: "BloomForCausalLM", name: "bloom", build: buildBloom,
		models: "BLOOM, BLOOMZ"})
	_ = register(architecture{modelType: "falcon", class: "FalconForCausalLM", name: "falcon", build: buildFalcon,
		models: "Falcon 7B, 40B, 180B, RW and 2"})
	_ = register(architecture{modelType: "mpt", class: "MptForCausalLM", name: "mpt", build: buildMPT,
		models: "MPT"})
	_ = register(architecture{modelType: "opt", class: "OPTForCausalLM", name: "opt", build: buildOPT,
		models: "OPT"})
)

// buildGPTNeoX lowers GPTNeoXForCausalLM (GPT-NeoX, Pythia; Black et al. 2022): parallel layers with two norms, one product
// for queries, keys and values of each head, heads rotated in part.
func buildGPTNeoX(b *builder) int {
	c := b.config
	heads := c.count("num_attention_heads")
	d := &decoder{
		stack: stack{
			width: c.count("hidden_size"), layers: c.count("num_hidden_layers"), base: "gpt_neox.", layer: "layers.%d.",
			preAttention: "input_layernorm", preMLP: "post_attention_layernorm",
			parallel: c.flag("use_parallel_residual", true),
			norm:     norm{kind: layerNorm, bias: true, eps: c.positive("layer_norm_eps", 1e-5)},
		},
		vocab: c.count("vocab_size"), embedding: "embed_in", finalNorm: "final_layer_norm", head: "embed_out",
	}
	d.tied(b, false)
	bias := c.flag("attention_bias", true)
	a := &d.attention
	*a = attention{prefix: "attention", heads: heads, kvHeads: heads, headDim: c.headSize(d.width, heads), o: "dense", biasQKV: bias, biasO: bias}
	a.fused = fusedPerGroup("query_key_value", heads, heads, a.headDim)
	a.rope, d.context = readRope(c, "rope", a.headDim, c.countOr("max_position_embeddings", 2048),
		c.positive("rotary_emb_base", 10000), c.positive("rotary_pct", 0.25))
	d.plain(b, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", c.count("intermediate_size"), true, b.activation("hidden_act", "gelu"))
	return d.build(b)
}

// buildBloom lowers BloomForCausalLM (BigScience 2022): no positions but a bias of the scores, a normalized embedding.
func buildBloom(b *builder) int {
	c := b.config
	heads := c.countAny("n_head", "num_attention_heads")
	d := &decoder{
		stack: stack{
			width: c.countAny("n_embed", "hidden_size"), layers: c.countAny("n_layer", "num_hidden_layers"),
			context: c.countOr("seq_length", 2048), base: "transformer.", layer: "h.%d.", preAttention: "input_layernorm",
			preMLP: "post_attention_layernorm", residualFromNorm: c.flag("apply_residual_connection_post_layernorm", false),
			norm: norm{kind: layerNorm, bias: true, eps: c.positive("layer_norm_epsilon", 1e-5)},
		},
		vocab: c.count("vocab_size"), embedding: "word_embeddings", embeddingNorm: "word_embeddings_layernorm",
		finalNorm: "ln_f", head: "lm_head",
	}
	d.tied(b, true)
	a := &d.attention
	*a = attention{prefix: "self_attention", heads: heads, kvHeads: heads, headDim: c.headSize(d.width, heads), o: "dense", biasQKV: true, biasO: true}
	a.fused = fusedPerGroup("query_key_value", heads, heads, a.headDim)
	d.prepare = func() { a.bias = b.alibi(alibiSlopes(heads)) }
	d.plain(b, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", 4*d.width, true, model.ActGeluTanh)
	return d.build(b)
}

// buildFalcon lowers FalconForCausalLM (Almazrouei et al. 2023) in its three forms: with a bias of the scores and
// layers in sequence (rw), with one head of keys and values (7b), and with groups of heads and two norms (40b).
func buildFalcon(b *builder) int {
	c := b.config
	heads := c.countAny("num_attention_heads", "n_head")
	d := &decoder{
		stack: stack{
			width: c.count("hidden_size"), layers: c.countAny("num_hidden_layers", "n_layer"), base: "transformer.",
			layer: "h.%d.", preAttention: "input_layernorm",
			norm: norm{kind: layerNorm, bias: true, eps: c.positive("layer_norm_epsilon", 1e-5)},
		},
		vocab: c.count("vocab_size"), embedding: "word_embeddings", finalNorm: "ln_f", head: "lm_head",
	}
	d.tied(b, true)
	grouped, multiQuery, parallel := c.flag("new_decoder_architecture", false), c.flag("multi_query", true), c.flag("parallel_attn", true)
	d.parallel = grouped || parallel
	switch {
	case grouped && c.countOr("num_ln_in_parallel_attn", 2) == 2:
		d.preAttention, d.preMLP = "ln_attn", "ln_mlp"
	case !d.parallel:
		d.preMLP = "post_attention_layernorm"
	}
	bias := c.flag("bias", false)
	a := &d.attention
	*a = attention{prefix: "self_attention", heads: heads, kvHeads: 1, headDim: c.headSize(d.width, heads), o: "dense", biasQKV: bias, biasO: bias}
	if grouped || !multiQuery {
		a.kvHeads = c.countOr("num_kv_heads", c.countOr("n_head_kv", heads))
	}
	if heads%a.kvHeads == 0 {
		a.fused = fusedPerGroup("query_key_value", heads, a.kvHeads, a.headDim)
	}
	d.context = c.countOr("max_position_embeddings", 2048)
	if c.flag("alibi", false) {
		// transformers adds the bias to the mask and, in its eager form, which is the reference here, to the scores as well.
		b.warnings = append(b.warnings, "falcon with alibi: the bias counts twice, as in transformers with eager attention (with sdpa it counts once)")
		d.prepare = func() { a.bias = b.alibiBF16(alibiSlopes(heads), 2/math.Sqrt(float64(a.headDim))) }
	} else {
		a.rope, d.context = readRope(c, "rope", a.headDim, d.context, 10000, 1)
	}
	inner := c.countOr("ffn_hidden_size", c.countOr("ff_factor", 4)*d.width)
	d.plain(b, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", inner, bias, b.activation("activation", "gelu"))
	return d.build(b)
}

// buildMPT lowers MptForCausalLM (MosaicML 2023): a bias of the scores instead of positions, no biases of products and norms.
func buildMPT(b *builder) int {
	c := b.config
	heads := c.count("n_heads")
	d := &decoder{
		stack: stack{
			width: c.count("d_model"), layers: c.count("n_layers"), context: c.countOr("max_seq_len", 2048),
			base: "transformer.", layer: "blocks.%d.", preAttention: "norm_1", preMLP: "norm_2",
			norm: norm{kind: layerNorm, eps: c.positive("layer_norm_epsilon", 1e-5)},
		},
		vocab: c.count("vocab_size"), embedding: "wte", finalNorm: "norm_f", head: "lm_head",
	}
	d.tied(b, true)
	a := &d.attention
	*a = attention{prefix: "attn", heads: heads, kvHeads: heads, headDim: c.headSize(d.width, heads), o: "out_proj",
		fused: fusedInOrder("Wqkv", d.width, d.width)}
	biasMax := 8.0
	if s := c.sub("attn_config"); s != nil {
		biasMax = s.positive("alibi_bias_max", 8)
		if _, ok := s.raw("softmax_scale"); ok {
			a.scale = s.positive("softmax_scale", 1)
		}
		if _, ok := s.raw("clip_qkv"); ok {
			a.clip = s.positive("clip_qkv", 1)
		}
		if !s.flag("alibi", true) {
			s.unsupported("mpt without alibi", "")
		}
		if s.flag("qk_ln", false) {
			s.unsupported("qk_ln", "")
		}
		if s.flag("prefix_lm", false) {
			s.unsupported("prefix_lm", "")
		}
		c.merge("attn_config", s)
	}
	d.prepare = func() { a.bias = b.alibi(alibiSlopesMax(heads, biasMax)) }
	d.plain(b, "ffn.up_proj", "ffn.down_proj", 4*d.width, false, model.ActGelu)
	return d.build(b)
}

// buildOPT lowers OPTForCausalLM (Zhang et al. 2022): learned positions after the first two rows, norms before or
// (350m) after, where the embedding is narrower, too.
func buildOPT(b *builder) int {
	c := b.config
	heads := c.count("num_attention_heads")
	before := c.flag("do_layer_norm_before", true)
	bias := c.flag("enable_bias", true)
	affine := c.flag("layer_norm_elementwise_affine", true)
	d := &decoder{
		stack: stack{
			width: c.count("hidden_size"), layers: c.count("num_hidden_layers"),
			context: c.countOr("max_position_embeddings", 2048), base: "model.decoder.", layer: "layers.%d.",
			preAttention: "self_attn_layer_norm", preMLP: "final_layer_norm", postNorm: !before,
			norm: norm{kind: layerNorm, bias: true, eps: 1e-5, bare: !affine},
		},
		vocab: c.count("vocab_size"), embedding: "embed_tokens", positions: "embed_positions", positionOffset: 2,
		finalNorm: "final_layer_norm", head: "lm_head",
	}
	if !before || c.flag("_remove_final_layer_norm", false) {
		d.finalNorm = ""
	}
	d.embeddingWidth = c.countOr("word_embed_proj_dim", d.width)
	d.tied(b, true)
	d.attention = attention{prefix: "self_attn", heads: heads, kvHeads: heads, headDim: c.headSize(d.width, heads), o: "out_proj", biasQKV: bias, biasO: bias}
	d.plain(b, "fc1", "fc2", c.count("ffn_dim"), bias, b.activation("activation_function", "relu"))
	return d.build(b)
}
