package onnx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// labelKeys are the metadata under which exporters keep the names of a model's classes; Ultralytics' is "names".
var labelKeys = []string{"names", "labels", "classes", "class_names"}

// labelsOf finds the names of the classes in a model's metadata; nil if there are none that can be read.
func labelsOf(metadata []protoEntry) []string {
	for _, key := range labelKeys {
		for _, e := range metadata {
			if e.key == key {
				if names := parseLabels(e.value); names != nil {
					return names
				}
			}
		}
	}
	return nil
}

// parseLabels reads a list of strings, or strings by their numbers 0 to n-1, as JSON or Python writes them. It returns nil
// for anything else.
func parseLabels(text string) []string {
	p := &labelParser{rest: strings.TrimSpace(text)}
	keyed := p.take("{")
	if !keyed && !p.take("[") {
		return nil
	}
	end := map[bool]string{true: "}", false: "]"}[keyed]
	named := map[int]string{}
	for !p.take(end) {
		k := len(named)
		if keyed {
			var ok bool
			if k, ok = p.number(); !ok || !p.take(":") {
				return nil
			}
		}
		name, ok := p.quoted()
		if _, dup := named[k]; !ok || dup {
			return nil
		}
		named[k] = name
		if !p.take(",") && !strings.HasPrefix(p.rest, end) {
			return nil
		}
	}
	if p.rest != "" {
		return nil
	}
	var names []string
	for k := range len(named) {
		name, ok := named[k]
		if !ok || strings.ContainsAny(name, "\r\n") {
			return nil
		}
		names = append(names, name)
	}
	return names
}

type labelParser struct{ rest string }

// take skips a token and the space behind it, if it comes next.
func (p *labelParser) take(token string) bool {
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = strings.TrimSpace(rest)
	}
	return ok
}

// number reads 7, "7" or '7'.
func (p *labelParser) number() (int, bool) {
	text, ok := p.quoted()
	if !ok {
		digits := strings.TrimLeft(p.rest, "0123456789")
		text, p.rest = p.rest[:len(p.rest)-len(digits)], strings.TrimSpace(digits)
	}
	k, err := strconv.Atoi(text)
	return k, err == nil && k >= 0
}

func (p *labelParser) quoted() (string, bool) {
	if p.rest == "" || p.rest[0] != '"' && p.rest[0] != '\'' {
		return "", false
	}
	quote, rest := p.rest[0], p.rest[1:]
	var b strings.Builder
	for rest != "" && rest[0] != quote {
		r, _, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return "", false
		}
		b.WriteRune(r)
		rest = tail
	}
	if rest == "" {
		return "", false
	}
	p.rest = strings.TrimSpace(rest[1:])
	return b.String(), true
}

// lowerZipMap: a list of maps from a class to its score, one for each row of a matrix of scores. The matrix says the same
// in one tensor, so that is what the output becomes; the classes are the model's labels.
func lowerZipMap(l *lowering) error {
	labels := slices.Clone(l.attrs["classlabels_strings"].Strs)
	for _, v := range l.attrs["classlabels_int64s"].Ints {
		labels = append(labels, strconv.FormatInt(v, 10))
	}
	if len(labels) == 0 {
		return l.broken("it names no classes")
	}
	if l.im.labels == nil {
		l.im.labels = labels
	}
	l.im.tables[l.outputs[0]] = true
	l.im.warnings = append(l.im.warnings, fmt.Sprintf("node %s (ZipMap): %s is the matrix of scores, one column for each of %d classes", l.path, l.outputs[0], len(labels)))
	l.emit("", "Identity", l.name, []string{l.in(0)}, l.outputs, nil)
	return nil
}
