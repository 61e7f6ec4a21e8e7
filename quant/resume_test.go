package quant

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
)

// resumed runs a quantization that is stopped after each of the given numbers of progress reports, and then to its end.
func resumed(t *testing.T, m *model.Model, o Options, stops []int) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work")
	for _, stop := range append(stops, 0) {
		ctx, cancel := context.WithCancel(context.Background())
		w := NewWork(dir, "test", true)
		w.interval = 0
		o.Work = w
		reports := 0
		o.Progress = func(string, int64, int64) {
			if reports++; reports == stop {
				cancel()
			}
		}
		out, _, err := Apply(ctx, m, o)
		cancel()
		switch {
		case err == nil:
			b := written(t, out)
			if err := w.Close(true); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Error("the folder of work is left")
			}
			return b
		case !errors.Is(err, context.Canceled):
			t.Fatalf("stopped after %d reports: %v", stop, err)
		}
		if err := w.Close(false); err != nil {
			t.Fatal(err)
		}
	}
	return nil
}

// TestResumeSameBytes stops calibrated quantizations at many moments, of a network of convolutions and of a language model.
func TestResumeSameBytes(t *testing.T) {
	lm := open(t, "models/gutenberg-1M", convert.Options{})
	text, err := dataset.Open(testdata+"text/text.txt", dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		m *model.Model
		o Options
	}{
		"digits": {digits(t), Options{Strategy: Adaptive, TargetRatio: 6, Calib: data(t, "models/digits-cnn/images"), Threads: 2, EvalOptions: eval.Options{Limit: 20}}},
		"text":   {lm, Options{Strategy: Adaptive, TargetBPW: 4, Calib: text, Threads: 2, EvalOptions: eval.Options{Context: 48, Limit: 10}}},
	} {
		out, whole, err := Apply(context.Background(), c.m, c.o)
		if err != nil {
			t.Fatal(err)
		}
		want := written(t, out)
		if int64(len(want)) != whole.Bytes {
			t.Errorf("%s: %d bytes, the report says %d", name, len(want), whole.Bytes)
		}
		if got := resumed(t, c.m, c.o, []int{5, 30, 75, 140}); !bytes.Equal(got, want) {
			t.Errorf("%s: resumed, the file differs", name)
		}
	}
}

// TestWorkDamage: pieces that are cut off or changed are not used, nor is the work of another run.
func TestWorkDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "work")
	open := func(build string) *Work {
		w := NewWork(dir, build, true)
		if err := w.begin([]byte("run")); err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := open("a")
	for _, name := range []string{"x", "y", "z"} {
		if err := w.put(name, []byte("piece "+name)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if err := w.addLoss(lossRecord{Number: uint32(i), KL: float64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(false); err != nil {
		t.Fatal(err)
	}
	change := func(name string, fn func([]byte) []byte) {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, fn(b), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	change("y", func(b []byte) []byte { return b[:len(b)-1] })
	change("z", func(b []byte) []byte { b[2] ^= 1; return b })
	change(lossFile, func(b []byte) []byte { return b[:len(b)-5] })
	w = open("a")
	if !w.Resumed || string(w.get("x")) != "piece x" || w.get("y") != nil || w.get("z") != nil || len(w.losses) != 2 || w.losses[1].KL != 1 {
		t.Errorf("resumed %v, %q, %q, %q, %d losses", w.Resumed, w.get("x"), w.get("y"), w.get("z"), len(w.losses))
	}
	if err := w.addLoss(lossRecord{Number: 2}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(false); err != nil {
		t.Fatal(err)
	}
	if w = open("a"); len(w.losses) != 3 {
		t.Errorf("%d losses after one more", len(w.losses))
	}
	if err := w.Close(false); err != nil {
		t.Fatal(err)
	}
	if w = open("b"); w.Resumed || w.get("x") != nil {
		t.Error("another program takes over the work")
	}
	if err := w.Close(true); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mine.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := NewWork(dir, "a", true).begin(nil); err == nil {
		t.Error("a folder with other files is taken over")
	}
}

// TestIdentity: what another set of instructions computes in other last bits is another run.
func TestIdentity(t *testing.T) {
	defer kernels.Reset()
	q := &quantizer{m: digits(t), o: Options{Strategy: Adaptive, TargetRatio: 6}}
	seen := map[string]string{}
	for _, level := range kernels.List() {
		if err := kernels.Select(level); err != nil {
			t.Fatal(err)
		}
		id, err := q.identify(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[string(id)]; ok {
			t.Errorf("%s and %s have one identity", level, other)
		}
		seen[string(id)] = level
	}
}

// TestForeignWork: a journal and sums that are not those of the run are a *fault.Usage.
func TestForeignWork(t *testing.T) {
	ctx := context.Background()
	w := NewWork(filepath.Join(t.TempDir(), "work"), "test", true)
	if err := w.begin(nil); err != nil {
		t.Fatal(err)
	}
	q := &quantizer{m: gatedModel(), o: Options{Threads: 1, Work: w}}
	q.findCandidates()
	var usage *fault.Usage
	w.losses = []lossRecord{{Number: 7}}
	if _, err := q.compare(ctx, q.m); !errors.As(err, &usage) {
		t.Errorf("losses: %v", err)
	}
	if err := w.put(momentsPiece, []byte("short")); err != nil {
		t.Fatal(err)
	}
	var budget feedbackBudget
	ms := q.newMoments(&budget)
	defer ms.pool.Close()
	if _, err := q.restoreMoments(ms); !errors.As(err, &usage) {
		t.Errorf("moments: %v", err)
	}
	if err := w.Close(true); err != nil {
		t.Fatal(err)
	}
}

// TestStageOfOtherSize: sums of a stage that do not fit leave its own as they are.
func TestStageOfOtherSize(t *testing.T) {
	w := NewWork(filepath.Join(t.TempDir(), "work"), "test", true)
	if err := w.begin(nil); err != nil {
		t.Fatal(err)
	}
	q := &quantizer{o: Options{Work: w}}
	const k, n = 4, 3
	fresh := func() *stage {
		return &stage{k: k, reader: "y", xx: make([]float32, k*k), dx: make([]float32, k*k), total: make([]float64, k), lost: make([]float64, k),
			products: []*member{{candidate: &candidate{n: n, k: k}, sum: "z", rx: make([]float32, n*k), lost: make([]float64, n)}}}
	}
	whole := fresh()
	whole.seen, whole.total[1], whole.xx[5], whole.products[0].rx[2] = 9, 7, 8, 6
	if err := q.saveStage(whole); err != nil {
		t.Fatal(err)
	}
	got := fresh()
	if !q.restoreStage(got) || got.seen != 9 || got.total[1] != 7 || got.xx[5] != 8 || got.products[0].rx[2] != 6 {
		t.Errorf("restored %+v", got)
	}
	piece := w.get(q.piece(whole))
	for _, other := range [][]byte{piece[:len(piece)-8], append(slices.Clone(piece), 0)} {
		if err := w.put(q.piece(whole), other); err != nil {
			t.Fatal(err)
		}
		got = fresh()
		if q.restoreStage(got) || got.seen != 0 || got.total[1] != 0 || got.xx[5] != 0 || q.saved(got) != nil {
			t.Errorf("of %d bytes: restored %+v", len(other), got)
		}
	}
	if err := w.Close(true); err != nil {
		t.Fatal(err)
	}
}
