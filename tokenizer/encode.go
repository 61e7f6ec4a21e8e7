package tokenizer

// subwords is a model: it turns pieces of text into ids.
type subwords interface{ coder() coder }

// coder encodes for one goroutine at a time: it keeps what it works with, and the words that it met.
type coder interface {
	// encode appends the ids of one piece of text.
	encode(dst []int32, word string) []int32
}

// encoder is the way of a text through a tokenizer: literal tokens, normalizer, other tokens, pre-tokenizer, model. A piece
// is handed on as soon as it is known, so a long text needs no memory for its pieces.
type encoder struct {
	t    *Tokenizer
	take func(piece) // what becomes of a normalized piece
	ids  []int32
}

func (t *Tokenizer) newEncoder() *encoder {
	e := &encoder{t: t}
	model := t.model.coder()
	e.take = t.through(func(p piece) { e.ids = model.encode(e.ids, p.text) })
	return e
}

// through returns what takes a piece through all steps of the pre-tokenizer, and hands what they leave to last.
func (t *Tokenizer) through(last func(piece)) func(piece) {
	for i := len(t.split) - 1; i >= 0; i-- {
		step, next := t.split[i].cut, last
		last = func(p piece) { step(p, next) }
	}
	return last
}

// encode appends the ids of text; with plain, special tokens count as letters.
func (e *encoder) encode(ids []int32, text string, plain bool) []int32 {
	e.ids = ids
	add := func(id int32) { e.ids = append(e.ids, id) }
	e.t.literal.split(text, plain, func(lo, hi int) {
		part, first := text[lo:hi], lo == 0
		if e.t.normalize != nil {
			part = e.t.normalize(part)
		}
		e.t.changed.split(part, plain, func(lo, hi int) { e.take(piece{part[lo:hi], first && lo == 0}) }, add)
	}, add)
	ids, e.ids = e.ids, nil
	return ids
}
