package quant

import (
	"math"
	"math/rand"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

func TestExactFunctions(t *testing.T) {
	for x := -40.0; x <= 40; x += 0.37 {
		if got, want := exp64(x), math.Exp(x); math.Abs(got-want) > 1e-12*want {
			t.Fatalf("exp64(%v) = %v, want %v", x, got, want)
		}
	}
	if exp64(-1e9) != 0 || math.IsInf(exp64(1e9), 0) {
		t.Error("exp64 of extreme arguments")
	}
	for _, size := range [][3]int{{1, 1, 1}, {3, 5, 7}, {4, 6, 33}} {
		m, n, k := size[0], size[1], size[2]
		a, b, got := randomFloats(m*k, 1), randomFloats(n*k, 2), make([]float32, m*n)
		mulTrans(got, a, b, 0, m, n, k)
		for i := range m {
			for j := range n {
				var want float64
				for x := range k {
					want += float64(a[i*k+x]) * float64(b[j*k+x])
				}
				if math.Abs(float64(got[i*n+j])-want) > 1e-5 {
					t.Fatalf("%v: element %d,%d is %v, want %v", size, i, j, got[i*n+j], want)
				}
			}
		}
	}
}

func TestThroughGaussian(t *testing.T) {
	// Known moments of a rectified standard normal variable.
	mean, variance, slope := throughGaussian(activations["Relu"], 0, 1)
	for i, pair := range [][2]float64{{mean, 1 / math.Sqrt(2*math.Pi)}, {variance, 0.5 - 1/(2*math.Pi)}, {slope, 0.5}} {
		if math.Abs(pair[0]-pair[1]) > 0.004 {
			t.Errorf("moment %d is %v, want %v", i, pair[0], pair[1])
		}
	}
	// A constant input.
	if mean, variance, slope = throughGaussian(activations["Tanh"], 0.5, 0); math.Abs(mean-math.Tanh(0.5)) > 1e-9 || variance > 1e-12 || slope != 0 {
		t.Errorf("of a constant: %v, %v, %v", mean, variance, slope)
	}
}

func randomFloats(n int, seed int64) []float32 {
	r := rand.New(rand.NewSource(seed))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func rowMajor(shape []int, x []float32) *tensor.Tensor {
	t := &tensor.Tensor{DType: tensor.F32, Shape: shape, Data: tensor.AlignedBytes(4 * len(x))}
	copy(t.F32(), x)
	return t
}

// panels returns an n x k matrix in panels.
func panels(n, k int, x []float32) *tensor.Tensor {
	t := &tensor.Tensor{DType: tensor.F32, Shape: []int{n, k}, Layout: tensor.Panel16, Data: tensor.AlignedBytes(4 * kernels.Panels(n) * kernels.PanelRows * k)}
	kernels.PackPanel16(t.F32(), x, n, k, k, 1)
	return t
}

const (
	testVocab  = 300
	testHidden = 24
	testInner  = 40
)

// gatedModel is an embedding, a gated block with a norm before it and a residual connection around it, and a tied head.
func gatedModel() *model.Model {
	table := randomFloats(testVocab*testHidden, 3)
	for i := range table {
		// Neighbouring features go together, and none has mean zero.
		if i%testHidden > 0 {
			table[i] = 0.6*table[i] + 0.8*table[i-1]
		}
	}
	for i := range table {
		table[i] += 0.2
	}
	gain := make([]float32, testHidden)
	for i := range gain {
		gain[i] = 0.5 + float32(i)/testHidden
	}
	g := &model.Graph{Init: map[string]*tensor.Tensor{
		"table": panels(testVocab, testHidden, table),
		"gain":  rowMajor([]int{testHidden}, gain),
		"gate":  panels(testInner, testHidden, randomFloats(testInner*testHidden, 4)),
		"up":    panels(testInner, testHidden, randomFloats(testInner*testHidden, 5)),
		"down":  panels(testHidden, testInner, randomFloats(testHidden*testInner, 6)),
	}}
	node := func(domain, op string, attrs model.Attrs, out string, in ...string) {
		g.Nodes = append(g.Nodes, &model.Node{Domain: domain, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	}
	node("", "Gather", nil, "x", "table", "ids")
	node("", "RMSNormalization", nil, "n", "x", "gain")
	node(model.DomainDsk, "Linear", model.Attrs{"activation": model.StringAttr(model.ActSwish)}, "a", "n", "gate")
	node(model.DomainDsk, "Linear", nil, "b", "n", "up")
	node("", "Mul", nil, "m", "a", "b")
	node(model.DomainDsk, "Linear", nil, "d", "m", "down")
	node("", "Add", nil, "y", "x", "d")
	node(model.DomainDsk, "Linear", nil, "logits", "y", "table")
	return &model.Model{Graph: g}
}

// TestEstimates compares every estimate with the moments over all rows of the table, sent through the
// same operators in float64. The first two steps are exact but for the norm; the rest are approximations.
func TestEstimates(t *testing.T) {
	m := gatedModel()
	q := &quantizer{m: m, o: Options{Threads: 2}}
	q.findCandidates()
	if len(q.candidates) != 4 {
		t.Fatalf("%d candidates", len(q.candidates))
	}
	p := &propagation{g: m.Graph, known: map[string]*candidate{}, est: map[string]*estimate{}, pool: q.newPool()}
	defer p.pool.Close()
	for _, c := range q.candidates {
		p.known[c.name] = c
	}
	for _, n := range m.Graph.Nodes[:7] {
		if p.est[n.Outputs[0]] = p.node(n); p.est[n.Outputs[0]] == nil {
			t.Fatalf("no estimate of %s", n.Outputs[0])
		}
	}
	weights := map[string][]float32{}
	for _, c := range q.candidates {
		weights[c.name] = make([]float32, c.n*c.k)
		c.rows(weights[c.name], 0, c.n)
	}
	product := func(w []float32, x []float64) []float64 {
		out := make([]float64, len(w)/len(x))
		for i := range out {
			for j, v := range x {
				out[i] += float64(w[i*len(x)+j]) * v
			}
		}
		return out
	}
	second := map[string][]float64{}
	sum := func(name string, x []float64) {
		if second[name] == nil {
			second[name] = make([]float64, len(x)*len(x))
		}
		for i, a := range x {
			for j, b := range x {
				second[name][i*len(x)+j] += a * b / testVocab
			}
		}
	}
	gain := m.Graph.Init["gain"].F32()
	for r := range testVocab {
		x, n := make([]float64, testHidden), make([]float64, testHidden)
		var square float64
		for i := range x {
			x[i] = float64(weights["table"][r*testHidden+i])
			square += x[i] * x[i] / testHidden
		}
		for i := range n {
			n[i] = x[i] / math.Sqrt(square) * float64(gain[i])
		}
		a, b := product(weights["gate"], n), product(weights["up"], n)
		h := make([]float64, testInner)
		for i, v := range a {
			a[i] = v / (1 + math.Exp(-v))
			h[i] = a[i] * b[i]
		}
		d := product(weights["down"], h)
		y := make([]float64, testHidden)
		for i := range y {
			y[i] = x[i] + d[i]
		}
		for name, v := range map[string][]float64{"x": x, "n": n, "a": a, "b": b, "m": h, "d": d, "y": y} {
			sum(name, v)
		}
	}
	// The cosine between matrices; an identity matrix has 0.4 to 0.75 here.
	limits := map[string]float64{"x": 0.999999, "n": 0.98, "a": 0.9, "b": 0.97, "m": 0.85, "d": 0.8, "y": 0.8}
	for name, least := range limits {
		e := p.est[name]
		h := e.second()
		var dot, aa, bb float64
		for i := range e.k {
			for j := i; j < e.k; j++ {
				x, y := h[i*e.k+j], second[name][i*e.k+j]
				dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
			}
		}
		cos := dot / math.Sqrt(aa*bb)
		t.Logf("%s: cosine %.4f", name, cos)
		if !(cos >= least) {
			t.Errorf("%s: cosine %.4f, want at least %v", name, cos, least)
		}
	}
}

// TestEstimatedFeedback: the estimates serve all products of the model, the tied head too, and for any pool alike.
func TestEstimatedFeedback(t *testing.T) {
	var want [][]byte
	for _, threads := range []int{1, 3} {
		q := &quantizer{m: gatedModel(), o: Options{Threads: threads}}
		q.findCandidates()
		var budget feedbackBudget
		if err := q.estimateMoments(&budget); err != nil {
			t.Fatal(err)
		}
		for i, c := range q.candidates {
			if c.feedback == nil {
				t.Fatalf("%s has no feedback", c.name)
			}
			blocks := make([]byte, kernels.D4.Bytes(c.n, c.k))
			if err := c.encode(blocks, 4, threads); err != nil {
				t.Fatal(err)
			}
			if threads == 1 {
				want = append(want, blocks)
			} else if string(blocks) != string(want[i]) {
				t.Errorf("%s: other blocks with %d threads", c.name, threads)
			}
		}
		if q.candidates[1].feedback != q.candidates[2].feedback {
			t.Error("gate and up do not share their input's moment")
		}
	}
}
