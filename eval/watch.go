package eval

import (
	"context"
	"errors"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// watchTokens is how many tokens of text, about, Watch runs.
const watchTokens = 1 << 15

// Observer sees the operands of a node just before it runs on input i, and says whether it wants to see more of
// the same run. It must not keep or change the operands.
type Observer func(i int, n *model.Node, in []*tensor.Tensor) (more bool)

// errSeen ends a run that has shown all that its observer wants.
var errSeen = errors.New("seen")

// Watch runs m over the probe's inputs, the same for each call, each as far as see wants. Of text these are windows that Compare
// leaves out, unless it takes all.
func (p *Probe) Watch(ctx context.Context, m *model.Model, see Observer) error {
	at := 0
	var stop context.CancelCauseFunc
	o := runtime.Options{Threads: p.o.Threads, Observe: func(n *model.Node, in []*tensor.Tensor) {
		if !see(at, n, in) {
			stop(errSeen)
		}
	}}
	var run func(ctx context.Context) error
	var inputs []int
	if p.windows != nil {
		inputs = p.watched()
		o.Context = p.windows.context()
		lm, err := runtime.NewLM(m, o)
		if err != nil {
			return err
		}
		defer lm.Close()
		run = func(ctx context.Context) error {
			_, err := p.windows.logits(ctx, lm, at)
			return err
		}
	} else {
		inputs = p.shown()
		s, err := runtime.NewSession(m, o)
		if err != nil {
			return err
		}
		defer s.Close()
		run = func(ctx context.Context) error {
			_, err := s.Run(ctx, p.samples[at])
			return err
		}
	}
	for _, at = range inputs {
		var limited context.Context
		limited, stop = context.WithCancelCause(ctx)
		err := run(limited)
		seen := errors.Is(context.Cause(limited), errSeen)
		stop(nil)
		if err != nil && !seen {
			return err
		}
	}
	return nil
}

// shown returns the samples of Watch: all, or those of images that are not compared.
func (p *Probe) shown() []int {
	var list []int
	for i := range p.samples {
		if !p.o.Apart || !slices.Contains(p.compared, i) {
			list = append(list, i)
		}
	}
	return list
}

// watched chooses the windows of Watch, spread evenly.
func (p *Probe) watched() []int {
	all := p.windows.windows
	compared := map[int]bool{}
	if len(p.kept) < len(all) {
		for _, i := range p.kept {
			compared[i] = true
		}
	}
	var free []int
	tokens := 0
	for i, w := range all {
		if !compared[i] {
			free = append(free, i)
			tokens += len(w)
		}
	}
	n := len(free)
	if keep := (watchTokens*n + tokens - 1) / tokens; keep < n {
		for i := range keep {
			free[i] = free[i*n/keep]
		}
		free = free[:keep]
	}
	return free
}
