package quant

import (
	"fmt"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// mixtureModel is one layer of three experts between Dispatch and Combine.
func mixtureModel() *model.Model {
	g := &model.Graph{Init: map[string]*tensor.Tensor{
		"table": panels(testVocab, testHidden, randomFloats(testVocab*testHidden, 3)),
		"bias":  rowMajor([]int{3, testInner}, randomFloats(3*testInner, 9)),
	}}
	up := &model.Node{Domain: model.DomainDsk, Op: "Experts", Inputs: []string{"rows", "ends", "bias"}, Outputs: []string{"u"}, Attrs: model.Attrs{}}
	down := &model.Node{Domain: model.DomainDsk, Op: "Experts", Inputs: []string{"u", "ends", ""}, Outputs: []string{"d"}, Attrs: model.Attrs{}}
	for e := range 3 {
		u, d := fmt.Sprint("up", e), fmt.Sprint("down", e)
		g.Init[u] = panels(testInner, testHidden, randomFloats(testInner*testHidden, int64(20+e)))
		g.Init[d] = panels(testHidden, testInner, randomFloats(testHidden*testInner, int64(30+e)))
		up.Inputs, down.Inputs = append(up.Inputs, u), append(down.Inputs, d)
	}
	g.Nodes = []*model.Node{
		{Op: "Gather", Inputs: []string{"table", "ids"}, Outputs: []string{"x"}},
		{Domain: model.DomainDsk, Op: "Dispatch", Inputs: []string{"x", "picks"}, Outputs: []string{"rows", "ends", "slots"}},
		up, down,
		{Domain: model.DomainDsk, Op: "Combine", Inputs: []string{"d", "slots", "weights"}, Outputs: []string{"y"}},
	}
	return &model.Model{Graph: g}
}

// TestExpertMoments: every expert's moments are those of its own rows, and none for one that has no rows.
func TestExpertMoments(t *testing.T) {
	m := mixtureModel()
	q := &quantizer{m: m, o: Options{Threads: 2}}
	q.findCandidates()
	if len(q.candidates) != 7 {
		t.Fatalf("%d candidates, want the table and six experts' matrices", len(q.candidates))
	}
	var budget feedbackBudget
	ms := q.newMoments(&budget)
	defer ms.pool.Close()
	const rows = 11
	x := rowMajor([]int{rows, testHidden}, randomFloats(rows*testHidden, 8))
	ends := tensor.FromSlice([]int64{4, 4, rows}, 3)
	ms.observe(m.Graph.Nodes[2], []*tensor.Tensor{x, ends})
	for e, span := range [][2]int{{0, 4}, {4, 4}, {4, rows}} {
		got := ms.of[fmt.Sprint("up", e)]
		if len(got) != 1 || got[0].rows != int64(span[1]-span[0]) {
			t.Fatalf("expert %d: %d moments", e, len(got))
		}
		for i := range testHidden {
			var want float64
			for r := span[0]; r < span[1]; r++ {
				want += float64(x.F32()[r*testHidden+i]) * float64(x.F32()[r*testHidden])
			}
			if math.Abs(float64(got[0].sum[i*testHidden])-want) > 1e-4 {
				t.Fatalf("expert %d: element %d,0 is %v, want %v", e, i, got[0].sum[i*testHidden], want)
			}
		}
	}
	if shared := q.mixtures(); len(shared) != 6 {
		t.Errorf("%d weights are measured with others, want 6", len(shared))
	}
}

// TestMixtureEstimate compares the estimate behind experts with the mean and covariance of all rows sent through each expert.
func TestMixtureEstimate(t *testing.T) {
	m := mixtureModel()
	q := &quantizer{m: m, o: Options{Threads: 2}}
	q.findCandidates()
	p := &propagation{g: m.Graph, known: map[string]*candidate{}, est: map[string]*estimate{}, pool: q.newPool()}
	defer p.pool.Close()
	for _, c := range q.candidates {
		p.known[c.name] = c
	}
	for _, n := range m.Graph.Nodes[:3] {
		if out := p.node(n); out != nil {
			p.est[n.Outputs[0]] = out
		}
	}
	got := p.est["u"]
	if got == nil || got.k != testInner {
		t.Fatal("there is no estimate behind the experts")
	}
	bias := m.Graph.Init["bias"].F32()
	var all [][]float64
	x, w := make([]float32, testHidden), make([]float32, testHidden)
	for e := range 3 {
		for r := range testVocab {
			p.known["table"].rows(x, r, r+1)
			y := make([]float64, testInner)
			for o := range y {
				p.known[fmt.Sprint("up", e)].rows(w, o, o+1)
				y[o] = float64(bias[e*testInner+o])
				for i := range w {
					y[o] += float64(x[i]) * float64(w[i])
				}
			}
			all = append(all, y)
		}
	}
	mean := make([]float64, testInner)
	for _, y := range all {
		for i, v := range y {
			mean[i] += v / float64(len(all))
		}
	}
	for i := range testInner {
		var cov float64
		for _, y := range all {
			cov += (y[i] - mean[i]) * (y[0] - mean[0]) / float64(len(all))
		}
		if math.Abs(got.mean[i]-mean[i]) > 1e-4 || math.Abs(float64(got.cov[i*testInner])-cov) > 1e-3*(1+math.Abs(cov)) {
			t.Fatalf("element %d: mean %v and covariance %v, want %v and %v", i, got.mean[i], got.cov[i*testInner], mean[i], cov)
		}
	}
}
