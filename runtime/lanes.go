package runtime

import "github.com/dsk-toolkit/dsk/model"

// lane is a part of a state that a plan works on: the caches of some of its sequences.
type lane struct {
	view *state // what the plan knows
	of   *state
}

// lanes returns the states for a plan over n of the session's sequences, and what sets their place. A session of one sequence has no lanes.
func (s *Session) lanes(n int) (map[string]*state, []lane) {
	if s.sequences == 1 {
		return s.states, nil
	}
	states := make(map[string]*state, len(s.states))
	var lanes []lane
	for name, st := range s.states {
		t := *st.Tensor
		t.Shape = append([]int{n}, st.Shape[1:]...)
		view := &state{Tensor: &t}
		if st.cache != nil {
			c := *st.cache
			c.shape = append([]int{n}, c.shape[1:]...)
			view.cache = &c
		}
		states[name] = view
		lanes = append(lanes, lane{view, st})
	}
	for _, l := range lanes {
		l.place(0)
	}
	return states, lanes
}

// sequenceBytes are the bytes of a state for each sequence.
func (s *state) sequenceBytes() int { return len(s.Data) / max(1, s.Shape[0]) }

// place moves the lane to the sequences from first on.
func (l *lane) place(first int) {
	size := l.of.sequenceBytes()
	l.view.Data = l.of.Data[first*size : (first+l.view.Shape[0])*size]
}

// tokenRows reports whether all states keep rows of tokens [batch, ctx, ...], one after the other, and the name of one that does not.
func (s *Session) tokenRows() (odd string, ok bool) {
	for _, st := range s.model.Graph.States {
		if d := st.Input.Type.Shape; len(d) < 2 || !isSymbol(d[0], "batch") || !isSymbol(d[1], "ctx") {
			return st.Input.Name, false
		}
	}
	return "", true
}

func isSymbol(d model.Dim, name string) bool { return !d.IsKnown() && d.Sym == name }

// moveSequence copies the first tokens of a sequence's caches over another's.
func (s *Session) moveSequence(to, from, tokens int) {
	for _, st := range s.states {
		size := st.sequenceBytes()
		n := size / max(1, st.Shape[1]) * tokens
		copy(st.Data[to*size:to*size+n], st.Data[from*size:])
	}
}
