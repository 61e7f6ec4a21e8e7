package safetensors

import (
	"fmt"
	"strings"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// decoder describes a decoder-only language model: an embedding, layers of attention and MLP, a head. An architecture fills
// it in from its config, and build makes the graph. A layer is, with the norms that have no name left out,
//
//	a = postAttention(attention(preAttention(hidden)));  hidden = hidden + a
//	m = postMLP(mlp(preMLP(hidden)));                    hidden = hidden + m
//
// or, if it is parallel, hidden + a + m with both computed of the same hidden; an mlp without a norm of its own then
// takes the attention's.
type decoder struct {
	width, layers, vocab, context int
	// Names of the checkpoint. base begins all names but the head's, and its first part is left out if the checkpoint
	// was saved without it; layer, with the layer's number, follows it.
	base, embedding, layer, finalNorm, head string
	headBias                                string // its name, "" for none
	norm                                    norm
	attention                               attention // of all layers; its names are behind the layer's
	// preAttention and so on are a layer's norms by their names behind the layer's.
	preAttention, postAttention, preMLP, postMLP string
	parallel                                     bool
	// postNorm has preAttention and preMLP act on the sums with the hidden state, as the first transformers did.
	postNorm bool
	// residualFromNorm adds attention and mlp to their normalized input.
	residualFromNorm bool
	// prepare adds what all layers need; byLayer changes the attention of one; nil: nothing.
	prepare func()
	byLayer func(i int, a *attention)
	// attend adds attention of another kind; nil: builder.attention.
	attend func(out, x string, i int, a attention) string
	// mlp adds the MLP of layer i, whose names begin with prefix.
	mlp func(out, x, prefix string, i int) string
	// positions is a learned table of context rows after the first positionOffset; "": none.
	positions      string
	positionOffset int
	embeddingNorm  string // "": none
	embeddingWidth int    // if not 0, project_in and project_out lead to width and back (opt)
	// Factors of the embedding, of what is added to the hidden state, and of the logits; 0 stands for 1.
	embeddingScale, residualScale, logitScale float64
	logitSoftcap                              float64 // 0: none
}

// maxExperts caps the experts of a layer.
const maxExperts = 4096

// maxLayers caps layers where a list of them is made before the weights are looked at.
const maxLayers = 1 << 16

func (d *decoder) build(b *builder) int {
	c, a := b.config, &d.attention
	if a.headDim > maxHeadDim {
		c.wrong = append(c.wrong, fmt.Sprintf("the size of a head, %d, is above the limit of %d", a.headDim, maxHeadDim))
	}
	if a.heads > maxHeads {
		c.wrong = append(c.wrong, fmt.Sprintf("the number of heads, %d, is above the limit of %d", a.heads, maxHeads))
	}
	if a.heads%a.kvHeads != 0 {
		c.wrong = append(c.wrong, fmt.Sprintf("num_attention_heads %d is no multiple of num_key_value_heads %d", a.heads, a.kvHeads))
	}
	if c.failed() || b.tooManyLayers(d.layers) {
		return 0
	}
	a.width = d.width
	if _, rest, ok := strings.Cut(d.base, "."); ok && !b.has(d.base+d.embedding+".weight") && b.has(rest+d.embedding+".weight") {
		d.base = rest
	}
	b.lmInputs()
	hidden := d.embed(b)
	if d.prepare != nil {
		d.prepare()
	}
	for i := range d.layers {
		hidden = d.addLayer(b, hidden, i)
	}
	d.addHead(b, hidden)
	return d.context
}

// embed adds the hidden state before the first layer.
func (d *decoder) embed(b *builder) string {
	inner := d.width
	if d.embeddingWidth != 0 {
		inner = d.embeddingWidth
	}
	x := b.embed("embedding", inputIDs, d.base+d.embedding+".weight", d.vocab, inner)
	if inner != d.width {
		x = b.linear("embedding_projected", x, d.base+"project_in", d.width, inner, false, model.ActNone)
	}
	x = b.scaled("embedding_scaled", x, orOne(d.embeddingScale))
	if d.positions != "" {
		of := d.base + d.positions + ".weight"
		table := of
		if d.positionOffset == 0 {
			b.matrix(of, d.context, d.width)
		} else {
			table = b.matrixView(of+".used", of, rowsOf(d.context+d.positionOffset, d.context, d.width, from(d.positionOffset)))
		}
		x = b.onnx("Add", "embedding_placed", nil, x, b.lookup("position_embedding", positionIDs, table, of))
	}
	if d.embeddingNorm != "" {
		x = b.norm("embedding_norm", x, d.base+d.embeddingNorm, d.width, d.norm)
	}
	return x
}

// addLayer adds layer i.
func (d *decoder) addLayer(b *builder, hidden string, i int) string {
	from := d.base + fmt.Sprintf(d.layer, i)
	to := fmt.Sprintf("layers.%d.", i)
	norm := func(out, x, name string) string {
		if name == "" {
			return x
		}
		return b.norm(to+out, x, from+name, d.width, d.norm)
	}
	add := func(out string, terms ...string) string {
		terms[1] = b.scaled(to+out+"_scaled", terms[1], orOne(d.residualScale))
		sum := b.onnx("Add", to+out, nil, terms[0], terms[1])
		if len(terms) == 3 {
			return b.onnx("Add", to+out+"_both", nil, sum, terms[2])
		}
		return sum
	}
	a := d.attention
	a.prefix = from + a.prefix
	if a.sinks != "" {
		a.sinks = a.prefix + "." + a.sinks
	}
	if d.byLayer != nil {
		d.byLayer(i, &a)
	}
	if a.window >= d.context {
		a.window = 0
	}
	attend := b.attention
	if d.attend != nil {
		attend = d.attend
	}
	if d.postNorm {
		x := attend(to+"attention", hidden, i, a)
		hidden = norm("attention_norm", add("attention_sum", hidden, x), d.preAttention)
		return norm("mlp_norm", add("mlp_sum", hidden, d.mlp(to+"mlp", hidden, from, i)), d.preMLP)
	}
	normed := norm("attention_norm", hidden, d.preAttention)
	x := norm("attention_post_norm", attend(to+"attention", normed, i, a), d.postAttention)
	if d.parallel {
		if d.preMLP != "" {
			normed = norm("mlp_norm", hidden, d.preMLP)
		}
		return add("sum", hidden, x, d.mlp(to+"mlp", normed, from, i))
	}
	if d.residualFromNorm {
		hidden = normed
	}
	hidden = add("attention_sum", hidden, x)
	normed = norm("mlp_norm", hidden, d.preMLP)
	x = norm("mlp_post_norm", d.mlp(to+"mlp", normed, from, i), d.postMLP)
	if d.residualFromNorm {
		hidden = normed
	}
	return add("mlp_sum", hidden, x)
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
		width: c.count("hidden_size"), layers: c.count("num_hidden_layers"), vocab: c.count("vocab_size"),
		base: "model.", embedding: "embed_tokens", layer: "layers.%d.", finalNorm: "norm", head: "lm_head",
		preAttention: "input_layernorm", preMLP: "post_attention_layernorm",
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

// gated sets the MLP to a gated one with llama's names.
func (d *decoder) gated(b *builder, inner int, bias bool, act string) {
	d.mlp = func(out, x, prefix string, _ int) string {
		return b.gatedMLP(out, x, prefix+"mlp", d.width, inner, bias, act)
	}
}

// plain sets the MLP to down(act(up(x))).
func (d *decoder) plain(b *builder, up, down string, inner int, bias bool, act string) {
	d.mlp = func(out, x, prefix string, _ int) string {
		x = b.linear(out+".up", x, prefix+up, inner, d.width, bias, act)
		return b.linear(out, x, prefix+down, d.width, inner, bias, model.ActNone)
	}
}

// gatedFused sets the MLP to a gated one whose gate and up are the halves of mlp.gate_up_proj.
func (d *decoder) gatedFused(b *builder, inner int, act string) {
	d.mlp = func(out, x, prefix string, _ int) string {
		half := func(part string, first int, act string) string {
			return b.linearView(out+"."+part, x, prefix+"mlp.gate_up_proj", part, rowsOf(2*inner, inner, d.width, from(first)), false, nil, act)
		}
		x = b.onnx("Mul", out+".product", nil, half("gate", 0, act), half("up", inner, model.ActNone))
		return b.linear(out, x, prefix+"mlp.down_proj", d.width, inner, false, model.ActNone)
	}
}

// sliding returns which layers have a sliding window: layer_types, or what def says.
func (d *decoder) sliding(b *builder, def func(i int) bool) func(i int) bool {
	var types []string
	if !b.config.get("layer_types", &types, "a list of texts") {
		return def
	}
	for _, t := range types {
		if t != "sliding_attention" && t != "full_attention" {
			b.config.unsupported("layer type "+t, "known are sliding_attention and full_attention")
		}
	}
	if len(types) < d.layers {
		b.config.wrong = append(b.config.wrong, fmt.Sprintf("layer_types has %d elements for %d layers", len(types), d.layers))
	}
	return func(i int) bool { return types[i] == "sliding_attention" }
}
