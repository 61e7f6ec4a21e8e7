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

func (m *wordPiece) encode(dst []int32, word string) []int32 {
	n := len(dst)
	if utf8.RuneCountInString(word) > m.maxChars {
		return m.unknown(dst)
	}
	buf := make([]byte, 0, len(m.prefix)+len(word))
	for start := 0; start < len(word); {
		end := min(len(word), start+m.longest)
		id := int32(-1)
		for end > start {
			buf = buf[:0]
			if start > 0 {
				buf = append(buf, m.prefix...)
			}
			if v, ok := m.vocab[string(append(buf, word[start:end]...))]; ok {
				id = v
				break
			}
			_, w := utf8.DecodeLastRuneInString(word[start:end])
			end -= w
		}
		if id < 0 {
			return m.unknown(dst[:n])
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
