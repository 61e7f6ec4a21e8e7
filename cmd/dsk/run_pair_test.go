package main

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// TestRunPairs: two texts in, the reference's scores of both together as probabilities out.
func TestRunPairs(t *testing.T) {
	path, golden := goldenModel(t, "bert-cls", 160)
	ids, kinds := decodeAs[[][]int](t, golden["input_ids"]), decodeAs[[][]int](t, golden["token_type_ids"])
	mask := decodeAs[[][]int](t, golden["attention_mask"])
	logits := decodeAs[struct{ Values []float64 }](t, golden["logits_or_last_hidden"]).Values
	type result struct {
		Text, First string
		Cut         bool
		Classes     []struct {
			Class       int
			Probability float64
		}
	}
	run := func(args ...string) []result {
		t.Helper()
		code, out, errs := runDsk(append([]string{"run", path, "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("exit code %d, %s", code, errs)
		}
		return decodeAs[struct{ Texts []result }](t, []byte(out)).Texts
	}
	for row := range ids {
		end := slices.Index(mask[row], 0)
		if end < 0 {
			end = len(ids[row])
		}
		second := slices.Index(kinds[row], 1)
		first, text := asWords(ids[row][:second]), asWords(ids[row][second:end])
		sum := 0.0
		for _, l := range logits[3*row : 3*row+3] {
			sum += math.Exp(l)
		}
		got := run("--pair", first, text, "w1 w2", text)
		if len(got) != 3 {
			t.Fatalf("%d texts", len(got))
		}
		for _, r := range []result{got[0], got[2]} {
			if r.Text != text || r.First != first || r.Cut || len(r.Classes) != 3 {
				t.Fatalf("%+v", r)
			}
			for i, c := range r.Classes {
				if want := math.Exp(logits[3*row+c.Class]) / sum; math.Abs(c.Probability-want) > 1e-4 {
					t.Errorf("row %d: class %d has %g, want %g", row, c.Class, c.Probability, want)
				}
				if i > 0 && c.Probability > r.Classes[i-1].Probability {
					t.Errorf("row %d: the likeliest classes do not come first: %+v", row, r.Classes)
				}
			}
		}
	}
	// The order of the two matters, and a pair that is too long loses the end of its longer text: here all but 38 of 60 words.
	one, other := run("--pair", "w20 w21 w22", "w30")[0], run("--pair", "w30", "w20 w21 w22")[0]
	if slices.Equal(one.Classes, other.Classes) {
		t.Error("the order of a pair makes no difference")
	}
	long, kept := run("--pair", "w20 w21", strings.Repeat("w30 ", 60))[0], run("--pair", "w20 w21", strings.Repeat("w30 ", 38))[0]
	if !long.Cut || kept.Cut || !slices.Equal(long.Classes, kept.Classes) {
		t.Errorf("%+v, want what the words that fit give, %+v", long, kept)
	}
	code, out, errs := runDsk("run", path, "--pair", "w20 w21", "w30", "--top", "1")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 2 || lines[0] != "w30" || !strings.Contains(lines[1], " %  LABEL_") {
		t.Errorf("exit code %d, %q, %s", code, out, errs)
	}
}
