package safetensors

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/model"
)

var (
	_ = registerEncoder("bert", "Bert", "BERT, MiniLM, BGE, E5, GTE, LaBSE, TinyBERT", readBERT, classModel, classMasked, classSequence, classToken, classQuestions)
	_ = registerEncoder("roberta", "Roberta", "RoBERTa, DistilRoBERTa, CodeBERT", readRoBERTa, classModel, classMasked, classSequence, classToken, classQuestions)
	_ = registerEncoder("xlm-roberta", "XLMRoberta", "XLM-R, multilingual E5, BGE-M3", readRoBERTa, classModel, classMasked, classSequence, classToken, classQuestions)
	_ = registerEncoder("electra", "Electra", "ELECTRA", readELECTRA, classModel, classMasked, classSequence, classToken, classQuestions, classReplaced)
	_ = registerEncoder("albert", "Albert", "ALBERT", readALBERT, classModel, classMasked, classSequence, classToken, classQuestions)
	_ = registerEncoder("distilbert", "DistilBert", "DistilBERT", readDistilBERT, classModel, classMasked, classSequence, classToken, classQuestions)
	_ = registerEncoder("mpnet", "MPNet", "MPNet, all-mpnet-base", readMPNet, classModel, classMasked, classSequence, classToken, classQuestions)
)

// readBERT reads BERT (Devlin et al. 2019), whose keys and names its relatives share.
func readBERT(b *builder) *encoder {
	c := b.config
	number := c.count("num_attention_heads")
	e := &encoder{
		stack: stack{
			width: c.count("hidden_size"), layers: c.count("num_hidden_layers"), context: c.countOr("max_position_embeddings", 512),
			base: "bert.", layer: "encoder.layer.%d.", preAttention: "attention.output.LayerNorm", preMLP: "output.LayerNorm", postNorm: true,
			norm: norm{kind: layerNorm, bias: true, eps: c.positive("layer_norm_eps", 1e-12)},
		},
		vocab: c.count("vocab_size"), words: "embeddings.word_embeddings", positions: "embeddings.position_embeddings",
		types: "embeddings.token_type_embeddings", typeCount: c.countOr("type_vocab_size", 2), embeddingNorm: "embeddings.LayerNorm", pooler: "pooler.dense",
	}
	e.attention = attention{prefix: "attention", heads: number, kvHeads: number, headDim: c.headSize(e.width, number),
		q: "self.query", k: "self.key", v: "self.value", o: "output.dense", biasQKV: true, biasO: true}
	act := b.activation("hidden_act", "gelu")
	e.plain(b, "intermediate.dense", "output.dense", c.count("intermediate_size"), true, act)
	e.masked = maskedHead{dense: "cls.predictions.transform.dense", norm: "cls.predictions.transform.LayerNorm", act: act,
		decoder: "cls.predictions.decoder", bias: "cls.predictions.bias"}
	e.sequence, e.token = classHead{out: "classifier", pooled: true}, classHead{out: "classifier"}
	if kind := c.text("position_embedding_type", "absolute"); kind != "absolute" {
		c.unsupported("position_embedding_type "+kind, "only absolute is known")
	}
	if c.flag("is_decoder", false) {
		c.unsupported("is_decoder", "only encoders are known of this architecture")
	}
	return e
}

// readRoBERTa reads RoBERTa (Liu et al. 2019) and XLM-R (Conneau et al. 2020): BERT with positions behind the padding's.
func readRoBERTa(b *builder) *encoder {
	e := readBERT(b)
	e.base, e.padded, e.padding = "roberta.", true, int(b.config.number("pad_token_id", 1))
	e.masked = maskedHead{dense: "lm_head.dense", norm: "lm_head.layer_norm", act: model.ActGelu, decoder: "lm_head.decoder", bias: "lm_head.bias"}
	e.sequence = classHead{dense: "classifier.dense", act: model.ActTanh, out: "classifier.out_proj"}
	return e
}

// readELECTRA reads ELECTRA (Clark et al. 2020): BERT with an embedding of its own width.
func readELECTRA(b *builder) *encoder {
	e := readBERT(b)
	e.base, e.pooler = "electra.", ""
	if e.embeddingWidth = b.config.countOr("embedding_size", 128); e.embeddingWidth != e.width {
		e.project = "embeddings_project"
	}
	e.masked = maskedHead{dense: "generator_predictions.dense", norm: "generator_predictions.LayerNorm", act: model.ActGelu,
		decoder: "generator_lm_head", bias: "generator_lm_head.bias"}
	e.sequence = classHead{dense: "classifier.dense", act: model.ActGelu, out: "classifier.out_proj"}
	return e
}

