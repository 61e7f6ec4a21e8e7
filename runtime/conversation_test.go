package runtime_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// TestConversation: answers are those of a fresh model, and what prompts share is computed once.
func TestConversation(t *testing.T) {
	m := gutenberg(t)
	ctx := context.Background()
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	options := runtime.GenerateOptions{MaxTokens: 6, Sampler: &runtime.Sampler{RepetitionPenalty: 1.3}}
	ignore := func(string) error { return nil }
	c := runtime.NewConversation(newLM(t, m, 1))
	text := "The old man"
	for turn := range 3 {
		prompt := tok.Encode(text, false)
		g, err := c.Generate(ctx, tok, prompt, options, ignore)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := newLM(t, m, 1).Generate(ctx, tok, prompt, options, ignore)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(g.Tokens, fresh.Tokens) || g.PromptTokens != len(prompt) {
			t.Errorf("turn %d: %v, want %v", turn, g.Tokens, fresh.Tokens)
		}
		if (g.CachedTokens > 0) != (turn > 0) {
			t.Errorf("turn %d: %d tokens were cached", turn, g.CachedTokens)
		}
		text += tok.Decode(g.Tokens, true) + " and then the sea"
	}
	if _, err := c.Generate(ctx, tok, nil, options, ignore); err == nil {
		t.Error("an empty prompt: no error")
	}
}

// TestScores: probabilities of the likeliest sum to less than one, fall, and begin with the greedy token.
func TestScores(t *testing.T) {
	m := gutenberg(t)
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	var all []runtime.TokenScores
	g, err := newLM(t, m, 1).Generate(context.Background(), tok, tok.Encode("The old man", false), runtime.GenerateOptions{
		MaxTokens: 5, Sampler: &runtime.Sampler{}, TopScores: 3, Scores: func(s runtime.TokenScores) error { all = append(all, s); return nil },
	}, func(string) error { return nil })
	if err != nil || len(all) != 5 {
		t.Fatalf("%d places, %v", len(all), err)
	}
	for i, s := range all {
		if s.ID != g.Tokens[i] || len(s.Top) != 3 || s.Top[0] != s.TokenScore || s.Top[0].Logprob < s.Top[1].Logprob || s.Top[1].Logprob < s.Top[2].Logprob || s.Logprob > 0 {
			t.Errorf("place %d: %+v", i, s)
		}
	}
}

func TestFitPrompt(t *testing.T) {
	ten := []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	for _, c := range []struct {
		context, maxTokens, keep int
		truncate                 bool
		want                     []int32
	}{
		{10, 4, 1, false, ten},
		{20, 4, 1, true, ten},
		{10, 4, 1, true, []int32{0, 5, 6, 7, 8, 9}},
		{8, 0, 1, true, []int32{0, 7, 8, 9}},
		{8, 3, 0, true, []int32{5, 6, 7, 8, 9}},
		{1, 0, 1, true, []int32{9}},
	} {
		if got, err := runtime.FitPrompt(ten, c.context, c.maxTokens, c.keep, c.truncate); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	var usage *fault.Usage
	if _, err := runtime.FitPrompt(ten, 9, 1, 1, false); !errors.As(err, &usage) || !strings.Contains(err.Error(), "10 tokens") {
		t.Errorf("a prompt too long: %v", err)
	}
}
