package tokenizer

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// modelSpec holds the small fields of all kinds of model.
type modelSpec struct {
	Type         string   `json:"type"`
	UnkToken     *string  `json:"unk_token"`
	UnkID        *int32   `json:"unk_id"`
	FuseUnk      bool     `json:"fuse_unk"`
	ByteFallback bool     `json:"byte_fallback"`
	IgnoreMerges bool     `json:"ignore_merges"`
	Prefix       *string  `json:"continuing_subword_prefix"`
	Suffix       *string  `json:"end_of_word_suffix"`
	MaxChars     *int     `json:"max_input_chars_per_word"`
	Dropout      *float64 `json:"dropout"`
}

// readModel reads the model and the vocabulary.
func (p *parser) readModel(t *Tokenizer, data []byte, at span) error {
	s := &scanner{data: data[:at.hi], pos: at.lo}
	fields, err := s.fields()
	if err != nil {
		return err
	}
	small := map[string]json.RawMessage{}
	for key, f := range fields {
		if key != "vocab" && key != "merges" {
			small[key] = data[f.lo:f.hi]
		}
	}
	// Encoding a map of values that were cut out of valid JSON cannot fail unless the values are broken.
	text, err := json.Marshal(small)
	if err != nil {
		return fault.Formatf("tokenizer model", "%v", err)
	}
	spec, err := decode[modelSpec](text, "model")
	if err != nil {
		return err
	}
	vocab, ok := fields["vocab"]
	if !ok {
		return fault.Formatf("tokenizer model", "it has no vocab")
	}
	merges, hasMerges := fields["merges"]
	if spec.Type == "" {
		spec.Type = guessType(data[vocab.lo], hasMerges, spec.MaxChars != nil)
	}
	s.pos = vocab.lo
	if spec.Type == "Unigram" {
		return t.readUnigram(s, spec)
	}
	switch spec.Type {
	case "BPE", "WordPiece", "WordLevel":
	default:
		p.unsupported("model", spec.Type)
		return nil
	}
	if err := t.readVocab(s); err != nil {
		return err
	}
	unk := int32(-1)
	if spec.UnkToken != nil {
		unk = lookup(t.vocab, *spec.UnkToken)
	}
	prefix := ""
	if spec.Prefix != nil {
		prefix = *spec.Prefix
	}
	switch spec.Type {
	case "BPE":
		m := &bpe{vocab: t.vocab, tokens: t.tokens, unk: unk, fuseUnk: spec.FuseUnk, ignoreMerges: spec.IgnoreMerges, prefix: prefix}
		if spec.Suffix != nil {
			m.suffix = *spec.Suffix
		}
		if !hasMerges {
			return fault.Formatf("tokenizer model", "a BPE model needs merges")
		}
		s.pos = merges.lo
		if m.merges, err = t.readMerges(s, prefix); err != nil {
			return err
		}
		t.model = newBPE(m, spec.ByteFallback)
	case "WordPiece":
		m := &wordPiece{vocab: t.vocab, unk: unk, prefix: prefix, maxChars: 100}
		if spec.Prefix == nil {
			m.prefix = "##"
		}
		if spec.MaxChars != nil {
			m.maxChars = *spec.MaxChars
		}
		for _, token := range t.tokens {
			m.longest = max(m.longest, len(token))
		}
		t.model = m
	case "WordLevel":
		t.model = &wordLevel{vocab: t.vocab, unk: unk}
	}
	return nil
}

// guessType tells the model of an old file, which does not name its type.
func guessType(vocab byte, merges, maxChars bool) string {
	switch {
	case vocab == '[':
		return "Unigram"
	case merges:
		return "BPE"
	case maxChars:
		return "WordPiece"
	}
	return "WordLevel"
}

