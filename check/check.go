// Package check holds models against recorded results: ONNX backend-test folders, and Hugging Face
// folders with a golden.json. It converts, runs and compares, and reports one line a folder.
package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/convert/onnx"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Status is the outcome of one folder.
type Status string

// The outcomes.
const (
	Pass        Status = "PASS"
	Fail        Status = "FAIL"
	Unsupported Status = "UNSUPPORTED"
)

// Options are the tolerances: |got - want| <= ATol + RTol |want|.
type Options struct {
	RTol float64
	ATol float64 // < 0: DefaultATol, or NetworkATol for whole networks, or a step where these yield quantized values
	// NoFuse runs the graph as the source has it, without rewrites.
	NoFuse   bool
	Threads  int
	Progress func(done, total int64)
}

// The suite's tolerances. A network of more than NetworkNodes nodes, or with at least NetworkParameters weights, accumulates
// rounding, which the suite's rule for single operators does not allow for.
const (
	DefaultRTol  = 1e-3
	DefaultATol  = 1e-7
	NetworkATol  = 1e-4
	NetworkNodes = 10
	// NetworkParameters is more than the suite's tests of operators carry.
	NetworkParameters = 200
	// goldenTol is the tolerance of golden.json, in units of the outputs' standard deviation.
	goldenTol = 1e-4
)

// Result is one folder's line.
type Result struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
}

// Report is the outcome of Run.
type Report struct {
	Total       int      `json:"total"`
	Pass        int      `json:"pass"`
	Fail        int      `json:"fail"`
	Unsupported int      `json:"unsupported"`
	Tests       []Result `json:"tests"`
}

// Run checks every test folder at or below dirs, in order; each is called with its result as it is done.
func Run(ctx context.Context, dirs []string, o Options, each func(Result)) (*Report, error) {
	var tests []string
	for _, dir := range dirs {
		found, err := findTests(dir)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, &fault.Usage{What: dir + " holds no test: no model.onnx with test_data_set_*, no golden.json"}
		}
		tests = append(tests, found...)
	}
	r := &Report{}
	for i, dir := range tests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(int64(i), int64(len(tests)))
		}
		res := runTest(ctx, dir, o)
		r.add(res)
		each(res)
	}
	return r, ctx.Err()
}

func (r *Report) add(res Result) {
	r.Total++
	switch res.Status {
	case Pass:
		r.Pass++
	case Fail:
		r.Fail++
	default:
		r.Unsupported++
	}
	r.Tests = append(r.Tests, res)
}

