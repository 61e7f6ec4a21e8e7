package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites text before it is split.
type normalizer func(string) string

// normalStep is a part of a normalizer.
type normalStep struct {
	apply normalizer
	// local: ASCII characters are rewritten each by itself, whatever stands beside them, and so is all that lies between two of them.
	local bool
}

// chain returns the normalizer that takes one step after the other, nil if there are none. Neighbouring local steps
// become one: what they make of ASCII is looked up, and only what lies between goes through each.
func chain(steps []normalStep) normalizer {
	var out []normalizer
	for len(steps) > 0 {
		n := 0
		image := newASCIIImage()
		for n < len(steps) && steps[n].local && image.isASCII() {
			image.through(steps[n].apply)
			n++
		}
		if n == 0 {
			out = append(out, steps[0].apply)
			n = 1
		} else {
			out = append(out, byRuns(steps[:n], image))
		}
		steps = steps[n:]
	}
	if len(out) == 0 {
		return nil
	}
	return func(s string) string {
		for _, n := range out {
			s = n(s)
		}
		return s
	}
}

// asciiImage is what becomes of each ASCII character.
type asciiImage [utf8.RuneSelf]string

func newASCIIImage() *asciiImage {
	a := new(asciiImage)
	for c := range a {
		a[c] = string(rune(c))
	}
	return a
}

func (a *asciiImage) through(n normalizer) {
	for c := range a {
		a[c] = n(a[c])
	}
}

// isASCII reports whether what comes next still finds ASCII where ASCII was.
func (a *asciiImage) isASCII() bool {
	for _, s := range a {
		for i := range len(s) {
			if s[i] >= utf8.RuneSelf {
				return false
			}
		}
	}
	return true
}

// byRuns takes local steps at once. A character that vanishes does not part what stands on its two sides. Bytes that are not UTF-8
// make a text go through the steps as a whole: where they stand at an end, decomposition leaves more alone than in the midst of a text.
func byRuns(steps []normalStep, ascii *asciiImage) normalizer {
	all := func(s string) string {
		for _, step := range steps {
			s = step.apply(s)
		}
		return s
	}
	var single [256]bool // ASCII characters that one takes the place of
	var image [256]byte
	for c, to := range ascii {
		if len(to) == 1 {
			single[c], image[c] = true, to[0]
		}
	}
	return func(s string) string {
		if !utf8.ValidString(s) {
			return all(s)
		}
		b := make([]byte, 0, len(s)+len(s)/16)
		for i := 0; i < len(s); {
			start := i
			for i < len(s) && single[s[i]] {
				i++
			}
			n := len(b)
			b = append(b, s[start:i]...)
			for k, c := range b[n:] {
				b[n+k] = image[c]
			}
			if i == len(s) {
				break
			}
			if c := s[i]; c < utf8.RuneSelf {
				b = append(b, ascii[c]...)
				i++
				continue
			}
			start = i
			for i < len(s) && (s[i] >= utf8.RuneSelf || ascii[s[i]] == "") {
				i++
			}
			b = append(b, all(s[start:i])...)
		}
		return string(b)
	}
}