// readALBERT reads ALBERT (Lan et al. 2020): layers that share their weights, and a narrow embedding.
func readALBERT(b *builder) *encoder {
	c := b.config
	e := readBERT(b)
	groups, each := c.countOr("num_hidden_groups", 1), c.countOr("inner_group_num", 1)
	if groups > e.layers || each > maxLayers/maxShared || e.layers > maxShared {
		c.wrong = append(c.wrong, fmt.Sprintf("%d layers in %d groups of %d", e.layers, groups, each))
		groups, each = 1, 1
	}
	before := e.layers
	e.layers *= each
	e.names = func(i int) string {
		return fmt.Sprintf("encoder.albert_layer_groups.%d.albert_layers.%d.", i/each*groups/before, i%each)
	}
	e.base, e.pooler = "albert.", "pooler"
	e.preAttention, e.preMLP = "attention.LayerNorm", "full_layer_layer_norm"
	e.embeddingWidth, e.project = c.countOr("embedding_size", 128), "encoder.embedding_hidden_mapping_in"
	a := &e.attention
	a.q, a.k, a.v, a.o = "query", "key", "value", "dense"
	act := b.activation("hidden_act", "gelu_new")
	e.plain(b, "ffn", "ffn_output", c.count("intermediate_size"), true, act)
	e.masked = maskedHead{dense: "predictions.dense", norm: "predictions.LayerNorm", act: act, decoder: "predictions.decoder", bias: "predictions.bias"}
	return e
}

// maxShared caps layers that share their weights, of which a checkpoint shows nothing.
const maxShared = 256

// readDistilBERT reads DistilBERT (Sanh et al. 2019).
func readDistilBERT(b *builder) *encoder {
	c := b.config
	number := c.countAny("n_heads", "num_attention_heads")
	e := &encoder{
		stack: stack{
			width: c.countAny("dim", "hidden_size"), layers: c.countAny("n_layers", "num_hidden_layers"), context: c.countOr("max_position_embeddings", 512),
			base: "distilbert.", layer: "transformer.layer.%d.", preAttention: "sa_layer_norm", preMLP: "output_layer_norm", postNorm: true,
			norm: norm{kind: layerNorm, bias: true, eps: 1e-12},
		},
		vocab: c.count("vocab_size"), words: "embeddings.word_embeddings", positions: "embeddings.position_embeddings", embeddingNorm: "embeddings.LayerNorm",
	}
	e.attention = attention{prefix: "attention", heads: number, kvHeads: number, headDim: c.headSize(e.width, number),
		q: "q_lin", k: "k_lin", v: "v_lin", o: "out_lin", biasQKV: true, biasO: true}
	act := b.activation("activation", "gelu")
	e.plain(b, "ffn.lin1", "ffn.lin2", c.countOr("hidden_dim", 4*e.width), true, act)
	e.masked = maskedHead{dense: "vocab_transform", norm: "vocab_layer_norm", act: act, decoder: "vocab_projector", bias: "vocab_projector.bias"}
	e.sequence = classHead{dense: "pre_classifier", act: model.ActRelu, out: "classifier"}
	e.token = classHead{out: "classifier"}
	return e
}

// readMPNet reads MPNet (Song et al. 2020): RoBERTa's positions, and a bias of the scores by distance that all layers share.
func readMPNet(b *builder) *encoder {
	c := b.config
	e := readRoBERTa(b)
	e.base, e.types, e.typeCount = "mpnet.", "", 0
	e.preAttention = "attention.LayerNorm"
	a := &e.attention
	a.q, a.k, a.v, a.o = "attn.q", "attn.k", "attn.v", "attn.o"
	d := distanceBias{buckets: c.countOr("relative_attention_num_buckets", 32), most: 128, heads: a.heads, bothSides: true}
	e.bias = func() string {
		return d.add(b, "distance_bias", e.base+"encoder.relative_attention_bias.weight", b.distances(""), false)
	}
	return e
}
