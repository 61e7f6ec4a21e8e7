package safetensors

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The inputs and outputs of an encoder-decoder. Its graph is a language model's, whose tokens are decoder_input_ids, and the encoder's. What
// the decoder needs of the source lies in states that depend on the encoder's inputs alone, cross_k.<layer> and cross_v.<layer>: a
// runtime computes them once for a source and decodes with what they hold. See docs/decisions/0006.
const (
	decoderInputIDs = "decoder_input_ids"         // I64 [batch, seq]
	sourceLen       = "source_len"                // I64 [batch]: the tokens of input_ids that are no padding
	encoderHidden   = "encoder_last_hidden_state" // F32 [batch, source, width]
)

var dimSource = model.Sym("source")

// seq2seq describes an encoder-decoder.
type seq2seq struct {
	decoder
	// hidden adds the encoder and returns its last hidden state [batch, source, width].
	hidden func() string
	source model.Dim // the tokens of the encoder; ctx: as many as the decoder's at most
	length string    // the value that says how many of them there are, "" for all
	// crossPrefix begins the names of the attention to the encoder, behind the layer's.
	crossPrefix string
}

func (s *seq2seq) build(b *builder) int {
	if !s.sound(b) {
		return 0
	}
	b.task, b.ids = model.TaskSeq2Seq, decoderInputIDs
	hidden := s.hidden()
	b.outputAs(encoderHidden, hidden, dimBatch, dimSource, model.Known(s.width))
	s.cross = func(out, x, prefix string, i int) string {
		a := s.attention
		a.prefix, a.bias, a.lengths, a.allKeys = prefix+s.crossPrefix, "", s.length, true
		q := b.queries(out, x, a)
		width := a.kvHeads * a.headDim
		k := b.state(fmt.Sprintf("cross_k.%d", i), s.source, width, b.keys(out, hidden, a))
		v := b.state(fmt.Sprintf("cross_v.%d", i), s.source, width, b.values(out, hidden, a))
		return b.attended(out, q, k, v, a)
	}
	return s.decoder.build(b)
}

var (
	_ = register(architecture{modelType: "t5", class: "T5ForConditionalGeneration", name: "t5", build: buildT5,
		models: "T5, T5 1.1, Flan-T5"})
	_ = register(architecture{modelType: "mt5", class: "MT5ForConditionalGeneration", name: "mt5", build: buildT5,
		models: "mT5"})
	_ = registerEncoder("t5", "T5", "Sentence-T5, GTR, T5 as a text encoder", readT5Encoder, classEncoder)
	_ = register(architecture{modelType: "bart", class: "BartForConditionalGeneration", name: "bart", build: buildBART,
		models: "BART, DistilBART"})
	_ = register(architecture{modelType: "whisper", class: "WhisperForConditionalGeneration", name: "whisper", build: buildWhisper,
		models: "Whisper, Distil-Whisper"})
)

const classEncoder = "EncoderModel" // the encoder of an encoder-decoder alone

// t5Half describes the encoder's or the decoder's layers of T5 (Raffel et al. 2020): RMS norms first, no biases, scores that are not
// scaled, and a bias of them by distance.
type t5Half struct {
	stack
	distance distanceBias
	table    string // of the bias
}

func readT5(b *builder, side string, layers int, ff int) t5Half {
	c := b.config
	number := c.countOr("num_heads", 8)
	h := t5Half{
		stack: stack{
			width: c.countOr("d_model", 512), layers: layers, layer: side + ".block.%d.", context: c.countOr("n_positions", 512),
			preAttention: "layer.0.layer_norm", preCross: "layer.1.layer_norm", preMLP: fmt.Sprintf("layer.%d.layer_norm", ff),
			norm: norm{eps: c.positive("layer_norm_epsilon", 1e-6)},
		},
		table: side + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight",
	}
	h.attention = attention{prefix: "layer.0.SelfAttention", heads: number, kvHeads: number, headDim: c.countOr("d_kv", 64), q: "q", k: "k", v: "v", o: "o", scale: 1}
	h.distance = distanceBias{buckets: c.countOr("relative_attention_num_buckets", 32), most: c.countOr("relative_attention_max_distance", 128),
		heads: number, bothSides: side == "encoder"}
	inner := c.countOr("d_ff", 2048)
	p := fmt.Sprintf("layer.%d.DenseReluDense.", ff)
	switch kind := c.text("feed_forward_proj", "relu"); kind {
	case "relu":
		h.plain(b, p+"wi", p+"wo", inner, false, model.ActRelu)
	case "gated-gelu":
		h.gatedNamed(b, p+"wi_0", p+"wi_1", p+"wo", inner, false, model.ActGeluTanh)
	case "gated-silu":
		h.gatedNamed(b, p+"wi_0", p+"wi_1", p+"wo", inner, false, model.ActSwish)
	default:
		c.unsupported("feed_forward_proj "+kind, "known are relu, gated-gelu and gated-silu")
	}
	return h
}

