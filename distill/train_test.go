package distill_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/quant"
	"github.com/dsk-toolkit/dsk/tensor"
)

// barsFolder writes the pictures of bars as PNG files, with labels if they are wanted.
func barsFolder(t *testing.T, n int, seed uint64, labelled bool) *dataset.Data {
	t.Helper()
	dir := t.TempDir()
	pixels, labels := bars(n, seed)
	list := "file,label\n"
	for i := range n {
		img := image.NewGray(image.Rect(0, 0, 8, 8))
		for j, v := range pixels[i*64 : (i+1)*64] {
			img.SetGray(j%8, j/8, color.Gray{Y: uint8(min(max(128+40*v, 0), 255))})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%04d.png", i)
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		list += fmt.Sprintf("%s,%d\n", name, labels[i])
	}
	if labelled {
		if err := os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return opened(t, dir, dataset.Options{})
}

func opened(t *testing.T, path string, o dataset.Options) *dataset.Data {
	t.Helper()
	d, err := dataset.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// students makes untrained students after the data.
func students(t *testing.T, spec string, d *dataset.Data) func(uint64) (*model.Model, error) {
	t.Helper()
	p, err := distill.PatternOfData(d)
	if err != nil {
		t.Fatal(err)
	}
	return func(seed uint64) (*model.Model, error) { return p.Student(spec, seed) }
}

func file(t *testing.T, m *model.Model) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.dsk")
	if err := dskfile.Save(context.Background(), path, m, dskfile.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// trained trains and fails the test on an error.
func trained(t *testing.T, student func(uint64) (*model.Model, error), o distill.Options) (*model.Model, *distill.Report) {
	t.Helper()
	m, r, err := distill.Train(context.Background(), student, o)
	if err != nil {
		t.Fatal(err)
	}
	return m, r
}

func barsTeacher(t *testing.T, d *dataset.Data) *model.Model {
	t.Helper()
	m, _ := trained(t, students(t, "conv 8,16 x2", d), distill.Options{Data: d, Epochs: 8, Batch: 16, Threads: 1})
	m.Meta.Name = "teacher"
	return m
}

// TestTrain trains a teacher on labels, and students of it in every way; each learns the task, and the file says how.
func TestTrain(t *testing.T) {
	d, measured, bare := barsFolder(t, 160, 1, true), barsFolder(t, 200, 2, true), barsFolder(t, 160, 3, false)
	teacher := barsTeacher(t, d)
	photos := photosFolder(t)
	for name, o := range map[string]distill.Options{
		"labels":   {Data: d, Smoothing: 0.1, Optimizer: "adamw", Rate: 0.01},
		"teacher":  {Data: d, Teacher: teacher, Alpha: 0.9, Temperature: 4, Augment: distill.Augment{Shift: 1}},
		"bare":     {Data: bare, Teacher: teacher, Alpha: 1, Temperature: 2},
		"features": {Data: d, Teacher: teacher, Alpha: 0.9, Temperature: 4, Feature: "auto", FeatureWeight: 10},
		"mix":      {Data: bare, Teacher: teacher, Alpha: 1, Temperature: 2, Mix: true},
		"photos":   {Data: bare, Teacher: teacher, Alpha: 1, Temperature: 2, Photos: photos},
		"zoom":     {Data: bare, Teacher: teacher, Alpha: 1, Temperature: 2, Augment: distill.Augment{Zoom: 0.7}},
		"tuned":    {Data: d, Teacher: teacher, Alpha: distill.Auto, Temperature: distill.Auto},
		"time":     {Data: d, Teacher: teacher, Alpha: 0.9, Time: 400e6},
	} {
		o.Eval, o.Batch, o.Threads = measured, 16, 2
		if o.Time == 0 {
			o.Epochs = 10
		}
		m, r := trained(t, students(t, "conv 4,8 x2", d), o)
		if r.Metrics["top1"] < 0.9 {
			t.Errorf("%s: top1 is %g", name, r.Metrics["top1"])
		}
		if len(r.Curve) < 10 || r.Runs[0].Timing == nil || o.Time == 0 && r.Steps != 100 {
			t.Errorf("%s: %d steps with %d points, timing %v", name, r.Steps, len(r.Curve), r.Runs[0].Timing)
		}
		var stored distill.Report
		if err := json.Unmarshal(m.Assets[distill.AssetReport], &stored); err != nil || stored.Steps != r.Steps || stored.Runs[0].Timing != nil {
			t.Errorf("%s: the report in the model: %v", name, err)
		}
		if last := m.Meta.Steps[len(m.Meta.Steps)-1]; last.Verb != "distill" || last.Options["steps"] != fmt.Sprint(r.Steps) {
			t.Errorf("%s: history %v", name, m.Meta.Steps)
		}
		if name == "tuned" && len(r.Tries) != 7 {
			t.Errorf("%d tries", len(r.Tries))
		}
	}
}

// photosFolder is a folder of pictures of several sizes: bars of other widths and lengths than those of barsFolder, on two of which nothing is.
func photosFolder(t *testing.T) *dataset.Data {
	t.Helper()
	folder := t.TempDir()
	r := rand.New(rand.NewPCG(9, 9))
	for i := range 8 {
		img := image.NewGray(image.Rect(0, 0, 20+3*i, 35-2*i))
		if i >= 2 {
			x, y := r.IntN(10), r.IntN(10)
			draw.Draw(img, image.Rect(x, y, x+2+r.IntN(9), y+2+r.IntN(9)), image.White, image.Point{}, draw.Src)
		}
		f, err := os.Create(filepath.Join(folder, fmt.Sprintf("%d.png", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return opened(t, folder, dataset.Options{})
}

// TestControl trains several seeds with and without a teacher, and writes the report.
func TestControl(t *testing.T) {
	d := barsFolder(t, 96, 1, true)
	_, r := trained(t, students(t, "conv 2,4", d), distill.Options{Data: d, Eval: barsFolder(t, 100, 2, true), Teacher: barsTeacher(t, d), Alpha: 0.9, Temperature: 4,
		Batch: 16, Epochs: 2, Seeds: 3, Control: true, Seed: 7, Threads: 2})
	if len(r.Runs) != 6 || r.Comparison == nil || r.Comparison.Seeds != 3 || r.Runs[5].Seed != 9 || !r.Runs[5].Control {
		t.Fatalf("%d runs, %+v", len(r.Runs), r.Comparison)
	}
	if r.Runs[0].Curve[0].Loss == r.Runs[2].Curve[0].Loss {
		t.Error("two seeds begin alike")
	}
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	// Losses of the students, of the controls, two metrics, the rate.
	s := page.String()
	if strings.Count(s, "<svg") != 5 || strings.Count(s, "<polyline") != 3+3+6+6+1 {
		t.Errorf("the page has %d charts, %d curves", strings.Count(s, "<svg"), strings.Count(s, "<polyline"))
	}
	if bad := regexp.MustCompile(`.{0,60}(NaN|Inf|%!).{0,30}`).FindString(s); bad != "" {
		t.Errorf("a value was formatted wrongly: %s", bad)
	}
	for _, want := range []string{"alpha T² KL", "cross-entropy, nats", "share that is right", "control, 3 seeds", "steps", "pictures/s", "prefers-color-scheme:dark", "paired t-test"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	for _, plot := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(s, -1) {
		d := xml.NewDecoder(strings.NewReader(plot))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %.200s", err, plot)
			}
		}
	}
}

// TestKilled ends with the same bytes whether a training was cut off, in the student's run or in the control's, or not, on any
// number of threads.
func TestKilled(t *testing.T) {
	d := barsFolder(t, 96, 1, true)
	teacher := barsTeacher(t, d)
	options := func(threads int, folder string) distill.Options {
		return distill.Options{Data: d, Eval: d, Teacher: teacher, Alpha: 0.9, Temperature: 4, Batch: 16, Steps: 20, Control: true,
			Augment: distill.Augment{Shift: 1, Flip: true}, Threads: threads, Checkpoints: folder}
	}
	whole, _ := trained(t, students(t, "conv 4,8 res x2", d), options(1, ""))
	want := file(t, whole)
	folder := filepath.Join(t.TempDir(), "checkpoints")
	steps := 0
	for _, last := range []int{7, 12, 11, 1 << 30} {
		ctx, cancel := context.WithCancel(context.Background())
		o := options(3, folder)
		o.Resume = steps > 0
		count := 0
		o.Progress = func(stage string, _, _ int64) {
			if strings.HasPrefix(stage, "seed") {
				if count++; count == last {
					cancel()
				}
			}
		}
		m, _, err := distill.Train(ctx, students(t, "conv 4,8 res x2", d), o)
		cancel()
		steps += count
		if last < 1<<30 {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("after %d steps: %v", last, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if steps != 40 {
			t.Errorf("%d steps in all, want 40", steps)
		}
		if !bytes.Equal(file(t, m), want) {
			t.Error("a training that was cut off ends with other bytes")
		}
	}
	o := options(1, folder)
	var usage *fault.Usage
	if _, _, err := distill.Train(context.Background(), students(t, "conv 4,8 res x2", d), o); !errors.As(err, &usage) {
		t.Errorf("without Resume: %v", err)
	}
	o.Resume, o.Rate = true, 0.01
	if _, _, err := distill.Train(context.Background(), students(t, "conv 4,8 res x2", d), o); !errors.As(err, &usage) {
		t.Errorf("with another rate: %v", err)
	}
	if err := distill.RemoveCheckpoints(folder); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of checkpoints: %v", err)
	}
}

// TestTriesResume: what was tried before a training was cut off is not tried again, and chooses what it would have chosen.
func TestTriesResume(t *testing.T) {
	d := barsFolder(t, 64, 1, true)
	teacher := barsTeacher(t, d)
	o := distill.Options{Data: d, Teacher: teacher, Alpha: distill.Auto, Temperature: distill.Auto, Steps: 40, Batch: 20, Seed: 1}
	want, _ := trained(t, students(t, "conv 4", d), o)
	o.Checkpoints = filepath.Join(t.TempDir(), "checkpoints")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tried := map[string]int{}
	o.Progress = func(stage string, done, total int64) {
		if done == total && strings.HasPrefix(stage, "trying") {
			if tried[stage]++; len(tried) == 5 && !o.Resume {
				cancel()
			}
		}
	}
	if _, _, err := distill.Train(ctx, students(t, "conv 4", d), o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var usage *fault.Usage
	if _, _, err := distill.Train(context.Background(), students(t, "conv 4", d), o); !errors.As(err, &usage) {
		t.Errorf("without Resume: %v", err)
	}
	o.Resume, o.Rate = true, 0.01
	if _, _, err := distill.Train(context.Background(), students(t, "conv 4", d), o); !errors.As(err, &usage) {
		t.Errorf("with another rate: %v", err)
	}
	o.Rate = 0
	got, r := trained(t, students(t, "conv 4", d), o)
	if !bytes.Equal(file(t, got), file(t, want)) {
		t.Error("a training that was cut off while it was tuned ends with other bytes")
	}
	if len(r.Tries) != 7 || len(tried) != 6 {
		t.Errorf("%d tries in the report, tried %v", len(r.Tries), tried)
	}
	twice := 0
	for _, n := range tried {
		twice += n - 1
	}
	if twice != 1 {
		t.Errorf("tried again: %v", tried)
	}
	o.Checkpoints, o.Resume, o.Batch = "", false, 60
	if _, _, err := distill.Train(context.Background(), students(t, "conv 4", d), o); !errors.As(err, &usage) {
		t.Errorf("nothing left to train on: %v", err)
	}
}

// TestCutOffMeasurement: a training that is cut off while it is measured has the point of that step in its curve, too.
func TestCutOffMeasurement(t *testing.T) {
	d := barsFolder(t, 64, 1, true)
	o := distill.Options{Data: d, Eval: d, Evals: 3, Steps: 12, Batch: 16}
	m, _ := trained(t, students(t, "conv 4", d), o)
	want := file(t, m)
	for _, at := range []int{1, 2, 3} {
		o.Checkpoints, o.Resume = filepath.Join(t.TempDir(), "checkpoints"), false
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		count := 0
		o.EvalOptions.Progress = func(done, _ int64) {
			if done == 1 {
				count++
			}
			if count == at {
				cancel()
			}
		}
		if _, _, err := distill.Train(ctx, students(t, "conv 4", d), o); !errors.Is(err, context.Canceled) {
			t.Fatalf("measurement %d: %v", at, err)
		}
		o.EvalOptions.Progress, o.Resume = nil, true
		if m, _ = trained(t, students(t, "conv 4", d), o); !bytes.Equal(file(t, m), want) {
			t.Errorf("cut off in measurement %d, it ends with other bytes", at)
		}
	}
}

// TestDamagedCheckpoint: no bit of a checkpoint can change unseen, and what is refused stays as it is.
func TestDamagedCheckpoint(t *testing.T) {
	d := barsFolder(t, 32, 1, true)
	folder := filepath.Join(t.TempDir(), "checkpoints")
	resume := func() error {
		_, _, err := distill.Train(context.Background(), students(t, "conv 4", d), distill.Options{Data: d, Steps: 2, Batch: 16, Seed: 1, Checkpoints: folder, Resume: true})
		return err
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "student-1.ckpt")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		var format *fault.Format
		if err := resume(); !errors.As(err, &format) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, data) {
			t.Errorf("%s: the file is another now, %v", name, err)
		}
	}
	for i := 0; i < len(good); i += max(1, len(good)/40) {
		damaged := bytes.Clone(good)
		damaged[i] ^= 4
		refused(fmt.Sprintf("byte %d", i), damaged)
		refused(fmt.Sprintf("cut off at %d", i), good[:i])
	}
	if err := os.WriteFile(path, good, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := resume(); err != nil {
		t.Error(err)
	}
}

// quantized returns the weights of m that have blocks of some bits, as such.
func quantized(t *testing.T, m *model.Model, bits int) map[string]*tensor.Tensor {
	t.Helper()
	low, _, err := quant.Apply(context.Background(), m, quant.Options{Strategy: quant.Uniform, Bits: bits, ActBits: 8})
	if err != nil {
		t.Fatal(err)
	}
	like := map[string]*tensor.Tensor{}
	for name, v := range low.Graph.Init {
		if v.DType.IsQuantized() {
			like[name] = v
		}
	}
	return like
}

// TestQuantized trains a student for 2-bit weights: it does better than the same student quantized after its training, and its file
// has the blocks that it was trained with.
func TestQuantized(t *testing.T) {
	d, measured := barsFolder(t, 160, 1, true), barsFolder(t, 300, 2, true)
	student, _ := trained(t, students(t, "conv 16,16 x2", d), distill.Options{Data: d, Epochs: 10, Batch: 16})
	like := quantized(t, student, 2)
	m, r := trained(t, func(uint64) (*model.Model, error) { return student, nil }, distill.Options{Data: d, Eval: measured, Teacher: student,
		Alpha: 0.9, Temperature: 2, Quantized: like, Epochs: 4, Batch: 16, Rate: 0.005})
	quantized := 0
	for name, v := range m.Graph.Init {
		if v.DType.IsQuantized() {
			quantized++
			if v.DType != like[name].DType {
				t.Errorf("%s is %v, want %v", name, v.DType, like[name].DType)
			}
		}
	}
	if quantized != len(like) || r.Quantized != quantized {
		t.Errorf("%d quantized weights, want %d", quantized, len(like))
	}
	if first, last := r.Curve[0].Loss, r.Curve[len(r.Curve)-1].Loss; last > first {
		t.Errorf("the loss went from %g to %g", first, last)
	}
	if r.Metrics["top1"] < 0.9 {
		t.Errorf("top1 is %g", r.Metrics["top1"])
	}
	reopened, err := dskfile.OpenBytes(file(t, m))
	if err != nil {
		t.Fatal(err)
	}
	defer reopened.Close()
}

// TestFewLevels trains weights of two and of three values a group, which are what the file then has.
func TestFewLevels(t *testing.T) {
	d, measured := barsFolder(t, 160, 1, true), barsFolder(t, 300, 2, true)
	student, _ := trained(t, students(t, "conv 16,16 x2", d), distill.Options{Data: d, Epochs: 10, Batch: 16})
	for values, lv := range map[int]*kernels.Levels{2: distill.Binary, 3: distill.Ternary} {
		like := quantized(t, student, 2)
		for _, v := range like {
			v.Levels = lv
		}
		m, r := trained(t, func(uint64) (*model.Model, error) { return student, nil }, distill.Options{Data: d, Eval: measured, Teacher: student,
			Alpha: 0.9, Temperature: 2, Quantized: like, Epochs: 6, Batch: 16, Rate: 0.005})
		if r.Metrics["top1"] < 0.8 {
			t.Errorf("%d values: top1 is %g", values, r.Metrics["top1"])
		}
		for name := range like {
			w := m.Graph.Init[name]
			n, k := tensor.Matrix(w.Shape)
			row := make([]float32, k)
			for i := range n {
				kernels.DequantizeRow(row, w.Data, w.DType.Format(), w.Levels, i, k)
				for at := 0; at < k; at += kernels.GroupLen {
					seen := map[float32]bool{}
					for _, v := range row[at:min(k, at+kernels.GroupLen)] {
						seen[v] = true
					}
					if len(seen) > values {
						t.Fatalf("%s: %d values in a group, want %d", name, len(seen), values)
					}
				}
			}
		}
	}
}

// TestQuantizedResume: a training for 2-bit weights does not go on as one for 3 bits.
func TestQuantizedResume(t *testing.T) {
	d := barsFolder(t, 64, 1, true)
	student, _ := trained(t, students(t, "conv 16,16", d), distill.Options{Data: d, Steps: 1, Batch: 16})
	folder := filepath.Join(t.TempDir(), "checkpoints")
	train := func(bits int, resume bool) error {
		like := quantized(t, student, bits)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		steps := 0
		_, _, err := distill.Train(ctx, func(uint64) (*model.Model, error) { return student, nil }, distill.Options{Data: d, Quantized: like, Steps: 8, Batch: 16,
			Checkpoints: folder, Resume: resume, Progress: func(stage string, _, _ int64) {
				if strings.HasPrefix(stage, "seed") {
					if steps++; steps == 4 && !resume {
						cancel()
					}
				}
			}})
		return err
	}
	if err := train(2, false); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var usage *fault.Usage
	if err := train(3, true); !errors.As(err, &usage) {
		t.Errorf("with other widths: %v", err)
	}
	if err := train(2, true); err != nil {
		t.Error(err)
	}
}

func TestTrainRefuses(t *testing.T) {
	d, bare := barsFolder(t, 32, 1, true), barsFolder(t, 32, 1, false)
	teacher := barsTeacher(t, d)
	three := func(seed uint64) (*model.Model, error) {
		return distill.FromSpec("conv 4,4", distill.Target{Channels: 1, Height: 8, Width: 8, Classes: 3, Seed: seed})
	}
	student := students(t, "conv 4,4", d)
	for name, c := range map[string]struct {
		student func(uint64) (*model.Model, error)
		o       distill.Options
	}{
		"no data":       {student, distill.Options{}},
		"no labels":     {student, distill.Options{Data: bare}},
		"control":       {student, distill.Options{Data: bare, Teacher: teacher, Alpha: 1, Control: true}},
		"alpha 0":       {student, distill.Options{Data: d, Teacher: teacher}},
		"alpha 2":       {student, distill.Options{Data: d, Teacher: teacher, Alpha: 2}},
		"classes":       {three, distill.Options{Data: d, Teacher: teacher, Alpha: 1}},
		"optimizer":     {student, distill.Options{Data: d, Optimizer: "magic"}},
		"feature":       {student, distill.Options{Data: d, Teacher: teacher, Alpha: 1, Feature: "nothing"}},
		"feature name":  {student, distill.Options{Data: d, Teacher: teacher, Alpha: 1, Feature: "a=b"}},
		"mix and label": {student, distill.Options{Data: d, Teacher: teacher, Alpha: 0.9, Mix: true}},
		"photos alone":  {student, distill.Options{Data: d, Photos: bare}},
		"zoom":          {student, distill.Options{Data: d, Augment: distill.Augment{Zoom: 1.5}}},
		"mix alone":     {student, distill.Options{Data: d, Mix: true}},
		"feature alone": {student, distill.Options{Data: d, Feature: "auto"}},
		"batch":         {student, distill.Options{Data: d, Batch: -1}},
		"rate":          {student, distill.Options{Data: d, Rate: math.NaN()}},
	} {
		c.o.Steps = 1
		var usage *fault.Usage
		if _, _, err := distill.Train(context.Background(), c.student, c.o); !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
