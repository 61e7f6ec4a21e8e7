package runtime

import (
	"context"
	"slices"
	"time"

	"github.com/dsk-toolkit/dsk/tokenizer"
)

// GenerateOptions are the settings of one generation.
type GenerateOptions struct {
	MaxTokens  int // 0 = until an end token or the context is full
	Sampler    *Sampler
	EOS        []int      // tokens that end the text
	Stop       []string   // texts that end it; they are not part of the output
	Constraint Constraint // nil: any token may come
	// Scores, if not nil, is called with every token of the output before its text is emitted, and with the TopScores likeliest tokens
	// at its place.
	Scores    func(TokenScores) error
	TopScores int
}

// Constraint says which tokens may come next: a grammar.Matcher is one.
type Constraint interface {
	// Mask sets to -Inf the logits of tokens that must not come when left tokens may still be generated. Logits at the end are
	// those of end tokens too: it leaves them if the text may end.
	Mask(logits []float32, left int) error
	// Accept takes the token that was chosen, and reports whether the text is complete and nothing can follow.
	Accept(id int32) (done bool, err error)
}

// Generation is the account of one generation.
type Generation struct {
	PromptTokens int
	CachedTokens int     // of the prompt, taken from the caches
	Tokens       []int32 // generated, without the end token
	Reason       string  // "end", "stop", "length" or "context"
	Prompt       time.Duration
	Decode       time.Duration
}

// Generate takes the prompt in and samples tokens, giving their text to emit as it becomes
// whole characters that cannot be part of a stop text. An error of emit ends the generation.
func (l *LM) Generate(ctx context.Context, tok *tokenizer.Tokenizer, prompt []int32, o GenerateOptions, emit func(text string) error) (*Generation, error) {
	return l.generate(ctx, tok, prompt, 0, o, emit)
}

// generate is Generate for a prompt whose first tokens are in the caches.
func (l *LM) generate(ctx context.Context, tok *tokenizer.Tokenizer, prompt []int32, cached int, o GenerateOptions, emit func(text string) error) (*Generation, error) {
	g := &Generation{PromptTokens: len(prompt), CachedTokens: cached}
	start := time.Now()
	logits, err := l.Next(ctx, prompt[cached:])
	if err != nil {
		return g, err
	}
	g.Prompt = time.Since(start)
	start = time.Now()
	defer func() { g.Decode = time.Since(start) }()
	o.Sampler.Begin(prompt)
	out := stopFilter{stops: o.Stop, emit: emit}
	stream := tok.NewContinuation()
	one := make([]int32, 1)
	for g.Reason == "" {
		id, done, err := o.choose(logits, l.left(g, o.MaxTokens))
		if err != nil {
			return g, err
		}
		if slices.Contains(o.EOS, int(id)) {
			g.Reason = "end"
			break
		}
		g.Tokens = append(g.Tokens, id)
		stopped, err := out.write(stream.Next(id))
		switch {
		case err != nil:
			return g, err
		case stopped:
			g.Reason = "stop"
		case done:
			g.Reason = "end"
		case o.MaxTokens > 0 && len(g.Tokens) >= o.MaxTokens:
			g.Reason = "length"
		case l.past >= l.s.ctx:
			g.Reason = "context"
		default:
			one[0] = id
			if logits, err = l.Next(ctx, one); err != nil {
				return g, err
			}
		}
	}
	if g.Reason == "stop" {
		return g, nil
	}
	if _, err := out.write(stream.Flush()); err != nil {
		return g, err
	}
	return g, out.flush()
}

// left is the number of tokens that may still be generated: the one that fills the context is not taken in.
func (l *LM) left(g *Generation, maxTokens int) int {
	n := l.s.ctx - l.past + 1
	if maxTokens > 0 {
		n = min(n, maxTokens-len(g.Tokens))
	}
	return n
}

// choose samples a token among those that the constraint allows, and notes it. done says that the text ends with it.
func (o *GenerateOptions) choose(logits []float32, left int) (id int32, done bool, err error) {
	var scores *scorer
	if o.Scores != nil {
		scores = newScorer(logits)
	}
	if o.Constraint != nil {
		if err := o.Constraint.Mask(logits, left); err != nil {
			return 0, false, err
		}
	}
	id = o.Sampler.Next(logits)
	o.Sampler.Accept(id)
	if slices.Contains(o.EOS, int(id)) {
		return id, true, nil
	}
	if o.Constraint != nil {
		if done, err = o.Constraint.Accept(id); err != nil {
			return id, false, err
		}
	}
	if scores != nil {
		err = o.Scores(scores.of(id, o.TopScores))
	}
	return id, done, err
}
