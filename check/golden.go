package check

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/runtime"
)

// golden is the part of golden.json that is compared: what a reference implementation computed for
// a Hugging Face folder.
type golden struct {
	Kind     string    `json:"kind"`
	InputIDs [][]int32 `json:"input_ids"`
	Logits   struct {
		Shape  []int     `json:"shape"`
		Values []float32 `json:"values"`
	} `json:"logits_or_last_hidden"`
	Greedy    [][]int32 `json:"greedy_next_ids"`
	OutputStd float64   `json:"output_std"`
}

// runGolden compares a causal model's logits over the prompt and its greedy tokens after it.
func runGolden(ctx context.Context, dir string, o Options) (string, error) {
	path := filepath.Join(dir, "golden.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		return "", &fault.Format{File: path, Offset: -1, Where: "golden.json", Why: err.Error()}
	}
	m, rep, err := convert.Open(ctx, dir, importOptions(o))
	if err != nil {
		return "", err
	}
	defer rep.Close()
	if g.Kind != "causal" {
		return "", &fault.Unsupported{Kind: "golden test", Items: []fault.Item{{What: g.Kind, Where: path, Hint: "known: causal"}}}
	}
	if len(g.InputIDs) == 0 || !(g.OutputStd > 0) {
		return "", fault.Formatf("golden.json", "input_ids or output_std is missing")
	}
	lm, err := runtime.NewLM(m, runtime.Options{Threads: o.Threads})
	if err != nil {
		return "", err
	}
	defer lm.Close()
	worst, at := 0.0, 0
	for row, ids := range g.InputIDs {
		lm.Rewind(0)
		logits, err := lm.All(ctx, ids)
		if err != nil {
			return "", err
		}
		if at+len(logits) > len(g.Logits.Values) {
			return "", fmt.Errorf("golden.json holds %d logits, row %d ends at %d", len(g.Logits.Values), row, at+len(logits))
		}
		for i, v := range logits {
			d := math.Abs(float64(v) - float64(g.Logits.Values[at+i]))
			if !(d <= goldenTol*g.OutputStd) {
				return "", fmt.Errorf("logit %d of position %d is %g, want %g: differs by %.2g of the outputs' standard deviation",
					i%lm.VocabSize(), i/lm.VocabSize(), v, g.Logits.Values[at+i], d/g.OutputStd)
			}
			worst = max(worst, d)
		}
		at += len(logits)
		if row < len(g.Greedy) {
			if err := greedy(ctx, lm, logits[len(logits)-lm.VocabSize():], g.Greedy[row]); err != nil {
				return "", err
			}
		}
	}
	if at != len(g.Logits.Values) {
		return "", fmt.Errorf("golden.json holds %d logits, the model gives %d", len(g.Logits.Values), at)
	}
	return fmt.Sprintf("logits within %.2g of the outputs' standard deviation, greedy tokens equal", worst/g.OutputStd), nil
}

// greedy decodes with the caches and compares token by token.
func greedy(ctx context.Context, lm *runtime.LM, logits []float32, want []int32) error {
	sampler := &runtime.Sampler{}
	for i, w := range want {
		got := sampler.Next(logits)
		if got != w {
			return fmt.Errorf("greedy token %d is %d, want %d", i, got, w)
		}
		if i+1 == len(want) {
			return nil
		}
		var err error
		if logits, err = lm.Next(ctx, []int32{got}); err != nil {
			return err
		}
	}
	return nil
}
