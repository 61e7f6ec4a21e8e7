package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&Format{File: "m.dsk", Offset: 12, Where: "section GRPH", Why: "a name is cut off", Next: "get it again"},
			"m.dsk: offset 12: section GRPH: a name is cut off (get it again)"},
		{&Format{Offset: -1, Why: "it is empty"},
			"it is empty (the file is damaged or not of this format; get it again from its source)"},
		{Formatf("node conv_1", "%d inputs", 7),
			"node conv_1: 7 inputs (the file is damaged or not of this format; get it again from its source)"},
		{&Unsupported{File: "m.onnx", Kind: "operator", Items: []Item{{What: "Foo", Where: "node a", Opset: 17, DType: "F32", Hint: "nearest: Bar"}}},
			"m.onnx: unsupported operator: Foo (opset 17) F32 at node a; nearest: Bar"},
		{&Unsupported{Kind: "operator", Items: []Item{{What: "Zeta"}, {What: "Alpha", Where: "node b"}}},
			"unsupported operators (2)\n  Alpha at node b\n  Zeta"},
		{&Gate{What: "too large"}, "too large"},
		{&Resource{What: "needs 3 GB"}, "needs 3 GB"},
		{&Usage{What: "--x is missing"}, "--x is missing"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

// TestItemsStay says that a message does not reorder what it is about.
func TestItemsStay(t *testing.T) {
	u := &Unsupported{Kind: "operator", Items: []Item{{What: "Zeta"}, {What: "Alpha"}}}
	_ = u.Error()
	if u.Items[0].What != "Zeta" {
		t.Errorf("items were sorted in place: %v", u.Items)
	}
}

func TestClassesSurviveWrapping(t *testing.T) {
	err := fmt.Errorf("reading: %w", &Format{File: "a", Offset: -1, Why: "b"})
	var f *Format
	var u *Usage
	if !errors.As(err, &f) || f.File != "a" || errors.As(err, &u) {
		t.Errorf("%v is not told apart", err)
	}
}

// TestInFile: the path is added where there is none, through wrapping, and a name that is there stays.
func TestInFile(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("reading: %w", Formatf("header", "it is cut off")), "m.dsk: header"},
		{&Unsupported{Kind: "format", Items: []Item{{What: "GGUF"}}}, "m.dsk: unsupported format"},
		{&Format{File: "other.dsk", Offset: -1, Why: "it is empty"}, "other.dsk: it is empty"},
		{&Usage{What: "a flag is wrong"}, "a flag is wrong"},
	} {
		if got := InFile(c.err, "m.dsk"); got != c.err {
			t.Errorf("%v became another error", c.err)
		}
		var text string
		var f *Format
		if errors.As(c.err, &f) {
			text = f.Error()
		} else {
			text = c.err.Error()
		}
		if !strings.HasPrefix(text, c.want) {
			t.Errorf("%q does not start with %q", text, c.want)
		}
	}
	if InFile(nil, "m.dsk") != nil {
		t.Error("no error became one")
	}
}
