package safetensors

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The inputs and outputs of encoders, by the names that transformers gives them.
const (
	attentionMask   = "attention_mask"    // I64 [batch, seq]: 1 for a token, 0 for padding
	tokenTypeIDs    = "token_type_ids"    // I64 [batch, seq]
	lastHiddenState = "last_hidden_state" // F32 [batch, seq, width]
	poolerOutput    = "pooler_output"     // F32 [batch, width]
	keyMask         = "key_mask"          // BOOL [batch, 1, 1, seq]: the keys that are no padding
)

// encoder describes a model that sees all tokens at once: an embedding, a stack of layers without caches, a head. Its graph takes
// input_ids, attention_mask and, where there are several types, token_type_ids.
type encoder struct {
	stack
	vocab int
	// Names of tables behind base, "" for none: of words, of learned positions and of types.
	words, positions, types string
	typeCount               int
	embeddingWidth          int // of the tables; 0: width
	embeddingNorm           string
	project                 string // the product from embeddingWidth to width, "" for none
	// padded has positions counted over the tokens that are not padding, from padding+1 on.
	padded  bool
	padding int
	// bias adds what is added to all scores, F32 [1, heads, seq, seq]; nil: nothing.
	bias      func() string
	local     int    // layers with a window see so many tokens to both sides; 0: none have
	source    bool   // it is half of an encoder-decoder: source_len, not attention_mask, says what is padding
	finalNorm string // "": none
	// positionOffset is how many rows of positions are not used, embeddingScale a factor, 0 for 1.
	positionOffset int
	embeddingScale float64
	pooler         string // the product with tanh of the first token, "" for none
	heads
}

// heads says what may stand on an encoder: names of the checkpoint, base included where they lie behind it.
type heads struct {
	masked   maskedHead
	sequence classHead // over all of a text
	token    classHead // over each token
}

// maskedHead scores the vocabulary at each token: decoder(norm(act(dense(x)))).
type maskedHead struct {
	dense, norm string
	biasless    bool // dense has no bias
	act         string
	decoder     string // its weights, where they are not those of the words
	bias        string // "": none
}

// classHead scores labels: out(norm(act(dense(x)))), of the pooler's output or of the first token.
type classHead struct {
	dense, norm string // "": none
	biasless    bool   // dense has no bias
	act         string
	out         string
	pooled      bool // it stands on the pooler
	mean        bool // it stands on the mean of the tokens
}

// The ends of the names of classes: what stands on the encoder.
const (
	classModel     = "Model"
	classMasked    = "ForMaskedLM"
	classSequence  = "ForSequenceClassification"
	classToken     = "ForTokenClassification"
	classQuestions = "ForQuestionAnswering"
	classReplaced  = "ForPreTraining" // of ELECTRA: was the token replaced?
)

// registerEncoder registers the classes prefix+end of a family.
func registerEncoder(modelType, prefix, models string, read func(b *builder) *encoder, ends ...string) struct{} {
	for _, end := range ends {
		register(architecture{modelType: modelType, class: prefix + end, name: modelType, models: models, build: func(b *builder) int {
			return read(b).build(b, end)
		}})
	}
	return struct{}{}
}

func (e *encoder) build(b *builder, end string) int {
	if e.embeddingWidth == 0 {
		e.embeddingWidth = e.width
	}
	if e.padded && e.context <= e.padding+1 {
		b.config.wrong = append(b.config.wrong, fmt.Sprintf("max_position_embeddings %d leaves no position behind pad_token_id %d", e.context, e.padding))
	}
	if !e.sound(b) {
		return 0
	}
	e.rebase(b, e.words+".weight")
	e.addHead(b, e.hidden(b), end)
	if e.padded {
		return e.context - e.padding - 1
	}
	return e.context
}

// hidden adds the inputs and all layers, and returns the last hidden state.
func (e *encoder) hidden(b *builder) string {
	hidden := e.addLayers(b, e.embed(b))
	if e.finalNorm != "" {
		hidden = b.norm(e.graph+"final_norm", hidden, e.base+e.finalNorm, e.width, e.norm)
	}
	return hidden
}

