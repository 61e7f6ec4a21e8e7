package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a part of the text on its way to the model.
type piece struct {
	text  string
	first bool // it starts where the whole text starts
}

// preTokenizer is a step that parts a piece: it hands the parts on from left to right.
type preTokenizer struct {
	cut    func(p piece, emit func(piece))
	spells bool // it only writes bytes as characters (spellBytes)
}

// one is a single step.
func one(cut func(p piece, emit func(piece))) []preTokenizer { return []preTokenizer{{cut: cut}} }

// preTokenizer returns the steps of a pre-tokenizer, of those that it holds too.
func (p *parser) preTokenizer(raw json.RawMessage) ([]preTokenizer, error) {
	if isNull(raw) {
		return nil, nil
	}
	const where = "pre_tokenizer"
	o, err := decode[struct {
		Type             string
		PreTokenizers    []json.RawMessage `json:"pretokenizers"`
		AddPrefixSpace   *bool             `json:"add_prefix_space"`
		UseRegex         *bool             `json:"use_regex"`
		Pattern          patternSpec
		Behavior         string
		Invert           bool
		IndividualDigits bool `json:"individual_digits"`
		Replacement      string
		PrependScheme    string `json:"prepend_scheme"`
		Split            *bool
		Delimiter        string
	}](raw, where)
	if err != nil {
		return nil, err
	}
	behavior := isolated
	if o.Behavior != "" {
		var ok bool
		if behavior, ok = behaviors[o.Behavior]; !ok {
			p.unsupported(where, "split behavior "+o.Behavior)
		}
	}
	switch o.Type {
	case "Sequence":
		steps, err := nest(p, o.PreTokenizers, where, p.preTokenizer)
		return slices.Concat(steps...), err
	case "ByteLevel":
		return p.byteLevel(o.AddPrefixSpace == nil || *o.AddPrefixSpace, o.UseRegex == nil || *o.UseRegex), nil
	case "Split":
		find, err := p.pattern(o.Pattern, where)
		if err != nil || find.next == nil && find.all == nil {
			return nil, err
		}
		return one(splitter(find, behavior, o.Invert)), nil
	case "Whitespace":
		return one(splitter(finder{next: nextWord}, removed, true)), nil
	case "WhitespaceSplit":
		return one(splitter(findRunes(unicode.IsSpace), removed, false)), nil
	case "BertPreTokenizer":
		return one(bertSplit), nil
	case "Digits":
		if o.IndividualDigits {
			return one(splitter(findRunes(unicode.IsNumber), isolated, false)), nil
		}
		return one(splitter(findRunes(unicode.IsNumber), contiguous, false)), nil
	case "Punctuation":
		return one(splitter(findRunes(isPunctuation), behavior, false)), nil
	case "CharDelimiterSplit":
		return one(splitter(findString(o.Delimiter), removed, false)), nil
	case "Metaspace":
		return metaspace(o.Replacement, scheme(o.PrependScheme, o.AddPrefixSpace), o.Split == nil || *o.Split), nil
	}
	p.unsupported(where, o.Type)
	return nil, nil
}

// behavior says what becomes of the matches that a text is split at.
type behavior uint8

const (
	isolated   behavior = iota // a match is a piece
	removed                    // a match is dropped
	mergedPrev                 // a match ends the piece before it
	mergedNext                 // a match starts the piece behind it
	contiguous                 // neighbouring matches are one piece
)

var behaviors = map[string]behavior{
	"Isolated": isolated, "Removed": removed, "Contiguous": contiguous,
	"MergedWithPrevious": mergedPrev, "MergedWithNext": mergedNext,
}

// splitter splits at the matches of find, or with invert at what lies between them.
func splitter(find finder, how behavior, invert bool) func(p piece, emit func(piece)) {
	return func(p piece, emit func(piece)) {
		matches := find.in(p.text)
		if how == isolated {
			last := 0
			for m, ok := matches.next(); ok; m, ok = matches.next() {
				if last < m.lo {
					emit(p.part(last, m.lo))
				}
				emit(p.part(m.lo, m.hi))
				last = m.hi
			}
			if last < len(p.text) {
				emit(p.part(last, len(p.text)))
			}
			return
		}
		// open is the piece that is being collected.
		open, wasMatch, any := match{}, false, false
		flush := func() {
			if open.lo < open.hi {
				emit(p.part(open.lo, open.hi))
			}
		}
		visit := func(lo, hi int, isMatch bool) {
			if lo == hi {
				return
			}
			join := false
			switch how {
			case removed:
				if isMatch {
					flush()
					open = match{hi, hi}
					return
				}
			case contiguous:
				join = any && wasMatch == isMatch
			case mergedPrev:
				join = any && isMatch && !wasMatch
			case mergedNext:
				join = any && wasMatch && !isMatch
			}
			if !join {
				flush()
				open.lo = lo
			}
			open.hi, wasMatch, any = hi, isMatch, true
		}
		last := 0
		for m, ok := matches.next(); ok; m, ok = matches.next() {
			visit(last, m.lo, invert)
			visit(m.lo, m.hi, !invert)
			last = m.hi
		}
		visit(last, len(p.text), invert)
		flush()
	}
}

// part is a part of a piece that is not empty.
func (p piece) part(lo, hi int) piece { return piece{p.text[lo:hi], p.first && lo == 0} }

