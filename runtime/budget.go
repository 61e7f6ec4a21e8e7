package runtime

import (
	"fmt"
	"strings"
	"sync"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// budget is what the open sessions of the process need together, and the most that they may.
var budget = struct {
	sync.Mutex
	limit    int64 // 0: none
	taken    int64
	sessions map[*model.Model]int // a model's weights count once
}{sessions: map[*model.Model]int{}}

// SetMemoryLimit sets the most bytes that all sessions of the process may need together: weights, as if every page of their file were
// in memory, caches for the whole context, and intermediate values. A session or a plan above it is a *fault.Resource, before
// anything of it is touched. 0 takes the limit away.
func SetMemoryLimit(bytes int64) {
	budget.Lock()
	defer budget.Unlock()
	budget.limit = bytes
}

// limited reports whether there is a limit.
func limited() bool {
	budget.Lock()
	defer budget.Unlock()
	return budget.limit > 0
}

// needs is a session's share of the budget.
type needs struct{ weights, caches, arena int64 }

// reserve takes what a session needs, with an arena of so many bytes, out of the budget.
func (s *Session) reserve(arena int) error {
	budget.Lock()
	defer budget.Unlock()
	if s.needs == nil {
		s.needs = &needs{caches: s.Memory().StateBytes - s.shared, weights: weightBytes(s.model.Graph)}
		budget.taken += s.needs.caches
		if budget.sessions[s.model]++; budget.sessions[s.model] == 1 {
			budget.taken += s.needs.weights
		}
	}
	if more := int64(arena) - s.needs.arena; more > 0 {
		s.needs.arena += more
		budget.taken += more
	}
	if budget.limit == 0 || budget.taken <= budget.limit {
		return nil
	}
	return s.overBudget()
}

// overBudget says which part is how large, and what to change.
func (s *Session) overBudget() error {
	n := s.needs
	others := budget.taken - n.weights - n.caches - n.arena
	what := fmt.Sprintf("memory limit of %s: weights %s", mebibytes(budget.limit), mebibytes(n.weights))
	if n.caches > 0 {
		what += fmt.Sprintf(", caches for %d tokens %s", s.ctx, mebibytes(n.caches))
	}
	if n.arena > 0 {
		what += ", intermediate values " + mebibytes(n.arena)
	}
	if others > 0 {
		what += ", other models " + mebibytes(others)
	}
	what += fmt.Sprintf(" are %s", mebibytes(budget.taken))
	var next []string
	if left := budget.limit - (budget.taken - n.caches); left > 0 && n.caches > 0 {
		if tokens := int(left / (n.caches / int64(max(s.ctx, 1)))); tokens > 0 && tokens < s.ctx {
			next = append(next, fmt.Sprintf("a context of %d tokens (--ctx) fits", tokens))
		}
	}
	if n.weights > budget.limit/2 {
		next = append(next, "dsk quantize makes the weights smaller")
	}
	if len(next) == 0 {
		next = append(next, "give a larger limit")
	}
	return &fault.Resource{What: what + "; " + strings.Join(next, "; ")}
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// release gives a session's share back.
func (s *Session) release() {
	budget.Lock()
	defer budget.Unlock()
	if s.needs == nil {
		return
	}
	budget.taken -= s.needs.caches + s.needs.arena
	if budget.sessions[s.model]--; budget.sessions[s.model] == 0 {
		budget.taken -= s.needs.weights
		delete(budget.sessions, s.model)
	}
	s.needs = nil
}

// weightBytes adds up the constants of a graph.
func weightBytes(g *model.Graph) int64 {
	total := int64(0)
	for _, t := range g.Init {
		if n, err := tensor.ByteSize(t.DType, t.Shape, t.Layout); err == nil {
			total += int64(n)
		}
	}
	return total
}
