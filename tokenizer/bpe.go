package tokenizer

import (
	"fmt"
	"sync"
	"unicode/utf8"
)

// bpe is byte pair encoding (Sennrich et al. 2016): the pair of neighbours with
// the lowest rank is joined until no pair has a rank.
type bpe struct {
	vocab        map[string]int32
	tokens       []string // by id
	merges       *mergeTable
	unk          int32 // -1 if none
	fuseUnk      bool
	ignoreMerges bool // a word that is a token is that token
	prefix       string
	suffix       string
	fallback     *[256]int32 // the tokens <0x00>..<0xFF>, nil without byte_fallback; -1 if absent
	runes        [512]int32  // ids of the first characters of Unicode as tokens, -1 if absent
	spells       bool        // words come as they are in the text, and byteRune says how their bytes are spelt

	// joined is made when a long word first asks for it, nil if words cannot be cut.
	joined func() *joins
}

// newBPE finishes a model whose vocabulary, merges and flags are set.
func newBPE(m *bpe, byteFallback bool) *bpe {
	for i := range m.runes {
		m.runes[i] = lookup(m.vocab, string(rune(i)))
	}
	if byteFallback {
		m.fallback = byteTokens(m.vocab)
	}
	m.joined = sync.OnceValue(m.joins)
	return m
}

// joins returns which characters the merges can bring together, or nil where a word cannot be cut: it may be a token as a whole, have
// a mark at its ends, or hold characters that vanish or that merges know under another spelling.
func (m *bpe) joins() *joins {
	if m.ignoreMerges || m.prefix != "" || m.suffix != "" {
		return nil
	}
	complete := m.fallback != nil // each character becomes some symbol of its own
	odd := map[int32]bool{m.unk: true}
	if m.fallback != nil {
		for _, id := range m.fallback {
			odd[id] = true
			complete = complete && id >= 0
		}
	}
	if m.unk < 0 && !complete {
		return nil
	}
	j := new(joins)
	for _, s := range m.merges.slots {
		if s.key == noPair {
			continue
		}
		left, right := int32(s.key>>32), int32(uint32(s.key))
		if odd[left] || odd[right] {
			return nil
		}
		a, _ := utf8.DecodeLastRuneInString(m.tokens[left])
		b, _ := utf8.DecodeRuneInString(m.tokens[right])
		j.allow(joinKind(a), joinKind(b))
	}
	if m.fuseUnk && !complete {
		j.allowUnknown(m)
	}
	return j
}

// allowUnknown notes the neighbours that may both be unknown, and be one token then.
func (j *joins) allowUnknown(m *bpe) {
	unknown := []int{joinOther}
	if lookup(m.vocab, "▁") < 0 {
		unknown = append(unknown, joinMark)
	}
	for r, id := range m.runes {
		if id < 0 {
			unknown = append(unknown, r)
		}
	}
	for _, a := range unknown {
		for _, b := range unknown {
			j.allow(a, b)
		}
	}
}

// byteTokens returns the ids of <0x00>..<0xFF>, -1 for those that are absent.
func byteTokens(vocab map[string]int32) *[256]int32 {
	var ids [256]int32
	for i := range ids {
		ids[i] = lookup(vocab, fmt.Sprintf("<0x%02X>", i))
	}
	return &ids
}

// lookup returns the id of a token or -1.
func lookup(vocab map[string]int32, token string) int32 {
	if id, ok := vocab[token]; ok {
		return id
	}
	return -1
}

// symbol is a piece of a word while it is merged; prev and next link the pieces that are left.
type symbol struct {
	id         int32 // -1 once it was joined to its left neighbour
	prev, next int32
}

// candidate is a merge that was possible when it was queued.
type candidate struct {
	rank, pos int32 // pos: the left symbol
	id        int32 // the token that it makes
}

// bpeCoder encodes with a bpe.
type bpeCoder struct {
	*bpe
	words   wordCache
	ids     []int32
	pairs   []merge // pairs[i] is what ids[i] and ids[i+1] become
	symbols []symbol
	heap    []candidate
	spelt   []byte
}

func (m *bpe) coder() coder { return &bpeCoder{bpe: m} }

// cutBytes is the size from which a word is cut where nothing can be joined.
const cutBytes = 16

func (c *bpeCoder) encode(dst []int32, word string) []int32 {
	if len(word) <= cutBytes {
		return c.word(dst, word)
	}
	j := c.joined()
	if j == nil {
		return c.word(dst, word)
	}
	for i := 0; i < len(word); {
		end := 0
		if c.spells {
			end = j.bytesEnd(word, i)
		} else {
			end = j.end(word, i)
		}
		dst = c.word(dst, word[i:end])
		i = end
	}
	return dst
}

// word encodes what cannot be cut.
func (c *bpeCoder) word(dst []int32, word string) []int32 {
	return c.words.encode(dst, word, c)
}

// fresh encodes a word that the cache does not have.
func (c *bpeCoder) fresh(dst []int32, word string) []int32 {
	if c.ignoreMerges {
		if c.spells {
			c.spelt = spellBytes(c.spelt[:0], word)
		} else {
			c.spelt = append(c.spelt[:0], word...)
		}
		if id, ok := c.vocab[string(c.spelt)]; ok {
			return append(dst, id)
		}
	}
	c.ids = c.ids[:0]
	if c.spells {
		c.ids = c.bytesIDs(c.ids, word)
	} else {
		c.ids = c.charIDs(c.ids, word)
	}
	if len(c.ids) > 32 {
		return c.mergeQueued(dst)
	}
	return c.mergeShort(dst)
}

