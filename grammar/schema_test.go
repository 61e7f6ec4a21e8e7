package grammar

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/grammar/grammartest"
	"github.com/dsk-toolkit/dsk/internal/fault"
)

func mustSchema(t *testing.T, schema string) *Grammar {
	t.Helper()
	g, err := FromSchema([]byte(schema))
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	return g
}

func TestSchemas(t *testing.T) {
	for _, s := range grammartest.Schemas {
		m := NewMatcher(mustSchema(t, s.Schema), byteVocabulary(), nil)
		for _, text := range s.Valid {
			if err := grammartest.Validate(s.Schema, text); err != nil {
				t.Errorf("%s: the test is wrong about %s: %v", s.Name, text, err)
			}
			if !m.Matches(text) {
				t.Errorf("%s does not match %s", s.Name, text)
			}
		}
		for _, text := range s.Invalid {
			if grammartest.Validate(s.Schema, text) == nil {
				t.Errorf("%s: the test is wrong about %s", s.Name, text)
			}
			if m.Matches(text) {
				t.Errorf("%s matches %s", s.Name, text)
			}
		}
	}
}

// generate draws tokens evenly from those that the mask allows.
func generate(t *testing.T, m *Matcher, v *Vocabulary, rng *rand.Rand, budget int) string {
	t.Helper()
	m.Reset()
	var out strings.Builder
	logits := make([]float32, v.size)
	for left := budget; left > 0; left-- {
		clear(logits)
		if err := m.Mask(logits, left); err != nil {
			t.Fatalf("after %q with %d left: %v", out.String(), left, err)
		}
		var may []int32
		for id, x := range logits {
			if !math.IsInf(float64(x), -1) {
				may = append(may, int32(id))
			}
		}
		id := may[rng.IntN(len(may))]
		if id == 0 {
			break
		}
		out.WriteString(v.text(id))
		done, err := m.Accept(id)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
	}
	return out.String()
}

// TestGenerated: whatever is drawn is valid, within every budget that suffices.
func TestGenerated(t *testing.T) {
	v := byteVocabulary(`{"`, `":`, `", "`, `"]}`, `true`, `"name":"`, "é", "日本", "\xe6", "12", "aaaa", "}}", "]]", ` "`, `\"`, `0.`)
	rng := rand.New(rand.NewPCG(5, 5))
	for _, s := range grammartest.Schemas {
		g := mustSchema(t, s.Schema)
		m := NewMatcher(g, v, []int32{0})
		fewest := m.Fewest()
		for i := range 60 {
			budget := fewest + i*i/30
			if text := generate(t, m, v, rng, max(1, budget)); grammartest.Validate(s.Schema, text) != nil {
				t.Fatalf("%s with %d tokens: %q: %v", s.Name, budget, text, grammartest.Validate(s.Schema, text))
			}
		}
		if fewest > 1 {
			m.Reset()
			var gate *fault.Gate
			if err := m.Mask(make([]float32, v.size), fewest-1); !errors.As(err, &gate) {
				t.Errorf("%s with one token less than needed: %v", s.Name, err)
			}
		}
	}
}

func TestSchemaGaps(t *testing.T) {
	_, err := FromSchema([]byte(`{"type":"object","minProperties":2,"properties":{"a":{"not":{}},"b":{"type":"array","uniqueItems":true},
		"c":{"type":"string","pattern":"(?=x)"},"d":{"oneOf":[{"type":"integer"},{"type":"number"}]},"e":{"$ref":"http://x/y"},"f":{"type":"string","format":"email"}}}`))
	var u *fault.Unsupported
	if !errors.As(err, &u) || len(u.Items) != 7 {
		t.Errorf("%v", err)
	}
	for _, schema := range []string{``, `{`, `3`, `{"type":"text"}`, `{"type":"array","minItems":-1}`, `{"enum":[]}`, `{"properties":[]}`, `{"$ref":"#/nowhere"}`, `{} {}`,
		`{"type":"integer","minimum":3,"maximum":2}`, `{"type":"string","minLength":3,"maxLength":2}`, `{"anyOf":3}`, `{"required":[1]}`, `false`,
		`{"$ref":"#"}`, `{"allOf":[{"$ref":"#"}]}`, `{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}`,
		strings.Repeat(`{"items":`, 500) + `1` + strings.Repeat(`}`, 500), strings.Repeat(`{"allOf":[`, 150) + `{}` + strings.Repeat(`]}`, 150)} {
		_, err := FromSchema([]byte(schema))
		var f *fault.Format
		if !errors.As(err, &f) {
			t.Errorf("%.60s: %v", schema, err)
		}
	}
	var r *fault.Resource
	if _, err := FromSchema([]byte(`{"type":"string","minLength":2000000}`)); !errors.As(err, &r) {
		t.Errorf("a huge length: %v", err)
	}
}
