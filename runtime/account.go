package runtime

import (
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// Account is the memory that a model takes to run on inputs of some shapes: what SetMemoryLimit counts.
type Account struct {
	Inputs  map[string][]int `json:"inputs"`
	Weights int64            `json:"weight_bytes"`
	Caches  int64            `json:"cache_bytes"`
	// Arena holds the intermediate values and the kernels' scratch memory as the plan lays them out. Values would take ValueBytes if each had
	// memory of its own.
	Arena  int64 `json:"arena_bytes"`
	Values int64 `json:"value_bytes"`
	Total  int64 `json:"total_bytes"`
}

// Plan makes the plan for inputs of the given shapes, without a run, and says what it takes. Dimensions of inputs that shapes does not name
// are the graph's; unknown ones are 1, unless an input of a given shape has a dimension of the same name. Values whose shapes depend on data are
// not counted. Errors: *fault.Usage for shapes that the graph has no place for; those of Run.
func (s *Session) Plan(shapes map[string][]int) (Account, error) {
	g := s.model.Graph
	full, err := completeShapes(g, shapes)
	if err != nil {
		return Account{}, err
	}
	p, err := s.newPlan(full, s.states)
	if err != nil {
		return Account{}, err
	}
	a := Account{Inputs: full, Weights: s.needs.weights, Caches: s.needs.caches, Arena: int64(p.arena)}
	seen := map[*buffer]bool{}
	for _, pl := range p.place {
		if !seen[pl.buf] && !pl.buf.external {
			seen[pl.buf] = true
			a.Values += int64(pl.buf.size)
		}
	}
	a.Total = a.Weights + a.Caches + a.Arena
	return a, nil
}

// completeShapes gives every input a shape.
func completeShapes(g *model.Graph, shapes map[string][]int) (map[string][]int, error) {
	for name := range shapes {
		if !hasInput(g, name) {
			return nil, &fault.Usage{What: "the graph has no input \"" + name + "\"; its inputs are " + inputNames(g)}
		}
	}
	named := map[string]int{}
	for _, v := range g.Inputs {
		for i, n := range shapes[v.Name] {
			if i < len(v.Type.Shape) && v.Type.Shape[i].Sym != "" {
				named[v.Type.Shape[i].Sym] = n
			}
		}
	}
	full := map[string][]int{}
	for _, v := range g.Inputs {
		given, ok := shapes[v.Name]
		if !ok {
			given = make([]int, len(v.Type.Shape))
			for i, d := range v.Type.Shape {
				switch n, isNamed := named[d.Sym]; {
				case d.IsKnown():
					given[i] = d.N
				case isNamed:
					given[i] = n
				default:
					given[i] = 1
				}
			}
		}
		fit := len(given) == len(v.Type.Shape) || v.Type.Shape == nil
		for i, n := range given {
			fit = fit && n >= 0 && (v.Type.Shape == nil || !v.Type.Shape[i].IsKnown() || v.Type.Shape[i].N == n)
		}
		if !fit {
			return nil, &fault.Usage{What: "input \"" + v.Name + "\" is " + v.Type.String() + ", which the shape given for it does not fit"}
		}
		full[v.Name] = given
	}
	return full, nil
}
