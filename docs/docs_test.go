// Package docs tests that the documents say what the code does.
package docs

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/dsk-toolkit/dsk/"

// allowedImports reads the imports block of architecture.md.
func allowedImports(t *testing.T) map[string][]string {
	t.Helper()
	doc, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```imports\n")
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("architecture.md has no imports block")
	}
	rules := map[string][]string{}
	for line := range strings.Lines(block) {
		name, list, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("architecture.md: no colon in %q", line)
		}
		rules[name] = strings.Fields(list)
	}
	return rules
}

// short is the name of a package of this module in the imports block.
func short(path string) string {
	if path+"/" == module {
		return "."
	}
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "internal/")
}

func TestImports(t *testing.T) {
	rules := allowedImports(t)
	for name, deps := range rules {
		for _, d := range deps {
			if d == "-" || d == "*" {
				continue
			}
			if _, ok := rules[d]; !ok {
				t.Errorf("architecture.md: %s may import %s, which has no rule of its own", name, d)
			}
		}
	}
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := map[string]bool{}
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := short(p.ImportPath)
		if name == "docs" || strings.HasPrefix(name, "testutil") {
			continue
		}
		allowed, ok := rules[name]
		if !ok {
			t.Errorf("package %s has no rule in architecture.md", name)
			continue
		}
		seen[name] = true
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module) {
				continue
			}
			if !contains(allowed, short(imp)) && !contains(allowed, "*") {
				t.Errorf("%s imports %s, which architecture.md does not allow", name, short(imp))
			}
		}
	}
	for name := range rules {
		if !seen[name] {
			t.Errorf("architecture.md has a rule for %s, which does not exist", name)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// TestCommands holds the list of commands in cli.md to the program.
func TestCommands(t *testing.T) {
	doc, err := os.ReadFile("cli.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```commands\n")
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("cli.md has no commands block")
	}
	help, err := exec.Command("go", "run", "../cmd/dsk", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(help), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	want := map[string]bool{}
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "help" {
			want[f[0]] = true
		}
	}
	for line := range strings.Lines(block) {
		name := strings.Fields(line)[0]
		if !want[name] {
			t.Errorf("cli.md lists %s, which the program does not have", name)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("cli.md does not list %s", name)
	}
}
