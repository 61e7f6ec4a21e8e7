package prune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// move is one way to make a graph smaller.
type move struct {
	what  string // "block" or "channels", "heads"
	name  string
	key   string // what is the same in the next round
	count int    // of units
	apply func() (*model.Graph, origin, error)

	graph *model.Graph
	from  origin
	saved int64   // of the goal's size
	loss  float64 // of the model after it, on the probe
	price float64 // loss for each part of the size
	round int     // in which it was measured
}

// goal is what a search makes smaller, and how small.
type goal struct {
	what        string
	size        func(*model.Graph) int64
	all, target int64
}

func (o *Options) goal(before Size) goal {
	if o.Parameters > 0 {
		return goal{"parameters", parameters, before.Parameters, o.Parameters}
	}
	return goal{"multiplications", cost, before.MACs, int64(math.Round(float64(before.MACs) * (1 - o.Ratio)))}
}

// shrink takes the cheapest moves, by measured loss for the multiplications or parameters saved, until so many are left. A move's price rarely
// falls when others are taken, so only those that lead the list are measured anew after each (lazy greedy; Minoux 1978).
func shrink(ctx context.Context, m *model.Model, probe *eval.Probe, o *Options, r *Report) (*model.Model, error) {
	fix, err := newRepairer(ctx, m, probe, o)
	if err != nil {
		return nil, err
	}
	defer fix.close()
	to := o.goal(r.Before)
	now, loss, left, from := m, 0.0, to.all, origin{}
	known := map[string]*move{}
	var dropped []string // the ends of blocks
	for round := 1; left > to.target; round++ {
		moves, err := list(ctx, now, fix, o)
		if err != nil {
			return nil, err
		}
		o.progress("search", to.all-left, to.all-to.target)
		for _, v := range moves {
			if old := known[v.key]; old != nil {
				v.price = old.price
			}
			known[v.key] = v
		}
		best, err := cheapest(moves, round, func(v *move) error {
			r.Measurements++
			return v.measure(ctx, probe, now, loss, left, &to)
		})
		if err != nil {
			return nil, err
		}
		if best == nil {
			part := func(left int64) float64 { return 100 * float64(to.all-left) / float64(to.all) }
			return nil, &fault.Gate{What: fmt.Sprintf("at most %.1f %% of the %s can be left out, not %.1f %%", part(left), to.what, part(to.target))}
		}
		next := *now
		next.Graph = best.graph
		now, loss, left, from = &next, best.loss, left-best.saved, best.from.after(from)
		step := Move{Kind: best.what, Name: best.name, Units: best.count, MACs: cost(best.graph), Loss: loss}
		if now, loss, err = fix.repair(ctx, now, from, loss, left <= to.target); err != nil {
			return nil, err
		}
		if repaired := loss; repaired < step.Loss {
			step.Repaired = &repaired
		}
		r.Moves = append(r.Moves, step)
		if step.Kind == "block" {
			dropped = append(dropped, step.Name)
		}
		r.Loss = loss
	}
	return now, storeKept(m, now, from, dropped)
}

// list finds the moves that a model has.
func list(ctx context.Context, m *model.Model, fix *repairer, o *Options) ([]*move, error) {
	var moves []*move
	if o.has(Layer) {
		for _, b := range blocks(m.Graph) {
			moves = append(moves, &move{what: "block", name: b.name, key: b.name, count: 1, apply: func() (*model.Graph, origin, error) { return drop(m.Graph, b) }})
		}
	}
	if !o.has(Channel) {
		return moves, nil
	}
	t := trace(m.Graph)
	score, err := t.score(ctx, m, fix.probe, o)
	if err != nil {
		return nil, err
	}
	for _, f := range t.families() {
		units := slices.Clone(f.units)
		slices.SortStableFunc(units, func(a, b int32) int { return cmp.Compare(score[a], score[b]) })
		n := chunk(len(units), f.width, o.Round)
		if n == 0 {
			continue
		}
		gone := map[int32]bool{}
		for _, u := range units[:n] {
			gone[u] = true
		}
		what := "channels"
		if f.width > 1 {
			what = "heads"
		}
		moves = append(moves, &move{what: what, name: f.name, key: f.key, count: n, apply: func() (*model.Graph, origin, error) {
			if o.Importance == Fit {
				if least, weights, err := fix.choose(t, f, n); err != nil || least != nil {
					if err != nil {
						return nil, nil, err
					}
					return t.with(weights).cut(least)
				}
			}
			return t.cut(gone)
		}})
	}
	return moves, nil
}

// chunk is how many of n units of so many slices go at a time, so that the slices left are a multiple of round; 0 if none can.
func chunk(n, width, round int) int {
	for k := 1; k < n; k++ {
		if (n-k)*width%round == 0 {
			return k
		}
	}
	return 0
}

// measure makes the smaller graph and compares it. What a move saves beyond what is wanted does not count. A move that leaves nothing of some value
// has no price that would be paid.
func (v *move) measure(ctx context.Context, probe *eval.Probe, m *model.Model, loss float64, left int64, to *goal) error {
	var err error
	if v.graph, v.from, err = v.apply(); errors.Is(err, errEmpty) {
		v.price = math.Inf(1)
		return nil
	} else if err != nil {
		return err
	}
	if v.saved = left - to.size(v.graph); v.saved <= 0 {
		v.price = math.Inf(1)
		return nil
	}
	next := *m
	next.Graph = v.graph
	d, err := probe.Compare(ctx, &next)
	if err != nil {
		return err
	}
	v.loss = d.Loss()
	v.price = (v.loss - loss) / (float64(min(v.saved, left-to.target)) / float64(to.all))
	if math.IsNaN(v.price) {
		v.price = math.Inf(1)
	}
	return nil
}

// cheapest returns the move with the lowest price, nil if there is none. Prices of earlier rounds are taken for bounds.
func cheapest(moves []*move, round int, measure func(*move) error) (*move, error) {
	for {
		var best *move
		for _, v := range moves {
			if best == nil || v.price < best.price {
				best = v
			}
		}
		if best == nil || math.IsInf(best.price, 1) {
			return nil, nil
		}
		if best.round == round {
			return best, nil
		}
		best.round = round
		if err := measure(best); err != nil {
			return nil, err
		}
	}
}
