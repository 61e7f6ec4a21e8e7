package tokenizer

import (
	"fmt"
	"sync"
	"unicode/utf8"
)

const (
	// cachedWords and cachedBytes bound the memory of the word cache.
	cachedWords = 1 << 15
	cachedBytes = 64
)

// bpe is byte pair encoding (Sennrich et al. 2016): the pair of neighbours with
// the lowest rank is joined until no pair has a rank.
type bpe struct {
	vocab        map[string]int32
	merges       map[uint64]merge // by pairKey
	unk          int32            // -1 if none
	fuseUnk      bool
	ignoreMerges bool // a word that is a token is that token
	prefix       string
	suffix       string
	fallback     *[256]int32 // the tokens <0x00>..<0xFF>, nil without byte_fallback; -1 if absent
	runes        [512]int32  // ids of the first characters of Unicode as tokens, -1 if absent

	scratch sync.Pool // *bpeScratch
	mu      sync.RWMutex
	cache   map[string][]int32
}

// merge says that a pair becomes the token id, and how early.
type merge struct{ rank, id int32 }

func pairKey(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

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

type bpeScratch struct {
	symbols []symbol
	heap    []candidate
}

// newBPE finishes a model whose vocabulary, merges and flags are set.
func newBPE(m *bpe, byteFallback bool) *bpe {
	for i := range m.runes {
		m.runes[i] = lookup(m.vocab, string(rune(i)))
	}
	if byteFallback {
		m.fallback = byteTokens(m.vocab)
	}
	m.cache = make(map[string][]int32)
	m.scratch.New = func() any { return new(bpeScratch) }
	return m
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

func (m *bpe) encode(dst []int32, word string) []int32 {
	if m.ignoreMerges {
		if id, ok := m.vocab[word]; ok {
			return append(dst, id)
		}
	}
	if len(word) > cachedBytes {
		return m.merge(dst, word)
	}
	m.mu.RLock()
	ids, ok := m.cache[word]
	m.mu.RUnlock()
	if ok {
		return append(dst, ids...)
	}
	start := len(dst)
	dst = m.merge(dst, word)
	m.mu.Lock()
	if len(m.cache) < cachedWords {
		m.cache[string([]byte(word))] = append([]int32(nil), dst[start:]...)
	}
	m.mu.Unlock()
	return dst
}

// merge encodes one word. The queue holds every possible merge; entries that later
// merges made stale are recognised when they come up.
func (m *bpe) merge(dst []int32, word string) []int32 {
	s := m.scratch.Get().(*bpeScratch)
	defer m.scratch.Put(s)
	s.symbols = m.symbols(s.symbols[:0], word)
	s.heap = s.heap[:0]
	for i := range s.symbols {
		s.symbols[i].prev, s.symbols[i].next = int32(i-1), int32(i+1)
		if i > 0 {
			m.queue(s, int32(i-1), int32(i))
		}
	}
	n := int32(len(s.symbols))
	for len(s.heap) > 0 {
		c := pop(&s.heap)
		left := &s.symbols[c.pos]
		if left.id < 0 || left.next == n {
			continue
		}
		right := &s.symbols[left.next]
		if now, ok := m.merges[pairKey(left.id, right.id)]; !ok || now.id != c.id {
			continue
		}
		left.id, right.id = c.id, -1
		left.next = right.next
		if left.next < n {
			s.symbols[left.next].prev = c.pos
			m.queue(s, c.pos, left.next)
		}
		if left.prev >= 0 {
			m.queue(s, left.prev, c.pos)
		}
	}
	for _, sym := range s.symbols {
		if sym.id >= 0 {
			dst = append(dst, sym.id)
		}
	}
	return dst
}

// symbols appends the characters of a word as tokens. A character that is no token becomes its
// bytes' tokens or the unknown token, or disappears if the model has neither.
func (m *bpe) symbols(dst []symbol, word string) []symbol {
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
			dst, unknown = append(dst, symbol{id: id}), false
			continue
		}
		if bytes, ok := m.bytes(dst, char); ok {
			dst, unknown = bytes, false
			continue
		}
		if m.unk >= 0 && !(unknown && m.fuseUnk) {
			dst, unknown = append(dst, symbol{id: m.unk}), true
		}
	}
	return dst
}

// bytes appends the byte tokens of a character if all of them exist.
func (m *bpe) bytes(dst []symbol, char string) ([]symbol, bool) {
	if m.fallback == nil {
		return dst, false
	}
	n := len(dst)
	for i := 0; i < len(char); i++ {
		id := m.fallback[char[i]]
		if id < 0 {
			return dst[:n], false
		}
		dst = append(dst, symbol{id: id})
	}
	return dst, true
}

func (m *bpe) queue(s *bpeScratch, left, right int32) {
	if mg, ok := m.merges[pairKey(s.symbols[left].id, s.symbols[right].id)]; ok {
		push(&s.heap, candidate{rank: mg.rank, pos: left, id: mg.id})
	}
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
