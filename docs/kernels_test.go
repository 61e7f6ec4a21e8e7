package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

var (
	textSymbol = regexp.MustCompile(`(?m)^TEXT ·(\w+)\(SB\)`)
	isaSuffix  = regexp.MustCompile(`^(\w+?)(AVX512|VBMI|AVX2|AVXVNNI|AVX|AMX|NEON|DotProd|I8MM)$`)
	rowCount   = regexp.MustCompile(`^(scores|scoresHalf|gemm|wide|wideHalf|convTile|intConvTile|intTaps|outerTile|channelOuter|tapsFMA|tapsMax|tapsMean)\d+(x\d)?$`)
)

// TestRoutines holds the list of kernels.md to the assembly files.
func TestRoutines(t *testing.T) {
	files, err := filepath.Glob("../kernels/*.s")
	if err != nil || len(files) == 0 {
		t.Fatal("no assembly found", err)
	}
	have := map[string]map[string]bool{}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range textSymbol.FindAllStringSubmatch(string(src), -1) {
			name, isa := m[1], "-"
			if s := isaSuffix.FindStringSubmatch(name); s != nil {
				name, isa = s[1], s[2]
			}
			if m := rowCount.FindStringSubmatch(name); m != nil {
				name = m[1] + "N" + m[2]
			}
			if have[name] == nil {
				have[name] = map[string]bool{}
			}
			have[name][isa] = true
		}
	}
	doc, err := os.ReadFile("kernels.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```routines\n")
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("kernels.md has no routines block")
	}
	for line := range strings.Lines(block) {
		fields := strings.Fields(line)
		var want []string
		for isa := range have[fields[0]] {
			want = append(want, isa)
		}
		got := append([]string(nil), fields[1:]...)
		sort.Strings(want)
		sort.Strings(got)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("kernels.md: %s has %v, the assembly has %v", fields[0], got, want)
		}
		delete(have, fields[0])
	}
	for name := range have {
		t.Errorf("kernels.md does not list %s", name)
	}
}
