package runtime

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// prefetchBytes is how far ahead of the kernels the weights of a model that does not fit into memory are asked for.
const prefetchBytes = 32 << 20

// willNeed asks the system to read a part of a mapped file in the background; a variable for tests.
var willNeed = tensor.WillNeed

// prefetcher asks for weights in the order in which a plan reads them, those of experts once it is known which have rows. The kernel's own read-ahead does not know that order, and
// drops pages that are needed again soonest when a model is larger than memory.
type prefetcher struct {
	weights []stepWeight
	experts map[int][]step // products of experts by the first step that reads the same rows
	next    int            // the first that was not asked for in this run
	ahead   int            // bytes asked for that their steps have not reached
	at      int            // the first whose step was not reached
}

type stepWeight struct {
	step int
	data []byte
}

// newPrefetcher lists the weights of the steps; nil if all weights of the graph fit into the memory that is left. A table that is
// looked up is left out: few of its rows are read, as few of the experts are.
func newPrefetcher(g *model.Graph, steps []step) *prefetcher {
	left, known := available()
	if !known || weightBytes(g) <= left {
		return nil
	}
	p := &prefetcher{experts: map[int][]step{}}
	first := map[string]int{}
	for i := range steps {
		n := steps[i].node
		if n.Op == "Gather" {
			continue
		}
		if n.Is(model.DomainDsk, "Experts") && !steps[i].late {
			if _, ok := first[n.In(1)]; !ok {
				first[n.In(1)] = i
			}
			p.experts[first[n.In(1)]] = append(p.experts[first[n.In(1)]], steps[i])
			continue
		}
		for _, name := range n.Inputs {
			if t := g.Init[name]; t != nil && len(t.Data) > 0 {
				p.weights = append(p.weights, stepWeight{i, t.Data})
			}
		}
	}
	return p
}

// before is called before each step of a run, in order.
func (p *prefetcher) before(step int) {
	if step == 0 {
		p.next, p.at, p.ahead = 0, 0, 0
	}
	for _, s := range p.experts[step] {
		last := int64(0)
		for e, end := range tensor.View[int64](s.in[1]) {
			if end > last {
				willNeed(s.in[model.ExpertWeights+e].Data)
			}
			last = end
		}
	}
	for p.at < p.next && p.weights[p.at].step <= step {
		p.ahead -= len(p.weights[p.at].data)
		p.at++
	}
	for p.next < len(p.weights) && (p.ahead < prefetchBytes || p.weights[p.next].step <= step) {
		w := p.weights[p.next]
		willNeed(w.data)
		p.next++
		if w.step > step {
			p.ahead += len(w.data)
		} else {
			p.at = p.next
		}
	}
}
