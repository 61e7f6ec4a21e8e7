package quant

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
)

// trained is a copy of a model in which some constants were trained further.
func trained(t *testing.T, m *model.Model, part string) (*model.Model, int) {
	t.Helper()
	out, n := m.Clone(), 0
	for name, w := range m.Graph.Init {
		if !strings.Contains(name, part) {
			continue
		}
		c, err := w.Loaded()
		if err != nil {
			t.Fatal(err)
		}
		c = c.Clone()
		for i := 0; i+1 < len(c.Data); i += 2 {
			c.Data[i] ^= 3 // of a 16-bit or 32-bit float: a low bit
		}
		out.Graph.Init[name] = c
		n++
	}
	return out, n
}

func stored(t *testing.T, m *model.Model) *model.Model {
	t.Helper()
	f, err := dskfile.OpenBytes(written(t, m))
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Model()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestApplyLike keeps every weight whose source did not change, byte for byte, and makes the others as wide as they were.
func TestApplyLike(t *testing.T) {
	lm := stored(t, open(t, "models/gutenberg-1M", convert.Options{}))
	text := data(t, "text/text.txt")
	for name, c := range map[string]struct {
		m    *model.Model
		part string
		o    Options
	}{
		"text, data-free":    {lm, "layers.1.", Options{Strategy: Uniform, Bits: 4, Threads: 2}},
		"text, calibrated":   {lm, "layers.0.mlp", Options{Strategy: Uniform, Bits: 3, Threads: 2, Calib: text, EvalOptions: eval.Options{Context: 48, Limit: 4}}},
		"text, a table cut":  {lm, "embed_tokens", Options{Strategy: Adaptive, TargetBPW: 4.6, Threads: 2, Calib: text, EvalOptions: eval.Options{Context: 48, Limit: 4}}},
		"image, all weights": {stored(t, digits(t)), "", Options{Strategy: Uniform, Bits: 8, Threads: 2}},
		"image, one product": {stored(t, digits(t)), "fc", Options{Strategy: Uniform, Bits: 4, Threads: 2}},
	} {
		out, _, err := Apply(context.Background(), c.m, c.o)
		if err != nil {
			t.Fatal(err)
		}
		old := stored(t, out)
		same, r, err := ApplyLike(context.Background(), c.m, Earlier{c.m, old}, c.o)
		if err != nil {
			t.Fatal(name, err)
		}
		kept := stored(t, same)
		for n, w := range old.Graph.Init {
			if !bytes.Equal(kept.Graph.Init[n].Data, w.Data) {
				t.Errorf("%s: %s changed, though no weight did", name, n)
			}
		}
		if r.Strategy != Like || r.Tensors[0].Why != "kept: its weights are those of before" {
			t.Errorf("%s: %+v", name, r.Tensors[0])
		}
		next, n := trained(t, c.m, c.part)
		if n == 0 {
			t.Fatalf("%s: no weight has %q in its name", name, c.part)
		}
		again, _, err := ApplyLike(context.Background(), next, Earlier{c.m, old}, c.o)
		if err != nil {
			t.Fatal(name, err)
		}
		first := written(t, again)
		made := stored(t, again)
		for n, w := range made.Graph.Init {
			was := old.Graph.Init[n]
			if w.DType != was.DType || w.Bytes() != was.Bytes() {
				t.Errorf("%s: %s was %v, is %v", name, n, was, w)
			}
			if c.part != "" && !strings.Contains(n, c.part) && !bytes.Equal(w.Data, was.Data) {
				t.Errorf("%s: %s changed", name, n)
			}
		}
		if twice, _, err := ApplyLike(context.Background(), next, Earlier{c.m, old}, c.o); err != nil || !bytes.Equal(written(t, twice), first) {
			t.Errorf("%s: other bytes the second time: %v", name, err)
		}
	}
}

func TestApplyLikeRefuses(t *testing.T) {
	m := stored(t, digits(t))
	o := Options{Strategy: Uniform, Bits: 8, Threads: 2}
	out, _, err := Apply(context.Background(), m, o)
	if err != nil {
		t.Fatal(err)
	}
	old := stored(t, out)
	other := m.Clone()
	for n, w := range other.Graph.Init {
		w := w.Clone()
		w.Shape = append([]int{1}, w.Shape...)
		other.Graph.Init[n] = w
		break
	}
	broken := m.Clone()
	broken.Graph.Nodes = broken.Graph.Nodes[1:]
	for name, c := range map[string]struct {
		m *model.Model
		e Earlier
	}{
		"another shape": {other, Earlier{m, old}}, "another graph": {broken, Earlier{m, old}}, "no quantization": {m, Earlier{m, m}},
		"of another model": {m, Earlier{old, old}},
	} {
		var usage *fault.Usage
		if _, _, err := ApplyLike(context.Background(), c.m, c.e, o); !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
