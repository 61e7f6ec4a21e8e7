package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// A decoder turns tokens back into text, one after the other, so that Decode and the
// stream are the same code. feed may keep something back until it is known
// what becomes of it; flush gives it out.
type decoder interface {
	feed(token string, out func(string))
	flush(out func(string))
}

// decoderSpec makes the decoder of one text. fused says that the tokens that reach it are
// fragments of one string.
type decoderSpec func(fused bool) (d decoder, fusedAfter bool)

// decoders reads a decoder as a chain of steps.
func (p *parser) decoders(raw json.RawMessage) ([]decoderSpec, error) {
	const where = "decoder"
	if isNull(raw) {
		return []decoderSpec{step(func() decoder { return &joinDecoder{} })}, nil
	}
	o, err := decode[struct {
		Type           string
		Decoders       []json.RawMessage
		Pattern        patternSpec
		Content        string
		Start, Stop    int
		Replacement    string
		PrependScheme  string `json:"prepend_scheme"`
		AddPrefixSpace *bool  `json:"add_prefix_space"`
		Prefix         *string
		Cleanup        *bool
		Suffix         string
	}](raw, where)
	if err != nil {
		return nil, err
	}
	switch o.Type {
	case "Sequence":
		lists, err := nest(p, o.Decoders, where, p.decoders)
		return slices.Concat(lists...), err
	case "ByteLevel":
		return []decoderSpec{func(bool) (decoder, bool) { return &byteLevelDecoder{}, true }}, nil
	case "Replace":
		replace, err := p.replacer(o.Pattern, o.Content, where)
		if err != nil || replace == nil {
			return nil, err
		}
		return []decoderSpec{step(func() decoder { return mapDecoder(replace[0].apply) })}, nil
	case "ByteFallback":
		return []decoderSpec{step(func() decoder { return &fallbackDecoder{} })}, nil
	case "Fuse":
		return []decoderSpec{func(bool) (decoder, bool) { return mapDecoder(func(s string) string { return s }), true }}, nil
	case "Strip":
		return []decoderSpec{func(fused bool) (decoder, bool) {
			if fused {
				return &stripDecoder{content: o.Content, start: o.Start, stop: o.Stop}, true
			}
			return mapDecoder(func(s string) string { return strip(s, o.Content, o.Start, o.Stop) }), false
		}}, nil
	case "Metaspace":
		mark := o.Replacement
		if mark == "" {
			mark = "▁"
		}
		prepend := scheme(o.PrependScheme, o.AddPrefixSpace) != prependNever
		return []decoderSpec{step(func() decoder { return &metaspaceDecoder{mark: mark, prepend: prepend} })}, nil
	case "WordPiece":
		prefix := "##"
		if o.Prefix != nil {
			prefix = *o.Prefix
		}
		cleanup := o.Cleanup == nil || *o.Cleanup
		return []decoderSpec{step(func() decoder { return &wordPieceDecoder{prefix: prefix, cleanup: cleanup} })}, nil
	case "BPEDecoder":
		suffix := o.Suffix
		if suffix == "" {
			suffix = "</w>"
		}
		return []decoderSpec{step(func() decoder { return &suffixDecoder{suffix: suffix} })}, nil
	}
	p.unsupported(where, o.Type)
	return nil, nil
}

func step(make func() decoder) decoderSpec {
	return func(fused bool) (decoder, bool) { return make(), fused }
}

// mapDecoder changes each token alone.
type mapDecoder func(string) string

func (f mapDecoder) feed(token string, out func(string)) { out(f(token)) }
func (f mapDecoder) flush(func(string))                  {}

// joinDecoder puts blanks between tokens; it stands for a missing decoder.
type joinDecoder struct{ started bool }

func (d *joinDecoder) feed(token string, out func(string)) {
	if d.started {
		token = " " + token
	}
	d.started = true
	out(token)
}
func (d *joinDecoder) flush(func(string)) {}

// byteLevelDecoder undoes byteLevel.
type byteLevelDecoder struct{ pending []byte }

func (d *byteLevelDecoder) feed(token string, out func(string)) {
	n := len(d.pending)
	for _, r := range token {
		if int(r) >= len(runeByte) || runeByte[r] < 0 {
			// Not of the model's vocabulary: an added token stands for itself.
			d.pending = append(d.pending[:n], token...)
			break
		}
		d.pending = append(d.pending, byte(runeByte[r]))
	}
	d.give(out, false)
}

func (d *byteLevelDecoder) flush(out func(string)) { d.give(out, true) }

func (d *byteLevelDecoder) give(out func(string), all bool) {
	text, rest := validText(d.pending, all)
	d.pending = append(d.pending[:0], rest...)
	if text != "" {
		out(text)
	}
}

// fallbackDecoder turns runs of <0xXX> into the text of these bytes.
type fallbackDecoder struct{ pending []byte }

