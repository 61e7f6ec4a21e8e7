package prune

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// mask returns a copy of the model with zeros among the weights of its products, but for those that are a table of embeddings or make an output: each
// of these decides about single words or classes. Without energies all inputs count alike.
func mask(m *model.Model, e energies, o *Options) (*model.Model, error) {
	out := *m
	out.Graph = m.Graph.Clone()
	out.Graph.Init = maps.Clone(m.Graph.Init)
	for _, n := range maskable(m.Graph) {
		w, err := grad.Widen(m.Graph.Init[n.In(1)])
		if err != nil {
			return nil, err
		}
		rows, k := tensor.Matrix(w.Shape)
		norms := make([]float64, k)
		for i := range norms {
			norms[i] = 1
			// A row of a convolution's weights has its channels last.
			if squares := e[n.Outputs[0]]; len(squares) > 0 {
				norms[i] = math.Sqrt(squares[i%len(squares)])
			}
		}
		score := func(i int) float64 { return math.Abs(float64(w.F32()[i])) * norms[i%k] }
		switch o.Method {
		case TwoOfFour:
			for r := range rows {
				for c := 0; c < k; c += 4 {
					zero(w.F32(), r*k+c, min(4, k-c), min(4, k-c)/2, score)
				}
			}
		case Wanda:
			for r := range rows {
				zero(w.F32(), r*k, k, int(math.Round(o.Ratio*float64(k))), score)
			}
		default:
			zero(w.F32(), 0, rows*k, int(math.Round(o.Ratio*float64(rows*k))), score)
		}
		out.Graph.Init[n.In(1)] = w
	}
	return &out, model.PackWeights(out.Graph)
}

// zero clears the count elements of least score among n from at on.
func zero(w []float32, at, n, count int, score func(i int) float64) {
	order := make([]int, n)
	for i := range order {
		order[i] = at + i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score(a), score(b)) })
	for _, i := range order[:count] {
		w[i] = 0
	}
}

// maskable lists the products whose weights a mask changes, each weight once.
func maskable(g *model.Graph) []*model.Node {
	kept := map[string]bool{}
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			if !makes(n) || i != 1 {
				kept[in] = true
			}
		}
	}
	var list []*model.Node
	for _, n := range g.Nodes {
		if makes(n) && g.Init[n.In(1)] != nil && !kept[n.In(1)] && !isOutput(g, n.Outputs[0]) && n.Int("group", 1) == 1 {
			kept[n.In(1)] = true
			list = append(list, n)
		}
	}
	return list
}

func isOutput(g *model.Graph, name string) bool {
	return slices.ContainsFunc(g.Outputs, func(v model.Value) bool { return v.Name == name })
}

// zeros counts the zeros among the weights of products.
func zeros(g *model.Graph) (count int64) {
	for _, n := range maskable(g) {
		w, err := grad.Widen(g.Init[n.In(1)])
		if err != nil {
			return 0
		}
		for _, v := range w.F32() {
			if v == 0 {
				count++
			}
		}
	}
	return count
}
