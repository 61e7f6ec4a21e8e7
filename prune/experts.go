package prune

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// mixture is a mixture of experts: a router scores the experts, TopK takes the best, Dispatch sorts the tokens by expert, Experts multiply.
type mixture struct {
	count, chosen int
	dispatch      *model.Node
	combine       *model.Node
	products      []*model.Node // Experts
	perExpert     []string      // the router's weights, and others with a slice for each expert along the axis 0
}

// mixtures finds those of a graph. Error: *fault.Unsupported for routers that do more than to score each expert by itself.
func mixtures(g *model.Graph) ([]*mixture, error) {
	maker := map[string]*model.Node{}
	readers := map[string][]*model.Node{}
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			maker[out] = n
		}
		for _, in := range n.Inputs {
			readers[in] = append(readers[in], n)
		}
	}
	var list []*mixture
	var gaps []fault.Item
	for _, n := range g.Nodes {
		if !n.Is(model.DomainDsk, "Dispatch") {
			continue
		}
		m := &mixture{count: int(n.Int("num_experts", 0)), dispatch: n}
		if why := m.follow(g, maker, readers); why != "" {
			gaps = append(gaps, fault.Item{Where: n.Name, What: why})
			continue
		}
		for _, p := range g.Nodes {
			switch {
			case p.Is(model.DomainDsk, "Experts") && p.In(1) == n.Outputs[1]:
				m.products = append(m.products, p)
				if p.In(2) != "" {
					m.perExpert = append(m.perExpert, p.In(2))
				}
			case p.Is(model.DomainDsk, "Combine") && p.In(1) == n.Outputs[2]:
				m.combine = p
			}
		}
		if m.products == nil || m.combine == nil {
			gaps = append(gaps, fault.Item{Where: n.Name, What: "its rows reach no Experts or no Combine"})
			continue
		}
		list = append(list, m)
	}
	if gaps != nil {
		return nil, &fault.Unsupported{Kind: "router of experts that are left out", Items: gaps}
	}
	return list, nil
}

// follow goes from the choice of experts back to the product that scores them, and says what is in the way.
func (m *mixture) follow(g *model.Graph, maker map[string]*model.Node, readers map[string][]*model.Node) string {
	indices := m.dispatch.In(1)
	top := maker[indices]
	if top == nil || !top.Is("", "TopK") || top.Outputs[1] != indices || g.Init[top.In(1)] == nil || g.Init[top.In(1)].Len() != 1 {
		return "the experts are not chosen by a TopK of a fixed number"
	}
	m.chosen = int(g.Init[top.In(1)].I64()[0])
	value, by := top.In(0), top
	for {
		for _, r := range readers[value] {
			if r != by && !(r.Is("", "GatherElements") && r.In(1) == indices) {
				return fmt.Sprintf("%s reads the scores of all experts, too", r.Op)
			}
		}
		n := maker[value]
		if n == nil {
			return "the scores are no product's"
		}
		by = n
		switch {
		case n.Is(model.DomainDsk, "Linear") && g.Init[n.In(1)] != nil && g.Init[n.In(1)].Shape[0] == m.count && n.In(3) == "":
			m.perExpert = append(m.perExpert, n.In(1))
			if n.In(2) != "" {
				m.perExpert = append(m.perExpert, n.In(2))
			}
			return ""
		case n.Is("", "Softmax"), n.Is("", "Sigmoid"), n.Is("", "Cast"), n.Is("", "Identity"):
			value = n.In(0)
		case n.Is("", "Add"), n.Is("", "Mul"):
			side := 0
			if g.Init[n.In(0)] != nil {
				side = 1
			}
			w := g.Init[n.In(1-side)]
			if w == nil || w.Len() != 1 && (len(w.Shape) != 1 || w.Len() != m.count) {
				return n.Op + " joins the scores with other values"
			}
			if w.Len() == m.count {
				m.perExpert = append(m.perExpert, n.In(1-side))
			}
			value = n.In(side)
		default:
			return n.Op + " is between the scores and the choice"
		}
	}
}

