package safetensors

import (
	"fmt"
	"strings"

	"github.com/dsk-toolkit/dsk/model"
)

// stack describes layers of attention and MLP, of a decoder or of an encoder. A layer is, with the norms that have no name
// left out,
//
//	a = postAttention(attention(preAttention(hidden)));  hidden = hidden + a
//	c = cross(preCross(hidden));                         hidden = hidden + c
//	m = postMLP(mlp(preMLP(hidden)));                    hidden = hidden + m
//
// or, if it is parallel, hidden + a + m with both computed of the same hidden; an mlp without a norm of its own then
// takes the attention's.
type stack struct {
	graph                  string // begins the names of its values
	width, layers, context int
	// base begins the checkpoint's names, and its first part is left out if the checkpoint was saved without it; layer,
	// with the layer's number, follows it. names, if not nil, replaces layer.
	base, layer string
	names       func(i int) string
	norm        norm
	attention   attention // of all layers; its names are behind the layer's
	// preAttention and so on are a layer's norms by their names behind the layer's.
	preAttention, postAttention, preCross, preMLP, postMLP string
	firstUnnormed                                          bool // the first layer has no preAttention
	parallel                                               bool
	// postNorm has preAttention, preCross and preMLP act on the sums with the hidden state, as the first transformers did.
	postNorm bool
	// residualFromNorm adds attention and mlp to their normalized input.
	residualFromNorm bool
	// byLayer changes the attention of one layer; nil: nothing.
	byLayer func(i int, a *attention)
	// attend adds attention of another kind than builder.attention.
	attend func(out, x string, i int, a attention) string
	// cross adds the attention to another stack's result, nil for none, and mlp the MLP of layer i, whose names begin with prefix.
	cross, mlp func(out, x, prefix string, i int) string
	// residualScale is a factor of what is added to the hidden state, 0 for 1; attentionScale and mlpScale are names of
	// vectors that are such factors, "" for none.
	residualScale            float64
	attentionScale, mlpScale string
}

// sound reports whether the layers can be built, and notes why not.
func (s *stack) sound(b *builder) bool {
	c, a := b.config, &s.attention
	if a.headDim > maxHeadDim {
		c.wrong = append(c.wrong, fmt.Sprintf("the size of a head, %d, is above the limit of %d", a.headDim, maxHeadDim))
	}
	if a.heads > maxHeads {
		c.wrong = append(c.wrong, fmt.Sprintf("the number of heads, %d, is above the limit of %d", a.heads, maxHeads))
	}
	if a.kvHeads < 1 || a.heads%a.kvHeads != 0 {
		c.wrong = append(c.wrong, fmt.Sprintf("num_attention_heads %d is no multiple of num_key_value_heads %d", a.heads, a.kvHeads))
	}
	if c.failed() || s.names == nil && b.tooManyLayers(s.layers) {
		return false
	}
	a.width = s.width
	return true
}

// rebase leaves the first part of base out if the checkpoint has the tensor only without it.
func (s *stack) rebase(b *builder, tensor string) {
	if _, rest, ok := strings.Cut(s.base, "."); ok && !b.has(s.base+tensor) && b.has(rest+tensor) {
		s.base = rest
	}
}

// addLayers adds all layers.
func (s *stack) addLayers(b *builder, hidden string) string {
	for i := range s.layers {
		hidden = s.addLayer(b, hidden, i)
	}
	return hidden
}

