package runtime

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// smallLM is a language model of layers with weights [64,64] after a table of 512 tokens, and a cache of 64 floats a token.
func smallLM(layers int) *model.Model {
	const vocab, width = 512, 64
	weight := func(n int) *tensor.Tensor {
		t := tensor.New(tensor.F32, n, width)
		for i := range t.F32() {
			t.F32()[i] = float32(i%7-3) / 8
		}
		return tensor.Pack(t)
	}
	ints := func(name string, shape ...model.Dim) model.Value {
		return model.Value{Name: name, Type: model.Type{DType: tensor.I64, Shape: shape}}
	}
	g := &model.Graph{Init: map[string]*tensor.Tensor{"table": weight(vocab)},
		Inputs: []model.Value{ints(inputIDs, model.Sym("batch"), model.Sym("seq")), ints(pastLen, model.Sym("batch")), ints(logitsIndex, model.Sym("n"))}}
	node := func(domain, op, out string, attrs model.Attrs, in ...string) string {
		g.Nodes = append(g.Nodes, &model.Node{Domain: domain, Op: op, Name: out, Inputs: in, Outputs: []string{out}, Attrs: attrs})
		return out
	}
	x := node("", "Gather", "x", model.Attrs{"axis": model.IntAttr(0)}, "table", inputIDs)
	for i := range layers {
		w := "w" + string(rune('a'+i))
		g.Init[w] = weight(width)
		x = node(model.DomainDsk, "Linear", "y"+w, nil, x, w)
	}
	cache := model.Value{Name: "cache", Type: model.Type{DType: tensor.F32, Shape: []model.Dim{model.Sym("batch"), model.Sym("ctx"), model.Known(width)}}}
	node("", "TensorScatter", "cache.new", model.Attrs{"axis": model.IntAttr(-2)}, "cache", x, pastLen)
	g.States = []model.State{{Input: cache, Output: "cache.new"}}
	x = node("", "Gather", "last", model.Attrs{"axis": model.IntAttr(1)}, x, logitsIndex)
	node(model.DomainDsk, "Linear", "logits", nil, x, "table")
	g.Outputs = []model.Value{{Name: "logits", Type: model.Type{DType: tensor.F32, Shape: []model.Dim{model.Sym("batch"), model.Sym("n"), model.Known(vocab)}}}}
	m := &model.Model{Graph: g}
	m.Meta.Task, m.Meta.LM = model.TaskLM, &model.LMInfo{VocabSize: vocab, ContextLength: 1 << 14}
	return m
}

func TestMemoryLimit(t *testing.T) {
	defer SetMemoryLimit(0)
	m := smallLM(2) // weights: 4 * 64 * (512 + 2*64) bytes = 160 KiB; caches: 256 bytes a token
	const weights = 4 * 64 * (512 + 2*64)
	open := func(limit int64, ctx int) (*LM, error) {
		SetMemoryLimit(limit)
		return NewLM(m, Options{Threads: 1, Context: ctx})
	}
	if lm, err := open(8<<20, 0); err != nil {
		t.Fatalf("8 MiB for all: %v", err)
	} else {
		lm.Close()
	}
	_, err := open(2<<20, 0)
	var r *fault.Resource
	if !errors.As(err, &r) {
		t.Fatalf("2 MiB for caches of 4: %v", err)
	}
	for _, part := range []string{"limit of 2.0 MiB", "weights 0.2 MiB", "caches for 16384 tokens 4.0 MiB", "--ctx"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if lm, err := open(2<<20, 1024); err != nil {
		t.Errorf("2 MiB with a shorter context: %v", err)
	} else {
		// Another session shares the weights, but not the caches.
		if _, err := NewLM(m, Options{Threads: 1, Context: 1 << 13}); !errors.As(err, &r) {
			t.Errorf("a second session above the limit: %v", err)
		}
		lm.Close()
	}
	// Weights and caches fit, the longest pass does not.
	if _, err := open(weights+256*256+1000, 256); !errors.As(err, &r) || !strings.Contains(err.Error(), "intermediate values") {
		t.Errorf("no room for intermediate values: %v", err)
	}
	if _, err := open(1000, 16); !errors.As(err, &r) || !strings.Contains(err.Error(), "quantize") {
		t.Errorf("no room for weights: %v", err)
	}
	if budget.taken != 0 || len(budget.sessions) != 0 {
		t.Errorf("%d bytes are still taken", budget.taken)
	}
}

// TestPrefetch counts what is asked for where the weights are larger than memory: each weight but the looked-up table once a
// pass, before its step, and no more than the distance ahead.
func TestPrefetch(t *testing.T) {
	defer func(f func() (int64, bool), w func([]byte)) { available, willNeed = f, w }(available, willNeed)
	asked := map[*byte]int{}
	willNeed = func(b []byte) { asked[&b[0]]++ }
	m := smallLM(3)
	pass := func() {
		lm, err := NewLM(m, Options{Threads: 1, Context: 16})
		if err != nil {
			t.Fatal(err)
		}
		defer lm.Close()
		for range 2 {
			if _, err := lm.Next(context.Background(), []int32{1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	pass()
	if len(asked) != 0 {
		t.Errorf("%d weights are asked for although there is memory", len(asked))
	}
	available = func() (int64, bool) { return 1000, true }
	pass()
	if len(asked) != 4 {
		t.Errorf("%d weights are asked for, want 4: three layers' and the head's", len(asked))
	}
	for _, n := range asked {
		if n != 2 {
			t.Errorf("a weight is asked for %d times in 2 passes", n)
		}
	}
	// The distance: with weights of the size of it, the one that is next.
	big := make([]byte, prefetchBytes)
	order := []int{}
	p := &prefetcher{}
	for i := range 4 {
		p.weights = append(p.weights, stepWeight{i, big[i:]})
	}
	willNeed = func(b []byte) { order = append(order, prefetchBytes-len(b)) }
	for i, want := range []int{3, 4, 4, 4} { // all but the first are a little smaller than the distance
		if p.before(i); len(order) != want {
			t.Errorf("at step %d, %d weights were asked for, want %d", i, len(order), want)
		}
	}
}
