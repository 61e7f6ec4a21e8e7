package distill_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
)

// decoder opens the language model of the project's test data.
func decoder(t *testing.T) *model.Model {
	t.Helper()
	m, r, err := convert.Open(context.Background(), filepath.Join("..", "testdata", "models", "gutenberg-1M"), convert.Options{Eval: runtime.Eval, Supports: runtime.Supports})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return m
}

// files returns the contents of all files below a folder by their names.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestLabels records labels in one go and in two: the files are the same, and a student learns from them what it would learn from
// the teacher.
func TestLabels(t *testing.T) {
	d := barsFolder(t, 60, 1, true)
	teacher := barsTeacher(t, d)
	o := distill.Options{Temperature: 2, Augment: distill.Augment{Flip: true, Shift: 1}, Views: 300, Seed: 5, Batch: 16, Threads: 1, TeacherHash: "t"}
	whole, parts := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	info, err := distill.RecordLabels(context.Background(), teacher, d, whole, o)
	if err != nil {
		t.Fatal(err)
	}
	if info.Samples != 60 || info.Rows != 1 || info.Classes != 2 || info.K != 2 || info.Input != [3]int{1, 8, 8} {
		t.Errorf("%+v", info)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.Progress = func(stage string, done, _ int64) {
		if stage == "labels" && done > 5000 {
			cancel()
		}
	}
	if _, err := distill.RecordLabels(ctx, teacher, d, parts, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var usage *fault.Usage
	if _, err := distill.OpenLabels(parts); !errors.As(err, &usage) {
		t.Errorf("unfinished labels: %v", err)
	}
	o.Progress, o.Threads = nil, 3
	index := filepath.Join(parts, "index.txt")
	half, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(index, append(half, "0123"...), 0o644); err != nil { // a line that was cut off
		t.Fatal(err)
	}
	if _, err := distill.RecordLabels(context.Background(), teacher, d, parts, o); err != nil {
		t.Fatal(err)
	}
	a, b := files(t, whole), files(t, parts)
	if len(a) != len(b) {
		t.Errorf("%d files, want %d", len(b), len(a))
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs", name)
		}
	}
	o.Seed = 6
	if _, err := distill.RecordLabels(context.Background(), teacher, d, parts, o); !errors.As(err, &usage) || !strings.Contains(err.Error(), "seed 5, not 6") {
		t.Errorf("other labels in the same folder: %v", err)
	}
	o.Seed, o.Temperature = 5, distill.Auto
	if _, err := distill.RecordLabels(context.Background(), teacher, d, filepath.Join(parts, "auto"), o); !errors.As(err, &usage) {
		t.Errorf("no temperature: %v", err)
	}
	o.Temperature = 2

	l, err := distill.OpenLabels(whole)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Pattern()
	if err != nil {
		t.Fatal(err)
	}
	student := func(seed uint64) (*model.Model, error) { return p.Student("conv 4,8", seed) }
	from := distill.Options{Data: d, Alpha: 1, Temperature: 4, Batch: 16, Steps: 30, Seed: 5}
	live := from
	live.Teacher, live.Augment, live.Views = teacher, o.Augment, o.Views
	_, online := trained(t, student, live)
	from.Labels = l
	_, recorded := trained(t, student, from)
	if x, y := online.Runs[0].Loss, recorded.Runs[0].Loss; x < 0.9*y || x > 1.1*y {
		t.Errorf("loss %g with labels, %g with the teacher", y, x)
	}
	from.Data = barsFolder(t, 60, 9, true)
	if _, _, err := distill.Train(context.Background(), student, from); !errors.As(err, &usage) {
		t.Errorf("labels of other data: %v", err)
	}
}

// TestDamagedLabels: what is damaged, missing or left by a kill is found, and made good by the command that made it first.
func TestDamagedLabels(t *testing.T) {
	d := barsFolder(t, 60, 1, true)
	teacher := barsTeacher(t, d)
	folder := filepath.Join(t.TempDir(), "a[b]")
	record := func() error {
		_, err := distill.RecordLabels(context.Background(), teacher, d, folder,
			distill.Options{Temperature: 2, Augment: distill.Augment{Shift: 1}, Views: 300, Batch: 16, TeacherHash: "t"})
		return err
	}
	if err := record(); err != nil {
		t.Fatal(err)
	}
	want := files(t, folder)
	var list []string
	for name := range want {
		if filepath.Ext(name) == ".zst" {
			list = append(list, name)
		}
	}
	if len(list) < 3 {
		t.Fatalf("%d shards", len(list))
	}
	for name, damage := range map[string]func() error{
		"a bit": func() error {
			data := bytes.Clone(want[list[0]])
			data[len(data)/2] ^= 1
			return os.WriteFile(filepath.Join(folder, list[0]), data, 0o644)
		},
		"cut off": func() error { return os.Truncate(filepath.Join(folder, list[1]), 9) },
		"missing": func() error { return os.Remove(filepath.Join(folder, list[2])) },
		"another": func() error { return os.WriteFile(filepath.Join(folder, list[0]), want[list[1]], 0o644) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		var format *fault.Format
		if _, err := distill.OpenLabels(folder); !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, "shards", ".dsk-17.tmp"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := record(); err != nil {
			t.Fatal(err)
		}
		got := files(t, folder)
		if len(got) != len(want) {
			t.Errorf("%s: %d files, want %d", name, len(got), len(want))
		}
		for file := range want {
			if !bytes.Equal(got[file], want[file]) {
				t.Errorf("%s: %s is not what it was", name, file)
			}
		}
	}
}

// TestDecoderLabels teaches a small decoder with the likeliest tokens of a large one, from the teacher and from its labels: both lose
// the same, and the student ends below the run on hard labels.
func TestDecoderLabels(t *testing.T) {
	teacher := decoder(t)
	path := filepath.Join("..", "testdata", "text")
	d := opened(t, path, dataset.Options{})
	folder := filepath.Join(t.TempDir(), "labels")
	o := distill.Options{Temperature: 1, TopK: 32, Context: 32, Batch: 4}
	if _, err := distill.RecordLabels(context.Background(), teacher, d, folder, o); err != nil {
		t.Fatal(err)
	}
	l, err := distill.OpenLabels(folder)
	if err != nil {
		t.Fatal(err)
	}
	p, err := distill.PatternOfModel(teacher)
	if err != nil {
		t.Fatal(err)
	}
	student := func(seed uint64) (*model.Model, error) { return p.Student("llama hidden=32 layers=1", seed) }
	o.Data, o.Alpha, o.Steps = d, 1, 8
	live := o
	live.Teacher = teacher
	_, online := trained(t, student, live)
	o.Labels = l
	m, recorded := trained(t, student, o)
	if x, y := online.Runs[0].Loss, recorded.Runs[0].Loss; x < 0.99*y || x > 1.01*y {
		t.Errorf("loss %g with labels, %g with the teacher", y, x)
	}
	if m.Assets[model.AssetTokenizer] == nil || m.Meta.LM.VocabSize != teacher.Meta.LM.VocabSize {
		t.Error("the student has not its teacher's tokens")
	}
	var usage *fault.Usage
	o.Temperature = 2
	if _, _, err := distill.Train(context.Background(), student, o); !errors.As(err, &usage) {
		t.Errorf("another temperature than that of cut labels: %v", err)
	}
	o.Temperature = 1
	other := func(seed uint64) (*model.Model, error) {
		m, err := student(seed)
		if err == nil {
			m.Assets[model.AssetTokenizer] = bytes.Replace(m.Assets[model.AssetTokenizer], []byte("\"the\""), []byte("\"thx\""), 1)
		}
		return m, err
	}
	if _, _, err := distill.Train(context.Background(), other, o); err == nil {
		t.Error("a student with another tokenizer is taken")
	}
}

// TestHostileLabels: numbers that no memory holds are refused before anything is allocated for them.
func TestHostileLabels(t *testing.T) {
	folder := t.TempDir()
	text := `{"version":1,"samples":2147483647,"rows":2147483647,"classes":2147483647,"k":2147483647,"temperature":1,"shard_samples":2147483647}`
	hash := strings.Repeat("0", 64)
	if err := errors.Join(os.Mkdir(filepath.Join(folder, "shards"), 0o755), os.WriteFile(filepath.Join(folder, "labels.json"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(folder, "index.txt"), []byte(hash+"\n"), 0o644), os.WriteFile(filepath.Join(folder, "shards", hash+".zst"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	var format *fault.Format
	if _, err := distill.OpenLabels(folder); !errors.As(err, &format) {
		t.Errorf("%v", err)
	}
}

// TestRemoveCheckpoints: what a killed run leaves goes too, what is not of a training stays.
func TestRemoveCheckpoints(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"student-1.ckpt", ".dsk-17.tmp", "notes"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := distill.RemoveCheckpoints(folder); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 1 || left[0].Name() != "notes" {
		t.Errorf("%v are left, %v", left, err)
	}
}
