package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dsk-toolkit/dsk/convert/onnx"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// mutator changes models into ones that no importer makes, as a crafted file can hold them: sizes of tensors stay true,
// all else may be wrong.
type mutator struct {
	*rand.Rand
	ops []string
}

func newMutator(seed uint64) *mutator {
	return &mutator{rand.New(rand.NewPCG(seed, 0)), model.KnownOps("")}
}

// odd are numbers that break what does not check them.
var odd = []int64{0, 1, -1, 2, 3, -2, 4, 7, -5, 16, 33, 255, 1000, 1 << 20, -1 << 20, 1 << 31, 1<<31 - 1, -1 << 31, 1 << 33, 1 << 40, math.MaxInt64, math.MinInt64}

func one[T any](m *mutator, list []T) T { return list[m.IntN(len(list))] }

func (m *mutator) int() int64 {
	if m.IntN(2) == 0 {
		return int64(m.IntN(6)) - 2
	}
	return one(m, odd)
}

func (m *mutator) shape() []int {
	s := make([]int, m.IntN(5))
	for i := range s {
		s[i] = m.IntN(5)
	}
	return s
}

var plain = []tensor.DType{tensor.F32, tensor.F32, tensor.I64, tensor.I64, tensor.F16, tensor.BF16, tensor.F64, tensor.I8, tensor.U8, tensor.I16,
	tensor.U16, tensor.I32, tensor.U32, tensor.U64, tensor.BOOL}

// tensor makes one with any type, shape and bytes; quantized ones have sound levels, as files must.
func (m *mutator) tensor(shape []int) *tensor.Tensor {
	t := &tensor.Tensor{DType: one(m, plain), Shape: shape}
	switch m.IntN(6) {
	case 0:
		if len(shape) > 1 {
			t.DType, t.Layout = one(m, []tensor.DType{tensor.F32, tensor.F16, tensor.BF16}), tensor.Panel16
		}
	case 1:
		t.DType, t.Layout, t.Levels = one(m, []tensor.DType{tensor.D8, tensor.D4, tensor.D3, tensor.D2}), tensor.Panel16, &kernels.Levels{}
		if t.DType != tensor.D8 {
			for i := range 1 << t.DType.Format().Bits() {
				t.Levels.Code[i] = uint8(8 * i)
			}
		}
	}
	n, err := tensor.ByteSize(t.DType, t.Shape, t.Layout)
	if err != nil || n > 1<<22 {
		return tensor.New(tensor.F32, 1)
	}
	t.Data = tensor.AlignedBytes(n)
	m.fill(t)
	return t
}

func (m *mutator) fill(t *tensor.Tensor) {
	switch {
	case t.DType == tensor.BOOL:
		for i := range t.Data {
			t.Data[i] = byte(m.IntN(2))
		}
	case t.DType == tensor.I64:
		for i := range t.I64() {
			t.I64()[i] = m.int()
		}
	case t.DType == tensor.I32:
		v := tensor.View[int32](t)
		for i := range v {
			v[i] = int32(m.int())
		}
	case t.DType == tensor.F32 && m.IntN(3) > 0:
		for i := range t.F32() {
			t.F32()[i] = float32(m.NormFloat64())
		}
	default:
		for i := range t.Data {
			t.Data[i] = byte(m.Uint32())
		}
	}
}

func (m *mutator) attr() model.Attr {
	switch m.IntN(8) {
	case 0:
		return model.FloatAttr(one(m, []float32{0, -1, 1.5, float32(math.NaN()), float32(math.Inf(1)), 1e30}))
	case 1:
		return model.StringAttr(one(m, []string{"", "x", "linear", "reflect", "SAME_UPPER", "ij,jk->ik", "...i->i", "Relu", "bilinear", "LSTM"}))
	case 2:
		return model.FloatsAttr(1, 2)
	case 3:
		return model.Attr{Kind: model.AttrStrings, Strs: []string{"a", "Tanh"}}
	case 4:
		return model.Attr{Kind: model.AttrTensor, Tensor: m.tensor(m.shape())}
	case 5, 6:
		v := make([]int64, m.IntN(6))
		for i := range v {
			v[i] = m.int()
		}
		return model.IntsAttr(v...)
	}
	return model.IntAttr(m.int())
}

