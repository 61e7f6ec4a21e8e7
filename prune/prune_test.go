package prune

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

const shared = "../../shared"

// subject is a model with data of its kind.
type subject struct {
	m *model.Model
	d *dataset.Data
}

func open(t *testing.T, path, data string, preprocess *picture.Preprocess) subject {
	t.Helper()
	for _, p := range []string{path, data} {
		if _, err := os.Stat(p); err != nil {
			t.Skip(p, "is absent")
		}
	}
	var o convert.Options
	if preprocess != nil {
		var err error
		if o.Preprocess, err = json.Marshal(preprocess); err != nil {
			t.Fatal(err)
		}
	}
	m, r, err := convert.Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	d, err := dataset.Open(data, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return subject{m, d}
}

func digits(t *testing.T) subject {
	return open(t, "../testdata/models/digits-cnn/digits-cnn.onnx", "../testdata/models/digits-cnn/images", &picture.Preprocess{Gray: true, Mean: []float64{33.3285}, Std: []float64{78.5655}})
}

func language(t *testing.T) subject {
	return open(t, "../testdata/models/gutenberg-1M", "../testdata/text/text.txt", nil)
}

func withGraph(m *model.Model, g *model.Graph) *model.Model {
	out := *m
	out.Graph = g
	return &out
}

// zeroed returns a copy of the graph in which every slice of the units is zero, and whether a normalization reads one.
func zeroed(t *testing.T, tr *tracer, f *family, units ...int32) (*model.Graph, bool) {
	t.Helper()
	g := tr.g.Clone()
	g.Init = maps.Clone(tr.g.Init)
	normed := false
	for _, u := range units {
		for _, p := range f.slices[u] {
			for _, n := range g.Nodes {
				normed = normed || n.In(1) == p.weight && (n.Op == "RMSNormalization" || n.Op == "LayerNormalization")
			}
			w, err := grad.Widen(g.Init[p.weight])
			if err != nil {
				t.Fatal(err)
			}
			inner := 1
			for _, d := range w.Shape[p.axis+1:] {
				inner *= d
			}
			for i := range w.F32() {
				if i/inner%w.Shape[p.axis] == p.at {
					w.F32()[i] = 0
				}
			}
			g.Init[p.weight] = w
		}
	}
	if err := model.PackWeights(g); err != nil {
		t.Fatal(err)
	}
	return g, normed
}

// Leaving out a unit whose weights are all zero changes nothing: what goes together was found, and all of it was cut.
func TestCutOfZeros(t *testing.T) {
	for name, c := range map[string]struct {
		open     func(t *testing.T) subject
		families int // at least
	}{
		"digits":   {digits, 3},
		"language": {language, 6},
		"resnet20": {func(t *testing.T) subject {
			return open(t, shared+"/models/cifar10-resnet/resnet20.onnx", shared+"/data/cifar10/test", nil)
		}, 9},
		"mobilenet": {func(t *testing.T) subject {
			return open(t, shared+"/models/mobilenet-v1-0.25/mobilenet_v1_0.25_224.onnx", shared+"/data/imagenet-dev", &picture.Preprocess{Width: 224, Height: 224, Fit: picture.FitStretch, Mean: []float64{127.5}, Std: []float64{127.5}})
		}, 13},
		"nanodet": {func(t *testing.T) subject {
			return open(t, shared+"/models/nanodet-m/nanodet_m.onnx", shared+"/data/coco-val-dev", &picture.Preprocess{Width: 416, Height: 416, Fit: picture.FitStretch, Mean: []float64{127.5}, Std: []float64{64}})
		}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := c.open(t)
			tr := trace(s.m.Graph)
			families := tr.families()
			if len(families) < c.families {
				t.Fatalf("%d families, want %d", len(families), c.families)
			}
			o := eval.Options{Limit: 2, Context: 32, Threads: 2}
			for i, f := range families {
				if len(families) > 8 && i%(len(families)/4) != 1 {
					continue
				}
				u := f.units[len(f.units)/2]
				g, normed := zeroed(t, tr, f, u)
				if normed {
					continue // the mean over what is left is another
				}
				probe, err := eval.NewProbe(ctx, withGraph(s.m, g), s.d, o)
				if err != nil {
					t.Fatal(err)
				}
				small, _, err := tr.cut(map[int32]bool{u: true})
				if err != nil {
					t.Fatalf("%s: %v", f.name, err)
				}
				if cost(small) >= cost(s.m.Graph) {
					t.Errorf("%s: %d multiplications after, %d before", f.name, cost(small), cost(s.m.Graph))
				}
				d, err := probe.Compare(ctx, withGraph(s.m, small))
				if err != nil {
					t.Fatalf("%s: %v", f.name, err)
				}
				if !(d.RelError < 1e-9) {
					t.Errorf("%s: without a unit of zeros the outputs differ by %g", f.name, d.RelError)
				}
			}
		})
	}
}

