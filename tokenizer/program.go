package tokenizer

import "unicode/utf8"

// program is a regular expression of the kind that tokenizers split with: classes of characters, repeated, in sequence, in alternatives,
// with a look ahead. It finds what a backtracking engine finds, the first alternative that fits, each repetition as long as it can be, about a
// hundred times as fast as one for every expression.
type program struct {
	nodes []node
	// tries lists, by the ASCII character that a match begins with, which alternatives can; beyond lists all.
	tries  [utf8.RuneSelf][]int32
	beyond []int32
	passes [256]bool // by ASCII character: none can
}

type nodeKind uint8

const (
	nodeAccept nodeKind = iota
	nodeRepeat          // least to most characters of set
	nodeAlternatives
	nodeLook   // what is in sub must (or, with not, must not) follow
	nodeAtomic // the first way that sub fits, and no other
	nodeStart  // ^
	nodeEnd    // $: the end, or a last line feed before it
)

// node is a step of a program; the step behind it is next.
type node struct {
	kind        nodeKind
	possessive  bool // a repetition that gives nothing back
	apart       bool // no ASCII character of set can start what follows, which is not empty
	not         bool
	least, most int
	set         *charSet
	next, sub   int32
	either      []int32 // alternatives, best first
}

// effort bounds the steps that one match may take, beside 64 for each byte: about a second.
const effort = 1 << 26

// find returns the next match at or behind from, and false if that took too long.
func (p *program) find(s string, from int) (match, bool) {
	left := effort + 64*(len(s)-from)
	for i := from; ; {
		for i < len(s) && p.passes[s[i]] {
			i++
		}
		if i == len(s) {
			return match{}, true
		}
		tries, w := p.beyond, 1
		if c := s[i]; c < utf8.RuneSelf {
			tries = p.tries[c]
		} else {
			_, w = utf8.DecodeRuneInString(s[i:])
		}
		for _, at := range tries {
			end := p.run(at, s, i, &left)
			if end > i {
				return match{i, end}, true
			}
			if end == i {
				break
			}
		}
		if left -= 1; left < 0 {
			return match{}, false
		}
		i += w
	}
}

// run returns where the match ends that starts with node at, at i, or -1.
func (p *program) run(at int32, s string, i int, left *int) int {
	for {
		n := &p.nodes[at]
		if *left -= 1; *left < 0 {
			return -1
		}
		switch n.kind {
		case nodeAccept:
			return i
		case nodeRepeat:
			end, count := n.set.run(s, i, n.most)
			if count < n.least {
				return -1
			}
			*left -= count
			if count > n.least && !n.possessive && !(n.apart && count == end-i) {
				return p.giveBack(n, s, i, end, count, left)
			}
			i, at = end, n.next
		case nodeAlternatives:
			last := len(n.either) - 1
			for _, sub := range n.either[:last] {
				if end := p.run(sub, s, i, left); end >= 0 {
					return end
				}
			}
			at = n.either[last]
		case nodeLook:
			if (p.run(n.sub, s, i, left) >= 0) == n.not {
				return -1
			}
			at = n.next
		case nodeAtomic:
			if i = p.run(n.sub, s, i, left); i < 0 {
				return -1
			}
			at = n.next
		case nodeStart:
			if i != 0 {
				return -1
			}
			at = n.next
		case nodeEnd:
			if i != len(s) && s[i:] != "\n" {
				return -1
			}
			at = n.next
		}
	}
}

// giveBack goes on behind a repetition that took count characters up to end, and each time that does not fit with one less.
func (p *program) giveBack(n *node, s string, start, end, count int, left *int) int {
	for ; ; count-- {
		if to := p.run(n.next, s, end, left); to >= 0 {
			return to
		}
		if count == n.least || *left < 0 {
			return -1
		}
		_, w := utf8.DecodeLastRuneInString(s[start:end])
		end -= w
	}
}

// run returns where a run of characters of the set ends, of at most most, and how many they are.
func (c *charSet) run(s string, i, most int) (end, count int) {
	start, stop := i, len(s)
	if most < stop-i {
		stop = i + most
	}
	for i < stop && c.ascii[s[i]] {
		i++
	}
	count = i - start
	if i == stop || s[i] < utf8.RuneSelf {
		return i, count
	}
	for ; count < most; count++ {
		w := c.width(s, i)
		if w == 0 {
			break
		}
		i += w
	}
	return i, count
}

// single returns the set of a program that finds one character each time, or nil.
func (p *program) single() *charSet {
	if len(p.nodes) == 2 && p.nodes[1].kind == nodeRepeat && p.nodes[1].least == 1 && p.nodes[1].most == 1 {
		return p.nodes[1].set
	}
	return nil
}

// opening is what a node and all that follows it may begin with: an ASCII character, or nothing.
type opening struct {
	ascii byteSet
	empty bool
}

// openings returns those of all nodes. What a node leads to was laid down before it.
func (p *program) openings() []opening {
	all := make([]opening, len(p.nodes))
	for k := range p.nodes {
		n, o := &p.nodes[k], &all[k]
		switch n.kind {
		case nodeAccept:
			o.empty = true
		case nodeRepeat:
			for c := range utf8.RuneSelf {
				if n.set.ascii[c] {
					o.ascii.add(byte(c))
				}
			}
			if n.least == 0 {
				o.join(&all[n.next])
			}
		case nodeAlternatives:
			for _, sub := range n.either {
				o.join(&all[sub])
			}
		case nodeAtomic:
			if *o = all[n.sub]; o.empty {
				o.empty = false
				o.join(&all[n.next])
			}
		case nodeLook, nodeStart, nodeEnd:
			*o = all[n.next]
		}
	}
	return all
}

func (o *opening) join(other *opening) {
	for i := range o.ascii {
		o.ascii[i] |= other.ascii[i]
	}
	o.empty = o.empty || other.empty
}

// link finds out which repetitions need give nothing back, and fills the lists of what to try.
func (p *program) link(first int32) {
	all := p.openings()
	for k := range p.nodes {
		n := &p.nodes[k]
		if n.kind != nodeRepeat {
			continue
		}
		if p.nodes[n.next].kind == nodeAccept {
			n.possessive = true // what is longest is taken, and fits
			continue
		}
		n.apart = !all[n.next].empty
		for c := range utf8.RuneSelf {
			n.apart = n.apart && !(n.set.ascii[c] && all[n.next].ascii.has(byte(c)))
		}
	}
	p.beyond = []int32{first}
	if p.nodes[first].kind == nodeAlternatives {
		p.beyond = p.nodes[first].either
	}
	for c := range p.tries {
		for _, at := range p.beyond {
			if all[at].empty || all[at].ascii.has(byte(c)) {
				p.tries[c] = append(p.tries[c], at)
			}
		}
		p.passes[c] = len(p.tries[c]) == 0
	}
}