// nextWord is `\w+|[^\w\s]+`.
func nextWord(s string, from int) match {
	kind := func(i int) (kind, width int) {
		r, w := utf8.DecodeRuneInString(s[i:])
		switch {
		case isWord(r):
			return 1, w
		case unicode.IsSpace(r):
			return 0, w
		}
		return 2, w
	}
	for i := from; i < len(s); {
		k, w := kind(i)
		lo := i
		i += w
		if k == 0 {
			continue
		}
		for i < len(s) {
			next, w := kind(i)
			if next != k {
				break
			}
			i += w
		}
		return match{lo, i}
	}
	return match{}
}

// isWord is the class \w of Unicode Technical Standard 18.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
	}
	return unicode.IsLetter(r) || unicode.In(r, unicode.Other_Alphabetic, unicode.Nl, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
}

// findRunes finds each character of a class.
func findRunes(is func(rune) bool) finder {
	var ascii [utf8.RuneSelf]bool
	for r := range ascii {
		ascii[r] = is(rune(r))
	}
	return finder{next: func(s string, from int) match {
		for i := from; i < len(s); {
			if c := s[i]; c < utf8.RuneSelf {
				if ascii[c] {
					return match{i, i + 1}
				}
				i++
				continue
			}
			r, w := utf8.DecodeRuneInString(s[i:])
			if is(r) {
				return match{i, i + w}
			}
			i += w
		}
		return match{}
	}}
}

// isPunctuation is BERT's: Unicode punctuation and all ASCII symbols.
func isPunctuation(r rune) bool {
	return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~' || unicode.IsPunct(r)
}

// bertKind tells what BERT does with a character: 0 keep, 1 split around it, 2 drop it.
func bertKind(r rune) uint8 {
	switch {
	case unicode.IsSpace(r):
		return 2
	case isPunctuation(r):
		return 1
	}
	return 0
}

var bertASCII = func() (t [utf8.RuneSelf]uint8) {
	for r := range t {
		t[r] = bertKind(rune(r))
	}
	return t
}()

// bertSplit drops white space and isolates punctuation.
func bertSplit(p piece, emit func(piece)) {
	start := 0
	for i := 0; i < len(p.text); {
		var kind uint8
		w := 1
		if c := p.text[i]; c < utf8.RuneSelf {
			kind = bertASCII[c]
		} else {
			var r rune
			r, w = utf8.DecodeRuneInString(p.text[i:])
			kind = bertKind(r)
		}
		if kind != 0 {
			if start < i {
				emit(p.part(start, i))
			}
			if kind == 1 {
				emit(p.part(i, i+w))
			}
			start = i + w
		}
		i += w
	}
	if start < len(p.text) {
		emit(p.part(start, len(p.text)))
	}
}

// byteRune maps each byte to the printable character that stands for it in the vocabulary of a
// byte-level model, as GPT-2 defined it: printable Latin-1 stands for itself, the rest follow from U+0100.
var byteRune = func() (t [256]rune) {
	next := rune(256)
	for b := range t {
		if b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE {
			t[b] = rune(b)
		} else {
			t[b] = next
			next++
		}
	}
	return t
}()

// runeByte is the inverse of byteRune, -1 for other characters.
var runeByte = func() (t [512]int16) {
	for i := range t {
		t[i] = -1
	}
	for b, r := range byteRune {
		t[r] = int16(b)
	}
	return t
}()

// spellBytes appends the characters that stand for the bytes of text.
func spellBytes(dst []byte, text string) []byte {
	for i := 0; i < len(text); i++ {
		dst = utf8.AppendRune(dst, byteRune[text[i]])
	}
	return dst
}

// byteLevel splits as GPT-2 does, if told to, and writes bytes as characters.
func (p *parser) byteLevel(prefixSpace, split bool) []preTokenizer {
	var steps []preTokenizer
	if prefixSpace {
		steps = one(func(p piece, emit func(piece)) {
			if !strings.HasPrefix(p.text, " ") {
				p.text = " " + p.text
			}
			emit(p)
		})
	}
	if split {
		steps = append(steps, preTokenizer{cut: splitter(p.finder(programGPT2()), isolated, false)})
	}
	return append(steps, preTokenizer{spells: true, cut: func(p piece, emit func(piece)) {
		p.text = string(spellBytes(make([]byte, 0, len(p.text)+len(p.text)/2), p.text))
		emit(p)
	}})
}

// spellLate leaves the spelling of bytes to a model that can do it from a table, once for each new word.
func (t *Tokenizer) spellLate() {
	m, ok := t.model.(*bpe)
	if last := len(t.split) - 1; ok && last >= 0 && t.split[last].spells && m.prefix == "" && m.suffix == "" {
		t.split, m.spells = t.split[:last], true
	}
}

// prependScheme says which pieces get a leading mark.
type prependScheme uint8

const (
	prependAlways prependScheme = iota
	prependFirst
	prependNever
)

// scheme reads the two spellings of the prepend scheme.
func scheme(name string, addPrefix *bool) prependScheme {
	switch {
	case name == "first":
		return prependFirst
	case name == "never", name == "" && addPrefix != nil && !*addPrefix:
		return prependNever
	}
	return prependAlways
}

// metaspace writes blanks as a mark (U+2581) and splits before each mark.
func metaspace(mark string, prepend prependScheme, split bool) []preTokenizer {
	if mark == "" {
		mark = "▁"
	}
	steps := one(func(p piece, emit func(piece)) {
		p.text = strings.ReplaceAll(p.text, " ", mark)
		if (prepend == prependAlways || prepend == prependFirst && p.first) && !strings.HasPrefix(p.text, mark) {
			p.text = mark + p.text
		}
		emit(p)
	})
	if split {
		steps = append(steps, preTokenizer{cut: splitter(findString(mark), mergedNext, false)})
	}
	return steps
}