// embed adds the inputs and the hidden state before the first layer.
func (e *encoder) embed(b *builder) string {
	if e.source {
		b.input(inputIDs, tensor.I64, dimBatch, dimSource)
		b.input(sourceLen, tensor.I64, dimBatch)
	} else {
		b.input(inputIDs, tensor.I64, dimBatch, dimSeq)
		b.input(attentionMask, tensor.I64, dimBatch, dimSeq)
	}
	x := b.embed(e.graph+"embedding", inputIDs, e.base+e.words+".weight", e.vocab, e.embeddingWidth)
	if e.types != "" {
		ids := b.constant("first_type", tensor.FromSlice([]int64{0}, 1))
		if e.typeCount > 1 {
			ids = b.input(tokenTypeIDs, tensor.I64, dimBatch, dimSeq)
		}
		x = b.onnx("Add", "embedding_typed", nil, x, b.embed("type_embedding", ids, e.base+e.types+".weight", e.typeCount, e.embeddingWidth))
	}
	x = b.scaled(e.graph+"embedding_scaled", x, orOne(e.embeddingScale))
	if e.padded {
		b.positionsFrom(e.padding)
	} else if e.positions != "" || e.attention.rope != nil || e.byLayer != nil {
		b.positionsInOrder(e.graph)
	}
	if e.positions != "" {
		x = b.onnx("Add", e.graph+"embedding_placed", nil, x, e.placed(b))
	}
	if e.embeddingNorm != "" {
		x = b.norm(e.graph+"embedding_norm", x, e.base+e.embeddingNorm, e.embeddingWidth, e.norm)
	}
	if e.project != "" {
		x = b.linear("embedding_projected", x, e.base+e.project, e.width, e.embeddingWidth, true, model.ActNone)
	}
	e.mask(b)
	return x
}

// placed is the learned vectors of the positions, which lie behind the first positionOffset rows of their table.
func (e *encoder) placed(b *builder) string {
	of := e.base + e.positions + ".weight"
	return b.lookup(e.graph+"position_embedding", e.graph+positionIDs, b.matrixFrom(of, e.positionOffset, e.context, e.embeddingWidth), of)
}

// mask sets what each layer adds to its scores.
func (e *encoder) mask(b *builder) {
	e.attend, e.attention.allKeys = b.uncached, true
	if e.source {
		e.attention.lengths = sourceLen
		if e.bias != nil {
			e.attention.bias = e.bias()
		}
		return
	}
	visible := b.onnx("Cast", "tokens", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.BOOL))}, attentionMask)
	visible = b.onnx("Unsqueeze", keyMask, nil, visible, b.ints(1, 2))
	whole := visible
	if e.bias != nil {
		hidden := b.constant("masked_score", tensor.FromSlice([]float32{float32(math.Inf(-1))}, scalarShape...))
		whole = b.onnx("Where", "score_bias", nil, visible, e.bias(), hidden)
	}
	e.attention.bias = whole
	if e.local == 0 {
		return
	}
	near := b.onnx("And", "near_keys", nil, visible, b.within(e.local))
	byLayer := e.byLayer
	e.byLayer = func(i int, a *attention) {
		if byLayer != nil {
			byLayer(i, a)
		}
		if a.window > 0 {
			a.bias, a.window = near, 0
		}
	}
}

// positionsInOrder adds the value position_ids, 0, 1, ... for each text, behind a prefix.
func (b *builder) positionsInOrder(prefix string) {
	shape := b.onnx("Shape", prefix+"ids_shape", nil, inputIDs)
	b.onnx("Expand", prefix+positionIDs, nil, b.onnx("Unsqueeze", prefix+"positions_row", nil, b.steps(prefix), b.ints(0)), shape)
}

// steps is 0, 1, ... up to the number of tokens: I64 [seq].
func (b *builder) steps(prefix string) string {
	name := prefix + "seq_steps"
	if b.made[name] {
		return name
	}
	b.made[name] = true
	length := b.onnx("Shape", prefix+seqLen, model.Attrs{"start": model.IntAttr(1), "end": model.IntAttr(2)}, inputIDs)
	zero := b.constant("zero", tensor.FromSlice([]int64{0}, scalarShape...))
	one := b.constant("one", tensor.FromSlice([]int64{1}, scalarShape...))
	return b.onnx("Range", name, nil, zero, b.onnx("Squeeze", prefix+"seq_count", nil, length), one)
}

// positionsFrom adds position_ids that count the tokens that are not the padding's, from padding+1 on; padding
// has the position padding (RoBERTa).
func (b *builder) positionsFrom(padding int) {
	pad := b.constant("padding", tensor.FromSlice([]int64{int64(padding)}, scalarShape...))
	real := b.onnx("Not", "is_token", nil, b.onnx("Equal", "is_padding", nil, inputIDs, pad))
	real = b.onnx("Cast", "is_token_i64", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.I64))}, real)
	count := b.onnx("CumSum", "tokens_so_far", nil, real, b.constant("axis_one", tensor.FromSlice([]int64{1}, scalarShape...)))
	b.onnx("Add", positionIDs, nil, b.onnx("Mul", "tokens_counted", nil, count, real), pad)
}

// within is whether a key is at most reach tokens from a query: BOOL [seq, seq].
func (b *builder) within(reach int) string {
	distance := b.onnx("Abs", "near_distance", nil, b.distances(""))
	most := b.constant("near_reach", tensor.FromSlice([]int64{int64(reach)}, scalarShape...))
	return b.onnx("LessOrEqual", "near", nil, distance, most)
}

