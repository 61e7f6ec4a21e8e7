package safetensors

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// decoder describes a decoder-only language model: an embedding, a stack of layers, a head. An architecture fills it in from its
// config, and build makes the graph.
type decoder struct {
	stack
	vocab                      int
	embedding, finalNorm, head string // names of the checkpoint: behind base, but the head's
	headBias                   string // its name, "" for none
	// prepare adds what all layers need; nil: nothing.
	prepare func()
	// positions is a learned table of context rows after the first positionOffset; "": none.
	positions      string
	positionOffset int
	embeddingNorm  string // "": none
	embeddingWidth int    // if not 0, project_in and project_out lead to width and back (opt)
	// Factors of the embedding and of the logits; 0 stands for 1.
	embeddingScale, logitScale float64
	logitSoftcap               float64 // 0: none
}

// maxExperts caps the experts of a layer.
const maxExperts = 4096

// maxLayers caps layers where a list of them is made before the weights are looked at.
const maxLayers = 1 << 16

func (d *decoder) build(b *builder) int {
	if !d.sound(b) {
		return 0
	}
	d.rebase(b, d.embedding+".weight")
	if b.sentence != nil {
		return d.buildSentence(b)
	}
	b.lmInputs()
	hidden := d.embed(b)
	if d.prepare != nil {
		d.prepare()
	}
	d.addHead(b, d.addLayers(b, hidden))
	return d.context
}

// buildSentence adds a language model as an encoder of texts, without caches and without a head: what modules.json beside the checkpoint
// asks for. It takes input_ids and attention_mask; tokens see those before them, so padding behind a text needs no mask.
func (d *decoder) buildSentence(b *builder) int {
	if d.prepare != nil || d.attend != nil || b.config.flag("use_bidirectional_attention", false) {
		b.config.unsupported("vectors of texts by this kind of attention", "convert it without modules.json as a language model")
		return 0
	}
	d.attend = b.uncached
	b.input(inputIDs, tensor.I64, dimBatch, dimSeq)
	b.input(attentionMask, tensor.I64, dimBatch, dimSeq)
	b.positionsInOrder("")
	b.onnx("Identity", kvLen, nil, seqLen)
	hidden := d.addLayers(b, d.embed(b))
	if d.finalNorm != "" {
		hidden = b.norm("final_norm", hidden, d.base+d.finalNorm, d.width, d.norm)
	}
	b.outputAs(lastHiddenState, hidden, dimBatch, dimSeq, model.Known(d.width))
	delete(b.weights.unused, d.head+".weight")
	b.addSentence(hidden, d.width)
	return d.context
}

// embed adds the hidden state before the first layer.
func (d *decoder) embed(b *builder) string {
	inner := d.width
	if d.embeddingWidth != 0 {
		inner = d.embeddingWidth
	}
	x := b.embed("embedding", b.ids, d.base+d.embedding+".weight", d.vocab, inner)
	if inner != d.width {
		x = b.linear("embedding_projected", x, d.base+"project_in", d.width, inner, false, model.ActNone)
	}
	x = b.scaled("embedding_scaled", x, orOne(d.embeddingScale))
	if d.positions != "" {
		of := d.base + d.positions + ".weight"
		table := b.matrixFrom(of, d.positionOffset, d.context, d.width)
		x = b.onnx("Add", "embedding_placed", nil, x, b.lookup("position_embedding", positionIDs, table, of))
	}
	if d.embeddingNorm != "" {
		x = b.norm("embedding_norm", x, d.base+d.embeddingNorm, d.width, d.norm)
	}
	return x
}

// addHead adds the logits of the positions that are wanted.
func (d *decoder) addHead(b *builder, hidden string) {
	x := b.onnx("Gather", "head.hidden", model.Attrs{"axis": model.IntAttr(1)}, hidden, logitsIndex)
	if d.finalNorm != "" {
		x = b.norm("final_norm", x, d.base+d.finalNorm, d.width, d.norm)
	}
	inner := d.width
	if d.embeddingWidth != 0 && d.embeddingWidth != d.width {
		inner = d.embeddingWidth
		x = b.linear("head.projected", x, d.base+"project_out", inner, d.width, false, model.ActNone)
	}
	head := d.head
	if head == "" {
		head = d.base + d.embedding
	}
	steps := []func(out, x string) string{func(out, x string) string {
		in := []string{x, b.matrix(head+".weight", d.vocab, inner)}
		if d.headBias != "" {
			in = append(in, b.vector(d.headBias, d.vocab))
		}
		return b.product(out, model.ActNone, in...)
	}}
	if s := orOne(d.logitScale); s != 1 {
		steps = append(steps, func(out, x string) string { return b.scaled(out, x, s) })
	}
	if d.logitSoftcap != 0 {
		steps = append(steps, func(out, x string) string { return b.softcapped(out, x, d.logitSoftcap) })
	}
	for i, step := range steps {
		out := logits
		if i < len(steps)-1 {
			out = fmt.Sprintf("head.logits_%d", i)
		}
		x = step(out, x)
	}
	b.output(logits, tensor.F32, dimBatch, dimN, model.Known(d.vocab))
}

