package safetensors

import "fmt"

var (
	_ = registerEncoder("modernbert", "ModernBert", "ModernBERT, GTE-ModernBERT", readModernBERT, classModel, classMasked, classSequence, classToken)
	_ = registerEncoder("nomic_bert", "NomicBert", "Nomic Embed Text", readNomicBERT, classModel, classMasked)
)

// readModernBERT reads ModernBERT (Warner et al. 2024): rotated positions, gated MLPs, and all but every third layer with a
// window to both sides.
func readModernBERT(b *builder) *encoder {
	c := b.config
	number := c.count("num_attention_heads")
	e := &encoder{
		stack: stack{
			width: c.count("hidden_size"), layers: c.count("num_hidden_layers"), context: c.countOr("max_position_embeddings", 8192),
			base: "model.", layer: "layers.%d.", preAttention: "attn_norm", preMLP: "mlp_norm", firstUnnormed: true,
			norm: norm{kind: layerNorm, bias: c.flag("norm_bias", false), eps: c.positive("norm_eps", 1e-5)},
		},
		vocab: c.count("vocab_size"), words: "embeddings.tok_embeddings", embeddingNorm: "embeddings.norm", finalNorm: "final_norm",
	}
	bias := c.flag("attention_bias", false)
	e.attention = attention{prefix: "attn", heads: number, kvHeads: number, headDim: c.headSize(e.width, number),
		fused: fusedInOrder("Wqkv", e.width, e.width), o: "Wo", biasQKV: bias, biasO: bias}
	inner := c.count("intermediate_size")
	e.gatedFused(b, "mlp.Wi", "mlp.Wo", inner, c.flag("mlp_bias", false), b.activation("hidden_activation", "gelu"))
	e.readLocal(b)
	act := b.activation("classifier_activation", "gelu")
	biasless := !c.flag("classifier_bias", false)
	e.masked = maskedHead{dense: "head.dense", norm: "head.norm", biasless: biasless, act: act, decoder: "decoder"}
	if c.flag("decoder_bias", true) {
		e.masked.bias = "decoder.bias"
	}
	e.token = classHead{dense: "head.dense", norm: "head.norm", biasless: biasless, act: act, out: "classifier"}
	e.sequence = e.token
	switch pooling := c.text("classifier_pooling", "cls"); pooling {
	case "cls":
	case "mean":
		e.sequence.mean = true
	default:
		c.unsupported("classifier_pooling "+pooling, "cls and mean are known")
	}
	return e
}

// readLocal reads which layers see all tokens and how the two kinds are rotated.
func (e *encoder) readLocal(b *builder) {
	c := b.config
	a := &e.attention
	if a.headDim%2 != 0 || a.headDim > maxHeadDim {
		c.wrong = append(c.wrong, fmt.Sprintf("heads of %d elements cannot be rotated", a.headDim))
		return
	}
	rotation := func(name, kind string, theta float64) *rope {
		if p := c.sub("rope_parameters"); p != nil { // newer configs
			if k := p.sub(kind); k != nil {
				theta = k.positive("rope_theta", theta)
			}
		}
		r := plainRope(name, a.headDim, a.headDim, theta)
		r.positions = e.context
		return r
	}
	whole := rotation("rope", "full_attention", c.positive("global_rope_theta", 160000))
	near := rotation("rope_local", "sliding_attention", c.positive("local_rope_theta", 10000))
	if e.local = c.countOr("local_attention", 128) / 2; e.local == 0 {
		c.wrong = append(c.wrong, "local_attention is below 2")
	}
	every := c.countOr("global_attn_every_n_layers", 3)
	sliding := e.sliding(b, func(i int) bool { return i%every != 0 })
	e.byLayer = func(i int, a *attention) {
		if sliding(i) {
			a.rope, a.window = near, e.local
		} else {
			a.rope = whole
		}
	}
}

// readNomicBERT reads Nomic Embed's BERT (Nussbaum et al. 2024): rotated positions and gated MLPs. Published configs name
// keys as GPT-2 does.
func readNomicBERT(b *builder) *encoder {
	c := b.config
	number := c.countAny("num_attention_heads", "n_head")
	e := &encoder{
		stack: stack{
			width: c.countAny("hidden_size", "n_embd"), layers: c.countAny("num_hidden_layers", "n_layer"),
			context: c.countOr("max_position_embeddings", c.countOr("n_positions", 2048)),
			base:    "nomic_bert.", layer: "encoder.layers.%d.", preAttention: "norm1", preMLP: "norm2", postNorm: true,
			norm: norm{kind: layerNorm, bias: true, eps: c.positive("layer_norm_eps", c.positive("layer_norm_epsilon", 1e-12))},
		},
		vocab: c.count("vocab_size"), words: "embeddings.word_embeddings", embeddingNorm: "emb_ln",
	}
	if c.number("type_vocab_size", 2) > 0 {
		e.types, e.typeCount = "embeddings.token_type_embeddings", c.countOr("type_vocab_size", 2)
	}
	if b.has("bert." + e.words + ".weight") {
		e.base = "bert."
	}
	qkv := c.flag("qkv_proj_bias", false)
	e.attention = attention{prefix: "attn", heads: number, kvHeads: number, headDim: c.headSize(e.width, number),
		fused: fusedInOrder("Wqkv", e.width, e.width), o: "out_proj", biasQKV: qkv, biasO: qkv}
	a := &e.attention
	share := c.positive("rotary_emb_fraction", 1)
	a.rope, e.context = readRope(c, "rope", a.headDim, e.context, c.positive("rotary_emb_base", 10000), share)
	a.rope.interleaved = c.flag("rotary_emb_interleaved", false)
	for _, key := range []string{"prenorm", "parallel_block", "use_rms_norm", "causal"} {
		if c.flag(key, false) {
			c.unsupported(key, "only without it this architecture is known")
		}
	}
	if c.number("moe_every_n_layers", 0) > 0 {
		c.unsupported("moe_every_n_layers", "only dense layers are known of this architecture")
	}
	act := b.activation("hidden_act", "silu")
	if kind := c.text("activation_function", "swiglu"); kind != "swiglu" {
		c.unsupported("activation_function "+kind, "only swiglu is known of this architecture")
	}
	e.gatedNamed(b, "mlp.fc12", "mlp.fc11", "mlp.fc2", c.countAny("intermediate_size", "n_inner"), c.flag("mlp_fc1_bias", false), act)
	e.masked = maskedHead{dense: "cls.predictions.transform.dense", norm: "cls.predictions.transform.layer_norm", act: act,
		decoder: "cls.predictions.decoder", bias: "cls.predictions.bias"}
	return e
}
