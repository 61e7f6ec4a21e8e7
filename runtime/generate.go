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
	// Speculation, if not nil, takes several tokens in at a time where a drafter guesses them.
	Speculation *Speculation
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
	Guessed      int // tokens that a drafter guessed
	Kept         int // of those, the ones that became part of the text
}

// Generate takes the prompt in and samples tokens, giving their text to emit as it becomes
// whole characters that cannot be part of a stop text. An error of emit ends the generation.
func (l *LM) Generate(ctx context.Context, tok *tokenizer.Tokenizer, prompt []int32, o GenerateOptions, emit func(text string) error) (*Generation, error) {
	return l.generate(ctx, tok, prompt, 0, o, emit)
}

// generate is Generate for a prompt whose first tokens are in the caches.
func (l *LM) generate(ctx context.Context, tok *tokenizer.Tokenizer, prompt []int32, cached int, o GenerateOptions, emit func(text string) error) (*Generation, error) {
	w := l.newWriting(tok, prompt, o, emit)
	w.account.CachedTokens = cached
	start := time.Now()
	logits, err := l.Next(ctx, prompt[cached:])
	if err != nil {
		return w.account, err
	}
	w.account.Prompt = time.Since(start)
	start = time.Now()
	err = l.decode(ctx, w, logits)
	w.account.Decode = time.Since(start)
	return w.account, err
}

// decode goes on with a text whose prompt is in the caches, from the logits after it.
func (l *LM) decode(ctx context.Context, w *writing, logits []float32) error {
	id, err := w.take(logits, l.past, nil)
	if err != nil {
		return err
	}
	tokens := make([]int32, 0, 8)
	for w.account.Reason == "" {
		guesses, err := w.guess(ctx, l.past)
		if err != nil {
			return err
		}
		tokens = append(tokens[:0], id)
		for _, g := range guesses {
			tokens = append(tokens, g.ID)
		}
		past := l.past
		if logits, err = l.pass(ctx, tokens, len(tokens)); err != nil {
			return err
		}
		for i := range tokens {
			var guess *Guess
			if i < len(guesses) {
				guess = &guesses[i]
			}
			past++
			if id, err = w.take(logits[i*l.vocab:(i+1)*l.vocab], past, guess); err != nil {
				return err
			}
			if guess == nil || id != guess.ID || w.account.Reason != "" {
				break
			}
		}
		l.Rewind(past)
	}
	return nil
}

// writing is a text on its way: what becomes of the logits after each of its tokens.
type writing struct {
	options GenerateOptions
	account *Generation
	context int // tokens that the caches hold
	out     stopFilter
	stream  *tokenizer.Stream
	text    []int32 // prompt and output, for the drafter
}

func (l *LM) newWriting(tok *tokenizer.Tokenizer, prompt []int32, o GenerateOptions, emit func(text string) error) *writing {
	w := &writing{options: o, account: &Generation{PromptTokens: len(prompt)}, context: l.s.ctx, out: stopFilter{stops: o.Stop, emit: emit}, stream: tok.NewContinuation()}
	o.Sampler.Begin(prompt)
	if o.Speculation != nil {
		w.text = slices.Clone(prompt)
		o.Speculation.begin(l)
	}
	return w
}

// take chooses the next token when past tokens are in the caches, and emits its text. A reason in the account says that the text ended; all of
// it is emitted then. guess is what the token was expected to be, or nil.
func (w *writing) take(logits []float32, past int, guess *Guess) (int32, error) {
	g, o := w.account, &w.options
	id, done, err := o.choose(logits, w.left(past), guess)
	if err != nil {
		return id, err
	}
	if guess != nil {
		o.Speculation.learn(id == guess.ID)
		if id == guess.ID {
			g.Kept++
		}
	}
	if slices.Contains(o.EOS, int(id)) {
		g.Reason = "end"
		return id, w.finish()
	}
	g.Tokens = append(g.Tokens, id)
	if o.Speculation != nil {
		w.text = append(w.text, id)
	}
	stopped, err := w.out.write(w.stream.Next(id))
	switch {
	case err != nil:
		return id, err
	case stopped:
		g.Reason = "stop"
		return id, nil
	case done:
		g.Reason = "end"
	case o.MaxTokens > 0 && len(g.Tokens) >= o.MaxTokens:
		g.Reason = "length"
	case past >= w.context:
		g.Reason = "context"
	default:
		return id, nil
	}
	return id, w.finish()
}

// finish emits what was held back.
func (w *writing) finish() error {
	if _, err := w.out.write(w.stream.Flush()); err != nil {
		return err
	}
	return w.out.flush()
}

// left is the number of tokens that may still be generated: the one that fills the context is not taken in.
func (w *writing) left(past int) int {
	n := w.context - past + 1
	if w.options.MaxTokens > 0 {
		n = min(n, w.options.MaxTokens-len(w.account.Tokens))
	}
	return n
}

// choose samples a token among those that the constraint allows, and notes it. done says that the text ends with it.
func (o *GenerateOptions) choose(logits []float32, left int, guess *Guess) (id int32, done bool, err error) {
	var scores *scorer
	if o.Scores != nil {
		scores = newScorer(logits)
	}
	if o.Constraint != nil {
		if err := o.Constraint.Mask(logits, left); err != nil {
			return 0, false, err
		}
	}
	if guess != nil {
		id = o.Sampler.judge(logits, guess)
	} else {
		id = o.Sampler.Next(logits)
	}
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
