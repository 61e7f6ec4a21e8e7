package tokenizer

import (
	"math"
	"sort"
	"unicode/utf8"
)

// unknownPenalty is how much worse than the worst token an unknown character
// scores (SentencePiece's kUnkPenalty).
const unknownPenalty = 10

// unigram is SentencePiece's language model over pieces (Kudo 2018): of all ways to cut the
// text it takes the one with the largest sum of scores (Viterbi).
type unigram struct {
	scores   []float64 // by id
	unk      int32     // -1 if none
	fallback *[256]int32
	worst    float64
	trie     trie
}

// trie finds the tokens that start a string. Node 0 is the root; the children of a node
// are consecutive and sorted by byte.
type trie struct{ nodes []trieNode }

type trieNode struct {
	first, count int32 // children
	id           int32 // token that ends here, or -1
	char         byte
}

// newTrie builds a trie of tokens; its time is linear in their bytes but for the sort.
func newTrie(tokens []string) trie {
	order := make([]int32, 0, len(tokens))
	for id, token := range tokens {
		if token != "" {
			order = append(order, int32(id))
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return tokens[order[i]] < tokens[order[j]] })
	t := trie{nodes: []trieNode{{id: -1}}}
	type job struct {
		node   int32
		lo, hi int // of order
		depth  int
	}
	// Breadth first, so that the children of a node are made together.
	jobs := []job{{0, 0, len(order), 0}}
	for len(jobs) > 0 {
		j := jobs[0]
		jobs = jobs[1:]
		lo := j.lo
		for lo < j.hi && len(tokens[order[lo]]) == j.depth {
			t.nodes[j.node].id = order[lo]
			lo++
		}
		t.nodes[j.node].first = int32(len(t.nodes))
		for lo < j.hi {
			c := tokens[order[lo]][j.depth]
			hi := lo
			for hi < j.hi && tokens[order[hi]][j.depth] == c {
				hi++
			}
			jobs = append(jobs, job{int32(len(t.nodes)), lo, hi, j.depth + 1})
			t.nodes = append(t.nodes, trieNode{id: -1, char: c})
			t.nodes[j.node].count++
			lo = hi
		}
	}
	return t
}

// child returns the node that follows n on byte c, or -1.
func (t trie) child(n int32, c byte) int32 {
	node := t.nodes[n]
	kids := t.nodes[node.first : node.first+node.count]
	i := sort.Search(len(kids), func(i int) bool { return kids[i].char >= c })
	if i == len(kids) || kids[i].char != c {
		return -1
	}
	return node.first + int32(i)
}

func newUnigram(tokens []string, scores []float64, unk int32) *unigram {
	m := &unigram{scores: scores, unk: unk, worst: math.Inf(1), trie: newTrie(tokens)}
	for _, s := range scores {
		m.worst = min(m.worst, s)
	}
	return m
}

func (m *unigram) encode(dst []int32, word string) []int32 {
	// best[i] is the best way to cut word[:i]: its score, and its last piece.
	type cut struct {
		score float64
		from  int32 // -1: not reached yet
		id    int32
	}
	best := make([]cut, len(word)+1)
	for i := range best {
		best[i].from = -1
	}
	best[0].from = 0
	improve := func(from, to int, score float64, id int32) {
		if best[to].from < 0 || score > best[to].score {
			best[to] = cut{score, int32(from), id}
		}
	}
	for i := 0; i < len(word); {
		_, w := utf8.DecodeRuneInString(word[i:])
		single := false
		node := int32(0)
		for j := i; j < len(word); j++ {
			if node = m.trie.child(node, word[j]); node < 0 {
				break
			}
			if id := m.trie.nodes[node].id; id >= 0 {
				improve(i, j+1, best[i].score+m.scores[id], id)
				single = single || j+1 == i+w
			}
		}
		if !single {
			improve(i, i+w, best[i].score+(m.worst-unknownPenalty), m.unk)
		}
		i += w
	}
	type piece struct {
		from, to int
		id       int32
	}
	var pieces []piece // last first; neighbouring unknown characters are one
	for to := len(word); to > 0; {
		p := piece{int(best[to].from), to, best[to].id}
		to = p.from
		if last := len(pieces) - 1; last >= 0 && p.id == m.unk && pieces[last].id == m.unk {
			pieces[last].from = p.from
			continue
		}
		pieces = append(pieces, p)
	}
	for i := len(pieces) - 1; i >= 0; i-- {
		if p := pieces[i]; p.id == m.unk {
			dst = m.unknown(dst, word[p.from:p.to])
		} else {
			dst = append(dst, p.id)
		}
	}
	return dst
}

// unknown appends the byte tokens of text, or the unknown token if there are none.
func (m *unigram) unknown(dst []int32, text string) []int32 {
	if m.fallback != nil {
		n := len(dst)
		for i := 0; i < len(text); i++ {
			id := m.fallback[text[i]]
			if id < 0 {
				dst = dst[:n]
				break
			}
			dst = append(dst, id)
		}
		if len(dst) > n {
			return dst
		}
	}
	if m.unk < 0 {
		return dst
	}
	return append(dst, m.unk)
}
