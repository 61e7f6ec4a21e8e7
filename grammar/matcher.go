package grammar

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

const (
	// maxStates caps the states that are remembered, at about 1 KiB each; past it they are forgotten.
	maxStates = 1 << 15
	// maxMasks caps the masks that are remembered, at an eighth of a byte for each token.
	maxMasks = 256
	// maxStacks caps the ways in which one text may be read at a time. Sensible grammars have a handful.
	maxStacks = 1 << 12
)

// Matcher follows one output through a grammar. It keeps all ways to read the output so far: each is a stack of places where
// the rules that were begun go on, in a table where equal stacks have equal numbers. A set of stacks is a state; states and the
// steps between them are kept too, so that over time the grammar becomes a finite automaton as far as it is used.
type Matcher struct {
	g     *Grammar
	v     *Vocabulary
	eos   []int32
	state int32

	stacks  []stack // 0 is the empty stack
	byStack map[stack]int32
	states  []state // 0 is the state in which nothing can match
	byKey   map[string]int32
	masks   map[int32]*mask
	tokens  map[int32]int // the fewest tokens that end the text, by state
	path    []int32
	mark    []int32 // by stack: the round in which it was met
	round   int32
	list    []int32
	done    bool // of the state being made
	key     []byte
	err     error
}

// stack is a place in the symbols, and what follows when its sequence ends.
type stack struct{ at, up int32 }

type state struct {
	stacks   []int32 // whose next symbol is a set of bytes
	complete bool    // the text may end here
	length   int32   // of the shortest end
	next     *[256]int32
}

// unknown marks steps that have not been made yet; 0 is the dead state.
const unknown = -1

// mask tells which tokens may follow in a state.
type mask struct {
	allowed []uint64
	longest int32 // the longest shortest end in bytes after one of them
}

// NewMatcher returns a matcher of outputs made of a vocabulary's tokens. The tokens eos end an output.
func NewMatcher(g *Grammar, v *Vocabulary, eos []int32) *Matcher {
	m := &Matcher{g: g, v: v, eos: eos, path: make([]int32, v.depth+1)}
	m.forget()
	m.Reset()
	return m
}

// Reset goes back to the start of an output.
func (m *Matcher) Reset() {
	m.begin()
	for _, at := range m.g.rules[m.g.root] {
		m.expand(at, 0)
	}
	m.state = m.intern()
}

// forget drops all states.
func (m *Matcher) forget() {
	m.stacks, m.byStack = []stack{{-1, 0}}, map[stack]int32{}
	m.states, m.byKey = []state{{length: never}}, map[string]int32{}
	m.masks, m.tokens = map[int32]*mask{}, map[int32]int{}
	m.mark, m.round = []int32{0}, 0
}

func (m *Matcher) begin() {
	m.round++
	m.list, m.done = m.list[:0], false
}

// push returns the number of a stack.
func (m *Matcher) push(at, up int32) int32 {
	s := stack{at, up}
	id, ok := m.byStack[s]
	if !ok {
		id = int32(len(m.stacks))
		m.stacks = append(m.stacks, s)
		m.mark = append(m.mark, 0)
		m.byStack[s] = id
	}
	return id
}

// expand adds the stacks that (at, up) stands for: those whose next symbol is a set of bytes.
func (m *Matcher) expand(at, up int32) {
	if m.g.rest[at] >= never {
		return
	}
	for m.g.symbols[at] == endOfSequence {
		if up == 0 {
			m.done = true
			return
		}
		at, up = m.stacks[up].at, m.stacks[up].up
	}
	id := m.push(at, up)
	if m.mark[id] == m.round {
		return
	}
	m.mark[id] = m.round
	s := m.g.symbols[at]
	if s < 0 {
		m.list = append(m.list, id)
		return
	}
	if m.g.symbols[at+1] != endOfSequence {
		up = m.push(at+1, up)
	}
	for _, at := range m.g.rules[s] {
		m.expand(at, up)
	}
}