// findTests returns the test folders at or below dir, in the order of their names.
func findTests(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (exists(path, "model.onnx") || exists(path, "golden.json")) {
			found = append(found, path)
			return filepath.SkipDir
		}
		return nil
	})
	return found, err
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func runTest(ctx context.Context, dir string, o Options) Result {
	var detail string
	var err error
	if exists(dir, "model.onnx") {
		detail, err = runONNX(ctx, dir, o)
	} else {
		detail, err = runGolden(ctx, dir, o)
	}
	res := Result{Name: filepath.Base(filepath.Clean(dir)), Status: Pass, Detail: detail}
	var u *fault.Unsupported
	switch {
	case errors.As(err, &u):
		res.Status, res.Detail = Unsupported, oneLine(err)
	case err != nil:
		res.Status, res.Detail = Fail, oneLine(err)
	}
	return res
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func importOptions(o Options) convert.Options {
	return convert.Options{NoFuse: o.NoFuse, Eval: runtime.Eval, Supports: runtime.Supports}
}

// runONNX runs every data set of a backend test.
func runONNX(ctx context.Context, dir string, o Options) (string, error) {
	co := importOptions(o)
	co.Verify = dir
	m, rep, err := convert.Open(ctx, filepath.Join(dir, "model.onnx"), co)
	if err != nil {
		return "", err
	}
	defer rep.Close()
	return Sets(ctx, m, rep.ONNX, o)
}

// Sets holds an imported ONNX model against the test sets that were loaded with it, and says what it found.
func Sets(ctx context.Context, m *model.Model, rep *onnx.Report, o Options) (string, error) {
	s, err := runtime.NewSession(m, runtime.Options{Threads: o.Threads})
	if err != nil {
		return "", err
	}
	defer s.Close()
	tol := tolerance{o.RTol, o.ATol}
	var steps []float64
	if tol.abs < 0 {
		tol.abs = DefaultATol
		if rep.SourceNodes > NetworkNodes || rep.Parameters >= NetworkParameters {
			tol.abs = NetworkATol
		}
		if rep.SourceNodes > NetworkNodes {
			steps = outputSteps(m.Graph)
		}
	}
	worst, outputs := 0.0, 0
	for _, set := range rep.TestSets {
		outputs += len(set.Outputs)
		diff, err := runSet(ctx, m, s, set, tol, steps)
		if err != nil {
			return "", fmt.Errorf("%s: %w", set.Name, err)
		}
		worst = max(worst, diff)
	}
	if outputs == 0 {
		return "", fmt.Errorf("there is nothing to compare with: no test_data_set_K/output_K.pb")
	}
	return fmt.Sprintf("%d data sets, largest difference %.3g", len(rep.TestSets), worst), nil
}

func runSet(ctx context.Context, m *model.Model, s *runtime.Session, set onnx.TestSet, tol tolerance, steps []float64) (float64, error) {
	in := map[string]*tensor.Tensor{}
	for i, t := range set.Inputs {
		name, ok := inputName(m.Graph, t.Name, i)
		if ok {
			in[name] = t.Tensor
		}
	}
	out, err := s.Run(ctx, in)
	if err != nil {
		return 0, err
	}
	worst := 0.0
	for i, want := range set.Outputs {
		at := outputIndex(m.Graph, want.Name, i)
		if at >= len(out) {
			return 0, fmt.Errorf("output %d is missing", i)
		}
		tol := tol
		if at < len(steps) {
			tol.abs = max(tol.abs, steps[at])
		}
		diff, err := tol.compare(out[at], want.Tensor)
		if err != nil {
			return 0, fmt.Errorf("output %s: %w", m.Graph.Outputs[at].Name, err)
		}
		worst = max(worst, diff)
	}
	return worst, nil
}

// outputSteps returns how far apart neighbouring levels of a network's outputs are, 0 for outputs that are not quantized: a sum between
// two levels may be rounded to either.
func outputSteps(g *model.Graph) []float64 {
	steps := make([]float64, len(g.Outputs))
	for _, n := range g.Nodes {
		if !n.Is("", "DequantizeLinear") {
			continue
		}
		for i, v := range g.Outputs {
			if scale := g.Init[n.In(1)]; v.Name == n.Outputs[0] && scale != nil && scale.DType == tensor.F32 && scale.Len() == 1 && scale.Load() == nil {
				steps[i] = float64(scale.F32()[0]) * (1 + 1e-6)
			}
		}
	}
	return steps
}

// inputName matches a recorded tensor to a graph input, by name if it has a known one, else by order.
// An input that rewriting made needless has no match.
func inputName(g *model.Graph, name string, i int) (string, bool) {
	for _, v := range g.Inputs {
		if v.Name == name {
			return name, true
		}
	}
	if i < len(g.Inputs) {
		return g.Inputs[i].Name, true
	}
	return "", false
}

func outputIndex(g *model.Graph, name string, i int) int {
	for j, v := range g.Outputs {
		if v.Name == name {
			return j
		}
	}
	return i
}

// Err is nil if every test passed, *fault.Gate if one failed, else *fault.Unsupported.
func (r *Report) Err() error {
	if r.Fail > 0 {
		return &fault.Gate{What: fmt.Sprintf("%d of %d tests failed", r.Fail, r.Total)}
	}
	u := &fault.Unsupported{Kind: "test"}
	for _, t := range r.Tests {
		if t.Status == Unsupported {
			u.Items = append(u.Items, fault.Item{What: t.Name, Hint: t.Detail})
		}
	}
	if len(u.Items) > 0 {
		return u
	}
	return nil
}
