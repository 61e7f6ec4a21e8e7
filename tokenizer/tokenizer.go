// Package tokenizer turns text into token ids and back, as the tokenizer.json of Hugging Face
// describes it: normalizers, pre-tokenizers, a model (BPE, WordPiece, Unigram or WordLevel), a
// post-processor and decoders. A Tokenizer does not change once it is parsed, but for caches of
// words, and may be used by many goroutines at once.
package tokenizer

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

const (
	// maxTokens caps ids, so that a hostile file cannot ask for a huge table. The
	// largest vocabularies in use have about 2^18 tokens.
	maxTokens = 1 << 22
	// maxFile caps the size of a tokenizer.json; real ones stay below 40 MB.
	maxFile = 1 << 28
)

// Tokenizer encodes and decodes text.
type Tokenizer struct {
	tokens  []string // by id; "" for ids that are not used
	vocab   map[string]int32
	special map[int32]bool
	model   subwords

	normalize normalizer // nil: none
	split     []preTokenizer
	literal   *addedSet // added tokens found in the text as it is
	changed   *addedSet // added tokens found in the normalized text
	frame     frame
	decoders  []decoderSpec
	timedOut  *atomic.Bool
	encoders  sync.Pool // *encoder
}

// Encode returns the ids of text. With addSpecial the post-processor's tokens (begin of
// text, for instance) surround them. Special tokens that are spelt out in the text are found;
// EncodePlain is for text that must not contain any.
func (t *Tokenizer) Encode(text string, addSpecial bool) []int32 {
	ids := make([]int32, 0, len(text)/3+4)
	if addSpecial {
		ids = append(ids, t.frame.before...)
	}
	ids = t.encode(ids, text, false)
	if addSpecial {
		ids = append(ids, t.frame.after...)
	}
	return ids
}

// EncodePlain returns the ids of text in which a special token that is spelt out is no more than
// its letters: text of a user, for instance, that must not end a turn.
func (t *Tokenizer) EncodePlain(text string) []int32 {
	return t.encode(make([]int32, 0, len(text)/3+4), text, true)
}

func (t *Tokenizer) encode(ids []int32, text string, plain bool) []int32 {
	e, _ := t.encoders.Get().(*encoder)
	if e == nil {
		e = t.newEncoder()
	}
	defer t.encoders.Put(e)
	return e.encode(ids, text, plain)
}

// Decode returns the text of ids; ids that are no tokens count as nothing. With
// skipSpecial special tokens do, too. Bytes that are not UTF-8 become U+FFFD.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	var out []byte
	s := t.stream(func(text string) { out = append(out, text...) })
	for _, id := range ids {
		if !skipSpecial || !t.special[id] {
			s.feed(0, t.Token(id))
		}
	}
	s.flush()
	return string(out)
}

// Err returns an error if a pattern of the tokenizer ever took too long, so that a text
// was not split as the pattern says.
func (t *Tokenizer) Err() error {
	if t.timedOut.Load() {
		return fault.Formatf("tokenizer pre_tokenizer", "a regular expression took longer than %v for one match", matchTimeout)
	}
	return nil
}

// VocabSize returns the number of ids: the largest one plus one.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// TokenID returns the id of a token as the vocabulary spells it.
func (t *Tokenizer) TokenID(token string) (id int32, ok bool) {
	id, ok = t.vocab[token]
	return id, ok
}