func (d *fallbackDecoder) feed(token string, out func(string)) {
	b, ok := byteToken(token)
	if !ok {
		d.flush(out)
		out(token)
		return
	}
	d.pending = append(d.pending, b)
	text, rest := validText(d.pending, false)
	d.pending = append(d.pending[:0], rest...)
	if text != "" {
		out(text)
	}
}

func (d *fallbackDecoder) flush(out func(string)) {
	for range d.pending {
		out("\uFFFD")
	}
	d.pending = d.pending[:0]
}

// byteToken reads "<0xXX>".
func byteToken(s string) (byte, bool) {
	if len(s) != 6 || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	hex := func(c byte) int {
		switch {
		case c >= '0' && c <= '9':
			return int(c - '0')
		case c >= 'A' && c <= 'F':
			return int(c-'A') + 10
		case c >= 'a' && c <= 'f':
			return int(c-'a') + 10
		}
		return -1
	}
	hi, lo := hex(s[3]), hex(s[4])
	return byte(hi<<4 | lo), hi >= 0 && lo >= 0
}

// validText returns the complete characters at the start of b, each broken sequence as one
// U+FFFD (the "maximal subpart" practice of the Unicode Standard, section 3.9), and the
// bytes at the end that may yet become a character; with all there are none.
func validText(b []byte, all bool) (text string, rest []byte) {
	if utf8.Valid(b) {
		return string(b), nil
	}
	var out strings.Builder
	for len(b) > 0 {
		r, w := utf8.DecodeRune(b)
		if r != utf8.RuneError || w > 1 {
			out.Write(b[:w])
			b = b[w:]
			continue
		}
		if !all && !utf8.FullRune(b) {
			return out.String(), b
		}
		out.WriteRune(utf8.RuneError)
		b = b[brokenLen(b):]
	}
	return out.String(), nil
}

// brokenLen returns the length of the longest start of b that is the start of a character.
func brokenLen(b []byte) int {
	for n := min(3, len(b)); n > 1; n-- {
		if !utf8.FullRune(b[:n]) {
			return n
		}
	}
	return 1
}

// strip drops up to start copies of content at the start of s and stop copies at its end.
func strip(s, content string, start, stop int) string {
	for ; start > 0 && content != "" && strings.HasPrefix(s, content); start-- {
		s = s[len(content):]
	}
	for ; stop > 0 && content != "" && strings.HasSuffix(s, content); stop-- {
		s = s[:len(s)-len(content)]
	}
	return s
}

// stripDecoder is strip on a string that comes in fragments.
type stripDecoder struct {
	content     string
	start, stop int
	begun       bool // something other than content was seen
	held        string
}

func (d *stripDecoder) feed(token string, out func(string)) {
	s := d.held + token
	d.held = ""
	if !d.begun {
		for d.start > 0 && d.content != "" && strings.HasPrefix(s, d.content) {
			s = s[len(d.content):]
			d.start--
		}
		if d.start > 0 && strings.HasPrefix(d.content, s) {
			d.held = s
			return
		}
		d.begun = true
	}
	keep := min(len(s), d.stop*len(d.content))
	for keep > 0 && keep < len(s) && !utf8.RuneStart(s[len(s)-keep]) {
		keep++
	}
	d.held = s[len(s)-keep:]
	if s = s[:len(s)-keep]; s != "" {
		out(s)
	}
}

func (d *stripDecoder) flush(out func(string)) {
	if s := strip(d.held, d.content, 0, d.stop); s != "" {
		out(s)
	}
	d.held = ""
}

// metaspaceDecoder undoes metaspace.
type metaspaceDecoder struct {
	mark    string
	prepend bool
	started bool
}

func (d *metaspaceDecoder) feed(token string, out func(string)) {
	with := " "
	if !d.started && d.prepend {
		with = ""
	}
	d.started = true
	out(strings.ReplaceAll(token, d.mark, with))
}
func (d *metaspaceDecoder) flush(func(string)) {}

// wordPieceDecoder joins the parts of words and puts blanks between words.
type wordPieceDecoder struct {
	prefix           string
	cleanup, started bool
}

var cleanups = strings.NewReplacer(" .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'",
	" n't", "n't", " 'm", "'m", " do not", " don't", " 's", "'s", " 've", "'ve", " 're", "'re")

func (d *wordPieceDecoder) feed(token string, out func(string)) {
	if d.started {
		if rest, ok := strings.CutPrefix(token, d.prefix); ok {
			token = rest
		} else {
			token = " " + token
		}
	}
	d.started = true
	if d.cleanup {
		token = cleanups.Replace(token)
	}
	out(token)
}
func (d *wordPieceDecoder) flush(func(string)) {}

// suffixDecoder turns the mark at the end of words into blanks, but not behind the last word.
type suffixDecoder struct {
	suffix string
	blank  bool
}

func (d *suffixDecoder) feed(token string, out func(string)) {
	if d.blank {
		out(" ")
		d.blank = false
	}
	if word, ok := strings.CutSuffix(token, d.suffix); ok {
		token, d.blank = word, true
	}
	out(token)
}
func (d *suffixDecoder) flush(func(string)) {}
