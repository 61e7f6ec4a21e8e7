package tokenizer

import "unicode/utf8"

// wordPiece is BERT's model: the longest token that starts the word, then the longest
// that goes on with it (marked by prefix); a word that cannot be covered is unknown as a whole.
type wordPiece struct {
	vocab    map[string]int32
	unk      int32 // -1 if none
	prefix   string
	maxChars int
	longest  int // bytes of the longest token
}

// wordPieceCoder encodes with a wordPiece.
type wordPieceCoder struct {
	*wordPiece
	words wordCache
	buf   []byte
}

func (m *wordPiece) coder() coder { return &wordPieceCoder{wordPiece: m} }

func (c *wordPieceCoder) encode(dst []int32, word string) []int32 {
	return c.words.encode(dst, word, c)
}

// fresh encodes a word that the cache does not have.
func (c *wordPieceCoder) fresh(dst []int32, word string) []int32 {
	n := len(dst)
	if utf8.RuneCountInString(word) > c.maxChars {
		return c.unknown(dst)
	}
	for start := 0; start < len(word); {
		end := min(len(word), start+c.longest)
		c.buf = c.buf[:0]
		if start > 0 {
			c.buf = append(c.buf, c.prefix...)
		}
		mark := len(c.buf)
		c.buf = append(c.buf, word[start:end]...)
		id := int32(-1)
		for end > start {
			if v, ok := c.vocab[string(c.buf[:mark+end-start])]; ok {
				id = v
				break
			}
			_, w := utf8.DecodeLastRuneInString(word[start:end])
			end -= w
		}
		if id < 0 {
			return c.unknown(dst[:n])
		}
		dst = append(dst, id)
		start = end
	}
	return dst
}

func (m *wordPiece) unknown(dst []int32) []int32 {
	if m.unk < 0 {
		return dst
	}
	return append(dst, m.unk)
}

// wordLevel knows whole words only.
type wordLevel struct {
	vocab map[string]int32
	unk   int32 // -1 if none
}

func (m *wordLevel) coder() coder { return m }

func (m *wordLevel) encode(dst []int32, word string) []int32 {
	id, ok := m.vocab[word]
	if !ok {
		id = m.unk
	}
	if id < 0 {
		return dst
	}
	return append(dst, id)
}
