package tokenizer

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a part of the text on its way to the model.
type piece struct {
	text  string
	first bool // it starts where the whole text starts
}

// preTokenizer appends the parts of a piece to dst.
type preTokenizer func(dst []piece, p piece) []piece

func (p *parser) preTokenizer(raw json.RawMessage) (preTokenizer, error) {
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
		return p.preTokenizers(o.PreTokenizers)
	case "ByteLevel":
		var find finder
		if o.UseRegex == nil || *o.UseRegex {
			find = findGPT2
		}
		return byteLevel(o.AddPrefixSpace == nil || *o.AddPrefixSpace, find), nil
	case "Split":
		find, err := p.pattern(o.Pattern, where)
		if err != nil || find == nil {
			return nil, err
		}
		return splitter(find, behavior, o.Invert), nil
	case "Whitespace":
		return splitter(findWords, removed, true), nil
	case "WhitespaceSplit":
		return splitter(findRunes(unicode.IsSpace), removed, false), nil
	case "BertPreTokenizer":
		return bertSplit, nil
	case "Digits":
		if o.IndividualDigits {
			return splitter(findRunes(unicode.IsNumber), isolated, false), nil
		}
		return splitter(findRunes(unicode.IsNumber), contiguous, false), nil
	case "Punctuation":
		return splitter(findRunes(isPunctuation), behavior, false), nil
	case "CharDelimiterSplit":
		return splitter(func(s string) []match { return findString(s, o.Delimiter) }, removed, false), nil
	case "Metaspace":
		return metaspace(o.Replacement, scheme(o.PrependScheme, o.AddPrefixSpace), o.Split == nil || *o.Split), nil
	}
	p.unsupported(where, o.Type)
	return nil, nil
}

func (p *parser) preTokenizers(raws []json.RawMessage) (preTokenizer, error) {
	steps, err := nest(p, raws, "pre_tokenizer", p.preTokenizer)
	if err != nil {
		return nil, err
	}
	return func(dst []piece, in piece) []piece {
		pieces := []piece{in}
		for _, step := range steps {
			if step == nil {
				continue
			}
			var next []piece
			for _, q := range pieces {
				next = step(next, q)
			}
			pieces = next
		}
		return append(dst, pieces...)
	}, nil
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
func splitter(find finder, how behavior, invert bool) preTokenizer {
	return func(dst []piece, p piece) []piece {
		add := func(lo, hi int) {
			if lo < hi {
				dst = append(dst, piece{p.text[lo:hi], p.first && lo == 0})
			}
		}
		matches := find(p.text)
		if how == isolated {
			last := 0
			for _, m := range matches {
				add(last, m.lo)
				add(m.lo, m.hi)
				last = m.hi
			}
			add(last, len(p.text))
			return dst
		}
		// start is where the piece that is being collected starts, end where it ends so far.
		start, end, wasMatch, any := 0, 0, false, false
		visit := func(lo, hi int, isMatch bool) {
			if lo == hi {
				return
			}
			join := false
			switch how {
			case removed:
				if isMatch {
					add(start, end)
					start, end = hi, hi
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
				add(start, end)
				start = lo
			}
			end, wasMatch, any = hi, isMatch, true
		}
		last := 0
		for _, m := range matches {
			visit(last, m.lo, invert)
			visit(m.lo, m.hi, !invert)
			last = m.hi
		}
		visit(last, len(p.text), invert)
		add(start, end)
		return dst
	}
}

// findWords is `\w+|[^\w\s]+`.
func findWords(s string) []match {
	kind := func(r rune) int {
		switch {
		case isWord(r):
			return 1
		case unicode.IsSpace(r):
			return 0
		}
		return 2
	}
	var out []match
	last := 0
	for i, r := range s {
		k := kind(r)
		if k != 0 && k == last {
			out[len(out)-1].hi = i + runeWidth(s, i)
		} else if k != 0 {
			out = append(out, match{i, i + runeWidth(s, i)})
		}
		last = k
	}
	return out
}

// isWord is the class \w of Unicode Technical Standard 18.
func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.In(r, unicode.Other_Alphabetic, unicode.Nl, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
}

func runeWidth(s string, i int) int {
	_, w := utf8.DecodeRuneInString(s[i:])
	return w
}

// findRunes finds each character of a class.
func findRunes(is func(rune) bool) finder {
	return func(s string) []match {
		var out []match
		for i, r := range s {
			if is(r) {
				out = append(out, match{i, i + runeWidth(s, i)})
			}
		}
		return out
	}
}

// isPunctuation is BERT's: Unicode punctuation and all ASCII symbols.
func isPunctuation(r rune) bool {
	return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~' || unicode.IsPunct(r)
}

// bertSplit drops white space and isolates punctuation.
func bertSplit(dst []piece, p piece) []piece {
	start := 0
	add := func(lo, hi int) {
		if lo < hi {
			dst = append(dst, piece{p.text[lo:hi], p.first && lo == 0})
		}
	}
	for i, r := range p.text {
		space := unicode.IsSpace(r)
		if !space && !isPunctuation(r) {
			continue
		}
		add(start, i)
		start = i + runeWidth(p.text, i)
		if !space {
			add(i, start)
		}
	}
	add(start, len(p.text))
	return dst
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

// byteLevel splits with find, if any, and writes bytes as characters.
func byteLevel(prefixSpace bool, find finder) preTokenizer {
	return func(dst []piece, p piece) []piece {
		text := p.text
		if prefixSpace && !strings.HasPrefix(text, " ") {
			text = " " + text
		}
		matches := []match{{0, len(text)}}
		if find != nil {
			matches = find(text)
		}
		// All pieces share one string, so that a long text costs two allocations.
		buf := make([]byte, 0, len(text)+len(text)/2)
		n := len(dst)
		ends := make([]int, len(matches))
		for i, m := range matches {
			for _, b := range []byte(text[m.lo:m.hi]) {
				buf = utf8.AppendRune(buf, byteRune[b])
			}
			ends[i] = len(buf)
		}
		all := string(buf)
		start := 0
		for _, end := range ends {
			if end > start {
				dst = append(dst, piece{all[start:end], p.first && len(dst) == n})
			}
			start = end
		}
		return dst
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
func metaspace(mark string, prepend prependScheme, split bool) preTokenizer {
	if mark == "" {
		mark = "▁"
	}
	cut := splitter(func(s string) []match { return findString(s, mark) }, mergedNext, false)
	return func(dst []piece, p piece) []piece {
		p.text = strings.ReplaceAll(p.text, " ", mark)
		if (prepend == prependAlways || prepend == prependFirst && p.first) && !strings.HasPrefix(p.text, mark) {
			p.text = mark + p.text
		}
		if !split {
			return append(dst, p)
		}
		return cut(dst, p)
	}
}