// distances is key - query: I64 [seq, seq].
func (b *builder) distances(prefix string) string {
	steps := b.steps(prefix)
	keys, queries := b.onnx("Unsqueeze", prefix+"key_row", nil, steps, b.ints(0)), b.onnx("Unsqueeze", prefix+"query_column", nil, steps, b.ints(1))
	return b.onnx("Sub", prefix+"distances", nil, keys, queries)
}

// addHead adds the outputs of a class.
func (e *encoder) addHead(b *builder, hidden, end string) {
	b.task = model.TaskGraph
	switch end {
	case classModel:
		e.outputs(b, hidden)
	case classMasked:
		e.addMasked(b, hidden)
	case classSequence:
		b.task, b.labels = model.TaskTextClassify, b.config.labels()
		if e.sequence.pooled {
			hidden = e.pool(b, "pooled", hidden)
		} else {
			hidden = e.first(b, hidden)
		}
		e.classes(b, logits, hidden, e.sequence)
		b.output(logits, tensor.F32, dimBatch, model.Known(len(b.labels)))
	case classToken:
		b.labels = b.config.labels()
		e.classes(b, logits, hidden, e.token)
		b.output(logits, tensor.F32, dimBatch, dimSeq, model.Known(len(b.labels)))
	case classQuestions:
		both := b.linear("spans", hidden, "qa_outputs", 2, e.width, true, model.ActNone)
		for i, out := range []string{"start_logits", "end_logits"} {
			at := b.constant(out+".index", tensor.FromSlice([]int64{int64(i)}, scalarShape...))
			b.onnx("Gather", out, model.Attrs{"axis": model.IntAttr(-1)}, both, at)
			b.output(out, tensor.F32, dimBatch, dimSeq)
		}
	case classReplaced:
		const p = "discriminator_predictions."
		x := b.linear("replaced.dense", hidden, p+"dense", e.width, e.width, true, b.activation("hidden_act", "gelu"))
		x = b.linear("replaced.column", x, p+"dense_prediction", 1, e.width, true, model.ActNone)
		b.onnx("Squeeze", logits, nil, x, b.ints(-1))
		b.output(logits, tensor.F32, dimBatch, dimSeq)
	}
}

// outputs adds the last hidden state, the pooler's output if the checkpoint has one, and the sentence's vector.
func (e *encoder) outputs(b *builder, hidden string) {
	b.onnx("Identity", lastHiddenState, nil, hidden)
	b.output(lastHiddenState, tensor.F32, dimBatch, dimSeq, model.Known(e.width))
	if e.pooler != "" && b.has(e.base+e.pooler+".weight") {
		e.pool(b, poolerOutput, hidden)
		b.output(poolerOutput, tensor.F32, dimBatch, model.Known(e.width))
	}
	b.addSentence(hidden, e.width)
}

// first is the hidden state of the first token, or the mean of all where the head stands on that.
func (e *encoder) first(b *builder, hidden string) string {
	if e.sequence.mean {
		return b.meanOfTokens("mean", hidden, "mean")
	}
	return b.tokenAt("first", hidden, 0)
}

// tokenAt is the hidden state [batch, width] of token i.
func (b *builder) tokenAt(out, hidden string, i int) string {
	at := b.constant(out+".index", tensor.FromSlice([]int64{int64(i)}, scalarShape...))
	return b.onnx("Gather", out, model.Attrs{"axis": model.IntAttr(1)}, hidden, at)
}

// pool is tanh(pooler(first token)).
func (e *encoder) pool(b *builder, out, hidden string) string {
	return b.linear(out, b.tokenAt(out+".first", hidden, 0), e.base+e.pooler, e.width, e.width, true, model.ActTanh)
}

// classes adds the scores of labels.
func (e *encoder) classes(b *builder, out, x string, h classHead) {
	if h.dense != "" {
		x = b.linear(out+".dense", x, h.dense, e.width, e.width, !h.biasless, h.act)
	}
	if h.norm != "" {
		x = b.norm(out+".norm", x, h.norm, e.width, e.norm)
	}
	b.linear(out, x, h.out, len(b.labels), e.width, true, model.ActNone)
}

// addMasked adds the scores of the vocabulary.
func (e *encoder) addMasked(b *builder, hidden string) {
	h := e.masked
	x := b.linear("masked.dense", hidden, h.dense, e.embeddingWidth, e.width, !h.biasless, h.act)
	x = b.norm("masked.norm", x, h.norm, e.embeddingWidth, e.norm)
	table := h.decoder + ".weight"
	if b.config.flag("tie_word_embeddings", true) {
		delete(b.weights.unused, table)
		delete(b.weights.unused, h.decoder+".bias") // some hold it twice
		table = e.base + e.words + ".weight"
	}
	in := []string{x, b.matrix(table, e.vocab, e.embeddingWidth)}
	if h.bias != "" {
		in = append(in, b.vector(h.bias, e.vocab))
	}
	b.product(logits, model.ActNone, in...)
	b.output(logits, tensor.F32, dimBatch, dimSeq, model.Known(e.vocab))
}