// intern returns the number of the state that was made.
func (m *Matcher) intern() int32 {
	if len(m.list) == 0 && !m.done {
		return 0
	}
	if len(m.list) > maxStacks {
		m.err = &fault.Unsupported{Kind: "grammar", Items: []fault.Item{{What: fmt.Sprintf("more than %d ways to read one text", maxStacks), Hint: "write its rules so that fewer of them match the same text"}}}
		return 0
	}
	slices.Sort(m.list)
	m.key = m.key[:0]
	for _, id := range m.list {
		m.key = binary.LittleEndian.AppendUint32(m.key, uint32(id))
	}
	if m.done {
		m.key = append(m.key, 1)
	}
	if id, ok := m.byKey[string(m.key)]; ok {
		return id
	}
	s := state{stacks: slices.Clone(m.list), complete: m.done, length: never}
	for _, id := range s.stacks {
		s.length = min(s.length, m.end(id))
	}
	if m.done {
		s.length = 0
	}
	id := int32(len(m.states))
	m.states = append(m.states, s)
	m.byKey[string(m.key)] = id
	return id
}

// end is the length of a stack's shortest end.
func (m *Matcher) end(id int32) int32 {
	var n int32
	for ; id != 0 && n < never; id = m.stacks[id].up {
		n += m.g.rest[m.stacks[id].at]
	}
	return min(n, never)
}

// step returns the state behind a byte.
func (m *Matcher) step(from int32, b byte) int32 {
	next := m.states[from].next
	if next == nil {
		next = new([256]int32)
		for i := range next {
			next[i] = unknown
		}
		m.states[from].next = next
	}
	if next[b] == unknown {
		next[b] = m.follow(from, b)
	}
	return next[b]
}

func (m *Matcher) follow(from int32, b byte) int32 {
	m.begin()
	for _, id := range m.states[from].stacks {
		s := m.stacks[id]
		if m.g.sets[-1-m.g.symbols[s.at]].has(b) {
			m.expand(s.at+1, s.up)
		}
	}
	return m.intern()
}

// Matches reports whether a whole text matches.
func (m *Matcher) Matches(text string) bool {
	m.Reset()
	s := m.state
	for i := range len(text) {
		s = m.step(s, text[i])
	}
	return m.states[s].complete
}

// Accept takes the token that was chosen. It reports whether the output is complete and nothing can follow.
func (m *Matcher) Accept(id int32) (done bool, err error) {
	text := m.v.text(id)
	for i := range len(text) {
		m.state = m.step(m.state, text[i])
	}
	if m.err != nil {
		return false, m.err
	}
	s := &m.states[m.state]
	if m.state == 0 || len(text) == 0 {
		return false, fmt.Errorf("token %d does not fit the grammar", id)
	}
	done = s.complete && len(s.stacks) == 0
	if len(m.states) > maxStates {
		m.rebuild()
	}
	return done, nil
}

// rebuild forgets all states but the current one.
func (m *Matcher) rebuild() {
	old, now := m.stacks, m.states[m.state]
	m.forget()
	m.begin()
	for _, id := range now.stacks {
		m.list = append(m.list, m.copied(old, id))
	}
	m.done = now.complete
	m.state = m.intern()
}

// copied puts a stack of an older table into this one, from the bottom up.
func (m *Matcher) copied(old []stack, id int32) int32 {
	var places []int32
	for ; id != 0; id = old[id].up {
		places = append(places, old[id].at)
	}
	up := int32(0)
	for _, at := range slices.Backward(places) {
		up = m.push(at, up)
	}
	return up
}