// readT5Encoder reads the encoder.
func readT5Encoder(b *builder) *encoder {
	h := readT5(b, "encoder", b.config.countOr("num_layers", 6), 1)
	h.preCross = ""
	e := &encoder{stack: h.stack, vocab: b.config.count("vocab_size"), words: "shared", finalNorm: "encoder.final_layer_norm"}
	e.bias = func() string { return h.distance.add(b, e.graph+"distance_bias", h.table, b.distances(e.graph), false) }
	for _, name := range []string{"encoder", "decoder"} {
		delete(b.weights.unused, name+".embed_tokens.weight") // some hold it again
	}
	return e
}

// buildT5 lowers T5ForConditionalGeneration: versions 1.0, with a tied head whose input is scaled, and 1.1.
func buildT5(b *builder) int {
	c := b.config
	e := readT5Encoder(b)
	h := readT5(b, "decoder", c.countOr("num_decoder_layers", e.layers), 2)
	s := &seq2seq{decoder: decoder{stack: h.stack, vocab: e.vocab, embedding: "shared", finalNorm: "decoder.final_layer_norm", head: "lm_head"},
		source: dimCtx, length: sourceLen, crossPrefix: "layer.1.EncDecAttention"}
	if c.flag("tie_word_embeddings", true) {
		s.head, s.logitScale = "", pow(float64(s.width), -0.5)
	}
	s.hidden = e.asSource(b)
	s.prepare = func() {
		keys := b.onnx("Unsqueeze", "key_row", nil, b.keyPositions(), b.ints(0))
		queries := b.onnx("Unsqueeze", "query_column", nil, positionIDs, b.ints(2))
		s.attention.bias = h.distance.add(b, "distance_bias", h.table, b.onnx("Sub", "distances", nil, keys, queries), true)
	}
	return s.build(b)
}

// asSource returns what adds the encoder as half of an encoder-decoder.
func (e *encoder) asSource(b *builder) func() string {
	e.graph, e.source = "encoder.", true
	if e.embeddingWidth == 0 {
		e.embeddingWidth = e.width
	}
	return func() string {
		if !e.sound(b) {
			return ""
		}
		e.rebase(b, e.words+".weight")
		return e.hidden(b)
	}
}

// readBARTHalf reads the layers of one side of BART and Whisper.
func readBARTHalf(b *builder, side string) stack {
	c := b.config
	number := c.countOr(side+"_attention_heads", 16)
	s := stack{
		width: c.countOr("d_model", 1024), layers: c.countOr(side+"_layers", 12), base: "model.", layer: side + ".layers.%d.",
		preAttention: "self_attn_layer_norm", preCross: "encoder_attn_layer_norm", preMLP: "final_layer_norm",
		norm: norm{kind: layerNorm, bias: true, eps: 1e-5},
	}
	s.attention = attention{prefix: "self_attn", heads: number, kvHeads: number, headDim: c.headSize(s.width, number), o: "out_proj", biasQKV: true, biasO: true}
	s.plain(b, "fc1", "fc2", c.countOr(side+"_ffn_dim", 4096), true, b.activation("activation_function", "gelu"))
	return s
}

