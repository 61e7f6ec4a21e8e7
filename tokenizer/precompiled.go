package tokenizer

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// precompiled reads SentencePiece's table of replacements: the byte length of a double-array
// trie, the trie's 32-bit units, then the replacements, each ended by a zero byte. At each place
// the longest match is replaced, as SentencePiece does.
func precompiled(table []byte) ([]normalStep, error) {
	bad := fault.Formatf("tokenizer normalizer", "precompiled_charsmap is broken")
	if len(table) == 0 {
		return nil, nil
	}
	if len(table) < 4 {
		return nil, bad
	}
	size := int(binary.LittleEndian.Uint32(table))
	if size%4 != 0 || size == 0 || size > len(table)-4 {
		return nil, bad
	}
	units := make([]uint32, size/4)
	for i := range units {
		units[i] = binary.LittleEndian.Uint32(table[4+4*i:])
	}
	texts := table[4+size:]
	return whole(func(s string) string {
		out := make([]byte, 0, len(s))
		for i := 0; i < len(s); {
			n, value := longestMatch(units, s[i:])
			if n == 0 || value >= len(texts) {
				_, w := utf8.DecodeRuneInString(s[i:])
				out = append(out, s[i:i+w]...)
				i += w
				continue
			}
			text := texts[value:]
			if end := bytes.IndexByte(text, 0); end >= 0 {
				text = text[:end]
			}
			out = append(out, text...)
			i += n
		}
		return string(out)
	}), nil
}

// longestMatch walks the double array (the layout of Darts-clone): a unit holds its label, a leaf
// bit and the offset of its children.
func longestMatch(units []uint32, s string) (n, value int) {
	offset := func(u uint32) uint32 { return u >> 10 << (u & (1 << 9) >> 6) }
	at := offset(units[0])
	for i := 0; i < len(s); i++ {
		at ^= uint32(s[i])
		if int(at) >= len(units) {
			return n, value
		}
		u := units[at]
		if u&(1<<31|0xFF) != uint32(s[i]) {
			return n, value
		}
		at ^= offset(u)
		if u>>8&1 == 1 && int(at) < len(units) {
			n, value = i+1, int(units[at]&(1<<31-1))
		}
	}
	return n, value
}
