package runtime

import (
	"context"
	"fmt"
	"maps"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The inputs and the output of a language model's graph; see docs/architecture.md.
const (
	inputIDs    = "input_ids"    // I64 [batch, seq]
	pastLen     = "past_len"     // I64 [batch]: tokens that are in the caches already
	logitsIndex = "logits_index" // I64 [n]: the positions in seq whose logits are wanted
)

// prefillChunk is how many tokens one pass takes at most: enough that preparing the weights for the
// matrix products costs little (1.1B shape, 4 bit: 4 % of the time, with 256 tokens 9 %), small enough for the arena.
const prefillChunk = 512

// LM runs a causal language model token by token, with its caches. Not safe for concurrent use.
type LM struct {
	s     *Session
	past  int
	vocab int
	ids   string                    // the input with the tokens
	given map[string]*tensor.Tensor // other inputs, the same for each pass
	plans map[passShape]*lmPlan
	order []passShape // plans, most recently used last
	all   []float32   // logits of passes that want every position
}

// maxPasses is how many shapes of passes have plans at a time: guesses and batches change them from token to token.
const maxPasses = 24

// passShape is a pass over the next tokens of some sequences, and how many of the last of them logits are wanted for.
type passShape struct{ sequences, tokens, logits int }

type lmPlan struct {
	plan  *plan
	ids   []int64 // [sequences, tokens]
	past  []int64 // [sequences]
	index []int64 // [logits]
	lanes []lane  // where the caches of the sequences lie
}

// NewLM prepares a language model. The model's graph must have the LM inputs.
func NewLM(m *model.Model, o Options) (*LM, error) {
	if m.Meta.LM == nil || m.Meta.Task != model.TaskLM {
		return nil, &fault.Usage{What: "the model is no language model"}
	}
	return newLM(m, o, inputIDs, nil, nil)
}

// newLM prepares a graph whose tokens are the input ids. Its other inputs are given; shared states are another session's as well.
func newLM(m *model.Model, o Options, ids string, given map[string]*tensor.Tensor, shared map[string]*state) (*LM, error) {
	for _, name := range []string{ids, pastLen, logitsIndex} {
		if !hasInput(m.Graph, name) {
			return nil, fault.Formatf("graph", "a language model needs the input %q", name)
		}
	}
	for _, v := range m.Graph.Inputs {
		known := v.Name == ids || v.Name == pastLen || v.Name == logitsIndex || given[v.Name] != nil
		if !known || v.Type.DType != tensor.I64 {
			return nil, fault.Formatf("graph", "input %q is %v; a language model's inputs are %s, %s and %s of I64", v.Name, v.Type, ids, pastLen, logitsIndex)
		}
	}
	if len(m.Graph.Outputs) != 1 {
		return nil, fault.Formatf("graph", "a language model has one output, this has %d", len(m.Graph.Outputs))
	}
	s, err := newSession(m, o, shared)
	if err != nil {
		return nil, err
	}
	l := &LM{s: s, vocab: m.Meta.LM.VocabSize, ids: ids, given: given, plans: map[passShape]*lmPlan{}}
	if limited() {
		// The longest pass needs the most memory: whether there is enough shows before anything is read.
		if _, err := l.planFor(passShape{1, min(prefillChunk, s.ctx), 1}); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// Close ends the session.
func (l *LM) Close() { l.s.Close() }

// Session returns the session underneath.
func (l *LM) Session() *Session { return l.s }

// VocabSize returns the number of logits a position has.
func (l *LM) VocabSize() int { return l.vocab }

// Context returns the number of tokens that the caches hold.
func (l *LM) Context() int { return l.s.ctx }

// Past returns the number of tokens that have been taken in.
func (l *LM) Past() int { return l.past }

// Rewind forgets all tokens from position n on.
func (l *LM) Rewind(n int) { l.past = min(l.past, n) }

// Next takes tokens in and returns the logits after the last of them: [vocab], valid until the
// next call.
func (l *LM) Next(ctx context.Context, tokens []int32) ([]float32, error) {
	if len(tokens) == 0 {
		return nil, &fault.Usage{What: "there is no token to start from"}
	}
	for len(tokens) > prefillChunk {
		if _, err := l.pass(ctx, tokens[:prefillChunk], 1); err != nil {
			return nil, err
		}
		tokens = tokens[prefillChunk:]
	}
	return l.pass(ctx, tokens, 1)
}

// All takes tokens in and returns the logits after each of them: [len(tokens)][vocab] in one
// slice, valid until the next call.
func (l *LM) All(ctx context.Context, tokens []int32) ([]float32, error) {
	if len(tokens) <= prefillChunk {
		return l.pass(ctx, tokens, len(tokens))
	}
	l.all = l.all[:0]
	for len(tokens) > 0 {
		n := min(len(tokens), prefillChunk)
		logits, err := l.pass(ctx, tokens[:n], n)
		if err != nil {
			return nil, err
		}
		l.all = append(l.all, logits...)
		tokens = tokens[n:]
	}
	return l.all, nil
}

// pass runs the graph over tokens and returns the logits of the last n of them.
func (l *LM) pass(ctx context.Context, tokens []int32, n int) ([]float32, error) {
	if l.past+len(tokens) > l.s.ctx {
		return nil, &fault.Usage{What: fmt.Sprintf("%d tokens do not fit the context of %d", l.past+len(tokens), l.s.ctx)}
	}
	p, err := l.planFor(passShape{1, len(tokens), n})
	if err != nil {
		return nil, err
	}
	if err := l.setTokens(p.ids, tokens); err != nil {
		return nil, err
	}
	p.past[0] = int64(l.past)
	if err := l.s.execute(ctx, p.plan); err != nil {
		return nil, err
	}
	l.past += len(tokens)
	return p.plan.outputs[0].F32(), nil
}

// setTokens sets the input of a pass.
func (l *LM) setTokens(ids []int64, tokens []int32) error {
	for i, t := range tokens {
		if t < 0 || int(t) >= l.vocab {
			return &fault.Usage{What: fmt.Sprintf("token %d is outside the vocabulary of %d", t, l.vocab)}
		}
		ids[i] = int64(t)
	}
	return nil
}

// planFor returns the plan for a pass, making it if it is new. Its inputs stay bound.
func (l *LM) planFor(shape passShape) (*lmPlan, error) {
	if p := l.plans[shape]; p != nil {
		l.touch(shape)
		return p, nil
	}
	p := &lmPlan{
		ids:   make([]int64, shape.sequences*shape.tokens),
		past:  make([]int64, shape.sequences),
		index: make([]int64, shape.logits),
	}
	for i := range p.index {
		p.index[i] = int64(shape.tokens - shape.logits + i)
	}
	in := map[string]*tensor.Tensor{
		l.ids:       tensor.FromSlice(p.ids, shape.sequences, shape.tokens),
		pastLen:     tensor.FromSlice(p.past, shape.sequences),
		logitsIndex: tensor.FromSlice(p.index, shape.logits),
	}
	maps.Copy(in, l.given)
	shapes := map[string][]int{}
	for name, t := range in {
		shapes[name] = t.Shape
	}
	states, lanes := l.s.lanes(shape.sequences)
	p.lanes = lanes
	var err error
	if p.plan, err = l.s.newPlan(shapes, states); err != nil {
		return nil, err
	}
	out := p.plan.outputs[0]
	if out.DType != tensor.F32 || len(out.Shape) == 0 || out.Len() != shape.sequences*shape.logits*l.vocab {
		return nil, fault.Formatf("graph", "logits must be F32 [%d, %d, %d], the output is %v", shape.sequences, shape.logits, l.vocab, out)
	}
	for i, v := range l.s.model.Graph.Inputs {
		p.plan.inputs[i].Data = in[v.Name].Data
	}
	if len(l.order) == maxPasses {
		delete(l.plans, l.order[0])
		l.order = l.order[1:]
	}
	l.plans[shape] = p
	l.order = append(l.order, shape)
	return p, nil
}

// touch moves a pass to the end of the order in which plans are dropped.
func (l *LM) touch(shape passShape) {
	for i, s := range l.order {
		if s == shape {
			copy(l.order[i:], l.order[i+1:])
			l.order[len(l.order)-1] = shape
			return
		}
	}
}
