// Package grammar holds a model's output to a form: a context-free grammar in the notation that llama.cpp's users know (GBNF), or a
// JSON schema, which becomes such a grammar. A Matcher follows the output byte by byte and says which tokens of
// a vocabulary may come next; it leads the output to its end before the tokens run out. A Grammar and a Vocabulary do not change
// once they are made; a Matcher is for one output at a time.
package grammar

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

const (
	// maxSymbols caps a grammar's size: counted repetitions are written out.
	maxSymbols = 1 << 20
	// never is the length of what has no end: more bytes than any output may need.
	never = 1 << 20
	// maxDepth caps how deep expressions and schemas may be nested.
	maxDepth = 200
)

// symbol is a rule (>= 0), a set of bytes (the set's index as -1-i) or the end of a sequence.
type symbol int32

const endOfSequence symbol = -1 << 31

// bytes is a set of bytes.
type bytes [4]uint64

func (s *bytes) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *bytes) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }

func (s *bytes) first() byte {
	for b := range 256 {
		if s.has(byte(b)) {
			return byte(b)
		}
	}
	return 0
}

// Grammar is a context-free grammar over bytes. Each rule has alternatives, which are places in one list of symbols; a
// sequence of symbols stands there up to its end.
type Grammar struct {
	names    []string // of rules, "" for those that no user wrote
	rules    [][]int32
	symbols  []symbol
	sets     []bytes
	root     int32
	shortest []string // of rules: the shortest text, of equally long ones the first in order; valid if length < never
	length   []int32  // of rules
	rest     []int32  // of each place in symbols: the shortest length from there to the end of its sequence
}

// invalid is an error about a grammar as a whole.
func invalid(format string, args ...any) error {
	e := fault.Formatf("grammar", format, args...)
	e.Next = "correct the grammar"
	return e
}

// finish checks the rules and computes what a Matcher needs.
func (g *Grammar) finish() (*Grammar, error) {
	if err := g.checkRecursion(); err != nil {
		return nil, err
	}
	g.findShortest()
	if g.length[g.root] >= never {
		return nil, invalid("no text of less than %d bytes matches the rule %q: it needs a way to end", never, g.names[g.root])
	}
	return g, nil
}

// nullable tells which rules match the empty text.
func (g *Grammar) nullable() []bool {
	null := make([]bool, len(g.rules))
	for changed := true; changed; {
		changed = false
		for r, alternatives := range g.rules {
			for _, at := range alternatives {
				for !null[r] && g.symbols[at] >= 0 && null[g.symbols[at]] {
					at++
				}
				if !null[r] && g.symbols[at] == endOfSequence {
					null[r], changed = true, true
				}
			}
		}
	}
	return null
}

// checkRecursion refuses rules that begin with themselves and have more to come: following them would never take a byte.
func (g *Grammar) checkRecursion() error {
	null := g.nullable()
	left := make([][]symbol, len(g.rules)) // the rules that a rule may begin with
	type edge struct{ from, to int }
	var growing []edge // those behind which something follows
	for r, alternatives := range g.rules {
		for _, at := range alternatives {
			for ; g.symbols[at] >= 0; at++ {
				to := g.symbols[at]
				left[r] = append(left[r], to)
				if g.symbols[at+1] != endOfSequence {
					growing = append(growing, edge{r, int(to)})
				}
				if !null[to] {
					break
				}
			}
		}
	}
	group := components(left)
	var items []fault.Item
	for _, e := range growing {
		if group[e.from] == group[e.to] {
			items = append(items, fault.Item{What: "left recursion", Where: fmt.Sprintf("rule %q", g.named(e.from)),
				Hint: "write a ::= b (c b)* in place of a ::= a c b | b"})
		}
	}
	if len(items) > 0 {
		return &fault.Unsupported{Kind: "grammar", Items: slices.Compact(items)}
	}
	return nil
}

// named is a rule's name; parts of rules that have none are called by the rule before them.
func (g *Grammar) named(r int) string {
	for ; r > 0 && g.names[r] == ""; r-- {
	}
	return g.names[r]
}

