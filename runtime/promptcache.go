package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// ErrOtherCache says that a prompt cache is sound, but was made with another model, cache type or version.
var ErrOtherCache = errors.New("the prompt cache was made with another model or cache type")

// A prompt cache is, in little-endian byte order:
//
//	promptMagic, promptVersion u32, the cache type in 8 bytes, the model's hash in 32 bytes
//	tokens u32, states u32, the bytes of a token's row u32 for each state, the tokens i32
//	for each state the rows of all tokens
//	the SHA-256 of all this
const (
	promptMagic   = "dskcache"
	promptVersion = 1
)

// promptHead is the fixed part of a prompt cache.
type promptHead struct {
	Magic          [8]byte
	Version        uint32
	Kind           [8]byte
	Model          [sha256.Size]byte
	Tokens, States uint32
}

func (l *LM) promptHead(model [sha256.Size]byte, tokens int) promptHead {
	h := promptHead{Version: promptVersion, Model: model, Tokens: uint32(tokens), States: uint32(len(l.s.model.Graph.States))}
	copy(h.Magic[:], promptMagic)
	copy(h.Kind[:], l.s.cacheType)
	return h
}

// tokenStates returns the states in the graph's order, with the bytes of a token's row in each.
func (l *LM) tokenStates() (states []*state, rows []uint32, err error) {
	if odd, ok := l.s.tokenRows(); !ok {
		return nil, nil, &fault.Unsupported{Kind: "model", Items: []fault.Item{{Where: "state " + odd, What: "a prompt cache, with states that do not hold a row for each token"}}}
	}
	for _, st := range l.s.model.Graph.States {
		s := l.s.states[st.Input.Name]
		states = append(states, s)
		rows = append(rows, uint32(s.sequenceBytes()/max(1, s.Shape[1])))
	}
	return states, rows, nil
}

// Save writes what the caches hold of the first tokens of the text: a later Load goes on from there. model is a hash that stands for the
// model.
func (c *Conversation) Save(w io.Writer, model [sha256.Size]byte, tokens int) error {
	if tokens > len(c.held) {
		return &fault.Usage{What: fmt.Sprintf("the caches hold %d tokens, not %d", len(c.held), tokens)}
	}
	states, rows, err := c.lm.tokenStates()
	if err != nil {
		return err
	}
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	for _, v := range []any{c.lm.promptHead(model, tokens), rows, c.held[:tokens]} {
		if err := binary.Write(out, binary.LittleEndian, v); err != nil {
			return err
		}
	}
	for i, s := range states {
		if _, err := out.Write(s.Data[:tokens*int(rows[i])]); err != nil {
			return err
		}
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

// Load fills the caches from what Save wrote, and returns its tokens: the next Generate computes only what its prompt has beyond their common beginning.
// Damaged data is a *fault.Format, and what was made otherwise ErrOtherCache; the conversation is empty then.
func (c *Conversation) Load(data []byte, model [sha256.Size]byte) ([]int32, error) {
	c.lm.Rewind(0)
	c.held = c.held[:0]
	states, rows, err := c.lm.tokenStates()
	if err != nil {
		return nil, err
	}
	var head promptHead
	size := binary.Size(head)
	if len(data) < size+sha256.Size || string(data[:len(promptMagic)]) != promptMagic {
		return nil, badPromptCache("it is not one, or cut off")
	}
	body := data[:len(data)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], data[len(body):]) {
		return nil, badPromptCache("its bytes do not give its SHA-256")
	}
	if _, err := binary.Decode(body, binary.LittleEndian, &head); err != nil {
		return nil, err
	}
	if head != c.lm.promptHead(model, int(head.Tokens)) {
		return nil, ErrOtherCache
	}
	body = body[size:]
	want := uint64(4 * len(rows))
	for _, n := range rows {
		want += uint64(n) * uint64(head.Tokens)
	}
	if want += 4 * uint64(head.Tokens); uint64(len(body)) != want {
		return nil, badPromptCache(fmt.Sprintf("%d bytes of %d tokens, want %d", len(body), head.Tokens, want))
	}
	stored, tokens := make([]uint32, len(rows)), make([]int32, head.Tokens)
	for _, v := range []any{stored, tokens} {
		n, err := binary.Decode(body, binary.LittleEndian, v)
		if err != nil {
			return nil, err
		}
		body = body[n:]
	}
	for i, n := range stored {
		if n != rows[i] {
			return nil, ErrOtherCache
		}
	}
	if err := c.lm.setTokens(make([]int64, len(tokens)), tokens); err != nil {
		return nil, badPromptCache(err.Error())
	}
	fit := min(len(tokens), c.lm.Context())
	for i, s := range states {
		copy(s.Data[:fit*int(rows[i])], body)
		body = body[len(tokens)*int(rows[i]):]
	}
	c.held, c.lm.past = append(c.held, tokens[:fit]...), fit
	return tokens, nil
}

func badPromptCache(why string) error {
	return &fault.Format{Offset: -1, Where: "prompt cache", Why: why, Next: "the file is damaged: delete it, and it is made anew"}
}