// Mask sets to -Inf the logits of all tokens that must not come next when left tokens, at least 1, may still be generated.
// A token may come if the output can match after it, and can be brought to its end with the tokens then left. The error is
// a *fault.Gate if the tokens left do not suffice for any output.
func (m *Matcher) Mask(logits []float32, left int) error {
	k := m.masks[m.state]
	if k == nil {
		if len(m.masks) >= maxMasks {
			clear(m.masks)
		}
		k = m.newMask(never)
		m.masks[m.state] = k
	}
	if int(k.longest) > left-1 {
		k = m.newMask(left - 1)
	}
	if m.err != nil {
		return m.err
	}
	complete := m.states[m.state].complete
	found := k.apply(logits, m.eos, complete)
	if found || complete {
		return nil
	}
	n := m.fewest(m.state)
	if n >= never {
		return &fault.Gate{What: "no token of the vocabulary can go on with the output that the grammar asks for"}
	}
	return &fault.Gate{What: fmt.Sprintf("the shortest output that the grammar allows takes %d tokens, but only %d may be generated; raise --max-tokens or --ctx", n, left)}
}

// apply masks logits but those of the tokens that end the text, if it may end. It reports whether any token is allowed.
func (k *mask) apply(logits []float32, eos []int32, mayEnd bool) bool {
	inf := float32(math.Inf(-1))
	var ends []float32
	for _, id := range eos {
		if id >= 0 && int(id) < len(logits) {
			ends = append(ends, logits[id])
		}
	}
	found := false
	for at := 0; at < len(logits); at += 64 {
		part := logits[at:min(at+64, len(logits))]
		var allowed uint64
		if at/64 < len(k.allowed) {
			allowed = k.allowed[at/64]
		}
		found = found || allowed != 0
		for rest := ^allowed; rest != 0; rest &= rest - 1 {
			i := bits.TrailingZeros64(rest)
			if i >= len(part) {
				break
			}
			part[i] = inf
		}
	}
	for _, id := range eos {
		if id >= 0 && int(id) < len(logits) {
			if mayEnd {
				logits[id] = ends[0]
			}
			ends = ends[1:]
		}
	}
	return found
}

// Complete reports whether the output so far matches.
func (m *Matcher) Complete() bool { return m.states[m.state].complete }

// Fewest returns the tokens that the shortest end takes from here, never if the vocabulary cannot spell it.
func (m *Matcher) Fewest() int { return m.fewest(m.state) }

// newMask walks the vocabulary's tree of bytes through the grammar. Tokens after which the output cannot be
// ended with left more are not allowed.
func (m *Matcher) newMask(left int) *mask {
	t := &m.v.tree
	k := &mask{allowed: make([]uint64, (m.v.size+63)/64)}
	m.path[0] = m.state
	for i := 0; i < len(t.skip); {
		depth := int(t.depth[i])
		s := m.step(m.path[depth-1], t.value[i])
		if s == 0 {
			i = int(t.skip[i])
			continue
		}
		m.path[depth] = s
		if ids := t.ids[t.first[i]:t.first[i+1]]; len(ids) > 0 && (int(m.states[s].length) <= left || m.fewest(s) <= left) {
			k.longest = max(k.longest, m.states[s].length)
			for _, id := range ids {
				k.allowed[id>>6] |= 1 << (id & 63)
			}
		}
		i++
	}
	return k
}

// fewest is the number of tokens that spell a state's shortest end, of equally short ones the first in order. That choice makes
// bounds hold: behind the first of these tokens the rest of them is the shortest end, so one token less suffices.
func (m *Matcher) fewest(id int32) int {
	n, ok := m.tokens[id]
	if !ok {
		n = m.v.fewest(m.shortest(id))
		m.tokens[id] = n
	}
	return n
}

// shortest is the shortest end of a state.
func (m *Matcher) shortest(id int32) string {
	s := &m.states[id]
	if s.complete {
		return ""
	}
	best := ""
	for _, top := range s.stacks {
		if m.end(top) != s.length {
			continue
		}
		text := make([]byte, 0, s.length)
		for at := top; at != 0; at = m.stacks[at].up {
			text = append(text, m.g.spell(m.stacks[at].at)...)
		}
		if best == "" || string(text) < best {
			best = string(text)
		}
	}
	return best
}
