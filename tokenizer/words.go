package tokenizer

import (
	"math/bits"
	"math/rand/v2"
)

const (
	// cachedBytes is the longest word that is kept.
	cachedBytes = 64
	// firstSlots and mostSlots bound the table of words, mostKept the arenas beside it: together 5 MB.
	firstSlots = 1 << 9
	mostSlots  = 1 << 17
	mostKept   = 1 << 18
	// probes is how many slots a word may lie in. It bounds the time that words with equal hashes cost.
	probes = 8
)

// wordCache remembers the ids of words: a text has few different ones. It serves one goroutine at a time and takes no lock. What it
// holds never changes a result, only how soon it is there.
type wordCache struct {
	slots []wordSlot // a power of two, and probes-1 more, so that no probe wraps around
	used  int
	seed  uint64
	ids   []int32 // of words that have several
	text  []byte  // of words that do not fit into their slot
}

// wordSlot holds a word. One of up to 16 bytes lies in a and b; of a longer one a is its hash and b its place in text.
type wordSlot struct {
	a, b uint64
	size uint16 // bytes, and in the upper 8 bits the level; 0: a free slot
	n    uint16 // ids
	at   uint32 // the id where there is one, else the place in ids
}

// wordKey is a word made ready to be looked up.
type wordKey struct {
	word  string
	a, b  uint64
	size  uint16 // as in wordSlot
	level int
	home  int
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load32(s string) uint64 {
	_ = s[3]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}

// fold mixes two words of 64 bits into one.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

const (
	mix1 = 0x9E3779B97F4A7C15 // 2^64 over the golden ratio
	mix2 = 0xC2B2AE3D27D4EB4F
)

// key makes a word of 1 to cachedBytes bytes ready. The same word may have other ids at another level, which is below 256. Two words of the
// same size below 17 with the same a and b are the same.
func (c *wordCache) key(word string, level int) wordKey {
	k := wordKey{word: word, size: uint16(len(word) | level<<8), level: level}
	switch n := len(word); {
	case n > 16:
		h := c.seed ^ uint64(n)
		for rest := word; ; rest = rest[16:] {
			if len(rest) <= 16 {
				h = fold(h^load64(word[n-16:]), load64(word[n-8:])^mix1)
				break
			}
			h = fold(h^load64(rest), load64(rest[8:])^mix1)
		}
		k.a = h
	case n >= 8:
		k.a, k.b = load64(word), load64(word[n-8:])
	case n >= 4:
		k.a = load32(word) | load32(word[n-4:])<<32
	default:
		k.a = uint64(word[0]) | uint64(word[n/2])<<8 | uint64(word[n-1])<<16
	}
	h := fold(k.a^c.seed^mix1, k.b^uint64(k.size)^mix2)
	if c.slots != nil {
		k.home = int(h & uint64(len(c.slots)-probes))
	}
	return k
}

// holds reports whether the slot holds the word of k.
func (c *wordCache) holds(s *wordSlot, k *wordKey) bool {
	if s.a != k.a || s.size != k.size {
		return false
	}
	if len(k.word) > 16 {
		return string(c.text[s.b:s.b+uint64(len(k.word))]) == k.word
	}
	return s.b == k.b
}

// get appends the ids of a word, if they are known.
func (c *wordCache) get(dst []int32, k *wordKey) ([]int32, bool) {
	if c.slots == nil {
		return dst, false
	}
	for i := range c.slots[k.home : k.home+probes] {
		s := &c.slots[k.home+i]
		if c.holds(s, k) {
			if s.n == 1 {
				return append(dst, int32(s.at)), true
			}
			return append(dst, c.ids[s.at:s.at+uint32(s.n)]...), true
		}
		if s.size == 0 {
			break
		}
	}
	return dst, false
}

// encode appends the ids of a word: remembered ones, or those that m finds.
func (c *wordCache) encode(dst []int32, word string, m interface {
	fresh(dst []int32, word string) []int32
}) []int32 {
	if len(word) > cachedBytes || word == "" {
		return m.fresh(dst, word)
	}
	k := c.key(word, 0)
	dst, ok := c.get(dst, &k)
	if !ok {
		n := len(dst)
		dst = m.fresh(dst, word)
		c.put(&k, dst[n:])
	}
	return dst
}

// put remembers the ids of a word that get did not find.
func (c *wordCache) put(k *wordKey, ids []int32) {
	switch {
	case c.slots == nil:
		c.seed = rand.Uint64()
		c.slots = make([]wordSlot, firstSlots+probes-1)
		*k = c.key(k.word, k.level)
	case c.used > len(c.slots)/2 && len(c.slots) < mostSlots:
		c.grow()
		*k = c.key(k.word, k.level)
	case len(c.ids) > mostKept || len(c.text) > mostKept:
		clear(c.slots)
		c.used, c.ids, c.text = 0, c.ids[:0], c.text[:0]
	}
	s := wordSlot{a: k.a, b: k.b, size: k.size, n: uint16(len(ids))}
	if len(k.word) > 16 {
		s.b = uint64(len(c.text))
		c.text = append(c.text, k.word...)
	}
	if len(ids) == 1 {
		s.at = uint32(ids[0])
	} else {
		s.at = uint32(len(c.ids))
		c.ids = append(c.ids, ids...)
	}
	c.place(k.home, s)
}

// place puts a slot at its home or behind it; where all is taken the home is given up.
func (c *wordCache) place(home int, s wordSlot) {
	at := home
	for i := home; i < home+probes; i++ {
		if c.slots[i].size == 0 {
			at = i
			c.used++
			break
		}
	}
	c.slots[at] = s
}

func (c *wordCache) grow() {
	old := c.slots
	c.slots = make([]wordSlot, 2*(len(old)-probes+1)+probes-1)
	c.used = 0
	for _, s := range old {
		if s.size == 0 {
			continue
		}
		b := s.b
		if s.size&0xFF > 16 {
			b = 0
		}
		c.place(int(fold(s.a^c.seed^mix1, b^uint64(s.size)^mix2)&uint64(len(c.slots)-probes)), s)
	}
}
