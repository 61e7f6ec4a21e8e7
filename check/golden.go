package check

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// golden is the part of golden.json that is compared: what a reference implementation computed for
// a Hugging Face folder.
type golden struct {
	Kind            string                  `json:"kind"`
	InputIDs        [][]int32               `json:"input_ids"`
	AttentionMask   [][]int32               `json:"attention_mask"`
	TokenTypeIDs    [][]int32               `json:"token_type_ids"`
	DecoderInputIDs [][]int32               `json:"decoder_input_ids"`
	PixelValues     goldenValues            `json:"pixel_values"`
	InputFeatures   goldenValues            `json:"input_features"`
	Output          goldenValues            `json:"logits_or_last_hidden"`
	Extra           map[string]goldenValues `json:"extra_outputs"`
	Greedy          [][]int32               `json:"greedy_next_ids"`
	OutputStd       float64                 `json:"output_std"`
}

// goldenValues are the values of one tensor in row-major order.
type goldenValues struct {
	Name   string    `json:"name"`
	Shape  []int     `json:"shape"`
	Values []float32 `json:"values"`
}

// goldenKinds are what golden.json may say that a model is.
var goldenKinds = []string{"causal", "encoder", "encoder-notype", "seq2seq", "whisper", "image", "clip-text"}

// tensor returns the values as a tensor.
func (v goldenValues) tensor() (*tensor.Tensor, error) {
	if n, err := tensor.NumElements(v.Shape); err != nil || n != len(v.Values) || n == 0 {
		return nil, fault.Formatf("golden.json", "%d values of %s do not make the shape %v", len(v.Values), v.Name, v.Shape)
	}
	return tensor.FromSlice(v.Values, v.Shape...), nil
}

// runGolden compares a model's outputs, and the greedy tokens of one that generates, with those of golden.json.
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
	if !(g.OutputStd > 0) {
		return "", fault.Formatf("golden.json", "output_std is missing")
	}
	if !slices.Contains(goldenKinds, g.Kind) {
		return "", &fault.Unsupported{Kind: "golden test", Items: []fault.Item{{What: g.Kind, Where: path, Hint: "known are " + strings.Join(goldenKinds, ", ")}}}
	}
	switch m.Meta.Task {
	case model.TaskLM:
		return g.runLM(ctx, m, o)
	case model.TaskSeq2Seq:
		return g.runSeq2Seq(ctx, m, o)
	}
	return g.runGraph(ctx, m, o)
}

// runLM compares a causal model's logits over the prompt and its greedy tokens after it.
func (g *golden) runLM(ctx context.Context, m *model.Model, o Options) (string, error) {
	if len(g.InputIDs) == 0 {
		return "", fault.Formatf("golden.json", "input_ids is missing")
	}
	lm, err := runtime.NewLM(m, runtime.Options{Threads: o.Threads})
	if err != nil {
		return "", err
	}
	defer lm.Close()
	c := g.comparison()
	for row, ids := range g.InputIDs {
		lm.Rewind(0)
		logits, err := lm.All(ctx, ids)
		if err != nil {
			return "", err
		}
		if err := c.part(&g.Output, logits); err != nil {
			return "", err
		}
		if row < len(g.Greedy) {
			if err := greedy(ctx, lm.Next, logits[len(logits)-lm.VocabSize():], g.Greedy[row]); err != nil {
				return "", err
			}
		}
	}
	return c.report("logits", len(g.Greedy) > 0, &g.Output)
}

// greedy decodes with the caches and compares token by token.
func greedy(ctx context.Context, next func(context.Context, []int32) ([]float32, error), logits []float32, want []int32) error {
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
		if logits, err = next(ctx, []int32{got}); err != nil {
			return err
		}
	}
	return nil
}