// buildBART lowers BartForConditionalGeneration (Lewis et al. 2020): learned positions behind two unused ones, norms behind the sums.
func buildBART(b *builder) int {
	c := b.config
	half := func(side string) stack {
		s := readBARTHalf(b, side)
		s.postNorm, s.context = true, c.countOr("max_position_embeddings", 1024)
		return s
	}
	vocab := c.count("vocab_size")
	e := &encoder{stack: half("encoder"), vocab: vocab, words: "shared", positions: "encoder.embed_positions", positionOffset: 2,
		embeddingNorm: "encoder.layernorm_embedding"}
	s := &seq2seq{decoder: decoder{stack: half("decoder"), vocab: vocab, embedding: "shared", positions: "decoder.embed_positions", positionOffset: 2,
		embeddingNorm: "decoder.layernorm_embedding", head: "lm_head"}, source: dimCtx, length: sourceLen, crossPrefix: "encoder_attn"}
	if c.flag("scale_embedding", false) {
		scale := pow(float64(s.width), 0.5)
		e.embeddingScale, s.embeddingScale = scale, scale
	}
	s.tied(b, true)
	if name := "final_logits_bias"; b.has(name) {
		s.headBias = b.vectorView(name, name, []int{1, vocab}, vocab, from(0), 0)
	}
	for _, side := range []string{"encoder", "decoder"} {
		delete(b.weights.unused, "model."+side+".embed_tokens.weight")
	}
	s.hidden = e.asSource(b)
	return s.build(b)
}

// buildWhisper lowers WhisperForConditionalGeneration (Radford et al. 2022): the encoder takes the logarithms of a sound's mel spectrum,
// input_features F32 [batch, mels, frames], two frames a position.
func buildWhisper(b *builder) int {
	c := b.config
	e, d := readBARTHalf(b, "encoder"), readBARTHalf(b, "decoder")
	e.graph, e.attend, e.attention.allKeys = "encoder.", b.uncached, true
	e.attention.unbiasedK, d.attention.unbiasedK = true, true
	e.context, d.context = c.countOr("max_source_positions", 1500), c.countOr("max_target_positions", 448)
	mels := c.countOr("num_mel_bins", 80)
	s := &seq2seq{decoder: decoder{stack: d, vocab: c.count("vocab_size"), embedding: "decoder.embed_tokens", positions: "decoder.embed_positions",
		finalNorm: "decoder.layer_norm", head: "proj_out"}, source: model.Known(e.context), crossPrefix: "encoder_attn"}
	s.tied(b, true)
	s.hidden = func() string {
		if !e.sound(b) {
			return ""
		}
		x := b.input("input_features", tensor.F32, dimBatch, model.Known(mels), model.Known(2*e.context))
		x = b.onnx("Transpose", "encoder.frames", model.Attrs{"perm": model.IntsAttr(0, 2, 1)}, x)
		x = b.convolution("encoder.conv1", x, e.base+"encoder.conv1", e.width, mels, 2*e.context, 1)
		x = b.convolution("encoder.conv2", x, e.base+"encoder.conv2", e.width, e.width, 2*e.context, 2)
		x = b.onnx("Add", "encoder.embedding", nil, x, b.table(e.base+"encoder.embed_positions.weight", e.context, e.width, e.context, e.width))
		return b.norm("encoder.final_norm", e.addLayers(b, x), e.base+"encoder.layer_norm", e.width, e.norm)
	}
	return s.build(b)
}

// convolution is gelu of a convolution along the tokens of x [batch, length, k], with three taps and zeros around x: the product of each three
// neighbours with the checkpoint's weight [n, k, 3].
func (b *builder) convolution(out, x, prefix string, n, k, length, stride int) string {
	const taps = 3
	padded := b.onnx("Pad", out+".padded", nil, x, b.ints(0, 1, 0, 0, 1, 0))
	var parts []string
	for i := range taps {
		part := b.onnx("Slice", fmt.Sprintf("%s.tap_%d", out, i), nil, padded, b.ints(int64(i)), b.ints(int64(i+length)), b.ints(1), b.ints(int64(stride)))
		parts = append(parts, b.onnx("Unsqueeze", part+".column", nil, part, b.ints(-1)))
	}
	x = b.onnx("Concat", out+".neighbours", model.Attrs{"axis": model.IntAttr(-1)}, parts...)
	x = b.onnx("Reshape", out+".rows", nil, x, b.ints(0, 0, int64(k*taps)))
	weight := view{shape: []int{n, k, taps}, n: n, k: k * taps, row: func(r int) int { return r * k * taps }, step: 1}
	return b.product(out, model.ActGelu, x, b.matrixView(prefix+".weight.flat", prefix+".weight", weight), b.vector(prefix+".bias", n))
}
