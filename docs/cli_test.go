package docs

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "renew the blocks of help in cli.md")

var helpBlock = regexp.MustCompile("(?s)```help ([a-z ]+)\n(.*?)```")

// TestHelp holds every block of help in cli.md to what the program prints, and demands one for every command.
func TestHelp(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "dsk")
	build := exec.Command("go", "build", "-o", binary, "../cmd/dsk")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building dsk: %v\n%s", err, out)
	}
	help := func(args ...string) string {
		out, err := exec.Command(binary, append(args, "--help")...).Output()
		if err != nil {
			t.Fatalf("dsk %v --help: %v", args, err)
		}
		text, _, _ := strings.Cut(string(out), "\nGlobal Flags:")
		return strings.TrimRight(text, "\n") + "\n"
	}
	page, err := os.ReadFile("cli.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	renewed := helpBlock.ReplaceAllStringFunc(string(page), func(block string) string {
		m := helpBlock.FindStringSubmatch(block)
		documented[m[1]] = true
		want := help(strings.Fields(m[1])...)
		if m[2] != want && !*update {
			t.Errorf("cli.md: the help of %s is out of date: go test ./docs -update\nprogram:\n%s\npage:\n%s", m[1], want, m[2])
		}
		return "```help " + m[1] + "\n" + want + "```"
	})
	if *update {
		if err := os.WriteFile("cli.md", []byte(renewed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, list, _ := strings.Cut(help(), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		if name := strings.Fields(line)[0]; name != "help" && name != "completion" && !documented[name] {
			t.Errorf("cli.md does not document dsk %s", name)
		}
	}
}

// TestExitCodes holds the table of cli.md to "dsk help exit-codes", by its first words.
func TestExitCodes(t *testing.T) {
	page, err := os.ReadFile("cli.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join("..", "cmd", "dsk", "exit.go"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (\w+)`).FindAllStringSubmatch(string(page), -1)
	listed := regexp.MustCompile(`(?m)^  (\d+) +(\w+)`).FindAllStringSubmatch(string(source), -1)
	if len(rows) == 0 || len(rows) != len(listed) {
		t.Fatalf("cli.md lists %d exit codes, the program %d", len(rows), len(listed))
	}
	for i, row := range rows {
		if row[1] != listed[i][1] || row[2] != listed[i][2] {
			t.Errorf("cli.md: %s %s; the program: %s %s", row[1], row[2], listed[i][1], listed[i][2])
		}
	}
}
