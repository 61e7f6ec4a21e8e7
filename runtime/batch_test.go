package runtime_test

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// evenTokens is a constraint: tokens with even ids only, and no more than a number of them.
type evenTokens struct{ left int }

func (c *evenTokens) Mask(logits []float32, _ int) error {
	for i := 1; i < len(logits); i += 2 {
		logits[i] = float32(math.Inf(-1))
	}
	return nil
}

func (c *evenTokens) Accept(int32) (bool, error) {
	c.left--
	return c.left == 0, nil
}

// batchOptions are settings of request i, different for each.
func batchOptions(i int) runtime.GenerateOptions {
	o := runtime.GenerateOptions{MaxTokens: 5 + 7*i%23, Sampler: &runtime.Sampler{}}
	switch i % 4 {
	case 1:
		o.Sampler = &runtime.Sampler{Temperature: 0.9, TopK: 50, Seed: uint64(i), RepetitionPenalty: 1.1}
	case 2:
		o.Stop = []string{"e ", "."}
	case 3:
		o.Constraint = &evenTokens{4 + i}
	}
	return o
}

// runBatch returns the texts and accounts of prompts that are written sequences at a time.
func runBatch(t *testing.T, m *model.Model, tok *tokenizer.Tokenizer, o runtime.Options, prompts [][]int32) ([]string, []*runtime.Generation) {
	t.Helper()
	b, err := runtime.NewBatch(m, tok, o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var requests []*runtime.Request
	texts, accounts := make([]string, len(prompts)), make([]*runtime.Generation, len(prompts))
	for i, p := range prompts {
		requests = append(requests, &runtime.Request{Prompt: p, Options: batchOptions(i),
			Emit: func(s string) error { texts[i] += s; return nil },
			Done: func(g *runtime.Generation, err error) {
				if err != nil || accounts[i] != nil {
					t.Errorf("prompt %d: %v, %v before", i, err, accounts[i])
				}
				accounts[i] = g
			}})
	}
	if err := b.Run(context.Background(), source(requests)); err != nil {
		t.Fatal(err)
	}
	return texts, accounts
}

// source gives requests, with a pause before every third one that nobody waits for.
func source(requests []*runtime.Request) runtime.Source {
	calls := 0
	return func(ctx context.Context, wait bool) (*runtime.Request, error) {
		if len(requests) == 0 {
			return nil, io.EOF
		}
		if calls++; calls%3 == 0 && !wait {
			return nil, nil
		}
		r := requests[0]
		requests = requests[1:]
		return r, nil
	}
}

// TestBatchEqualsAlone: every text is the one that its prompt gives alone, however many are written at a time and however caches are kept.
func TestBatchEqualsAlone(t *testing.T) {
	m := gutenberg(t)
	tok := gutenbergTokenizer(t, m)
	var prompts [][]int32
	for i, p := range speculatePrompts {
		// Some are longer than what is taken in at a time beside others.
		prompts = append(prompts, tok.Encode(strings.Repeat(p+", ", 1+i%3*20)[:len(p)*(1+i%3*8)], false))
	}
	for _, cache := range []runtime.CacheType{runtime.CacheF32, runtime.CacheF16, runtime.CacheI8} {
		lm, err := runtime.NewLM(m, runtime.Options{Threads: 1, Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer lm.Close()
		var want []string
		var alone []*runtime.Generation
		for i, p := range prompts {
			lm.Rewind(0)
			text := ""
			g, err := lm.Generate(context.Background(), tok, p, batchOptions(i), func(s string) error { text += s; return nil })
			if err != nil {
				t.Fatal(err)
			}
			want, alone = append(want, text), append(alone, g)
		}
		for _, sequences := range []int{1, 3, 8} {
			texts, accounts := runBatch(t, m, tok, runtime.Options{Threads: 2, Cache: cache, Sequences: sequences}, prompts)
			for i, g := range accounts {
				if texts[i] != want[i] || !slices.Equal(g.Tokens, alone[i].Tokens) || g.Reason != alone[i].Reason || g.PromptTokens != len(prompts[i]) {
					t.Errorf("cache %s, %d at a time, prompt %d: %q (%s), want %q (%s)", cache, sequences, i, texts[i], g.Reason, want[i], alone[i].Reason)
				}
			}
		}
	}
}

// TestBatchErrors: a request that cannot be written does not touch the others; a canceled context ends all.
func TestBatchErrors(t *testing.T) {
	m := gutenberg(t)
	tok := gutenbergTokenizer(t, m)
	b, err := runtime.NewBatch(m, tok, runtime.Options{Threads: 1, Context: 32, Sequences: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	good := tok.Encode("The old man", false)
	stop := errors.New("enough")
	var usage *fault.Usage
	var requests []*runtime.Request
	var failed []error
	add := func(prompt []int32, emit func(string) error) {
		requests = append(requests, &runtime.Request{Prompt: prompt, Options: runtime.GenerateOptions{Sampler: &runtime.Sampler{}}, Emit: emit,
			Done: func(g *runtime.Generation, err error) {
				if err != nil {
					failed = append(failed, err)
				} else if g.Reason != "context" || len(g.Tokens) != 33-len(prompt) {
					t.Errorf("%d tokens, %s", len(g.Tokens), g.Reason)
				}
			}})
	}
	add(good, nil)
	add(nil, nil)
	add(make([]int32, 33), nil)
	add([]int32{1 << 20}, nil)
	add(good, func(string) error { return stop })
	add(good, nil)
	if err := b.Run(context.Background(), source(requests)); err != nil {
		t.Fatal(err)
	}
	if len(failed) != 4 || !errors.As(failed[0], &usage) || !errors.As(failed[1], &usage) || !errors.As(failed[2], &usage) || !errors.Is(failed[3], stop) {
		t.Errorf("errors: %v", failed)
	}
	ctx, cancel := context.WithCancel(context.Background())
	requests, failed = nil, nil
	add(good, func(string) error { cancel(); return nil })
	add(good, nil)
	if err := b.Run(ctx, source(requests)); !errors.Is(err, context.Canceled) || len(failed) != 2 {
		t.Errorf("canceled: %v, %v", err, failed)
	}
}
