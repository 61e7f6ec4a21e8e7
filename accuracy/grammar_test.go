//go:build accuracy

package accuracy

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/grammar"
	"github.com/dsk-toolkit/dsk/grammar/grammartest"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// timedConstraint measures what a constraint takes for each token.
type timedConstraint struct {
	*grammar.Matcher
	tokens int
	total  time.Duration
	worst  time.Duration
}

func (c *timedConstraint) Mask(logits []float32, left int) error {
	start := time.Now()
	err := c.Matcher.Mask(logits, left)
	took := time.Since(start)
	c.tokens++
	c.total += took
	c.worst = max(c.worst, took)
	return err
}

// TestConstrained samples 1,000 outputs at temperature 1, with different seeds and budgets down to the fewest tokens that
// suffice: all of them must be JSON and valid.
func TestConstrained(t *testing.T) {
	m, report, err := safetensors.Import(context.Background(), filepath.Join("..", "testdata", "models", "gutenberg-1M"), safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	lm, err := runtime.NewLM(m, runtime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer lm.Close()
	prompt := tok.Encode("The answer is", false)
	matchers := make([]*timedConstraint, len(grammartest.Schemas))
	valid := 0
	for seed := range 1000 {
		i := seed % len(matchers)
		s := grammartest.Schemas[i]
		if matchers[i] == nil {
			g, err := grammar.FromSchema([]byte(s.Schema))
			if err != nil {
				t.Fatal(err)
			}
			matchers[i] = &timedConstraint{Matcher: grammar.ForTokenizer(g, tok, m.Meta.LM.VocabSize, m.Meta.LM.EOS)}
		}
		matchers[i].Reset()
		budget := min(matchers[i].Fewest()+seed/20, 200)
		var text strings.Builder
		lm.Rewind(0)
		g, err := lm.Generate(context.Background(), tok, prompt, runtime.GenerateOptions{MaxTokens: max(budget, 1), EOS: m.Meta.LM.EOS, Constraint: matchers[i],
			Sampler: &runtime.Sampler{Temperature: 1, Seed: uint64(seed)}}, func(s string) error { text.WriteString(s); return nil })
		if err == nil {
			err = grammartest.Validate(s.Schema, text.String())
		}
		if err != nil {
			t.Errorf("%s, seed %d, %d tokens (%s): %q: %v", s.Name, seed, budget, g.Reason, text.String(), err)
			continue
		}
		valid++
	}
	t.Logf("%d of 1000 outputs are valid", valid)
	for i, c := range matchers {
		t.Logf("%-14s %5d masks of %d tokens, %8v on average, %8v at worst", grammartest.Schemas[i].Name, c.tokens, m.Meta.LM.VocabSize, c.total/time.Duration(c.tokens), c.worst)
	}
}
