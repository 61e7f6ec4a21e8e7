package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// batchChunk is how many tokens of new prompts are taken in between two tokens of the texts that are being written: few enough that
// these do not wait long.
const batchChunk = 64

// Request is a text to be written by a Batch.
type Request struct {
	Prompt  []int32
	Options GenerateOptions // each with a Sampler and a Constraint of its own; Speculation is left out
	// Emit, if not nil, is given the text as LM.Generate gives it. Its error ends this text.
	Emit func(text string) error
	// Done is called once, when the text has ended or cannot be written, with what was generated.
	Done func(g *Generation, err error)
}

// Batch writes several texts at a time: one pass over the weights makes a token for each. Requests join when there is room and leave when their
// text ends. Each text is what LM.Generate alone makes of its request. Not safe for concurrent use.
type Batch struct {
	lm  *LM
	tok *tokenizer.Tokenizer
	// jobs[i] has the caches of sequence i. The first ready ones have all of their prompt there, and a token to go on with.
	jobs  []*job
	ready int
}

// job is a request on its way.
type job struct {
	*Request
	w     *writing
	rest  []int32 // of the prompt
	past  int     // tokens in the caches
	next  int32   // the token to be taken in
	start time.Time
}

// NewBatch prepares a language model for o.Sequences texts at a time.
func NewBatch(m *model.Model, tok *tokenizer.Tokenizer, o Options) (*Batch, error) {
	lm, err := NewLM(m, o)
	if err != nil {
		return nil, err
	}
	if odd, ok := lm.s.tokenRows(); !ok && o.Sequences > 1 {
		lm.Close()
		return nil, &fault.Unsupported{Kind: "model", Items: []fault.Item{{Where: "state " + odd, What: "texts at a time, with caches that do not hold a row for each token"}}}
	}
	return &Batch{lm: lm, tok: tok}, nil
}

// Close ends the session.
func (b *Batch) Close() { b.lm.Close() }

// Context returns the number of tokens that a text may have, with its prompt.
func (b *Batch) Context() int { return b.lm.Context() }

// Source gives the requests of a Batch. It returns nil if there is none now; with wait it must not do that, but wait for one. At the end
// it returns io.EOF.
type Source func(ctx context.Context, wait bool) (*Request, error)

// Run writes texts until next has no more and all have ended. It waits for requests only while it has none. An error of next, of the model
// or of ctx ends all of them.
func (b *Batch) Run(ctx context.Context, next Source) error {
	more := true
	for {
		for more && len(b.jobs) < b.lm.s.sequences {
			r, err := next(ctx, len(b.jobs) == 0)
			if err != nil && !errors.Is(err, io.EOF) {
				return b.abandon(err)
			}
			more = err == nil
			if r == nil {
				break
			}
			b.join(r)
		}
		if len(b.jobs) == 0 && !more {
			return nil
		}
		if err := b.takePrompts(ctx); err != nil {
			return b.abandon(err)
		}
		if err := b.step(ctx); err != nil {
			return b.abandon(err)
		}
	}
}

// join takes a request up, behind the others.
func (b *Batch) join(r *Request) {
	var err error
	switch n := len(r.Prompt); {
	case n == 0:
		err = &fault.Usage{What: "there is no token to start from"}
	case n > b.Context():
		err = &fault.Usage{What: fmt.Sprintf("%d tokens do not fit the context of %d", n, b.Context())}
	default:
		err = b.lm.setTokens(make([]int64, n), r.Prompt)
	}
	if err != nil {
		r.Done(&Generation{PromptTokens: len(r.Prompt)}, err)
		return
	}
	o, emit := r.Options, r.Emit
	o.Speculation = nil
	if emit == nil {
		emit = func(string) error { return nil }
	}
	b.jobs = append(b.jobs, &job{Request: r, w: b.lm.newWriting(b.tok, r.Prompt, o, emit), rest: r.Prompt, start: time.Now()})
}

// takePrompts takes some tokens of prompts in: as many as one pass takes at most, or fewer if texts are waiting.
func (b *Batch) takePrompts(ctx context.Context) error {
	budget := prefillChunk
	if b.ready > 0 {
		budget = batchChunk
	}
	for budget > 0 && b.ready < len(b.jobs) {
		j := b.jobs[b.ready]
		n := min(len(j.rest), budget)
		p, err := b.lm.planFor(passShape{1, n, 1})
		if err != nil {
			return err
		}
		if err := b.lm.setTokens(p.ids, j.rest[:n]); err != nil {
			return err
		}
		p.past[0] = int64(j.past)
		if err := b.pass(ctx, p, b.ready); err != nil {
			return err
		}
		budget -= n
		j.past += n
		if j.rest = j.rest[n:]; len(j.rest) == 0 {
			now := time.Now()
			j.w.account.Prompt, j.start = now.Sub(j.start), now
			b.ready++
			b.take(b.ready-1, p.plan.outputs[0].F32())
		}
	}
	return nil
}

// step makes a token for each text that is ready.
func (b *Batch) step(ctx context.Context) error {
	n := b.ready
	if n == 0 {
		return nil
	}
	p, err := b.lm.planFor(passShape{n, 1, 1})
	if err != nil {
		return err
	}
	for i, j := range b.jobs[:n] {
		p.ids[i], p.past[i] = int64(j.next), int64(j.past)
		j.past++
	}
	if err := b.pass(ctx, p, 0); err != nil {
		return err
	}
	logits := p.plan.outputs[0].F32()
	// From the last on: a text that ends gives its place to one that has had its turn.
	for i := n - 1; i >= 0; i-- {
		b.take(i, logits[i*b.lm.vocab:(i+1)*b.lm.vocab])
	}
	return nil
}

// pass runs a plan over the sequences from first on.
func (b *Batch) pass(ctx context.Context, p *lmPlan, first int) error {
	for i := range p.lanes {
		p.lanes[i].place(first)
	}
	return b.lm.s.execute(ctx, p.plan)
}

// take gives text i its next token, and lets it leave at its end.
func (b *Batch) take(i int, logits []float32) {
	j := b.jobs[i]
	var err error
	if j.next, err = j.w.take(logits, j.past, nil); err == nil && j.w.account.Reason == "" {
		return
	}
	b.ready--
	b.move(i, b.ready)
	last := len(b.jobs) - 1
	b.move(b.ready, last)
	b.jobs = b.jobs[:last]
	j.w.account.Decode = time.Since(j.start)
	j.Done(j.w.account, err)
}

// move gives a job another place.
func (b *Batch) move(to, from int) {
	if to == from {
		return
	}
	b.lm.s.moveSequence(to, from, b.jobs[from].past)
	b.jobs[to] = b.jobs[from]
}

// abandon ends all texts with an error.
func (b *Batch) abandon(err error) error {
	for _, j := range b.jobs {
		j.Done(j.w.account, err)
	}
	b.jobs, b.ready = nil, 0
	return err
}
