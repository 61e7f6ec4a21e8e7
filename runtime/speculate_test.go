package runtime_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// badDrafter passes another drafter's guesses on, but every third token is off by one and certain.
type badDrafter struct {
	runtime.Drafter
	n int
}

func (d *badDrafter) Draft(ctx context.Context, text []int32, n int, s *runtime.Sampler) ([]runtime.Guess, error) {
	guesses, err := d.Drafter.Draft(ctx, text, n, s)
	for i := range guesses {
		if d.n++; d.n%3 == 0 {
			guesses[i] = runtime.Guess{ID: guesses[i].ID + 1}
		}
	}
	return guesses, err
}

var speculatePrompts = []string{
	"The old man", "Produced by Richard Tonsing and the Online Dist", "It was", "one two three one two three one two", "CHAPTER I.", "\"I do not",
	"London, 18", "He said that he said that he said", "My dear", "and", "the ship was lost at sea, and", "In the year",
}

func gutenbergTokenizer(t *testing.T, m *model.Model) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestSpeculationKeepsGreedyText: the tokens are those without guesses, whoever guesses, with penalties, stop texts and up to the end of the context.
func TestSpeculationKeepsGreedyText(t *testing.T) {
	m := gutenberg(t)
	tok := gutenbergTokenizer(t, m)
	ctx := context.Background()
	target, draft := newLM(t, m, 1), newLM(t, m, 1)
	model := cheapDrafter{runtime.NewModelDrafter(draft, target)}
	drafters := map[string]runtime.Drafter{"model": model, "lookup": &runtime.LookupDrafter{}, "bad": &badDrafter{Drafter: model}}
	for i, prompt := range speculatePrompts {
		o := runtime.GenerateOptions{MaxTokens: 40}
		penalty := float32(1)
		switch i % 4 {
		case 1:
			penalty = 1.2
		case 2:
			o.Stop = []string{"e "}
		case 3:
			if i == 3 {
				o.MaxTokens = 0
			}
		}
		run := func(s *runtime.Speculation) (string, *runtime.Generation) {
			target.Rewind(0)
			text := ""
			o := o
			o.Sampler, o.Speculation = &runtime.Sampler{RepetitionPenalty: penalty}, s
			g, err := target.Generate(ctx, tok, tok.Encode(prompt, false), o, func(part string) error { text += part; return nil })
			if err != nil {
				t.Fatal(err)
			}
			return text, g
		}
		text, plain := run(nil)
		past := target.Past()
		for name, d := range drafters {
			got, g := run(&runtime.Speculation{Drafter: d, Most: 1 + i%6})
			if got != text || !slices.Equal(g.Tokens, plain.Tokens) || g.Reason != plain.Reason || target.Past() != past {
				t.Errorf("%q with %s: %q (%s, %d tokens in the caches), want %q (%s, %d)", prompt, name, got, g.Reason, target.Past(), text, plain.Reason, past)
			}
			if name == "model" && len(g.Tokens) > 10 && (g.Kept == 0 || g.Kept > g.Guessed || g.Guessed-g.Kept > g.Guessed/2) {
				t.Errorf("%q: the model keeps %d of its own %d guesses", prompt, g.Kept, g.Guessed)
			}
			if name == "bad" && g.Guessed > 9 && g.Kept == g.Guessed {
				t.Errorf("%q: all of %d guesses were kept, some are wrong", prompt, g.Guessed)
			}
		}
	}
}

// TestSpeculationKeepsDistribution: texts of three tokens come as often with guesses as without, by a chi-square test.
func TestSpeculationKeepsDistribution(t *testing.T) {
	m := gutenberg(t)
	tok := gutenbergTokenizer(t, m)
	ctx := context.Background()
	target, draft := newLM(t, m, 1), newLM(t, m, 1)
	prompt := tok.Encode("The old", false)
	const runs = 600
	count := func(seed uint64, drafter runtime.Drafter) map[[3]int32]float64 {
		counts := map[[3]int32]float64{}
		s := &runtime.Sampler{Temperature: 1.3, TopK: 3, Seed: seed}
		var spec *runtime.Speculation
		if drafter != nil {
			spec = &runtime.Speculation{Drafter: drafter}
		}
		guessed := 0
		c := runtime.NewConversation(target)
		for range runs {
			g, err := c.Generate(ctx, tok, prompt, runtime.GenerateOptions{MaxTokens: 3, Sampler: s, Speculation: spec}, func(string) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			counts[[3]int32(g.Tokens)]++
			guessed += g.Guessed
		}
		if drafter != nil && guessed < runs {
			t.Errorf("%d guesses in %d runs", guessed, runs)
		}
		return counts
	}
	plain := count(1, nil)
	model := cheapDrafter{runtime.NewModelDrafter(draft, target)}
	for name, d := range map[string]runtime.Drafter{"model": model, "bad": &badDrafter{Drafter: model}, "flat": &flatDrafter{Drafter: model}} {
		got := count(2, d)
		keys := map[[3]int32]bool{}
		for k := range plain {
			keys[k] = true
		}
		for k := range got {
			keys[k] = true
		}
		// Two samples of equal size: sum of (a-b)^2 / (a+b), chi-square with as many degrees of freedom as there are texts, less one.
		sum, freedom := 0.0, float64(len(keys)-1)
		for k := range keys {
			sum += (plain[k] - got[k]) * (plain[k] - got[k]) / (plain[k] + got[k])
		}
		if limit := freedom + 4*math.Sqrt(2*freedom); sum > limit || freedom < 20 {
			t.Errorf("%s: chi-square %.1f with %.0f degrees of freedom, want at most %.1f", name, sum, freedom, limit)
		}
	}
}

// flatDrafter draws at a higher temperature than the target's, so that its distribution is another one.
type flatDrafter struct {
	runtime.Drafter
	flat runtime.Sampler
}

func (d *flatDrafter) Draft(ctx context.Context, text []int32, n int, s *runtime.Sampler) ([]runtime.Guess, error) {
	d.flat.Temperature, d.flat.TopK, d.flat.Seed = 3*s.Temperature, 10, s.Seed
	return d.Drafter.Draft(ctx, text, n, &d.flat)
}

// cheapDrafter makes a model that guesses for itself worth its price.
type cheapDrafter struct{ runtime.Drafter }

func (cheapDrafter) Price() float64 { return 0.1 }