// What is left out matters where its weights are not zero, and a fit brings some of it back.
func TestStructured(t *testing.T) {
	ctx := context.Background()
	s := digits(t)
	o := Options{Method: Channel, Ratio: 0.3, Round: 2, Calib: s.d, EvalOptions: eval.Options{Limit: 16}, Threads: 2}
	o.NoRepair = true
	_, plain, err := Apply(ctx, s.m, o)
	if err != nil {
		t.Fatal(err)
	}
	o.NoRepair = false
	small, r, err := Apply(ctx, s.m, o)
	if err != nil {
		t.Fatal(err)
	}
	if float64(r.After.MACs) > 0.7*float64(r.Before.MACs) || r.After.Parameters >= r.Before.Parameters || len(r.Moves) == 0 {
		t.Errorf("before %+v, after %+v, %d moves", r.Before, r.After, len(r.Moves))
	}
	if !(plain.Loss > 0) || !(r.Loss < plain.Loss) {
		t.Errorf("loss %g, repaired %g", plain.Loss, r.Loss)
	}
	if small.Meta.Parameters >= s.m.Meta.Parameters || small.Meta.Steps[len(small.Meta.Steps)-1].Verb != "prune" {
		t.Errorf("meta %+v", small.Meta)
	}
	few := r.Before.Parameters * 2 / 3
	by, r, err := Apply(ctx, s.m, Options{Method: Channel, Parameters: few, Round: 2, Calib: s.d, EvalOptions: eval.Options{Limit: 16}, Threads: 2, NoRepair: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.After.Parameters > few || r.After.Parameters < few/2 || by.Meta.Steps[len(by.Meta.Steps)-1].Options["parameters"] == "" {
		t.Errorf("%d parameters are left, at most %d are wanted; %+v", r.After.Parameters, few, by.Meta.Steps)
	}
	one, _, err := Apply(ctx, s.m, Options{Method: Channel, Ratio: 0.3, Round: 2, Calib: s.d, EvalOptions: eval.Options{Limit: 16}, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range small.Graph.Init {
		if !w.DType.IsFloat() {
			continue
		}
		a, err := grad.Widen(w)
		if err != nil {
			t.Fatal(err)
		}
		b, err := grad.Widen(one.Graph.Init[name])
		if err != nil {
			t.Fatal(err)
		}
		if string(a.Data) != string(b.Data) {
			t.Errorf("%s depends on the number of threads", name)
		}
	}
}

func TestLayers(t *testing.T) {
	s := language(t)
	before := len(blocks(s.m.Graph))
	if before < 4 {
		t.Fatalf("%d residual branches", before)
	}
	small, r, err := Apply(context.Background(), s.m, Options{Method: Layer, Ratio: 0.1, Calib: s.d, NoRepair: true, EvalOptions: eval.Options{Limit: 2, Context: 32}, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(blocks(small.Graph)); got != before-len(r.Moves) || len(r.Moves) == 0 {
		t.Errorf("%d of %d branches are left after %d moves", got, before, len(r.Moves))
	}
	if len(small.Graph.States) > len(s.m.Graph.States) || r.After.MACs >= r.Before.MACs {
		t.Errorf("after %+v of %+v", r.After, r.Before)
	}
}

func TestMasks(t *testing.T) {
	s := language(t)
	for _, c := range []struct {
		method  Method
		pattern string
	}{{Magnitude, ""}, {Wanda, ""}, {SparseGPT, ""}, {Wanda, TwoOfFour}, {SparseGPT, TwoOfFour}} {
		method := string(c.method) + " " + c.pattern
		small, r, err := Apply(context.Background(), s.m, Options{Method: c.method, Pattern: c.pattern, Ratio: 0.5, Calib: s.d, EvalOptions: eval.Options{Limit: 2, Context: 32}, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		for _, n := range maskable(s.m.Graph) {
			total += int64(s.m.Graph.Init[n.In(1)].Len())
		}
		if half := total / 2; r.After.Zeros < half || r.After.Zeros > half+total/100 || total == 0 {
			t.Errorf("%s: %d of %d weights are zero", method, r.After.Zeros, total)
		}
		if r.Faster || r.After.MACs != r.Before.MACs || !(r.Loss > 0) {
			t.Errorf("%s: %+v", method, r)
		}
		for i, n := range maskable(small.Graph) {
			if is, was := small.Graph.Init[n.In(1)], s.m.Graph.Init[maskable(s.m.Graph)[i].In(1)]; is.DType != was.DType {
				t.Errorf("%s: %s is %v, was %v", method, n.Name, is, was)
			}
		}
		if c.pattern != TwoOfFour {
			continue
		}
		for _, n := range maskable(small.Graph) {
			w, err := grad.Widen(small.Graph.Init[n.In(1)])
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i+4 <= w.Len(); i += 4 {
				zeros := 0
				for _, v := range w.F32()[i : i+4] {
					if v == 0 {
						zeros++
					}
				}
				if zeros < 2 {
					t.Fatalf("%s: %v", n.Name, w.F32()[i:i+4])
				}
			}
		}
	}
}

func TestRefused(t *testing.T) {
	s := digits(t)
	for name, o := range map[string]Options{
		"method":      {Method: "x", Ratio: 0.5, Calib: s.d},
		"ratio":       {Method: Channel, Ratio: 1, Calib: s.d},
		"no ratio":    {Method: Magnitude},
		"2:4":         {Method: Magnitude, Pattern: TwoOfFour, Ratio: 0.3},
		"no data":     {Method: Channel, Ratio: 0.5},
		"both":        {Method: Channel, Ratio: 0.5, Parameters: 100, Calib: s.d},
		"of a mask":   {Method: Wanda, Parameters: 100, Calib: s.d},
		"too many":    {Method: Channel, Parameters: 1 << 40, Calib: s.d},
		"importance":  {Method: Channel, Ratio: 0.5, Calib: s.d, Importance: "x"},
		"round":       {Method: Channel, Ratio: 0.5, Calib: s.d, Round: -1},
		"pattern":     {Method: Wanda, Pattern: "1:4", Ratio: 0.5, Calib: s.d},
		"channel 2:4": {Method: Channel, Pattern: TwoOfFour, Ratio: 0.5, Calib: s.d},
		"wanda blind": {Method: Wanda, Ratio: 0.5},
	} {
		_, _, err := Apply(context.Background(), s.m, o)
		var usage *fault.Usage
		if !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, _, err := Apply(context.Background(), s.m, Options{Method: Channel, Ratio: 0.99, Calib: s.d, EvalOptions: eval.Options{Limit: 4}})
	var gate *fault.Gate
	if !errors.As(err, &gate) {
		t.Errorf("too much: %v", err)
	}
}