// runGraph compares all outputs that golden.json has of a graph that runs in one pass. Places that attention_mask hides
// may differ.
func (g *golden) runGraph(ctx context.Context, m *model.Model, o Options) (string, error) {
	given, err := g.inputs()
	if err != nil {
		return "", err
	}
	in := map[string]*tensor.Tensor{}
	for _, v := range m.Graph.Inputs {
		if in[v.Name] = given[v.Name]; in[v.Name] == nil {
			return "", fmt.Errorf("golden.json has no %s, which the model takes", v.Name)
		}
	}
	s, err := runtime.NewSession(m, runtime.Options{Threads: o.Threads})
	if err != nil {
		return "", err
	}
	defer s.Close()
	out, err := s.Run(ctx, in)
	if err != nil {
		return "", err
	}
	named := map[string]*tensor.Tensor{}
	for i, v := range m.Graph.Outputs {
		named[v.Name] = out[i]
	}
	c := g.comparison()
	wanted := []goldenValues{g.Output}
	for _, name := range slices.Sorted(maps.Keys(g.Extra)) {
		wanted = append(wanted, g.Extra[name])
	}
	what := ""
	for i := range wanted {
		w := &wanted[i]
		got := named[w.Name]
		if got == nil {
			return "", fmt.Errorf("the model has no output %s", w.Name)
		}
		if !tensor.SameShape(got.Shape, w.Shape) {
			return "", fmt.Errorf("%s has the shape %v, want %v", w.Name, got.Shape, w.Shape)
		}
		c.at, c.mask = 0, nil
		if len(w.Shape) > 1 && len(g.AttentionMask) == w.Shape[0] && len(g.AttentionMask[0]) == w.Shape[1] {
			c.mask = slices.Concat(g.AttentionMask...)
		}
		if err := c.part(w, got.F32()); err != nil {
			return "", err
		}
		if what != "" {
			what += ", "
		}
		what += w.Name
	}
	return c.report(what, false, nil)
}

// inputs returns the tensors that golden.json gives, by the names of inputs.
func (g *golden) inputs() (map[string]*tensor.Tensor, error) {
	in := map[string]*tensor.Tensor{}
	for name, rows := range map[string][][]int32{"input_ids": g.InputIDs, "attention_mask": g.AttentionMask, "token_type_ids": g.TokenTypeIDs} {
		if len(rows) == 0 {
			continue
		}
		var flat []int64
		for _, row := range rows {
			if len(row) != len(rows[0]) {
				return nil, fault.Formatf("golden.json", "rows of %s differ in length", name)
			}
			for _, v := range row {
				flat = append(flat, int64(v))
			}
		}
		in[name] = tensor.FromSlice(flat, len(rows), len(rows[0]))
	}
	for name, v := range map[string]goldenValues{"pixel_values": g.PixelValues, "input_features": g.InputFeatures} {
		if len(v.Values) == 0 {
			continue
		}
		t, err := v.tensor()
		if err != nil {
			return nil, err
		}
		in[name] = t
	}
	return in, nil
}

// comparison collects the largest difference.
type comparison struct {
	std   float64
	worst float64
	at    int
	mask  []int32 // of the places of the first two axes; nil: all count
}

func (g *golden) comparison() *comparison { return &comparison{std: g.OutputStd} }

// part compares the next values of w.
func (c *comparison) part(w *goldenValues, got []float32) error {
	if c.at+len(got) > len(w.Values) {
		return fmt.Errorf("golden.json holds %d values of %s, but there are at least %d", len(w.Values), w.Name, c.at+len(got))
	}
	for i, v := range got {
		if c.mask != nil && c.mask[(c.at+i)/(len(w.Values)/len(c.mask))] == 0 {
			continue
		}
		d := math.Abs(float64(v) - float64(w.Values[c.at+i]))
		if !(d <= goldenTol*c.std) {
			return fmt.Errorf("value %d of %s %v is %g, want %g: differs by %.2g of the outputs' standard deviation",
				c.at+i, w.Name, w.Shape, v, w.Values[c.at+i], d/c.std)
		}
		c.worst = max(c.worst, d)
	}
	c.at += len(got)
	return nil
}

// report says how near the values are; all of w must have been compared.
func (c *comparison) report(what string, greedy bool, w *goldenValues) (string, error) {
	if w != nil && c.at != len(w.Values) {
		return "", fmt.Errorf("golden.json holds %d values of %s, the model gives %d", len(w.Values), w.Name, c.at)
	}
	s := fmt.Sprintf("%s within %.2g of the outputs' standard deviation", what, c.worst/c.std)
	if greedy {
		s += ", greedy tokens equal"
	}
	return s, nil
}
