package grammar

import (
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/tokenizer"
)

// Vocabulary is the texts of a model's tokens, and a tree of their bytes.
type Vocabulary struct {
	texts []string // by id; "" for tokens that are no text
	size  int
	depth int // bytes of the longest token
	tree  tree
}

// tree holds every beginning of a token once, parents before children, children in the order of their bytes.
type tree struct {
	value []byte
	depth []int32 // from 1
	skip  []int32 // the node behind all that begin with this one
	first []int32 // of ids, one more than there are nodes
	ids   []int32 // the tokens that end at a node
}

// NewVocabulary takes the bytes that each token adds to a text; "" for tokens that add none and so are never allowed.
func NewVocabulary(texts []string) *Vocabulary {
	v := &Vocabulary{texts: texts, size: len(texts)}
	order := make([]int32, 0, len(texts))
	for id, s := range texts {
		v.depth = max(v.depth, len(s))
		if s != "" {
			order = append(order, int32(id))
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int { return strings.Compare(texts[a], texts[b]) })
	t := &v.tree
	open := make([]int, 0, v.depth) // nodes from the root to the last one
	last := ""
	for _, id := range order {
		s := texts[id]
		n := 0
		for n < min(len(s), len(last)) && s[n] == last[n] {
			n++
		}
		for _, node := range open[n:] {
			t.skip[node] = int32(len(t.value))
		}
		open = open[:n]
		for ; n < len(s); n++ {
			open = append(open, len(t.value))
			t.value = append(t.value, s[n])
			t.depth = append(t.depth, int32(n+1))
			t.skip = append(t.skip, 0)
			t.first = append(t.first, int32(len(t.ids)))
		}
		t.ids = append(t.ids, id)
		last = s
	}
	for _, node := range open {
		t.skip[node] = int32(len(t.value))
	}
	t.first = append(t.first, int32(len(t.ids)))
	return v
}

// text is what a token adds.
func (v *Vocabulary) text(id int32) string {
	if id < 0 || int(id) >= len(v.texts) {
		return ""
	}
	return v.texts[id]
}

// fewest returns the fewest tokens that spell a text, never if none do.
func (v *Vocabulary) fewest(text string) int {
	n := make([]int, len(text)+1) // from each place to the end
	for at := len(text) - 1; at >= 0; at-- {
		n[at] = never
		v.prefixes(text[at:], func(length int) { n[at] = min(n[at], 1+n[at+length]) })
	}
	return n[0]
}

// prefixes calls found with the length of every token that text begins with.
func (v *Vocabulary) prefixes(text string, found func(length int)) {
	t := &v.tree
	lo, hi := int32(0), int32(len(t.value))
	for depth := range len(text) {
		i := lo
		for i < hi && t.value[i] < text[depth] {
			i = t.skip[i]
		}
		if i >= hi || t.value[i] != text[depth] {
			return
		}
		if t.first[i] < t.first[i+1] {
			found(depth + 1)
		}
		lo, hi = i+1, t.skip[i]
	}
}

// ForTokenizer returns a matcher of the outputs of a model of size tokens. Its end tokens are no text.
func ForTokenizer(g *Grammar, tok *tokenizer.Tokenizer, size int, eos []int) *Matcher {
	texts := tok.Bytes()
	texts = texts[:min(len(texts), size)]
	ends := make([]int32, len(eos))
	for i, id := range eos {
		ends[i] = int32(id)
		if id >= 0 && id < len(texts) {
			texts[id] = ""
		}
	}
	return NewMatcher(g, NewVocabulary(texts), ends)
}
