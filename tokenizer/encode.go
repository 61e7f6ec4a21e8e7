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
	t     *Tokenizer
	take  func(piece) // what becomes of a normalized piece
	ids   []int32
	words wordCache // of pieces that still have steps before them, by step
}

func (t *Tokenizer) newEncoder() *encoder {
	e := &encoder{t: t}
	model := t.model.coder()
	e.take = t.through(func(p piece) { e.ids = model.encode(e.ids, p.text) }, e.remember)
	return e
}

// through returns what takes a piece through all steps of the pre-tokenizer, and hands what they leave to last. All
// steps but the first, which takes whole texts, are what around makes of them.
func (t *Tokenizer) through(last func(piece), around func(level int, take func(piece)) func(piece)) func(piece) {
	for i := len(t.split) - 1; i >= 0; i-- {
		step, next := t.split[i].cut, last
		last = func(p piece) { step(p, next) }
		if i > 0 && around != nil {
			last = around(i, last)
		}
	}
	return last
}

// pieceBytes is the longest piece that is remembered before the last step: longer ones seldom come twice.
const pieceBytes = 24

// remember goes on with a piece as take does, once for each different one: its ids depend on nothing else, unless it stands at the
// start of the text.
func (e *encoder) remember(level int, take func(piece)) func(piece) {
	if level > 255 {
		return take
	}
	return func(p piece) {
		if p.first || p.text == "" || len(p.text) > pieceBytes {
			take(p)
			return
		}
		k := e.words.key(p.text, level)
		var ok bool
		if e.ids, ok = e.words.get(e.ids, &k); ok {
			return
		}
		n := len(e.ids)
		take(p)
		if ids := e.ids[n:]; len(ids) <= pieceBytes {
			// The steps behind this one may have put words of their own.
			k = e.words.key(p.text, level)
			e.words.put(&k, ids)
		}
	}
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
