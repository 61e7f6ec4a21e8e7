package tokenizer

import "unicode/utf8"

// joins says between which neighbours a token may reach across. Where none does, a text can be cut: what stands on the two sides is encoded
// on its own, so a text that nothing splits beforehand (SentencePiece's) falls into words that the cache knows. Characters are
// told apart below U+0200, which holds what byte-level models write for bytes, and the mark for a blank; all others are one kind.
type joins [joinKinds][(joinKinds + 63) / 64]uint64

const (
	joinMark  = 0x200 // U+2581, SentencePiece's blank
	joinOther = 0x201
	joinKinds = 0x202
)

func joinKind(r rune) int {
	switch {
	case r < joinMark && r >= 0:
		return int(r)
	case r == '▁':
		return joinMark
	}
	return joinOther
}

// allow notes that a token may hold a and b side by side.
func (j *joins) allow(a, b int) { j[a][b>>6] |= 1 << (b & 63) }

// allowToken notes all neighbours in a token.
func (j *joins) allowToken(token string) {
	last := -1
	for _, r := range token {
		kind := joinKind(r)
		if last >= 0 {
			j.allow(last, kind)
		}
		last = kind
	}
}

// end returns where the first place at or behind start lies that a text can be cut at: where the part that begins at start ends.
func (j *joins) end(s string, start int) int {
	last := -1
	for i := start; i < len(s); {
		kind, w := int(s[i]), 1
		if kind >= utf8.RuneSelf {
			var r rune
			r, w = utf8.DecodeRuneInString(s[i:])
			kind = joinKind(r)
		}
		if last >= 0 && j[last][kind>>6]>>(kind&63)&1 == 0 {
			return i
		}
		last, i = kind, i+w
	}
	return len(s)
}

// bytesEnd is end for text that stands for the characters that byteRune has for its bytes.
func (j *joins) bytesEnd(s string, start int) int {
	for i := start + 1; i < len(s); i++ {
		kind := int(byteRune[s[i]])
		if j[byteRune[s[i-1]]][kind>>6]>>(kind&63)&1 == 0 {
			return i
		}
	}
	return len(s)
}
