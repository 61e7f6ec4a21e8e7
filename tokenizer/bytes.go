package tokenizer

import "slices"

// Bytes returns what each token adds in the midst of a text, by id: bytes, since a token may hold a part of a character. Special
// tokens, and ids that are not used, add nothing.
func (t *Tokenizer) Bytes() []string {
	s := t.NewContinuation()
	byteLevel := slices.ContainsFunc(s.steps, func(d decoder) bool { _, ok := d.(*byteLevelDecoder); return ok })
	fallback := slices.ContainsFunc(s.steps, func(d decoder) bool { _, ok := d.(*fallbackDecoder); return ok })
	out := make([]string, len(t.tokens))
	for id, token := range t.tokens {
		if t.special[int32(id)] {
			continue
		}
		if byteLevel {
			out[id] = unmapBytes(token)
			continue
		}
		if b, ok := byteToken(token); ok && fallback {
			out[id] = string([]byte{b})
			continue
		}
		out[id] = t.NewContinuation().all(token)
	}
	return out
}

// all is the text of one token and the end.
func (s *Stream) all(token string) string {
	s.text = s.text[:0]
	s.feed(0, token)
	s.flush()
	return string(s.text)
}

// unmapBytes turns the characters that stand for bytes into these; a token with another one stands for itself.
func unmapBytes(token string) string {
	b := make([]byte, 0, len(token))
	for _, r := range token {
		if int(r) >= len(runeByte) || runeByte[r] < 0 {
			return token
		}
		b = append(b, byte(runeByte[r]))
	}
	return string(b)
}

// NewContinuation returns a stream like NewStream's for tokens that continue a text: a blank that the first one
// begins with stays.
func (t *Tokenizer) NewContinuation() *Stream {
	s := t.NewStream()
	s.all("a")
	return s
}

// appendFallback appends the byte tokens of text. It reports false, and appends nothing, where there is no table, no text, or a byte without a token.
func appendFallback(dst []int32, fallback *[256]int32, text string) ([]int32, bool) {
	if fallback == nil || text == "" {
		return dst, false
	}
	n := len(dst)
	for i := 0; i < len(text); i++ {
		id := fallback[text[i]]
		if id < 0 {
			return dst[:n], false
		}
		dst = append(dst, id)
	}
	return dst, true
}