// graphs lists g and all its subgraphs.
func graphs(g *model.Graph) []*model.Graph {
	all := []*model.Graph{g}
	for _, n := range g.Nodes {
		for _, s := range n.Subgraphs() {
			all = append(all, graphs(s)...)
		}
	}
	return all
}

func valueNames(top *model.Graph) []string {
	var names []string
	for _, g := range graphs(top) {
		for _, v := range g.Inputs {
			names = append(names, v.Name)
		}
		for _, n := range g.Nodes {
			names = append(names, n.Outputs...)
		}
	}
	for name := range top.Init {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// mutate changes one thing.
func (m *mutator) mutate(top *model.Graph) {
	g := one(m, graphs(top))
	names := valueNames(top)
	if len(names) == 0 || m.IntN(4) == 0 {
		m.mutateGraph(top)
		return
	}
	if len(g.Nodes) == 0 {
		return
	}
	n := one(m, g.Nodes)
	in := func() int { return m.IntN(max(1, len(n.Inputs))) }
	switch k := m.IntN(18); {
	case k == 0 && len(n.Inputs) > 0:
		n.Inputs[in()] = ""
	case k == 1 && len(n.Inputs) > 0:
		n.Inputs = n.Inputs[:in()]
	case k == 2:
		n.Inputs = append(n.Inputs, one(m, names))
	case k <= 5 && len(n.Inputs) > 0:
		n.Inputs[in()] = one(m, names)
	case k == 6 && len(n.Inputs) > 1:
		i, j := in(), in()
		n.Inputs[i], n.Inputs[j] = n.Inputs[j], n.Inputs[i]
	case k == 7 && len(n.Outputs) > 0:
		n.Outputs[m.IntN(len(n.Outputs))] = ""
	case k == 8:
		n.Outputs = append(n.Outputs, "extra"+strconv.Itoa(m.IntN(1000)))
	case k == 9 && len(n.Outputs) > 0:
		n.Outputs = n.Outputs[:len(n.Outputs)-1]
	case k <= 11:
		n.Domain, n.Op = "", one(m, m.ops)
		if m.IntN(5) == 0 {
			n.Domain, n.Op = model.DomainDsk, one(m, []string{"Linear", "Conv"})
		}
	default:
		keys := []string{"axis", "axes", "group", "pads", "strides", "kernel_shape", "activation"}
		for key := range n.Attrs {
			keys = append(keys, key, key)
		}
		slices.Sort(keys)
		key := one(m, keys)
		a, has := n.Attrs[key]
		switch {
		case m.IntN(5) == 0:
			delete(n.Attrs, key)
			return
		case has && a.Kind == model.AttrInt && m.IntN(3) > 0:
			a = model.IntAttr(m.int())
		case has && a.Kind == model.AttrInts && len(a.Ints) > 0 && m.IntN(3) > 0:
			a.Ints = slices.Clone(a.Ints)
			a.Ints[m.IntN(len(a.Ints))] = m.int()
		case has && a.Kind == model.AttrTensor && m.IntN(3) > 0:
			a = model.Attr{Kind: model.AttrTensor, Tensor: m.tensor(a.Tensor.Shape)}
		case has && a.Kind == model.AttrGraph && m.IntN(3) > 0:
			return
		default:
			a = m.attr()
		}
		if n.Attrs == nil {
			n.Attrs = model.Attrs{}
		}
		n.Attrs[key] = a
	}
}

func (m *mutator) mutateGraph(g *model.Graph) {
	inits := slices.Sorted(func(yield func(string) bool) {
		for name := range g.Init {
			if !yield(name) {
				return
			}
		}
	})
	switch k := m.IntN(12); {
	case k < 6 && len(inits) > 0:
		name := one(m, inits)
		old := g.Init[name]
		switch m.IntN(6) {
		case 0:
			g.Init[name] = m.tensor(m.shape())
		case 1:
			shape := slices.Clone(old.Shape)
			m.Shuffle(len(shape), func(i, j int) { shape[i], shape[j] = shape[j], shape[i] })
			g.Init[name] = m.tensor(shape)
		case 2:
			shape := slices.Clone(old.Shape)
			if len(shape) > 0 {
				shape[m.IntN(len(shape))] = m.IntN(70)
			}
			g.Init[name] = m.tensor(shape)
		case 3:
			if old.Load() == nil && old.Layout == tensor.RowMajor {
				c := old.Clone()
				m.fill(c)
				g.Init[name] = c
			}
		case 4:
			delete(g.Init, name)
		case 5:
			g.Inputs = append(g.Inputs, model.Value{Name: name, Type: model.TypeOf(old)})
			delete(g.Init, name)
		}
	case k == 6 && len(g.Inputs) > 0:
		v := &g.Inputs[m.IntN(len(g.Inputs))]
		v.Type.DType = one(m, plain)
	case k == 7 && len(g.Inputs) > 0:
		v := &g.Inputs[m.IntN(len(g.Inputs))]
		v.Type.Shape = append([]model.Dim{}, v.Type.Shape...)
		switch {
		case len(v.Type.Shape) == 0 || m.IntN(4) == 0:
			v.Type.Shape = nil
		case m.IntN(2) == 0:
			v.Type.Shape[m.IntN(len(v.Type.Shape))] = one(m, []model.Dim{model.Known(1), model.Known(0), model.Known(1 << 40), model.Unknown, model.Sym("n"), model.Sym("=-3"), model.Sym("=7")})
		default:
			v.Type.Shape = model.Dims(m.shape()...)
		}
	case k == 8 && len(g.Nodes) > 1:
		i, j := m.IntN(len(g.Nodes)), m.IntN(len(g.Nodes))
		g.Nodes[i], g.Nodes[j] = g.Nodes[j], g.Nodes[i]
	case k == 9 && len(g.Nodes) > 1:
		i := m.IntN(len(g.Nodes))
		g.Nodes = append(g.Nodes[:i], g.Nodes[i+1:]...)
	case k == 10 && len(g.Inputs) > 0:
		i := m.IntN(len(g.Inputs))
		g.States = append(g.States, model.State{Input: g.Inputs[i], Output: one(m, valueNames(g))})
		g.Inputs = append(g.Inputs[:i:i], g.Inputs[i+1:]...)
	case len(g.Outputs) > 0 && len(valueNames(g)) > 0:
		g.Outputs[m.IntN(len(g.Outputs))].Name = one(m, valueNames(g))
	}
}

// inputs makes tensors for a graph's inputs: those given where they fit, else any of the declared type.
func (m *mutator) inputs(g *model.Graph, given map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	in := map[string]*tensor.Tensor{}
	for _, v := range g.Inputs {
		if t := given[v.Name]; t != nil && m.IntN(8) > 0 {
			in[v.Name] = t
			if t.DType == v.Type.DType {
				continue
			}
		}
		shape := m.shape()
		if v.Type.Shape != nil {
			shape = shape[:0]
			for _, d := range v.Type.Shape {
				n := 1 + m.IntN(4)
				if d.IsKnown() && d.N < 1<<12 {
					n = d.N
				}
				shape = append(shape, n)
			}
		}
		if n, err := tensor.ByteSize(tensor.F64, shape, tensor.RowMajor); v.Type.DType == tensor.Invalid || v.Type.DType.IsQuantized() || err != nil || n > 1<<24 {
			continue
		}
		t := tensor.New(v.Type.DType, shape...)
		m.fill(t)
		in[v.Name] = t
	}
	return in
}

// survives runs a broken model. What goes wrong must be said in an error of a class that users can act on.
func survives(m *model.Model, in map[string]*tensor.Tensor) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	start := time.Now()
	runErr := run(ctx, m, in)
	goruntime.ReadMemStats(&after)
	if d := time.Since(start); d > 8*time.Second {
		return fmt.Errorf("took %v: %v", d, runErr)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 2<<30 {
		return fmt.Errorf("allocated %d bytes: %v", n, runErr)
	}
	return hasClass(runErr)
}

// rewrites does with a broken model what importers do with a sound one. A graph that contradicts itself gives an error of any
// class, which importers complete.
func rewrites(m *model.Model) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	if m.Graph.Check() != nil || m.Graph.Infer() != nil {
		return nil
	}
	if _, err := model.Rewrite(m.Graph, model.RewriteOptions{Eval: runtime.Eval}); err != nil && strings.Contains(err.Error(), "internal error") {
		return err
	}
	return nil
}

func run(ctx context.Context, m *model.Model, in map[string]*tensor.Tensor) error {
	s, err := runtime.NewSession(m, runtime.Options{Threads: 2})
	if err != nil {
		return err
	}
	defer s.Close()
	for range 2 {
		if _, err := s.Run(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// hasClass returns nil if err is of a class that has an exit code.
func hasClass(err error) error {
	var (
		format      *fault.Format
		unsupported *fault.Unsupported
		resource    *fault.Resource
		usage       *fault.Usage
	)
	switch {
	case err == nil, errors.As(err, &unsupported), errors.As(err, &resource), errors.As(err, &usage), errors.Is(err, context.DeadlineExceeded):
		return nil
	case errors.As(err, &format):
		return nil
	}
	return fmt.Errorf("no class: %w", err)
}

// TestBrokenSuite mutates the models of the ONNX backend suite: every operator meets operands and attributes that no
// importer lets pass. DSK_BROKEN gives the number of rounds, DSK_SEED the first, DSK_ONLY a folder.
func TestBrokenSuite(t *testing.T) {
	rounds, seed := 1, uint64(0)
	if n, err := strconv.Atoi(os.Getenv("DSK_BROKEN")); err == nil {
		rounds = n
	}
	if n, err := strconv.ParseUint(os.Getenv("DSK_SEED"), 10, 64); err == nil {
		seed = n
	}
	dir := suiteDir(t)
	defer runtime.LimitMemory(128 << 20)()
	seen := map[string]int{}
	for _, category := range []string{"node", "simple", "pytorch-converted", "pytorch-operator"} {
		folders, err := filepath.Glob(filepath.Join(dir, category, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			if only := os.Getenv("DSK_ONLY"); only != "" && filepath.Base(f) != only {
				continue
			}
			breakFolder(t, f, rounds, seed, seen)
		}
	}
}

func breakFolder(t *testing.T, dir string, rounds int, seed uint64, seen map[string]int) {
	for _, opts := range []onnx.Options{{NoFuse: true, Supports: runtime.Supports}, {Eval: runtime.Eval, Supports: runtime.Supports}} {
		m, report, err := onnx.Import(context.Background(), filepath.Join(dir, "model.onnx"), opts)
		if err != nil {
			return
		}
		given := map[string]*tensor.Tensor{}
		if sets, err := onnx.LoadTestSets(dir); err == nil && len(sets) > 0 {
			for i, x := range sets[0].Inputs {
				if i < len(m.Graph.Inputs) {
					given[m.Graph.Inputs[i].Name] = x.Tensor
				}
			}
		}
		for round := range rounds {
			mut := newMutator(seed + uint64(round) + uint64(crc32.ChecksumIEEE([]byte(dir[len(dir)-min(len(dir), 20):])))<<20)
			broken := m.Clone()
			for range 1 + mut.IntN(3) {
				mut.mutate(broken.Graph)
			}
			name := fmt.Sprintf("%s fused=%v seed=%d", filepath.Base(dir), !opts.NoFuse, seed+uint64(round))
			watch := time.AfterFunc(20*time.Second, func() { panic("hang: " + name) })
			if err := survives(broken, mut.inputs(broken.Graph, given)); err != nil {
				key := signature(err)
				if seen[key]++; seen[key] == 1 {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := rewrites(broken); err != nil {
				key := signature(err)
				if seen[key]++; seen[key] == 1 {
					t.Errorf("%s: rewriting: %v", name, err)
				}
			}
			watch.Stop()
		}
		report.Close()
	}
}

// signature is where an error came from, so that each cause is shown once.
func signature(err error) string {
	text := err.Error()
	if _, stack, ok := strings.Cut(text, "panic("); ok {
		for line := range strings.Lines(stack) {
			if strings.Contains(line, ".go:") && strings.Contains(line, "/dsk") && !strings.Contains(line, "/usr/") {
				return strings.TrimSpace(line)
			}
		}
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text[:min(len(text), 60)])
}
