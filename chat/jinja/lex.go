package jinja

import (
	"strings"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

type tokenKind uint8

const (
	tokText   tokenKind = iota // output as it stands
	tokOpen                    // {{
	tokClose                   // }}
	tokBegin                   // {%
	tokEnd                     // %}
	tokName                    // identifiers and keywords
	tokString                  // value holds the text
	tokNumber                  // value holds the digits
	tokSymbol                  // operators and brackets
	tokEOF
)

type lexeme struct {
	kind  tokenKind
	value string
	pos   int // byte offset in the source
}

// at describes a place of the source as line and column, counted from one.
func at(src string, pos int) string {
	before := src[:min(pos, len(src))]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return "chat template line " + itoa(line) + " column " + itoa(column)
}

func broken(src string, pos int, format string, args ...any) error {
	e := fault.Formatf(at(src, pos), format, args...)
	e.Next = "give a template that works with --chat-template, or a prompt without --chat"
	return e
}

// lexer cuts a template into lexemes. Whitespace around tags is cut as Hugging Face's chat templates want it: the line break after
// a {% %} or {# #} goes (trim_blocks), and so does the blank space before one that begins a line (lstrip_blocks); "-" strips
// all white space on its side and "+" keeps it.
type lexer struct {
	src  string
	pos  int
	out  []lexeme
	trim bool // strip white space at the start of the next text
}

func lex(src string) ([]lexeme, error) {
	src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	l := &lexer{src: strings.TrimSuffix(src, "\n")}
	for l.pos < len(l.src) {
		if err := l.text(); err != nil {
			return nil, err
		}
	}
	l.add(tokEOF, "")
	return l.out, nil
}

func (l *lexer) add(kind tokenKind, value string) {
	l.out = append(l.out, lexeme{kind, value, l.pos})
}

// text takes what stands before the next tag, and then the tag.
func (l *lexer) text() error {
	start := l.pos
	open := len(l.src)
	for i := start; i+1 < len(l.src); i++ {
		if l.src[i] == '{' && strings.IndexByte("{%#", l.src[i+1]) >= 0 {
			open = i
			break
		}
	}
	text := l.src[start:open]
	if l.trim {
		text = strings.TrimLeft(text, whitespace)
	}
	l.trim = false
	if open == len(l.src) {
		l.addText(text)
		l.pos = open
		return nil
	}
	kind := l.src[open+1]
	l.pos = open + 2
	mark := byte(0)
	if l.pos < len(l.src) && (l.src[l.pos] == '-' || l.src[l.pos] == '+') {
		mark = l.src[l.pos]
		l.pos++
	}
	switch {
	case mark == '-':
		text = strings.TrimRight(text, whitespace)
	case mark == 0 && kind != '{':
		line := open
		for line > 0 && (l.src[line-1] == ' ' || l.src[line-1] == '\t') {
			line--
		}
		if line == 0 || l.src[line-1] == '\n' {
			text = strings.TrimRight(text, " \t")
		}
	}
	l.addText(text)
	switch kind {
	case '#':
		return l.comment(open)
	case '{':
		l.add(tokOpen, "")
		return l.tag(open, "}}", tokClose)
	}
	if end, ok := l.raw(); ok {
		return end
	}
	l.add(tokBegin, "")
	return l.tag(open, "%}", tokEnd)
}

const whitespace = " \t\n\r\f\v"

func (l *lexer) addText(s string) {
	if s != "" {
		l.add(tokText, s)
	}
}

// close ends a tag whose closing mark was met: it says what becomes of the white space behind it.
func (l *lexer) close(mark byte, block bool) {
	l.trim = mark == '-'
	if block && mark == 0 && l.pos < len(l.src) && l.src[l.pos] == '\n' {
		l.pos++
	}
}

func (l *lexer) comment(open int) error {
	n := strings.Index(l.src[l.pos:], "#}")
	if n < 0 {
		return broken(l.src, open, "a comment is not closed")
	}
	mark := byte(0)
	if body := l.src[l.pos : l.pos+n]; body != "" && (body[n-1] == '-' || body[n-1] == '+') {
		mark = body[n-1]
	}
	l.pos += n + 2
	l.close(mark, true)
	return nil
}

// raw takes {% raw %}...{% endraw %} as text.
func (l *lexer) raw() (error, bool) {
	begin, mark, ok := l.bare(l.pos, "raw")
	if !ok {
		return nil, false
	}
	open := l.pos
	l.pos = begin
	l.close(mark, true)
	for i := l.pos; i+1 < len(l.src); i++ {
		if l.src[i] != '{' || l.src[i+1] != '%' {
			continue
		}
		at := i + 2
		strip := at < len(l.src) && l.src[at] == '-'
		if strip || at < len(l.src) && l.src[at] == '+' {
			at++
		}
		end, mark, ok := l.bare(at, "endraw")
		if !ok {
			continue
		}
		text := l.src[l.pos:i]
		if l.trim {
			text = strings.TrimLeft(text, whitespace)
		}
		if strip {
			text = strings.TrimRight(text, whitespace)
		}
		l.addText(text)
		l.pos = end
		l.close(mark, true)
		return nil, true
	}
	return broken(l.src, open, "raw is not closed by endraw"), true
}

// bare matches a tag of one word from pos on and returns where it ends.
func (l *lexer) bare(pos int, word string) (end int, mark byte, ok bool) {
	rest := strings.TrimLeft(l.src[pos:], whitespace)
	rest, ok = strings.CutPrefix(rest, word)
	if !ok {
		return 0, 0, false
	}
	rest = strings.TrimLeft(rest, whitespace)
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		mark, rest = rest[0], rest[1:]
	}
	rest, ok = strings.CutPrefix(rest, "%}")
	return len(l.src) - len(rest), mark, ok
}