// readVocab reads {"token": id, ..}. All spellings share one string.
func (t *Tokenizer) readVocab(s *scanner) error {
	type entry struct{ lo, hi, id int32 }
	var entries []entry
	buf := make([]byte, 0, len(s.data)/8)
	top := int32(-1)
	err := s.list('{', '}', func() error {
		lo := len(buf)
		var err error
		if buf, err = s.str(buf); err != nil {
			return err
		}
		if err := s.want(':'); err != nil {
			return err
		}
		id, err := s.id()
		if err != nil {
			return err
		}
		top = max(top, id)
		entries = append(entries, entry{int32(lo), int32(len(buf)), id})
		return nil
	})
	if err != nil {
		return err
	}
	all := string(buf)
	t.tokens = make([]string, top+1)
	t.vocab = make(map[string]int32, len(entries))
	for _, e := range entries {
		token := all[e.lo:e.hi]
		if err := t.place(e.id, token); err != nil {
			return err
		}
		t.vocab[token] = e.id
	}
	return nil
}

// readMerges reads ["a b", ..] or [["a","b"], ..]; what two tokens make is their spellings
// joined, without the prefix of the second.
func (t *Tokenizer) readMerges(s *scanner, prefix string) (*mergeTable, error) {
	out := newMergeTable(len(t.tokens))
	var left, right, joined []byte
	rank := int32(0)
	err := s.list('[', ']', func() error {
		start := s.pos
		var err error
		if s.peek() == '[' {
			n := 0
			err = s.list('[', ']', func() error {
				n++
				dst := &left
				if n == 2 {
					dst = &right
				}
				var err error
				*dst, err = s.str((*dst)[:0])
				return err
			})
			if err == nil && n != 2 {
				err = s.fail("merge %d has %d parts, not 2", rank, n)
			}
		} else {
			joined, err = s.str(joined[:0])
			if err == nil {
				a, b, ok := strings.Cut(string(joined), " ")
				if !ok || a == "" || b == "" || strings.Contains(b, " ") {
					err = s.fail("merge %d, %q, is not two tokens", rank, joined)
				}
				left, right = append(left[:0], a...), append(right[:0], b...)
			}
		}
		if err != nil {
			return err
		}
		a, okA := t.vocab[string(left)]
		b, okB := t.vocab[string(right)]
		joined = append(append(joined[:0], left...), strings.TrimPrefix(string(right), prefix)...)
		id, ok := t.vocab[string(joined)]
		for _, part := range []struct {
			text []byte
			ok   bool
		}{{left, okA}, {right, okB}, {joined, ok}} {
			if !part.ok {
				s.pos = start
				return s.fail("merge %d needs the token %q, which is not in the vocab", rank, part.text)
			}
		}
		out.set(a, b, merge{rank, id})
		rank++
		return nil
	})
	return out, err
}

// readUnigram reads [["token", score], ..].
func (t *Tokenizer) readUnigram(s *scanner, spec modelSpec) error {
	var scores []float64
	t.vocab = map[string]int32{}
	err := s.list('[', ']', func() error {
		if len(scores) == maxTokens {
			return s.fail("more than %d tokens", maxTokens)
		}
		if err := s.want('['); err != nil {
			return err
		}
		token, err := s.str(nil)
		if err != nil {
			return err
		}
		if err := s.want(','); err != nil {
			return err
		}
		score, err := strconv.ParseFloat(s.number(), 64)
		if err != nil || math.IsInf(score, 0) {
			return s.fail("the score of %q is not a number", token)
		}
		id := int32(len(scores))
		scores = append(scores, score)
		t.tokens = append(t.tokens, string(token))
		t.vocab[string(token)] = id
		return s.want(']')
	})
	if err != nil {
		return err
	}
	unk := int32(-1)
	if spec.UnkID != nil {
		unk = *spec.UnkID
		if unk < 0 || int(unk) >= len(scores) {
			return fault.Formatf("tokenizer model", "unk_id %d is not one of the %d tokens", unk, len(scores))
		}
	}
	m := newUnigram(t.tokens, scores, unk)
	if spec.ByteFallback {
		m.fallback = byteTokens(t.vocab)
	}
	t.model = m
	return nil
}