func (p *parser) normalizer(raw json.RawMessage) ([]normalStep, error) {
	if isNull(raw) {
		return nil, nil
	}
	const where = "normalizer"
	o, err := decode[struct {
		Type               string
		Normalizers        []json.RawMessage
		Prepend            string
		Pattern            patternSpec
		Content            string
		StripLeft          bool  `json:"strip_left"`
		StripRight         bool  `json:"strip_right"`
		CleanText          bool  `json:"clean_text"`
		HandleChineseChars bool  `json:"handle_chinese_chars"`
		StripAccents       *bool `json:"strip_accents"`
		Lowercase          bool
		Charsmap           []byte `json:"precompiled_charsmap"`
	}](raw, where)
	if err != nil {
		return nil, err
	}
	switch o.Type {
	case "Sequence":
		steps, err := nest(p, o.Normalizers, where, p.normalizer)
		return slices.Concat(steps...), err
	case "Prepend":
		return whole(func(s string) string {
			if s == "" {
				return s
			}
			return o.Prepend + s
		}), nil
	case "Replace":
		return p.replacer(o.Pattern, o.Content, where)
	case "NFC":
		return whole(norm.NFC.String), nil
	case "NFD":
		return local(norm.NFD.String), nil
	case "NFKC":
		return whole(norm.NFKC.String), nil
	case "NFKD":
		return local(norm.NFKD.String), nil
	case "Lowercase":
		return local(lower), nil
	case "Strip":
		return whole(func(s string) string {
			if o.StripLeft {
				s = strings.TrimLeftFunc(s, unicode.IsSpace)
			}
			if o.StripRight {
				s = strings.TrimRightFunc(s, unicode.IsSpace)
			}
			return s
		}), nil
	case "StripAccents":
		return local(func(s string) string { return dropIn(unicode.M, s) }), nil
	case "BertNormalizer":
		strip := o.Lowercase
		if o.StripAccents != nil {
			strip = *o.StripAccents
		}
		return local(func(s string) string {
			if o.CleanText {
				s = strings.Map(cleanRune, s)
			}
			if o.HandleChineseChars {
				s = spaceChinese(s)
			}
			if strip {
				s = dropIn(unicode.Mn, norm.NFD.String(s))
			}
			if o.Lowercase {
				s = lower(s)
			}
			return s
		}), nil
	case "Precompiled":
		return precompiled(o.Charsmap)
	}
	p.unsupported(where, o.Type)
	return nil, nil
}

func whole(n normalizer) []normalStep { return []normalStep{{apply: n}} }
func local(n normalizer) []normalStep { return []normalStep{{apply: n, local: true}} }

// replacer returns a step that replaces every match.
func (p *parser) replacer(spec patternSpec, content, where string) ([]normalStep, error) {
	if spec.String != nil {
		old := *spec.String
		replace := func(s string) string { return strings.ReplaceAll(s, old, content) }
		return []normalStep{{apply: replace, local: utf8.RuneCountInString(old) == 1}}, nil
	}
	find, err := p.pattern(spec, where)
	if err != nil || find.next == nil && find.all == nil {
		return nil, err
	}
	return []normalStep{{local: find.set != nil, apply: func(s string) string {
		var b strings.Builder
		last := 0
		matches := find.in(s)
		for m, ok := matches.next(); ok; m, ok = matches.next() {
			b.WriteString(s[last:m.lo])
			b.WriteString(content)
			last = m.hi
		}
		if last == 0 {
			return s
		}
		b.WriteString(s[last:])
		return b.String()
	}}}, nil
}

// lower maps each character alone; the dotted capital I is the one that becomes two.
func lower(s string) string {
	return strings.ToLower(strings.ReplaceAll(s, "İ", "i\u0307"))
}

func dropIn(table *unicode.RangeTable, s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(table, r) {
			return -1
		}
		return r
	}, s)
}

// cleanRune is BERT's clean_text: control characters vanish, white space becomes a blank.
func cleanRune(r rune) rune {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return ' '
	case r == 0 || r == unicode.ReplacementChar || unicode.Is(unicode.C, r):
		return -1
	case unicode.IsSpace(r):
		return ' '
	}
	return r
}

// spaceChinese puts blanks around CJK ideographs.
func spaceChinese(s string) string {
	if strings.IndexFunc(s, isChinese) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isChinese(r) {
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isChinese tells the blocks that BERT's multilingual tokenizer lists.
func isChinese(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF ||
		r >= 0x20000 && r <= 0x2A6DF || r >= 0x2A700 && r <= 0x2B73F ||
		r >= 0x2B740 && r <= 0x2B81F || r >= 0x2B920 && r <= 0x2CEAF ||
		r >= 0xF900 && r <= 0xFAFF || r >= 0x2F800 && r <= 0x2FA1F
}
