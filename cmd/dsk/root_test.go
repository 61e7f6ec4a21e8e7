package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestJSON says that the one object has the schema's head, whatever stands in it.
func TestJSON(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{struct{}{}, `{"schema_version":1,"command":"x"}`},
		{struct {
			A int `json:"a"`
		}{3}, `{"schema_version":1,"command":"x","a":3}`},
	} {
		var out strings.Builder
		a := &app{stdout: &out}
		a.printJSON("x", c.v)
		if got := strings.TrimSpace(out.String()); got != c.want || !json.Valid([]byte(got)) {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// TestHelp demands of every command a line of help, an example or two for those that take files, and known flags only.
func TestHelp(t *testing.T) {
	root := (&app{}).root()
	names := map[string]bool{}
	for _, c := range root.Commands() {
		names[c.Name()] = true
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short help %q", c.Name(), c.Short)
		}
		if strings.Contains(c.Use, " ") && !strings.Contains(c.Long, "\n  dsk "+c.Name()) && !strings.Contains(c.Long, "EXIT STATUS") {
			t.Errorf("%s: its help has neither an example nor exit codes", c.Name())
		}
	}
	for _, want := range strings.Fields("convert inspect check quantize eval run embed tokenize bench verify doctor demo version") {
		if !names[want] {
			t.Errorf("there is no command %q", want)
		}
	}
}
