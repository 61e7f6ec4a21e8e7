package jinja

import (
	"fmt"
	"strings"
	"time"
)

// globals are the functions that a template finds.
var globals = map[string]function{
	"range": func(r *run, pos int, a values) any {
		bounds := []int64{0, 0, 1}
		for i, v := range a.list[:min(3, len(a.list))] {
			n, ok := asInt(v)
			if !ok {
				r.fail(pos, "range needs integers, not %s", describe(v))
			}
			bounds[i] = n
		}
		if len(a.list) == 1 {
			bounds[0], bounds[1] = 0, bounds[0]
		}
		if len(a.list) == 0 || bounds[2] == 0 {
			r.fail(pos, "range needs an end, and a step other than zero")
		}
		out := &List{}
		for i := bounds[0]; bounds[2] > 0 && i < bounds[1] || bounds[2] < 0 && i > bounds[1]; i += bounds[2] {
			r.step(pos)
			out.Items = append(out.Items, i)
		}
		return out
	},
	"namespace": func(r *run, pos int, a values) any {
		ns := &space{map[string]any{}}
		for _, v := range a.list {
			d, ok := v.(*Dict)
			if !ok {
				r.fail(pos, "namespace takes a dict or names, not %s", describe(v))
			}
			for _, k := range d.keys {
				ns.attributes[display(k)] = d.values[k]
			}
		}
		for k, v := range a.named {
			ns.attributes[k] = v
		}
		return ns
	},
	"dict": func(r *run, pos int, a values) any {
		d := NewDict()
		for _, v := range a.list {
			from, ok := v.(*Dict)
			if !ok {
				r.fail(pos, "dict takes a dict or names, not %s", describe(v))
			}
			for _, k := range from.keys {
				d.set(k, from.values[k])
			}
		}
		for _, k := range a.names {
			d.set(k, a.named[k])
		}
		return d
	},
	"raise_exception": func(_ *run, _ int, a values) any {
		message := "no reason given"
		if v, ok := a.get(0, "message"); ok {
			message = textOf(v)
		}
		panic(failure{&Raised{message}})
	},
	"strftime_now": func(r *run, pos int, a values) any {
		if len(a.list) == 0 {
			r.fail(pos, "strftime_now needs a format")
		}
		return strftime(r.now, textOf(a.list[0]))
	},
}

// strftime formats a time as C's function of this name does in the C locale.
func strftime(t time.Time, format string) string {
	layouts := map[byte]string{'d': "02", 'm': "01", 'Y': "2006", 'y': "06", 'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday", 'a': "Mon",
		'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'Z': "MST", 'z': "-0700", 'F': "2006-01-02", 'T': "15:04:05", 'e': "_2",
		'D': "01/02/06", 'R': "15:04", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05"}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		pad := true
		if format[i] == '-' && i+1 < len(format) {
			pad = false
			i++
		}
		var s string
		switch c := format[i]; {
		case c == '%':
			s = "%"
		case c == 'j':
			s = fmt.Sprintf("%03d", t.YearDay())
		case c == 'n':
			s = "\n"
		case layouts[c] != "":
			s = t.Format(layouts[c])
		default:
			s = "%" + string(c)
		}
		if !pad {
			if s = strings.TrimLeft(s, "0 "); s == "" {
				s = "0"
			}
		}
		b.WriteString(s)
	}
	return b.String()
}
