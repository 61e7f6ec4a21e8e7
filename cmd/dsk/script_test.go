package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"dsk": func() {
			os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestScripts runs testdata/script: the first word of a file's name is the command that it is about. $MODELS and $TEXT are
// the folders of models and texts in testdata. Beside testscript's commands there are
//
//	exits CODE COMMAND...   runs a command that must end with the exit code, and keeps its output for stdout and stderr
//	cut FILE N              keeps the first N bytes of a file
//	patch FILE OLD NEW      replaces bytes by as many others, given as Go string literals without quotes
//	same FILE FILE          demands equal bytes
//	flip FILE N             inverts the lowest bit of byte N, from the end if N is negative
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", "..", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join(root, "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("MODELS", filepath.Join(root, "models"))
			e.Setenv("TEXT", filepath.Join(root, "text"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "cut": cut, "flip": flip, "patch": patch, "same": same},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if err != nil {
		if _, e := fmt.Sscanf(err.Error(), "exit status %d", &code); e != nil {
			ts.Fatalf("%s: %v", args[1], err)
		}
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func cut(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.Truncate(ts.MkAbs(args[0]), number(ts, args[1])))
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	at := number(ts, args[1])
	if at < 0 {
		at += int64(len(b))
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(path, b, 0o644))
}

func patch(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	old, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	with, err := strconv.Unquote(`"` + args[2] + `"`)
	ts.Check(err)
	if len(old) != len(with) || !bytes.Contains(b, []byte(old)) {
		ts.Fatalf("%s does not hold %q, or %q has another length", args[0], old, with)
	}
	ts.Check(os.WriteFile(path, bytes.ReplaceAll(b, []byte(old), []byte(with)), 0o644))
}

func same(ts *testscript.TestScript, _ bool, args []string) {
	a, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	if !bytes.Equal(a, b) {
		ts.Fatalf("%s (%d bytes) and %s (%d bytes) differ", args[0], len(a), args[1], len(b))
	}
}

func number(ts *testscript.TestScript, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	ts.Check(err)
	return n
}
