package prune

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/tensor"
)

// mixed opens a tiny model of random weights, with a tokenizer of single letters and text in these.
func mixed(t *testing.T, name string) subject {
	t.Helper()
	path := filepath.Join(shared, "models/arch-golden", name)
	if _, err := os.Stat(path); err != nil {
		t.Skip(path, "is absent")
	}
	m, r, err := convert.Open(context.Background(), path, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	vocab := map[string]int{"Ġ": 0, "Ċ": 1}
	letters := []byte("abcdefghijklmnopqrstuvwxyz")
	for i, c := range letters {
		vocab[string(c)] = i + 2
	}
	tokenizer, err := json.Marshal(map[string]any{
		"version": "1.0", "pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
		"decoder": map[string]any{"type": "ByteLevel"}, "model": map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	out := *m
	out.Assets = maps.Clone(m.Assets)
	if out.Assets == nil {
		out.Assets = map[string][]byte{}
	}
	out.Assets[model.AssetTokenizer] = tokenizer
	random := rand.New(rand.NewPCG(1, 2))
	var text bytes.Buffer
	for range 600 {
		text.WriteByte(append(letters, ' ')[random.IntN(27)])
	}
	file := filepath.Join(t.TempDir(), "text.txt")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Open(file, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return subject{&out, d}
}

// A model without some experts computes what the whole one does where these are never chosen.
func TestExpertsNeverChosen(t *testing.T) {
	ctx := context.Background()
	for _, name := range []string{"mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "granitemoe", "gpt_oss"} {
		t.Run(name, func(t *testing.T) {
			s := mixed(t, name)
			list, err := mixtures(s.m.Graph)
			if err != nil || len(list) == 0 {
				t.Fatalf("%d mixtures, %v", len(list), err)
			}
			barred := s.m.Graph.Clone()
			barred.Init = maps.Clone(s.m.Graph.Init)
			keep := make([][]int, len(list))
			var gone []float32
			for e := range list[0].count {
				gone = append(gone, 0)
				if e == 1 && list[0].count > list[0].chosen {
					gone[e] = -1e9
				} else {
					for i := range keep {
						keep[i] = append(keep[i], e)
					}
				}
			}
			barred.Init["gone"] = tensor.FromSlice(gone, len(gone))
			for _, mix := range list {
				i := slices.IndexFunc(barred.Nodes, func(n *model.Node) bool {
					return n.In(1) == mix.perExpert[len(mix.perExpert)-1] || n.In(1) == routerOf(mix, s.m.Graph)
				})
				n := barred.Nodes[i]
				made := n.Outputs[0]
				n.Outputs = []string{made + ".all"}
				barred.Nodes = slices.Insert(barred.Nodes, i+1, &model.Node{Op: "Add", Name: made, Inputs: []string{made + ".all", "gone"}, Outputs: []string{made}, Attrs: model.Attrs{}})
			}
			barred.Types = nil
			if err := barred.Infer(); err != nil {
				t.Fatal(err)
			}
			probe, err := eval.NewProbe(ctx, withGraph(s.m, barred), s.d, eval.Options{Limit: 4, Context: 32, Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			small, err := withExperts(s.m.Graph, list, keep)
			if err != nil {
				t.Fatal(err)
			}
			if parameters(small) >= parameters(s.m.Graph) {
				t.Errorf("%d parameters after, %d before", parameters(small), parameters(s.m.Graph))
			}
			d, err := probe.Compare(ctx, withGraph(s.m, small))
			if err != nil {
				t.Fatal(err)
			}
			for i := range keep {
				keep[i] = slices.Clone(keep[i])
				keep[i][0] = 1 // in place of one that is chosen
				slices.Sort(keep[i])
			}
			wrong, err := withExperts(s.m.Graph, list, keep)
			if err != nil {
				t.Fatal(err)
			}
			other, err := probe.Compare(ctx, withGraph(s.m, wrong))
			if err != nil {
				t.Fatal(err)
			}
			if !(d.Loss() < 1e-8 && d.Loss() < other.Loss()/100) {
				t.Errorf("without the experts that are not chosen the divergence is %g, without others %g", d.Loss(), other.Loss())
			}
		})
	}
}

// routerOf is the weight of the product that scores the experts.
func routerOf(mix *mixture, g *model.Graph) string {
	for _, name := range mix.perExpert {
		for _, n := range g.Nodes {
			if n.Is(model.DomainDsk, "Linear") && n.In(1) == name {
				return name
			}
		}
	}
	return ""
}

// Experts and heads go from a mixture of experts, and the file of what is left runs as the model does.
func TestExperts(t *testing.T) {
	ctx := context.Background()
	s := mixed(t, "mixtral")
	list, err := mixtures(s.m.Graph)
	if err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	for _, n := range s.m.Graph.Nodes {
		if n.Is(model.DomainDsk, "Linear") {
			want += int64(s.m.Graph.Init[n.In(1)].Len())
		}
	}
	for _, mix := range list {
		for _, p := range mix.products {
			want += int64(mix.chosen * s.m.Graph.Init[p.In(model.ExpertWeights)].Len())
		}
	}
	if got := cost(s.m.Graph); got != want {
		t.Errorf("%d multiplications of a token, want %d", got, want)
	}
	eo := eval.Options{Limit: 4, Context: 32}
	small, r, err := Apply(ctx, s.m, Options{Method: Experts, Ratio: 0.25, Calib: s.d, EvalOptions: eo, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	left, err := mixtures(small.Graph)
	if err != nil {
		t.Fatal(err)
	}
	for i, mix := range left {
		if want := list[i].count - list[i].count/4; mix.count != want || len(mix.products[0].Inputs) != model.ExpertWeights+want {
			t.Errorf("%d experts are left, want %d", mix.count, want)
		}
	}
	if r.Faster || !(r.Loss > 0) || r.After.Parameters >= r.Before.Parameters || small.Meta.Parameters >= s.m.Meta.Parameters {
		t.Errorf("%+v", r)
	}
	less, r, err := Apply(ctx, small, Options{Method: Channel, Ratio: 0.1, Round: 4, Calib: s.d, EvalOptions: eo, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Moves, func(v Move) bool { return v.Kind == "heads" }) {
		t.Errorf("no heads among the moves %+v", r.Moves)
	}
	probe, err := eval.NewProbe(ctx, less, s.d, eo)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "less.dsk")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dskfile.Write(ctx, w, less, dskfile.WriteOptions{}), w.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := dskfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	back, err := file.Model()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := probe.Compare(ctx, back); err != nil || d.Loss() != 0 {
		t.Errorf("the file: divergence %g, %v", d.Loss(), err)
	}
	var gate *fault.Gate
	if _, _, err := Apply(ctx, s.m, Options{Method: Experts, Ratio: 0.9, Calib: s.d, EvalOptions: eo}); !errors.As(err, &gate) {
		t.Errorf("too many: %v", err)
	}
	var usage *fault.Usage
	if _, _, err := Apply(ctx, language(t).m, Options{Method: Experts, Ratio: 0.5, Calib: s.d, EvalOptions: eo}); !errors.As(err, &usage) {
		t.Errorf("no experts: %v", err)
	}
	var unsupported *fault.Unsupported
	if _, err := mixtures(mixed(t, "deepseek_v3").m.Graph); !errors.As(err, &unsupported) {
		t.Errorf("grouped experts: %v", err)
	}
}