// symbols, the longest first.
var symbols = []string{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|"}

// tag takes the lexemes of a tag up to its end.
func (l *lexer) tag(open int, closing string, kind tokenKind) error {
	depth := 0 // of brackets: "}}" may end two dictionaries
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		if depth == 0 {
			mark := byte(0)
			body := rest
			if rest[0] == '-' || rest[0] == '+' {
				mark, body = rest[0], rest[1:]
			}
			if strings.HasPrefix(body, closing) {
				l.add(kind, "")
				l.pos += len(rest) - len(body) + 2
				l.close(mark, kind == tokEnd)
				return nil
			}
		}
		c := rest[0]
		switch {
		case strings.IndexByte(whitespace, c) >= 0:
			l.pos++
		case c == '"' || c == '\'':
			if err := l.quoted(c); err != nil {
				return err
			}
		case isDigit(c):
			l.number(rest)
		case isLetter(c):
			n := 1
			for n < len(rest) && (isLetter(rest[n]) || isDigit(rest[n])) {
				n++
			}
			l.add(tokName, rest[:n])
			l.pos += n
		default:
			if err := l.symbol(rest, &depth); err != nil {
				return err
			}
		}
	}
	return broken(l.src, open, "a tag is not closed by %s", closing)
}

func (l *lexer) symbol(rest string, depth *int) error {
	for _, s := range symbols {
		if strings.HasPrefix(rest, s) {
			switch s {
			case "(", "[", "{":
				*depth++
			case ")", "]", "}":
				*depth = max(0, *depth-1)
			}
			l.add(tokSymbol, s)
			l.pos += len(s)
			return nil
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return broken(l.src, l.pos, "%q has no meaning here", r)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isLetter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (l *lexer) number(rest string) {
	n := 0
	digits := func() {
		for n < len(rest) && (isDigit(rest[n]) || rest[n] == '_') {
			n++
		}
	}
	digits()
	if n+1 < len(rest) && rest[n] == '.' && isDigit(rest[n+1]) {
		n++
		digits()
	}
	if n < len(rest) && (rest[n] == 'e' || rest[n] == 'E') {
		at := n
		n++
		if n < len(rest) && (rest[n] == '+' || rest[n] == '-') {
			n++
		}
		if n < len(rest) && isDigit(rest[n]) {
			digits()
		} else {
			n = at
		}
	}
	l.add(tokNumber, strings.ReplaceAll(rest[:n], "_", ""))
	l.pos += n
}

// quoted takes a string with Python's escapes.
func (l *lexer) quoted(quote byte) error {
	start := l.pos
	var b strings.Builder
	for i := l.pos + 1; i < len(l.src); i++ {
		c := l.src[i]
		if c == quote {
			l.add(tokString, b.String())
			l.pos = i + 1
			return nil
		}
		if c != '\\' || i+1 == len(l.src) {
			b.WriteByte(c)
			continue
		}
		i++
		i += escape(&b, l.src[i:])
	}
	return broken(l.src, start, "a string is not closed")
}

// escape writes what an escape sequence stands for; s begins behind the backslash. It returns how many bytes belong
// to it beside the first.
func escape(b *strings.Builder, s string) int {
	switch s[0] {
	case 'n':
		b.WriteByte('\n')
	case 't':
		b.WriteByte('\t')
	case 'r':
		b.WriteByte('\r')
	case 'f':
		b.WriteByte('\f')
	case 'v':
		b.WriteByte('\v')
	case 'a':
		b.WriteByte('\a')
	case 'b':
		b.WriteByte('\b')
	case '0':
		b.WriteByte(0)
	case '\n':
	case '\\', '\'', '"':
		b.WriteByte(s[0])
	case 'x', 'u', 'U':
		n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]]
		if v, ok := hexadecimal(s[1:], n); ok {
			b.WriteRune(v)
			return n
		}
		b.WriteString(`\` + s[:1])
	default:
		b.WriteString(`\` + s[:1])
	}
	return 0
}

func hexadecimal(s string, n int) (rune, bool) {
	if len(s) < n {
		return 0, false
	}
	var v rune
	for i := range n {
		d := strings.IndexByte("0123456789abcdef", s[i]|0x20)
		if d < 0 || isDigit(s[i]) != (d < 10) || v > utf8.MaxRune {
			return 0, false
		}
		v = v<<4 | rune(d)
	}
	return v, v <= utf8.MaxRune
}