// components numbers the strongly connected components of a graph (Tarjan 1972, with a stack of its own).
func components(edges [][]symbol) []int {
	n := len(edges)
	group, index, low := make([]int, n), make([]int, n), make([]int, n)
	type frame struct{ node, next int }
	var open []int
	count, groups := 0, 0
	for start := range n {
		if index[start] != 0 {
			continue
		}
		work := []frame{{start, 0}}
		for len(work) > 0 {
			f := &work[len(work)-1]
			v := f.node
			if f.next == 0 {
				count++
				index[v], low[v] = count, count
				open = append(open, v)
			}
			if f.next < len(edges[v]) {
				w := int(edges[v][f.next])
				f.next++
				if index[w] == 0 {
					work = append(work, frame{w, 0})
				} else if group[w] == 0 {
					low[v] = min(low[v], index[w])
				}
				continue
			}
			if low[v] == index[v] {
				groups++
				for {
					w := open[len(open)-1]
					open = open[:len(open)-1]
					group[w] = groups
					if w == v {
						break
					}
				}
			}
			work = work[:len(work)-1]
			if len(work) > 0 {
				parent := work[len(work)-1].node
				low[parent] = min(low[parent], low[v])
			}
		}
	}
	return group
}

// findShortest finds every rule's shortest text. Lengths come first, by rounds until nothing gets shorter; then the texts, from
// the shortest up, so that each is put together from texts that are known.
func (g *Grammar) findShortest() {
	g.length = slices.Repeat([]int32{never}, len(g.rules))
	for changed := true; changed; {
		changed = false
		for r, alternatives := range g.rules {
			for _, at := range alternatives {
				if n := g.measure(at); n < g.length[r] {
					g.length[r], changed = n, true
				}
			}
		}
	}
	g.rest = make([]int32, len(g.symbols))
	for at := len(g.symbols) - 1; at >= 0; at-- {
		if s := g.symbols[at]; s != endOfSequence {
			g.rest[at] = min(never, g.rest[at+1]+g.width(s))
		}
	}
	order := make([]int, len(g.rules))
	for r := range order {
		order[r] = r
	}
	sort.SliceStable(order, func(i, j int) bool { return g.length[order[i]] < g.length[order[j]] })
	g.shortest = make([]string, len(g.rules))
	known := make([]bool, len(g.rules))
	for lo := 0; lo < len(order); {
		hi := lo
		for hi < len(order) && g.length[order[hi]] == g.length[order[lo]] {
			hi++
		}
		// Rules of one length may stand for one another: A ::= B | "x".
		for changed := g.length[order[lo]] < never; changed; {
			changed = false
			for _, r := range order[lo:hi] {
				for _, at := range g.rules[r] {
					if g.rest[at] != g.length[r] || !g.isKnown(at, known) {
						continue
					}
					if s := g.spell(at); !known[r] || s < g.shortest[r] {
						g.shortest[r], known[r], changed = s, true, true
					}
				}
			}
		}
		lo = hi
	}
}

func (g *Grammar) width(s symbol) int32 {
	if s < 0 {
		return 1
	}
	return g.length[s]
}

func (g *Grammar) measure(at int32) int32 {
	var n int32
	for ; g.symbols[at] != endOfSequence && n < never; at++ {
		n = min(never, n+g.width(g.symbols[at]))
	}
	return n
}

func (g *Grammar) isKnown(at int32, known []bool) bool {
	for ; g.symbols[at] != endOfSequence; at++ {
		if s := g.symbols[at]; s >= 0 && !known[s] {
			return false
		}
	}
	return true
}

// spell is the shortest text from a place to the end of its sequence.
func (g *Grammar) spell(at int32) string {
	var b strings.Builder
	for ; g.symbols[at] != endOfSequence; at++ {
		if s := g.symbols[at]; s >= 0 {
			b.WriteString(g.shortest[s])
		} else {
			b.WriteByte(g.sets[-1-s].first())
		}
	}
	return b.String()
}

// Shortest returns the shortest text that matches.
func (g *Grammar) Shortest() string { return g.shortest[g.root] }