// mergeShort joins a few symbols: it looks all pairs over each time.
func (c *bpeCoder) mergeShort(dst []int32) []int32 {
	ids, pairs := c.ids, c.pairs[:0]
	for i := 1; i < len(ids); i++ {
		pairs = append(pairs, c.merges.get(ids[i-1], ids[i]))
	}
	c.pairs = pairs
	for {
		best, at := noMerge.rank, 0
		for i := range pairs {
			if pairs[i].rank < best {
				best, at = pairs[i].rank, i
			}
		}
		if best == noMerge.rank {
			return append(dst, ids...)
		}
		ids[at] = pairs[at].id
		ids = append(ids[:at+1], ids[at+2:]...)
		pairs = append(pairs[:at], pairs[at+1:]...)
		if at > 0 {
			pairs[at-1] = c.merges.get(ids[at-1], ids[at])
		}
		if at < len(pairs) {
			pairs[at] = c.merges.get(ids[at], ids[at+1])
		}
	}
}

// mergeQueued joins many. The queue holds every possible merge; entries that later
// merges made stale are recognised when they come up.
func (c *bpeCoder) mergeQueued(dst []int32) []int32 {
	c.symbols, c.heap = c.symbols[:0], c.heap[:0]
	for i, id := range c.ids {
		c.symbols = append(c.symbols, symbol{id, int32(i - 1), int32(i + 1)})
		if i > 0 {
			c.queue(int32(i-1), int32(i))
		}
	}
	n := int32(len(c.symbols))
	for len(c.heap) > 0 {
		top := pop(&c.heap)
		left := &c.symbols[top.pos]
		if left.id < 0 || left.next == n {
			continue
		}
		right := &c.symbols[left.next]
		if c.merges.get(left.id, right.id).id != top.id {
			continue
		}
		left.id, right.id = top.id, -1
		left.next = right.next
		if left.next < n {
			c.symbols[left.next].prev = top.pos
			c.queue(top.pos, left.next)
		}
		if left.prev >= 0 {
			c.queue(left.prev, top.pos)
		}
	}
	for _, sym := range c.symbols {
		if sym.id >= 0 {
			dst = append(dst, sym.id)
		}
	}
	return dst
}

func (c *bpeCoder) queue(left, right int32) {
	if m := c.merges.get(c.symbols[left].id, c.symbols[right].id); m.id >= 0 {
		push(&c.heap, candidate{rank: m.rank, pos: left, id: m.id})
	}
}

// bytesIDs appends the bytes of a word as tokens.
func (m *bpe) bytesIDs(dst []int32, word string) []int32 {
	unknown := false
	for i := 0; i < len(word); i++ {
		r := byteRune[word[i]]
		if id := m.runes[r]; id >= 0 {
			dst, unknown = append(dst, id), false
			continue
		}
		dst, unknown = m.unknown(dst, string(r), unknown)
	}
	return dst
}

// charIDs appends the characters of a word as tokens.
func (m *bpe) charIDs(dst []int32, word string) []int32 {
	plain := m.prefix == "" && m.suffix == ""
	unknown := false // the last symbol is the unknown token
	for i := 0; i < len(word); {
		r, w := utf8.DecodeRuneInString(word[i:])
		char := word[i : i+w]
		var id int32
		switch {
		case plain && int(r) < len(m.runes):
			id = m.runes[r]
		case plain:
			id = lookup(m.vocab, char)
		default:
			piece := char
			if i > 0 {
				piece = m.prefix + piece
			}
			if i+w == len(word) {
				piece += m.suffix
			}
			id = lookup(m.vocab, piece)
		}
		i += w
		if id >= 0 {
			dst, unknown = append(dst, id), false
			continue
		}
		dst, unknown = m.unknown(dst, char, unknown)
	}
	return dst
}

// unknown appends what becomes of a character that is no token: its bytes' tokens or the unknown token, or nothing
// if the model has neither. It takes and returns whether the last symbol is the unknown token.
func (m *bpe) unknown(dst []int32, char string, last bool) ([]int32, bool) {
	if spelt, ok := appendFallback(dst, m.fallback, char); ok {
		return spelt, false
	}
	if m.unk >= 0 && !(last && m.fuseUnk) {
		return append(dst, m.unk), true
	}
	return dst, last
}

// before orders candidates: lowest rank first, then leftmost.
func (a candidate) before(b candidate) bool {
	return a.rank < b.rank || a.rank == b.rank && a.pos < b.pos
}

// push and pop keep a binary heap; container/heap would box every candidate.
func push(h *[]candidate, c candidate) {
	*h = append(*h, c)
	q := *h
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q[i].before(q[up]) {
			break
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
}

func pop(h *[]candidate) candidate {
	q := *h
	top := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q = q[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && q[down+1].before(q[down]) {
			down++
		}
		if !q[down].before(q[i]) {
			break
		}
		q[i], q[down] = q[down], q[i]
		i = down
	}
	*h = q
	return top
}
