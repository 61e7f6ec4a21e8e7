package runtime

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// mixtureOps are Dispatch, Experts and Combine over random tokens, and what they must give: per token the weighted sum over its
// experts, computed one by one.
type mixtureOps struct {
	dispatch, experts, combine *testOp
	want                       []float64
	picks                      []int64
}

func newMixture(tokens, each, count, k, n, threads int) *mixtureOps {
	r := rand.New(rand.NewPCG(uint64(tokens), uint64(count)))
	x, w := randF32(1, tokens, k), randF32(2, tokens, each)
	bias := randF32(3, count, n)
	picks := tensor.New(tensor.I64, tokens, each)
	for t := range tokens {
		// Experts 0 and 1 of 3 and more stay without tokens now and then.
		for j, e := range r.Perm(count)[:each] {
			picks.I64()[t*each+j] = int64(e)
		}
	}
	rows := tokens * each
	sorted := emptyF32(rows, k)
	ends := &tensor.Tensor{DType: tensor.I64, Shape: []int{count}}
	slots := &tensor.Tensor{DType: tensor.I64, Shape: []int{tokens, each}}
	y := emptyF32(rows, n)
	m := &mixtureOps{picks: picks.I64()}
	m.dispatch = &testOp{domain: model.DomainDsk, op: "Dispatch", attrs: model.Attrs{"num_experts": model.IntAttr(int64(count))},
		in: []*tensor.Tensor{x, picks}, out: []*tensor.Tensor{sorted, ends, slots}, threads: threads}
	m.experts = &testOp{domain: model.DomainDsk, op: "Experts", attrs: model.Attrs{"activation": model.StringAttr(model.ActRelu)},
		in: []*tensor.Tensor{sorted, ends, bias}, out: []*tensor.Tensor{y}, constant: []int{2}, threads: threads}
	var weights []*tensor.Tensor
	for e := range count {
		weights = append(weights, randF32(uint64(10+e), n, k))
		m.experts.in = append(m.experts.in, tensor.Pack(weights[e]))
		m.experts.constant = append(m.experts.constant, model.ExpertWeights+e)
	}
	m.combine = &testOp{domain: model.DomainDsk, op: "Combine", in: []*tensor.Tensor{y, slots, w}, out: []*tensor.Tensor{emptyF32(tokens, n)}, threads: threads}
	m.want = make([]float64, tokens*n)
	for t := range tokens {
		for j := range each {
			e := int(picks.I64()[t*each+j])
			for o := range n {
				sum := float64(bias.F32()[e*n+o])
				for i := range k {
					sum += float64(x.F32()[t*k+i]) * float64(weights[e].F32()[o*k+i])
				}
				m.want[t*n+o] += float64(w.F32()[t*each+j]) * math.Max(sum, 0)
			}
		}
	}
	return m
}

func (m *mixtureOps) run(t *testing.T) []float32 {
	for i := range m.experts.in {
		if err := m.experts.in[i].Load(); i >= model.ExpertWeights && err != nil {
			t.Fatal(err)
		}
	}
	m.dispatch.run(t)
	m.experts.run(t)
	m.combine.run(t)
	return m.combine.out[0].F32()
}

func TestExperts(t *testing.T) {
	for _, c := range []struct{ tokens, each, count, k, n int }{{1, 2, 8, 17, 33}, {1, 1, 1, 5, 16}, {37, 3, 5, 20, 18}, {90, 2, 40, 64, 48}} {
		var first []float32
		for _, threads := range []int{1, 2, 3} {
			m := newMixture(c.tokens, c.each, c.count, c.k, c.n, threads)
			got := m.run(t)
			nearF32(t, "mixture", got, m.want, 1e-5)
			if first == nil {
				first = got
			}
			for i := range got {
				if got[i] != first[i] {
					t.Fatalf("%+v: element %d differs with %d threads", c, i, threads)
				}
			}
			// Slots are a permutation that keeps the tokens of an expert in order.
			slots, ends := m.dispatch.out[2].I64(), m.dispatch.out[1].I64()
			seen := make([]bool, len(slots))
			for i, s := range slots {
				e := m.picks[i]
				if seen[s] || s >= ends[e] || e > 0 && s < ends[e-1] {
					t.Fatalf("choice %d of expert %d lies in row %d", i, e, s)
				}
				seen[s] = true
			}
			for _, op := range []*testOp{m.dispatch, m.experts, m.combine} {
				if n := op.allocs(t); n != 0 {
					t.Errorf("%s allocates %v times", op.op, n)
				}
			}
		}
	}
}

// TestExpertsBroken: operands that a damaged graph can bring are refused when it runs.
func TestExpertsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(m *mixtureOps)
		op    func(m *mixtureOps) *testOp
	}{
		"is chosen": {func(m *mixtureOps) { m.picks[3] = 5 }, func(m *mixtureOps) *testOp { return m.dispatch }},
		"-1 of 5":   {func(m *mixtureOps) { m.picks[0] = -1 }, func(m *mixtureOps) *testOp { return m.dispatch }},
		"fall":      {func(m *mixtureOps) { m.experts.in[1].I64()[0] = 99 }, func(m *mixtureOps) *testOp { return m.experts }},
		"ends at":   {func(m *mixtureOps) { m.experts.in[1].I64()[4]++ }, func(m *mixtureOps) *testOp { return m.experts }},
		"slot":      {func(m *mixtureOps) { m.combine.in[1].I64()[2] = 1 << 40 }, func(m *mixtureOps) *testOp { return m.combine }},
	} {
		m := newMixture(9, 2, 5, 8, 16, 1)
		m.run(t)
		c.spoil(m)
		_, run, err := c.op(m).bind(t)
		if err == nil {
			err = run()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPrefetchExperts asks for the weights of experts with rows only, and for those of all products of the same rows at once.
func TestPrefetchExperts(t *testing.T) {
	defer func(f func() (int64, bool), w func([]byte)) { available, willNeed = f, w }(available, willNeed)
	available = func() (int64, bool) { return 0, true }
	asked := map[*byte]string{}
	names := map[*byte]string{}
	willNeed = func(b []byte) { asked[&b[0]] = names[&b[0]] }
	g := &model.Graph{Init: map[string]*tensor.Tensor{}}
	ends := tensor.FromSlice([]int64{1, 1, 3}, 3)
	var steps []step
	for _, of := range []string{"up", "down"} {
		s := step{node: &model.Node{Domain: model.DomainDsk, Op: "Experts", Inputs: []string{"rows", "ends", ""}}, in: []*tensor.Tensor{nil, ends, nil}}
		for e := range 3 {
			name, w := of+string(rune('0'+e)), randF32(uint64(e), 4, 4)
			g.Init[name], names[&w.Data[0]] = w, name
			s.node.Inputs, s.in = append(s.node.Inputs, name), append(s.in, w)
		}
		steps = append(steps, s)
	}
	p := newPrefetcher(g, steps)
	for i, want := range [][]string{{"up0", "up2", "down0", "down2"}, nil} {
		clear(asked)
		p.before(i)
		if len(asked) != len(want) {
			t.Fatalf("step %d asks for %v, want %v", i, asked, want)
		}
		for _, name := range want {
			if !slices.Contains(slices.Collect(maps.Values(asked)), name) {
				t.Errorf("step %d does not ask for %s", i, name)
			}
		}
	}
}