// Token returns the spelling of a token, "" for an id that is not used.
func (t *Tokenizer) Token(id int32) string {
	if id < 0 || int(id) >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// IsSpecial reports whether id is a special token, which is no part of the text.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.special[id] }

// Stream decodes tokens one at a time. Each character comes out whole.
type Stream struct {
	t           *Tokenizer
	steps       []decoder
	outs        []func(string)
	out         func(string)
	text        []byte
	skipSpecial bool
}

// NewStream returns a stream that leaves special tokens out, as Decode(ids, true) does.
func (t *Tokenizer) NewStream() *Stream {
	s := t.stream(nil)
	s.out = func(text string) { s.text = append(s.text, text...) }
	s.skipSpecial = true
	return s
}

func (t *Tokenizer) stream(out func(string)) *Stream {
	s := &Stream{t: t, out: out}
	fused := false
	for i, spec := range t.decoders {
		var d decoder
		d, fused = spec(fused)
		s.steps = append(s.steps, d)
		s.outs = append(s.outs, func(text string) { s.feed(i+1, text) })
	}
	return s
}

// feed hands text to step i, and what that gives to the next.
func (s *Stream) feed(i int, text string) {
	switch {
	case text == "":
	case i == len(s.steps):
		s.out(text)
	default:
		s.steps[i].feed(text, s.outs[i])
	}
}

func (s *Stream) flush() {
	for i, d := range s.steps {
		d.flush(s.outs[i])
	}
}

// Next takes a token and returns the text that it completes, which may be "".
func (s *Stream) Next(id int32) string {
	if s.skipSpecial && s.t.special[id] {
		return ""
	}
	s.text = s.text[:0]
	s.feed(0, s.t.Token(id))
	return string(s.text)
}

// Flush ends the text and returns what was kept back; the stream can then start anew.
func (s *Stream) Flush() string {
	s.text = s.text[:0]
	s.flush()
	text := string(s.text)
	fresh := s.t.NewStream()
	s.steps = fresh.steps
	return text
}

// maxDepth caps how deep sequences of parts may be nested.
const maxDepth = 16

// parser collects what a file has that is not supported.
type parser struct {
	gaps     []fault.Item
	depth    int
	timedOut *atomic.Bool
}

// nest reads the parts of a sequence with read.
func nest[T any](p *parser, raws []json.RawMessage, where string, read func(json.RawMessage) (T, error)) ([]T, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fault.Formatf("tokenizer "+where, "sequences are nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	out := make([]T, 0, len(raws))
	for _, raw := range raws {
		v, err := read(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (p *parser) unsupported(where, what string) {
	p.gaps = append(p.gaps, fault.Item{Where: where, What: what})
}

// Parse reads a tokenizer.json. The error is a *fault.Format for a broken file and a
// *fault.Unsupported, with all gaps, for one that needs what is not here.
func Parse(data []byte) (*Tokenizer, error) {
	switch {
	case len(data) == 0:
		return nil, fault.Formatf("tokenizer", "the file is empty")
	case len(data) > maxFile:
		return nil, fault.Formatf("tokenizer", "%d bytes are more than any tokenizer needs (limit %d)", len(data), maxFile)
	case !utf8.Valid(data):
		return nil, fault.Formatf("tokenizer", "the file is not UTF-8")
	}
	s := &scanner{data: data}
	top, err := s.fields()
	if err != nil {
		return nil, err
	}
	if s.peek() != 0 {
		return nil, s.fail("more text behind the end of the object")
	}
	if _, ok := top["model"]; !ok {
		return nil, fault.Formatf("tokenizer", "it has no model")
	}
	raw := func(key string) json.RawMessage { f := top[key]; return data[f.lo:f.hi] }
	p := &parser{timedOut: new(atomic.Bool)}
	t := &Tokenizer{timedOut: p.timedOut, special: map[int32]bool{}}
	if err := p.readModel(t, data, top["model"]); err != nil {
		return nil, err
	}
	normal, err := p.normalizer(raw("normalizer"))
	if err != nil {
		return nil, err
	}
	t.normalize = chain(normal)
	if t.split, err = p.preTokenizer(raw("pre_tokenizer")); err != nil {
		return nil, err
	}
	if t.frame, err = p.postProcessor(raw("post_processor")); err != nil {
		return nil, err
	}
	if t.decoders, err = p.decoders(raw("decoder")); err != nil {
		return nil, err
	}
	if len(p.gaps) > 0 {
		return nil, &fault.Unsupported{Kind: "tokenizer part", Items: p.gaps}
	}
	t.spellLate()
	if err := t.addTokens(raw("added_tokens")); err != nil {
		return nil, err
	}
	for _, id := range t.frame.specialIDs() {
		if t.Token(id) == "" {
			return nil, fault.Formatf("tokenizer post_processor", "id %d is not a token", id)
		}
	}
	return t, nil
}

// addTokens puts the added tokens into the vocabulary.
func (t *Tokenizer) addTokens(raw json.RawMessage) error {
	const where = "added_tokens"
	var added []addedToken
	if !isNull(raw) {
		var err error
		if added, err = decode[[]addedToken](raw, where); err != nil {
			return err
		}
	}
	for i := range added {
		a := &added[i]
		if a.ID < 0 || a.ID >= maxTokens {
			return fault.Formatf("tokenizer "+where, "id %d of %q is out of range", a.ID, a.Content)
		}
		if id, ok := t.vocab[a.Content]; ok {
			a.ID = id
		} else {
			if err := t.place(a.ID, a.Content); err != nil {
				return err
			}
			t.vocab[a.Content] = a.ID
		}
		if a.Special {
			t.special[a.ID] = true
		}
	}
	t.literal = newAddedSet(added, false, nil)
	t.changed = newAddedSet(added, true, t.normalize)
	return nil
}

// place gives an id its spelling.
func (t *Tokenizer) place(id int32, token string) error {
	for int(id) >= len(t.tokens) {
		t.tokens = append(t.tokens, "")
	}
	if old := t.tokens[id]; old != "" && old != token {
		return fault.Formatf("tokenizer", "tokens %q and %q have the same id %d", old, token, id)
	}
	t.tokens[id] = token
	return nil
}

// String describes the tokenizer for reports.
func (t *Tokenizer) String() string {
	return fmt.Sprintf("tokenizer of %d tokens", len(t.tokens))
}
