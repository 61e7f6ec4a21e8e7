package runtime

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// The inputs of encoders of texts, and the outputs that stand for a whole text; F32 [batch, n].
const (
	attentionMask = "attention_mask" // I64 [batch, seq]: 1 for a token
	tokenTypeIDs  = "token_type_ids" // I64 [batch, seq]: 0 for a text alone, of a pair as the tokenizer says

	OutputEmbedding = "sentence_embedding"
	OutputLogits    = "logits"
)

// passTokens is how many tokens of short texts go through the graph together.
const passTokens = 512

// TextEncoder runs a model that turns whole texts into rows of numbers: vectors, or scores of classes. It is not safe for
// concurrent use.
type TextEncoder struct {
	s      *Session
	tok    *tokenizer.Tokenizer
	output int
	width  int // numbers a text
	most   int // tokens a text, 0 for any number
}

// EncodedText is what a text became.
type EncodedText struct {
	Values []float32 // of the output, as many as its last dimension
	Tokens int       // that went through the model
	Cut    bool      // the text was longer
}

// NewTextEncoder prepares a model for the output of that name, which must be F32 [batch, n].
func NewTextEncoder(m *model.Model, tok *tokenizer.Tokenizer, output string, o Options) (*TextEncoder, error) {
	e := &TextEncoder{tok: tok}
	e.output = slices.IndexFunc(m.Graph.Outputs, func(v model.Value) bool { return v.Name == output })
	if e.output < 0 {
		return nil, &fault.Usage{What: fmt.Sprintf("the model has no output %s; its outputs are %s", output, outputNames(m.Graph))}
	}
	t := m.Graph.Outputs[e.output].Type
	if t.DType != tensor.F32 || len(t.Shape) != 2 || !t.Shape[1].IsKnown() {
		return nil, &fault.Usage{What: fmt.Sprintf("the output %s is %v, not one row of numbers a text", output, t)}
	}
	e.width = t.Shape[1].N
	if !hasInput(m.Graph, inputIDs) {
		return nil, &fault.Usage{What: fmt.Sprintf("the model takes no texts; its inputs are %s", inputNames(m.Graph))}
	}
	for _, v := range m.Graph.Inputs {
		known := v.Name == inputIDs || v.Name == attentionMask || v.Name == tokenTypeIDs
		if !known || v.Type.DType != tensor.I64 {
			return nil, &fault.Usage{What: fmt.Sprintf("the input %s %v cannot be made of a text", v.Name, v.Type)}
		}
	}
	if m.Meta.Text != nil {
		e.most = m.Meta.Text.MaxTokens
	}
	var err error
	e.s, err = NewSession(m, o)
	return e, err
}

func outputNames(g *model.Graph) string {
	var names []string
	for _, v := range g.Outputs {
		names = append(names, v.Name)
	}
	return fmt.Sprint(names)
}

// Close ends the session.
func (e *TextEncoder) Close() { e.s.Close() }

// Width returns the numbers a text becomes.
func (e *TextEncoder) Width() int { return e.width }

// Encode runs texts through the model. Texts with as many tokens go together, none is padded, so that what a text becomes does not
// depend on the others. Texts that are longer than the model takes lose their end.
func (e *TextEncoder) Encode(ctx context.Context, texts []string) ([]EncodedText, error) {
	list := make([]tokenized, len(texts))
	for i, text := range texts {
		list[i].ids, list[i].cut = e.tokens(text)
	}
	return e.encode(ctx, list)
}

// EncodePairs is Encode for texts that belong together in twos, such as a question and a passage. Of a pair that is too long, the longer text loses
// its end.
func (e *TextEncoder) EncodePairs(ctx context.Context, pairs [][2]string) ([]EncodedText, error) {
	list := make([]tokenized, len(pairs))
	for i, p := range pairs {
		list[i].ids, list[i].kinds, list[i].cut = e.tok.EncodePair(p[0], p[1], e.most)
	}
	return e.encode(ctx, list)
}

// tokenized is a text's tokens, and their kinds if not all are 0.
type tokenized struct {
	ids, kinds []int32
	cut        bool
}

func (e *TextEncoder) encode(ctx context.Context, list []tokenized) ([]EncodedText, error) {
	out, order := make([]EncodedText, len(list)), make([]int, len(list))
	for i, t := range list {
		out[i].Cut = t.cut
		if out[i].Tokens = len(t.ids); out[i].Tokens == 0 {
			return nil, &fault.Usage{What: fmt.Sprintf("text %d has no tokens", i+1)}
		}
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return len(list[order[i]].ids) < len(list[order[j]].ids) })
	for len(order) > 0 {
		n, length := 1, len(list[order[0]].ids)
		for n < len(order) && len(list[order[n]].ids) == length && (n+1)*length <= passTokens {
			n++
		}
		if err := e.pass(ctx, order[:n], list, out); err != nil {
			return nil, err
		}
		order = order[n:]
	}
	return out, nil
}

// pass runs the texts of those numbers, which have as many tokens.
func (e *TextEncoder) pass(ctx context.Context, texts []int, list []tokenized, out []EncodedText) error {
	n, length := len(texts), len(list[texts[0]].ids)
	in := map[string]*tensor.Tensor{}
	for _, v := range e.s.model.Graph.Inputs {
		in[v.Name] = tensor.New(tensor.I64, n, length)
	}
	for row, i := range texts {
		dst := in[inputIDs].I64()[row*length:]
		for j, id := range list[i].ids {
			dst[j] = int64(id)
		}
		if t := in[tokenTypeIDs]; t != nil {
			for j, kind := range list[i].kinds {
				t.I64()[row*length+j] = int64(kind)
			}
		}
	}
	if mask := in[attentionMask]; mask != nil {
		for i := range mask.I64() {
			mask.I64()[i] = 1
		}
	}
	got, err := e.s.Run(ctx, in)
	if err != nil {
		return err
	}
	values := got[e.output].F32()
	if len(values) != n*e.width {
		return fault.Formatf("graph", "%d numbers for %d texts, want %d for each", len(values), n, e.width)
	}
	for _, v := range values {
		if v-v != 0 {
			return fault.Formatf("graph", "a text became a row with NaN or infinite numbers: the weights are damaged")
		}
	}
	for row, i := range texts {
		out[i].Values = slices.Clone(values[row*e.width : (row+1)*e.width])
	}
	return nil
}

// tokens returns a text's tokens, special ones included. A text that is too long keeps the special tokens at its end.
func (e *TextEncoder) tokens(text string) (ids []int32, cut bool) {
	ids = e.tok.Encode(text, true)
	if e.most == 0 || len(ids) <= e.most {
		return ids, false
	}
	plain := e.tok.Encode(text, false)
	before := 0
	for before+len(plain) < len(ids) && !slices.Equal(ids[before:before+len(plain)], plain) {
		before++
	}
	after := ids[min(before+len(plain), len(ids)):]
	if keep := e.most - len(after); keep > before {
		return append(slices.Clone(ids[:keep]), after...), true
	}
	return ids[:e.most], true
}