func orOne(v float64) float64 {
	if v == 0 {
		return 1
	}
	return v
}

// tied makes the head the embedding's table if tie_word_embeddings says so, by default or because there is no other.
func (d *decoder) tied(b *builder, def bool) {
	_, said := b.config.raw("tie_word_embeddings")
	_, there := b.weights.tensors[d.head+".weight"]
	if !said && !there && !def {
		b.warnings = append(b.warnings, fmt.Sprintf("there is no %s.weight, so the head shares the embedding", d.head))
		def = true
	}
	if b.config.flag("tie_word_embeddings", def) {
		d.head = ""
	}
}

// llamaDefaults are what transformers takes for keys that config.json does not have.
type llamaDefaults struct {
	kvHeads int // 0: as many as heads
	headDim int // 0: width / heads
	context int
	eps     float64
	epsKey  string // "": rms_norm_eps
	act     string // "": silu
	tied    bool
	theta   float64 // 0: 10000
	rotary  float64 // share of a head that is rotated; 0: all
}

// readDecoder reads the keys that llama and its relatives have in common, and names tensors as they do. The MLP
// is to be added.
func readDecoder(b *builder, l llamaDefaults) (d *decoder, inner int, act string) {
	c := b.config
	heads := c.count("num_attention_heads")
	d = &decoder{
		stack: stack{
			width: c.count("hidden_size"), layers: c.count("num_hidden_layers"), base: "model.", layer: "layers.%d.",
			preAttention: "input_layernorm", preMLP: "post_attention_layernorm",
		},
		vocab: c.count("vocab_size"), embedding: "embed_tokens", finalNorm: "norm", head: "lm_head",
	}
	inner = c.count("intermediate_size")
	if l.kvHeads == 0 {
		l.kvHeads = heads
	}
	if l.headDim == 0 {
		l.headDim = max(d.width/heads, 1)
	}
	if l.epsKey == "" {
		l.epsKey = "rms_norm_eps"
	}
	if l.act == "" {
		l.act = "silu"
	}
	act = b.activation("hidden_act", l.act)
	d.norm = norm{eps: c.positive(l.epsKey, l.eps)}
	d.attention = attention{prefix: "self_attn", heads: heads, kvHeads: c.countOr("num_key_value_heads", l.kvHeads),
		headDim: min(c.countOr("head_dim", l.headDim), 2*maxHeadDim)}
	d.readRope(b, l)
	d.tied(b, l.tied)
	return d, inner, act
}

// readRope reads how long the context is and how all layers rotate.
func (d *decoder) readRope(b *builder, l llamaDefaults) {
	if l.theta == 0 {
		l.theta = 10000
	}
	if l.rotary == 0 {
		l.rotary = 1
	}
	d.attention.rope, d.context = readRope(b.config, "rope", d.attention.headDim, b.config.countOr("max_position_embeddings", l.context), l.theta, l.rotary)
}

// sliding returns which layers have a sliding window: layer_types, or what def says.
func (s *stack) sliding(b *builder, def func(i int) bool) func(i int) bool {
	var types []string
	if !b.config.get("layer_types", &types, "a list of texts") {
		return def
	}
	for _, t := range types {
		if t != "sliding_attention" && t != "full_attention" {
			b.config.unsupported("layer type "+t, "known are sliding_attention and full_attention")
		}
	}
	if len(types) < s.layers {
		b.config.wrong = append(b.config.wrong, fmt.Sprintf("layer_types has %d elements for %d layers", len(types), s.layers))
	}
	return func(i int) bool { return types[i] == "sliding_attention" }
}
