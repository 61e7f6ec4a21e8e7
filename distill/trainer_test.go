package distill_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/kernels/blas"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

func TestMain(m *testing.M) {
	pool := kernels.NewPool(2)
	blas.Use(pool)
	m.Run()
	pool.Close()
}

// bars is a task that a small network learns at once: pictures with a bright row or a bright column, by its place.
func bars(n int, seed uint64) (pictures []float32, labels []int32) {
	r := rand.New(rand.NewPCG(seed, 0))
	pictures, labels = make([]float32, n*64), make([]int32, n)
	for i := range n {
		x := pictures[i*64 : (i+1)*64]
		for j := range x {
			x[j] = float32(r.NormFloat64() * 0.3)
		}
		labels[i] = int32(r.IntN(2))
		at := r.IntN(8)
		for j := range 8 {
			if labels[i] == 0 {
				x[at*8+j] += 2
			} else {
				x[j*8+at] += 2
			}
		}
	}
	return pictures, labels
}

const batch = 16

var picture = distill.Target{Channels: 1, Height: 8, Width: 8, Classes: 2, Seed: 3}

// newTrainer trains a student of spec on bars with threads threads.
func newTrainer(t *testing.T, spec string, threads int, adam bool) (*model.Model, *distill.Trainer) {
	t.Helper()
	m, err := distill.FromSpec(spec, picture)
	if err != nil {
		t.Fatal(err)
	}
	pool := kernels.NewPool(threads)
	t.Cleanup(pool.Close)
	tape, err := grad.New(m.Graph, grad.Options{Shapes: map[string][]int{"input": {batch, 1, 8, 8}}, BatchStats: true, Eval: runtime.Eval, Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	var opt distill.Optimizer = distill.NewSGD(tape.Params(), 0.9, 1e-4, true)
	schedule := distill.Schedule{Peak: 0.05, Floor: 1e-3, Warmup: 5, Total: 60}
	if adam {
		opt, schedule.Peak = distill.NewAdamW(tape.Params(), 0.999, 1e-2), 0.01
	}
	return m, &distill.Trainer{Tape: tape, Loss: distill.NewLoss(batch, 2, pool), Optimizer: opt, Schedule: schedule, Clip: 5, Output: "logits"}
}

// train takes steps up to a number.
func train(t *testing.T, tr *distill.Trainer, to int) (loss float64) {
	t.Helper()
	x, y := bars(160, 1)
	in := tensor.New(tensor.F32, batch, 1, 8, 8)
	labels := make([]int32, batch)
	a := distill.Augment{Shift: 1, Flip: true, Cutout: 2}
	for tr.Steps() < to {
		epoch, at := tr.Steps()/10, tr.Steps()%10
		for i, s := range distill.Order(5, epoch, 160)[at*batch : (at+1)*batch] {
			a.Apply(in.F32()[i*64:(i+1)*64], x[s*64:(s+1)*64], 1, 8, 8, distill.Picks(5, epoch, s))
			labels[i] = y[s]
		}
		r, err := tr.Step(map[string]*tensor.Tensor{"input": in}, labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		loss = r.Loss
	}
	return loss
}

func saved(t *testing.T, tr *distill.Trainer) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tr.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTraining learns the task, and the trained model does it in the runtime after its rewrite.
func TestTraining(t *testing.T) {
	for _, adam := range []bool{false, true} {
		m, tr := newTrainer(t, "conv 8,16 x2 res", 2, adam)
		if loss := train(t, tr, 60); loss > 0.2 {
			t.Errorf("adam %v: the loss is %g after 60 steps", adam, loss)
		}
		out := tr.Tape.Trained(m)
		if _, err := model.Rewrite(out.Graph, model.RewriteOptions{Eval: runtime.Eval}); err != nil {
			t.Fatal(err)
		}
		s, err := runtime.NewSession(out, runtime.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		x, y := bars(100, 2)
		logits, err := s.Run(context.Background(), map[string]*tensor.Tensor{"input": tensor.FromSlice(x, 100, 1, 8, 8)})
		if err != nil {
			t.Fatal(err)
		}
		right := 0
		for i, want := range y {
			if row := logits[0].F32()[2*i:]; (row[1] > row[0]) == (want == 1) {
				right++
			}
		}
		if right < 95 {
			t.Errorf("adam %v: %d of 100 right", adam, right)
		}
	}
}

// TestResume ends with the same bytes whether a training was cut off or not, on any number of threads.
func TestResume(t *testing.T) {
	for _, adam := range []bool{false, true} {
		_, whole := newTrainer(t, "conv 4,8", 1, adam)
		train(t, whole, 20)
		_, first := newTrainer(t, "conv 4,8", 3, adam)
		train(t, first, 7)
		_, second := newTrainer(t, "conv 4,8", 2, adam)
		if err := second.Restore(bytes.NewReader(saved(t, first))); err != nil {
			t.Fatal(err)
		}
		train(t, second, 20)
		if !bytes.Equal(saved(t, whole), saved(t, second)) {
			t.Errorf("adam %v: a resumed training ends with other bytes", adam)
		}
	}
}

// TestDiverged: a gradient that is no number changes nothing.
func TestDiverged(t *testing.T) {
	_, tr := newTrainer(t, "conv 4,8", 1, false)
	train(t, tr, 2)
	values, _ := tr.Tape.Flat()
	before := slices.Clone(values)
	tr.Extra = func() (float64, error) {
		tr.Tape.OutputGrad("logits")[0] = float32(math.Inf(1))
		return 0, nil
	}
	in := tensor.New(tensor.F32, batch, 1, 8, 8)
	if _, err := tr.Step(map[string]*tensor.Tensor{"input": in}, make([]int32, batch), nil); err == nil {
		t.Error("a step with an infinite gradient is taken")
	}
	if !slices.Equal(values, before) || tr.Steps() != 2 {
		t.Errorf("the weights are other ones after %d steps", tr.Steps())
	}
}

func TestRestoreRefuses(t *testing.T) {
	_, tr := newTrainer(t, "conv 4,8", 1, false)
	_, other := newTrainer(t, "conv 4,9", 1, false)
	good := saved(t, tr)
	damaged := slices.Clone(good)
	damaged[100] ^= 1
	for name, data := range map[string][]byte{"empty": nil, "cut": good[:len(good)-1], "longer": append(slices.Clone(good), 0),
		"damaged": damaged, "magic": append([]byte("x"), good[1:]...), "other": saved(t, other)} {
		var format *fault.Format
		if err := tr.Restore(bytes.NewReader(data)); !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := tr.Restore(bytes.NewReader(good)); err != nil {
		t.Error(err)
	}
}

// TestOptimizers compares steps with the formulas in float64.
func TestOptimizers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const n, vector = 5000, 10
	params := []grad.Param{{Name: "w", Shape: []int{n / 10, 10}, Value: make([]float32, n)}, {Name: "b", Shape: []int{vector}, Value: make([]float32, vector)}}
	start := make([]float32, n+vector)
	for i := range start {
		start[i] = float32(r.NormFloat64())
	}
	for _, c := range []struct {
		name string
		opt  distill.Optimizer
		step func(w, g, decay float64, memory []float64, step int) float64
	}{
		{"sgd", distill.NewSGD(params, 0.9, 0.1, false), func(w, g, decay float64, m []float64, _ int) float64 {
			m[0] = 0.9*m[0] + g + decay*w
			return w - 0.01*m[0]
		}},
		{"nesterov", distill.NewSGD(params, 0.9, 0.1, true), func(w, g, decay float64, m []float64, _ int) float64 {
			d := g + decay*w
			m[0] = 0.9*m[0] + d
			return w - 0.01*(d+0.9*m[0])
		}},
		{"adamw", distill.NewAdamW(params, 0.99, 0.1), func(w, g, decay float64, m []float64, step int) float64 {
			m[0], m[1] = 0.9*m[0]+0.1*g, 0.99*m[1]+0.01*g*g
			mh, vh := m[0]/(1-math.Pow(0.9, float64(step))), m[1]/(1-math.Pow(0.99, float64(step)))
			return w - 0.01*(mh/(math.Sqrt(vh)+1e-8)+decay*w)
		}},
	} {
		values, grads := slices.Clone(start), make([]float32, len(start))
		want, memory := make([]float64, len(start)), make([][2]float64, len(start))
		for i, v := range start {
			want[i] = float64(v)
		}
		for step := 1; step <= 4; step++ {
			for i := range grads {
				grads[i] = float32(r.NormFloat64())
				decay := 0.1
				if i >= n {
					decay = 0
				}
				want[i] = c.step(want[i], float64(grads[i]), decay, memory[i][:], step)
			}
			c.opt.Step(values, grads, 0.01, step)
		}
		for i := range values {
			if math.Abs(float64(values[i])-want[i]) > 1e-5 {
				t.Fatalf("%s: element %d is %g, want %g", c.name, i, values[i], want[i])
			}
		}
	}
}

func TestSchedule(t *testing.T) {
	s := distill.Schedule{Peak: 1, Floor: 0.1, Warmup: 10, Total: 110}
	for step, want := range map[int]float64{1: 0.1, 10: 1, 60: 0.55, 110: 0.1, 200: 0.1} {
		if got := s.At(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d has the rate %g, want %g", step, got, want)
		}
	}
}

func TestClipNorm(t *testing.T) {
	g := make([]float32, 10000)
	for i := range g {
		g[i] = 0.03
	}
	if norm := distill.ClipNorm(g, 1.5); math.Abs(norm-3) > 1e-5 {
		t.Errorf("norm %g, want 3", norm)
	}
	if norm := distill.ClipNorm(g, 0); math.Abs(norm-1.5) > 1e-5 {
		t.Errorf("clipped norm %g, want 1.5", norm)
	}
}

// TestAugment keeps the pixels and their order, but for what is cut out.
func TestAugment(t *testing.T) {
	src := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	dst := make([]float32, 9)
	none := distill.Augment{}
	none.Apply(dst, src, 1, 3, 3, distill.Picks(1, 0, 0))
	if !slices.Equal(dst, src) {
		t.Errorf("nothing makes %v", dst)
	}
	seen := map[[9]float32]bool{}
	a := distill.Augment{Flip: true, Shift: 1}
	for i := range 400 {
		a.Apply(dst, src, 1, 3, 3, distill.Picks(1, 0, i))
		seen[[9]float32(dst)] = true
	}
	for _, want := range [][9]float32{{1, 2, 3, 4, 5, 6, 7, 8, 9}, {3, 2, 1, 6, 5, 4, 9, 8, 7}, {0, 0, 0, 1, 2, 3, 4, 5, 6}, {2, 3, 0, 5, 6, 0, 8, 9, 0}} {
		if !seen[want] {
			t.Errorf("%v never comes", want)
		}
	}
	if len(seen) != 18 {
		t.Errorf("%d forms, want 18", len(seen))
	}
	cut := distill.Augment{Cutout: 2}
	for i := range 50 {
		cut.Apply(dst, src, 1, 3, 3, distill.Picks(2, 0, i))
		zero := 0
		for _, v := range dst {
			if v == 0 {
				zero++
			}
		}
		if zero < 1 || zero > 4 {
			t.Errorf("%d pixels are cut out", zero)
		}
	}
}
