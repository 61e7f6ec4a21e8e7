package tokenizer

import (
	"encoding/json"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites text before it is split.
type normalizer func(string) string

func (p *parser) normalizer(raw json.RawMessage) (normalizer, error) {
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
		if err != nil {
			return nil, err
		}
		return func(s string) string {
			for _, n := range steps {
				if n != nil {
					s = n(s)
				}
			}
			return s
		}, nil
	case "Prepend":
		return func(s string) string {
			if s == "" {
				return s
			}
			return o.Prepend + s
		}, nil
	case "Replace":
		return p.replacer(o.Pattern, o.Content, where)
	case "NFC":
		return norm.NFC.String, nil
	case "NFD":
		return norm.NFD.String, nil
	case "NFKC":
		return norm.NFKC.String, nil
	case "NFKD":
		return norm.NFKD.String, nil
	case "Lowercase":
		return lower, nil
	case "Strip":
		return func(s string) string {
			if o.StripLeft {
				s = strings.TrimLeftFunc(s, unicode.IsSpace)
			}
			if o.StripRight {
				s = strings.TrimRightFunc(s, unicode.IsSpace)
			}
			return s
		}, nil
	case "StripAccents":
		return func(s string) string { return dropIn(unicode.M, s) }, nil
	case "BertNormalizer":
		strip := o.Lowercase
		if o.StripAccents != nil {
			strip = *o.StripAccents
		}
		return func(s string) string {
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
		}, nil
	case "Precompiled":
		return precompiled(o.Charsmap)
	}
	p.unsupported(where, o.Type)
	return nil, nil
}

// replacer returns a function that replaces every match.
func (p *parser) replacer(spec patternSpec, content, where string) (normalizer, error) {
	if spec.String != nil {
		old := *spec.String
		return func(s string) string { return strings.ReplaceAll(s, old, content) }, nil
	}
	find, err := p.pattern(spec, where)
	if err != nil || find == nil {
		return nil, err
	}
	return func(s string) string {
		var b strings.Builder
		last := 0
		for _, m := range find(s) {
			b.WriteString(s[last:m.lo] + content)
			last = m.hi
		}
		return b.String() + s[last:]
	}, nil
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