// dropExperts leaves out, of each mixture, the part o.Ratio of the experts that bring least: the mean, over the tokens that an expert gets, of the
// router's weight times the length of what the expert makes (Lasby et al., "REAP the experts", 2025). As many stay as a token chooses.
func dropExperts(ctx context.Context, m *model.Model, o *Options) (*model.Model, error) {
	list, err := mixtures(m.Graph)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, &fault.Usage{What: "the model has no mixture of experts"}
	}
	scores, err := expertScores(ctx, m, list, o)
	if err != nil {
		return nil, err
	}
	out := *m
	keep := make([][]int, len(list))
	for i, mix := range list {
		order := everyPlace(mix.count)
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case scores[i][a] > scores[i][b]:
				return -1
			case scores[i][a] < scores[i][b]:
				return 1
			}
			return a - b
		})
		gone := int(math.Round(o.Ratio * float64(mix.count)))
		if mix.count-gone < mix.chosen {
			return nil, &fault.Gate{What: fmt.Sprintf("%s: %d experts would be left and each token chooses %d", mix.dispatch.Name, mix.count-gone, mix.chosen)}
		}
		keep[i] = order[:mix.count-gone]
		slices.Sort(keep[i])
	}
	out.Graph, err = withExperts(m.Graph, list, keep)
	return &out, err
}

// withExperts returns a copy of the graph in which each mixture has the experts of keep.
func withExperts(g *model.Graph, list []*mixture, keep [][]int) (*model.Graph, error) {
	out := g.Clone()
	out.Init = maps.Clone(g.Init)
	at := map[*model.Node]*model.Node{}
	for i, n := range g.Nodes {
		at[n] = out.Nodes[i]
	}
	for i, mix := range list {
		at[mix.dispatch].Attrs["num_experts"] = model.IntAttr(int64(len(keep[i])))
		for _, p := range mix.products {
			weights := slices.Clone(p.Inputs[:model.ExpertWeights])
			for _, e := range keep[i] {
				weights = append(weights, p.Inputs[model.ExpertWeights+e])
			}
			at[p].Inputs = weights
		}
		for _, name := range mix.perExpert {
			rows, err := tensor.Unpack(g.Init[name]).Loaded()
			if err != nil {
				return nil, fmt.Errorf("weight %s: %w", name, err)
			}
			places := [][]int{keep[i]}
			for _, n := range rows.Shape[1:] {
				places = append(places, everyPlace(n))
			}
			out.Init[name] = gather(rows, places)
		}
	}
	sweep(out)
	out.Types = nil
	if err := out.Infer(); err != nil {
		return nil, err
	}
	return out, model.PackWeights(out)
}

// expertScores measures the experts of each mixture on calibration data.
func expertScores(ctx context.Context, m *model.Model, list []*mixture, o *Options) ([][]float64, error) {
	sums, counts := make([][]float64, len(list)), make([][]int, len(list))
	ends := make([][]int64, len(list))
	for i, mix := range list {
		sums[i], counts[i] = make([]float64, mix.count), make([]int, mix.count)
	}
	eo := o.evalOptions()
	eo.Observe = func(n *model.Node, in []*tensor.Tensor) {
		for i, mix := range list {
			switch n.Outputs[0] {
			case mix.products[0].Outputs[0]:
				ends[i] = slices.Clone(tensor.View[int64](in[1]))
			case mix.combine.Outputs[0]:
				addExperts(sums[i], counts[i], ends[i], in)
			}
		}
	}
	if _, err := eval.NewProbe(ctx, m, o.Calib, eo); err != nil {
		return nil, err
	}
	for i := range sums {
		for e, n := range counts[i] {
			sums[i][e] /= float64(max(n, 1))
		}
	}
	return sums, nil
}

// addExperts adds, for the operands of a Combine, the router's weight times the length of each row to the row's expert.
func addExperts(sums []float64, counts []int, ends []int64, in []*tensor.Tensor) {
	rows, weights := in[0].F32(), in[2].F32()
	k := in[0].Shape[1]
	for j, slot := range tensor.View[int64](in[1]) {
		e, _ := slices.BinarySearch(ends, slot+1)
		row := rows[int(slot)*k:][:k]
		sums[e] += float64(weights[j]) * math.Sqrt(float64(kernels.Dot(row, row)))
		counts[e]++
	}
}
