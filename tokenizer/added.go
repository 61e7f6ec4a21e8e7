package tokenizer

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is cut out of the text before the model sees it.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// addedSet finds added tokens: at each place the longest one.
type addedSet struct {
	byFirst [256][]addedToken // longest first
	starts  [256]bool         // whether there are such
	second  [256]byteSet      // what may follow a first byte
	empty   bool
}

// byteSet is a set of bytes.
type byteSet [4]uint64

func (b *byteSet) add(c byte)      { b[c>>6] |= 1 << (c & 63) }
func (b *byteSet) has(c byte) bool { return b[c>>6]>>(c&63)&1 != 0 }

// newAddedSet indexes the tokens whose Normalized is as given; normalize applies to their contents.
func newAddedSet(tokens []addedToken, normalized bool, normalize normalizer) *addedSet {
	a := &addedSet{empty: true}
	for _, t := range tokens {
		if t.Normalized != normalized {
			continue
		}
		if normalized && normalize != nil {
			t.Content = normalize(t.Content)
		}
		if t.Content != "" {
			a.empty = false
			c := t.Content[0]
			a.byFirst[c] = append(a.byFirst[c], t)
			a.starts[c] = true
			if len(t.Content) > 1 {
				a.second[c].add(t.Content[1])
			} else {
				a.second[c] = byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
			}
		}
	}
	for _, list := range a.byFirst {
		sort.SliceStable(list, func(i, j int) bool { return len(list[i].Content) > len(list[j].Content) })
	}
	return a
}

// split calls text for what lies between added tokens and token for each of them, in order. With
// plain, special tokens count as text.
func (a *addedSet) split(s string, plain bool, text func(lo, hi int), token func(id int32)) {
	last := 0
	if a.empty {
		if s != "" {
			text(0, len(s))
		}
		return
	}
	for i := 0; ; {
		for i < len(s) && !a.starts[s[i]] {
			i++
		}
		if i == len(s) {
			break
		}
		t := a.at(s, i)
		if t == nil {
			i++
			continue
		}
		lo, hi := i, i+len(t.Content)
		i = hi
		if plain && t.Special || t.SingleWord && (endsWithWord(s[:lo]) || startsWithWord(s[hi:])) {
			continue
		}
		if t.LStrip {
			lo = max(last, len(strings.TrimRightFunc(s[:lo], unicode.IsSpace)))
		}
		if t.RStrip {
			hi = len(s) - len(strings.TrimLeftFunc(s[hi:], unicode.IsSpace))
		}
		if last < lo {
			text(last, lo)
		}
		token(t.ID)
		last = hi
		i = max(i, hi)
	}
	if last < len(s) {
		text(last, len(s))
	}
}

// at returns the longest token that starts at i, or nil.
func (a *addedSet) at(s string, i int) *addedToken {
	if i+1 < len(s) && !a.second[s[i]].has(s[i+1]) {
		return nil
	}
	list := a.byFirst[s[i]]
	for k := range list {
		if strings.HasPrefix(s[i:], list[k].Content) {
			return &list[k]
		}
	}
	return nil
}

func endsWithWord(s string) bool {
	r, w := utf8.DecodeLastRuneInString(s)
	return w > 0 && isWord(r)
}

func startsWithWord(s string) bool {
	r, w := utf8.DecodeRuneInString(s)
	return w > 0 && isWord(r)
}
