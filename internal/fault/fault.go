// Package fault owns the classes of errors that users and scripts tell apart by exit
// code. Any floor may import it; cmd maps the classes to exit codes (docs/cli.md).
package fault

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Format reports broken input: truncated, tampered, or not what its name says (exit 6).
type Format struct {
	File   string // path as the user gave it, "" if unknown here: callers add it with InFile
	Offset int64  // in bytes from the start of the file; -1 if it does not apply
	Where  string // the part: "section GRPH", "node conv_1", "tensor w"
	Why    string // what is wrong, lower case, no full stop
	Next   string // what to do about it, "" for the general advice
}

// Error says where and why, then what to do next.
func (e *Format) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, "offset %d: ", e.Offset)
	}
	if e.Where != "" {
		b.WriteString(e.Where + ": ")
	}
	b.WriteString(e.Why)
	next := e.Next
	if next == "" {
		next = "the file is damaged or not of this format; get it again from its source"
	}
	return b.String() + " (" + next + ")"
}

// Formatf returns a Format error without offset.
func Formatf(where, format string, args ...any) *Format {
	return &Format{Offset: -1, Where: where, Why: fmt.Sprintf(format, args...)}
}

// Item is one thing that is not supported.
type Item struct {
	Where string `json:"where"`           // node path or file
	What  string `json:"what"`            // operator, architecture or format
	Opset int    `json:"opset,omitempty"` // of the model
	DType string `json:"dtype,omitempty"`
	Hint  string `json:"hint,omitempty"` // nearest supported thing
}

// Unsupported reports input that is valid but that dsk cannot handle; it lists every gap at once (exit 4).
type Unsupported struct {
	File  string
	Kind  string // "operator", "architecture", "format"
	Items []Item
}

// Error lists all items, one a line when there are several.
func (e *Unsupported) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	kind := e.Kind
	if len(e.Items) > 1 {
		kind += "s"
	}
	fmt.Fprintf(&b, "unsupported %s", kind)
	sep := ": "
	if len(e.Items) > 1 {
		fmt.Fprintf(&b, " (%d)", len(e.Items))
		sep = "\n  "
	}
	items := append([]Item(nil), e.Items...)
	sort.SliceStable(items, func(i, j int) bool { return items[i].What < items[j].What })
	for _, it := range items {
		b.WriteString(sep + it.What)
		if it.Opset > 0 {
			fmt.Fprintf(&b, " (opset %d)", it.Opset)
		}
		if it.DType != "" {
			b.WriteString(" " + it.DType)
		}
		if it.Where != "" {
			b.WriteString(" at " + it.Where)
		}
		if it.Hint != "" {
			b.WriteString("; " + it.Hint)
		}
	}
	return b.String()
}

// InFile adds the file's name to an error about a file's contents that lacks it, and returns the error.
func InFile(err error, path string) error {
	var format *Format
	var unsupported *Unsupported
	switch {
	case errors.As(err, &format) && format.File == "":
		format.File = path
	case errors.As(err, &unsupported) && unsupported.File == "":
		unsupported.File = path
	}
	return err
}

// Gate reports that a stated quality, size or latency was not reached (exit 3).
type Gate struct{ What string }

func (e *Gate) Error() string { return e.What }

// Resource reports too little memory or disk, with numbers (exit 5).
type Resource struct{ What string }

func (e *Resource) Error() string { return e.What }

// Usage reports a wrong flag or argument that only the verb could see (exit 2).
type Usage struct{ What string }

func (e *Usage) Error() string { return e.What }
