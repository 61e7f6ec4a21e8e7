package tokenizer

import (
	"math"
	"slices"
	"sort"
	"sync"
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
	tame     bool // the scores are small enough for fixedMargin

	// joined is made when a text first asks for it.
	joined func() *joins
}

const (
	// fixedMargin is by how much a way to cut a word must be better than the next to be remembered. Sums of scores depend on what stands
	// before the word by their rounding only: with scores below mostScore and sums below mostSum it is less than 64 times 2^-22
	// for each way (64 sums of a word of cachedBytes, rounded to 53 bits).
	fixedMargin = 1e-4
	mostScore   = 1 << 16
	mostSum     = 1 << 30
)

// trie finds the tokens that start a string. Node 0 is the root; the children of a node
// are consecutive and sorted by byte.
type trie struct {
	nodes []trieNode
	first [256]int32 // the root's children by byte, or -1
}

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
	for c := range t.first {
		t.first[c] = -1
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
			if j.node == 0 {
				t.first[c] = int32(len(t.nodes))
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
func (t *trie) child(n int32, c byte) int32 {
	node := &t.nodes[n]
	lo, hi := node.first, node.first+node.count
	for lo < hi {
		mid := (lo + hi) / 2
		switch have := t.nodes[mid].char; {
		case have == c:
			return mid
		case have < c:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return -1
}

func newUnigram(tokens []string, scores []float64, unk int32) *unigram {
	m := &unigram{scores: scores, unk: unk, worst: math.Inf(1), trie: newTrie(tokens), tame: true}
	for _, s := range scores {
		m.worst = min(m.worst, s)
		m.tame = m.tame && math.Abs(s) < mostScore
	}
	m.joined = sync.OnceValue(func() *joins {
		j := new(joins)
		for _, token := range tokens {
			j.allowToken(token)
		}
		return j
	})
	return m
}

// cut is the best way to part a text up to a place.
type cut struct {
	score float64
	next  float64 // of the second best
	from  int32   // where its last piece starts; -1: not reached yet
	id    int32
}

// unigramCoder encodes with a unigram.
type unigramCoder struct {
	*unigram
	words wordCache
	best  []cut
	ends  []int32 // where the pieces of a word end, last first
}

func (m *unigram) coder() coder { return &unigramCoder{unigram: m} }

// encode goes from one part that no token reaches across to the next. The sum of the scores is carried on, as its
// rounding decides between ways that are equally good.
func (c *unigramCoder) encode(dst []int32, text string) []int32 {
	joined := c.joined()
	score := 0.0
	unknown := -1 // where the unknown characters start that are not written yet: neighbours are one
	for i := 0; i < len(text); {
		end := joined.end(text, i)
		word := text[i:end]
		keep := c.tame && len(word) <= cachedBytes && math.Abs(score) < mostSum
		var k wordKey
		if keep {
			k = c.words.key(word, 0)
			n := len(dst)
			var ok bool
			if dst, ok = c.words.get(dst, &k); ok {
				for _, id := range dst[n:] {
					score += c.scores[id]
				}
				if unknown >= 0 {
					known := slices.Clone(dst[n:])
					dst = append(c.appendUnknown(dst[:n], text[unknown:i]), known...)
					unknown = -1
				}
				i = end
				continue
			}
		}
		var sure bool
		score, sure = c.viterbi(word, score)
		n, at := len(dst), 0
		for p := len(c.ends) - 1; p >= 0; p-- {
			to := int(c.ends[p])
			id := c.best[to].id
			if id == c.unk {
				sure = false
				if unknown < 0 {
					unknown = i + at
				}
			} else {
				if unknown >= 0 {
					dst = c.appendUnknown(dst, text[unknown:i+at])
					unknown, n = -1, len(dst)
				}
				dst = append(dst, id)
			}
			at = to
		}
		if keep && sure && math.Abs(score) < mostSum {
			c.words.put(&k, dst[n:])
		}
		i = end
	}
	if unknown >= 0 {
		dst = c.appendUnknown(dst, text[unknown:])
	}
	return dst
}

// viterbi finds the best way to part a word when score is the sum before it: c.ends and the ids in c.best. It returns the sum behind the word,
// and whether the second best way is clearly worse.
func (c *unigramCoder) viterbi(word string, score float64) (float64, bool) {
	for len(c.best) <= len(word) {
		c.best = append(c.best, cut{})
	}
	best := c.best[:len(word)+1]
	for i := range best {
		best[i] = cut{next: math.Inf(-1), from: -1}
	}
	best[0].score, best[0].from = score, 0
	for i := 0; i < len(word); {
		_, w := utf8.DecodeRuneInString(word[i:])
		single := false
		node := c.trie.first[word[i]]
		for j := i + 1; node >= 0; j++ {
			if id := c.trie.nodes[node].id; id >= 0 {
				best[j].improve(int32(i), best[i].score+c.scores[id], id)
				single = single || j == i+w
			}
			if j == len(word) {
				break
			}
			node = c.trie.child(node, word[j])
		}
		if !single {
			best[i+w].improve(int32(i), best[i].score+(c.worst-unknownPenalty), c.unk)
		}
		i += w
	}
	c.ends = c.ends[:0]
	sure := true
	for to := int32(len(word)); to > 0; to = best[to].from {
		c.ends = append(c.ends, to)
		sure = sure && best[to].score-best[to].next > fixedMargin
	}
	return best[len(word)].score, sure
}

// improve takes another way to the place of b.
func (b *cut) improve(from int32, score float64, id int32) {
	switch {
	case b.from < 0 || score > b.score:
		if b.from >= 0 {
			b.next = b.score
		}
		b.score, b.from, b.id = score, from, id
	case score > b.next:
		b.next = score
	}
}

// appendUnknown appends the byte tokens of text, or the unknown token if there are none.
func (m *unigram) appendUnknown(dst []int32, text string) []int32 {
	if spelt, ok := appendFallback(dst, m.fallback, text); ok {
		return spelt
	}
	if m.unk < 0 {
		return dst
	}
	return append(dst, m.unk)
}
