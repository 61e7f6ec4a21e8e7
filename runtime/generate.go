package runtime

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/tokenizer"
)

// GenerateOptions are the settings of one generation.
type GenerateOptions struct {
	MaxTokens int // 0 = until an end token or the context is full
	Sampler   *Sampler
	EOS       []int    // tokens that end the text
	Stop      []string // texts that end it; they are not part of the output
}

// Generation is the account of one generation.
type Generation struct {
	PromptTokens int
	Tokens       []int32 // generated, without the end token
	Reason       string  // "end", "stop", "length" or "context"
	Prompt       time.Duration
	Decode       time.Duration
}

// Generate takes the prompt in and samples tokens, giving their text to emit as it becomes
// whole characters that cannot be part of a stop text. An error of emit ends the generation.
func (l *LM) Generate(ctx context.Context, tok *tokenizer.Tokenizer, prompt []int32, o GenerateOptions, emit func(text string) error) (*Generation, error) {
	g := &Generation{PromptTokens: len(prompt)}
	start := time.Now()
	logits, err := l.Next(ctx, prompt)
	if err != nil {
		return g, err
	}
	g.Prompt = time.Since(start)
	start = time.Now()
	out := stopFilter{stops: o.Stop, emit: emit}
	stream := tok.NewStream()
	one := make([]int32, 1)
	for g.Reason == "" {
		id := o.Sampler.Next(logits)
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
	g.Decode = time.Since(start)
	if g.Reason == "stop" {
		return g, nil
	}
	if _, err := out.write(stream.Flush()); err != nil {
		return g, err
	}
	return g, out.flush()
}

// stopFilter passes text on up to the first stop text, and holds back an end that might begin one.
type stopFilter struct {
	stops []string
	emit  func(string) error
	held  string
}

// write takes more text and reports whether a stop text was met.
func (f *stopFilter) write(s string) (stopped bool, err error) {
	f.held += s
	first := -1
	for _, stop := range f.stops {
		if i := strings.Index(f.held, stop); stop != "" && i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		f.held = f.held[:first]
		return true, f.flush()
	}
	keep := 0
	for _, stop := range f.stops {
		for n := min(len(stop)-1, len(f.held)); n > keep; n-- {
			if strings.HasSuffix(f.held, stop[:n]) {
				keep = n
			}
		}
	}
	ready := f.held[:len(f.held)-keep]
	f.held = f.held[len(ready):]
	if ready == "" {
		return false, nil
	}
	return false, f.emit(ready)
}

func (f *stopFilter) flush() error {
	s := f.held
	f.held = ""
	if s == "" {
		return nil
	}
	return f.emit(s)
}
