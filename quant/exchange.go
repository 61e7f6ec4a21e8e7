package quant

import (
	"cmp"
	"slices"
)

// exchanges is how many exchanges are made at most: each lowers the loss, most of all the first ones.
const exchanges = 1000

// move is another option for a candidate.
type move struct {
	candidate int
	option
	bytes int64   // more than now
	loss  float64 // predicted, more than now
}

// exchange gives candidates other widths as long as the predicted loss falls: one at a time, or a wider one for one together with a
// narrower one for another. The bytes grow by at most spare. The walk along the hulls stops at the first step that does not fit,
// and sees no option above a hull; both count where tensors are few and large.
func exchange(cs []*candidate, spare int64) {
	for range exchanges {
		var shrink, better []move
		for i, c := range cs {
			for _, o := range c.options {
				m := move{i, o, o.bytes - c.choice.bytes, c.sens * (o.err - c.choice.err)}
				if m.bytes < 0 {
					shrink = append(shrink, m)
				}
				if m.loss < 0 {
					better = append(better, m)
				}
			}
		}
		cheapest := newFreed(shrink)
		best, gain := [2]*move{}, 0.0
		for i := range better {
			m := &better[i]
			partner := (*move)(nil)
			loss := m.loss
			if m.bytes > spare {
				if partner = cheapest.of(m.bytes-spare, m.candidate); partner == nil {
					continue
				}
				loss += partner.loss
			}
			if loss < gain {
				best, gain = [2]*move{m, partner}, loss
			}
		}
		if best[0] == nil {
			return
		}
		for _, m := range best {
			if m != nil {
				cs[m.candidate].choice = m.option
				spare -= m.bytes
			}
		}
	}
}

// freed finds, among moves that free bytes, the one that costs least.
type freed struct {
	moves []move   // by falling bytes freed
	least [][2]int // of moves[:i+1], those with the least loss of two candidates; -1 is none
}

func newFreed(moves []move) *freed {
	slices.SortStableFunc(moves, func(a, b move) int { return cmp.Compare(a.bytes, b.bytes) })
	f := &freed{moves, make([][2]int, len(moves))}
	top := [2]int{-1, -1}
	for i, m := range moves {
		switch {
		case top[0] < 0 || m.loss < moves[top[0]].loss:
			if top[0] >= 0 && moves[top[0]].candidate != m.candidate {
				top[1] = top[0]
			}
			top[0] = i
		case m.candidate != moves[top[0]].candidate && (top[1] < 0 || m.loss < moves[top[1]].loss):
			top[1] = i
		}
		f.least[i] = top
	}
	return f
}

// of returns the move with the least loss that frees that many bytes, of another candidate; nil if there is none.
func (f *freed) of(bytes int64, candidate int) *move {
	n, _ := slices.BinarySearchFunc(f.moves, bytes, func(m move, want int64) int {
		if -m.bytes >= want {
			return -1
		}
		return 1
	})
	if n == 0 {
		return nil
	}
	for _, at := range f.least[n-1] {
		if at >= 0 && f.moves[at].candidate != candidate {
			return &f.moves[at]
		}
	}
	return nil
}
