package runtime

import (
	"math"
	"sort"
)

// layout gives every buffer of the plan its offset in one arena, so that buffers which live at
// the same time do not overlap: largest first, each at the lowest offset that is free during
// its life (greedy by size; Pisarchyk and Lee, "Efficient Memory Management for Deep
// Neural Net Inference", 2020).
func (p *plan) layout() {
	var bufs []*buffer
	seen := map[*buffer]bool{}
	for _, pl := range p.place {
		if !seen[pl.buf] && !pl.buf.external {
			seen[pl.buf] = true
			bufs = append(bufs, pl.buf)
		}
	}
	sort.SliceStable(bufs, func(i, j int) bool { return bufs[i].size > bufs[j].size })
	var placed []*buffer // by offset
	for _, b := range bufs {
		need := (b.size + 63) &^ 63
		at := 0
		for _, q := range placed {
			if q.lastRead < b.first || b.lastRead < q.first {
				continue
			}
			if q.offset-at >= need {
				break
			}
			at = max(at, q.offset+(q.size+63)&^63)
		}
		if at > math.MaxInt-need {
			p.arena = math.MaxInt // more than any machine has: the session refuses it
			return
		}
		b.offset = at
		p.arena = max(p.arena, at+need)
		i := sort.Search(len(placed), func(i int) bool { return placed[i].offset > at })
		placed = append(placed, nil)
		copy(placed[i+1:], placed[i:])
		placed[i] = b
	}
}