// addLayer adds layer i.
func (s *stack) addLayer(b *builder, hidden string, i int) string {
	from := s.base
	if s.names != nil {
		from += s.names(i)
	} else {
		from += fmt.Sprintf(s.layer, i)
	}
	to := s.graph + fmt.Sprintf("layers.%d.", i)
	norm := func(out, x, name string) string {
		if name == "" {
			return x
		}
		return b.norm(to+out, x, from+name, s.width, s.norm)
	}
	factor := func(out, x, name string) string {
		if name == "" {
			return x
		}
		return b.onnx("Mul", to+out, nil, x, b.vector(from+name, s.width))
	}
	add := func(out string, terms ...string) string {
		terms[1] = b.scaled(to+out+"_scaled", terms[1], orOne(s.residualScale))
		sum := b.onnx("Add", to+out, nil, terms[0], terms[1])
		if len(terms) == 3 {
			return b.onnx("Add", to+out+"_both", nil, sum, terms[2])
		}
		return sum
	}
	a, preAttention := s.layerAttention(from, i), s.preAttention
	if i == 0 && s.firstUnnormed {
		preAttention = ""
	}
	attend := b.attention
	if s.attend != nil {
		attend = s.attend
	}
	if s.postNorm {
		x := attend(to+"attention", hidden, i, a)
		hidden = norm("attention_norm", add("attention_sum", hidden, x), preAttention)
		if s.cross != nil {
			x = s.cross(to+"cross", hidden, from, i)
			hidden = norm("cross_norm", add("cross_sum", hidden, x), s.preCross)
		}
		return norm("mlp_norm", add("mlp_sum", hidden, s.mlp(to+"mlp", hidden, from, i)), s.preMLP)
	}
	normed := norm("attention_norm", hidden, preAttention)
	x := norm("attention_post_norm", attend(to+"attention", normed, i, a), s.postAttention)
	if s.parallel {
		if s.preMLP != "" {
			normed = norm("mlp_norm", hidden, s.preMLP)
		}
		return add("sum", hidden, x, s.mlp(to+"mlp", normed, from, i))
	}
	if s.residualFromNorm {
		hidden = normed
	}
	hidden = add("attention_sum", hidden, factor("attention_scaled", x, s.attentionScale))
	if s.cross != nil {
		normed = norm("cross_norm", hidden, s.preCross)
		hidden = add("cross_sum", hidden, s.cross(to+"cross", normed, from, i))
	}
	normed = norm("mlp_norm", hidden, s.preMLP)
	x = norm("mlp_post_norm", s.mlp(to+"mlp", normed, from, i), s.postMLP)
	if s.residualFromNorm {
		hidden = normed
	}
	return add("mlp_sum", hidden, factor("mlp_scaled", x, s.mlpScale))
}

// layerAttention returns the attention of layer i, whose names begin with from.
func (s *stack) layerAttention(from string, i int) attention {
	a := s.attention
	a.prefix = from + a.prefix
	if a.sinks != "" {
		a.sinks = a.prefix + "." + a.sinks
	}
	if s.byLayer != nil {
		s.byLayer(i, &a)
	}
	if a.window >= s.context {
		a.window = 0
	}
	return a
}

// gated sets the MLP to a gated one with llama's names.
func (s *stack) gated(b *builder, inner int, bias bool, act string) {
	s.gatedNamed(b, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", inner, bias, act)
}

// gatedNamed is gated with the names of its three products.
func (s *stack) gatedNamed(b *builder, gate, up, down string, inner int, bias bool, act string) {
	s.mlp = func(out, x, prefix string, _ int) string {
		return b.gatedNamed(out, x, prefix+gate, prefix+up, prefix+down, s.width, inner, bias, act)
	}
}

// plain sets the MLP to down(act(up(x))).
func (s *stack) plain(b *builder, up, down string, inner int, bias bool, act string) {
	s.mlp = func(out, x, prefix string, _ int) string {
		x = b.linear(out+".up", x, prefix+up, inner, s.width, bias, act)
		return b.linear(out, x, prefix+down, s.width, inner, bias, model.ActNone)
	}
}

// gatedFused sets the MLP to a gated one whose gate and up are the halves of the product both.
func (s *stack) gatedFused(b *builder, both, down string, inner int, bias bool, act string) {
	s.mlp = func(out, x, prefix string, _ int) string {
		half := func(part string, first int, act string) string {
			return b.linearView(out+"."+part, x, prefix+both, part, rowsOf(2*inner, inner, s.width, from(first)), bias, from(first), act)
		}
		x = b.onnx("Mul", out+".product", nil, half("gate", 0, act), half("up", inner, model.ActNone))
		return b.linear(out, x, prefix+down, s.width, inner, bias, model.ActNone)
	}
}
