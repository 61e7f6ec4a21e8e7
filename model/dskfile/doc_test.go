package dskfile

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
)

// document returns docs/format.md, cut at its headings.
func document(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "format.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range regexp.MustCompile(`(?m)^#+ `).Split(string(text), -1) {
		title, body, _ := strings.Cut(s, "\n")
		sections[title] = body
	}
	return sections
}

// rows returns the cells of the tables in a section, without code marks.
func rows(t *testing.T, sections map[string]string, title string) [][]string {
	t.Helper()
	var out [][]string
	for line := range strings.Lines(sections[title]) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out = append(out, cells)
	}
	if len(out) == 0 {
		t.Fatalf("docs/format.md has no table under %q", title)
	}
	return out
}

// field is a row of a table of offsets.
type field struct{ offset, width int }

func fields(t *testing.T, sections map[string]string, title string) map[string]field {
	t.Helper()
	out := map[string]field{}
	end := 0
	for _, r := range rows(t, sections, title) {
		offset, err := strconv.Atoi(r[0])
		if err != nil {
			continue // a heading or another table
		}
		width, err := strconv.Atoi(strings.TrimSuffix(r[1], " x count"))
		if err != nil {
			t.Fatalf("%s: width %q", title, r[1])
		}
		if offset != end {
			t.Errorf("%s: field %q at %d, the one before ends at %d", title, r[2], offset, end)
		}
		end = offset + width
		name, _, _ := strings.Cut(r[2], ":")
		name, _, _ = strings.Cut(name, " `")
		name, _, _ = strings.Cut(name, ",")
		out[name] = field{offset, width}
	}
	return out
}

func TestDocumentFrames(t *testing.T) {
	doc := document(t)
	check := func(title string, got map[string]field, want map[string]field) {
		t.Helper()
		for name, w := range want {
			if got[name] != w {
				t.Errorf("%s: %q is %v in docs/format.md, %v in the code", title, name, got[name], w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: fields %v, the code has %v", title, got, want)
		}
	}
	preamble := fmt.Sprintf("Preamble (%d bytes)", PreambleBytes)
	check(preamble, fields(t, doc, preamble), map[string]field{
		"magic":         {0, len(Magic)},
		"version":       {atVersion, 4},
		"section count": {atSections, 4},
		"file bytes":    {atFileBytes, 8},
		"header bytes":  {atHeaderBytes, 8},
		"SHA-256 of the header from byte 128 to its end": {atHeaderHash, 32},
		"region bytes": {atRegionBytes, 8},
		"reserved":     {atReserved, atChecksum - atReserved},
		fmt.Sprintf("CRC32C of bytes 0 to %d", atChecksum-1): {atChecksum, PreambleBytes - atChecksum},
	})
	entry := fmt.Sprintf("Section table (%d bytes an entry)", EntryBytes)
	check(entry, fields(t, doc, entry), map[string]field{
		"type":                       {entryType, 4},
		"flags":                      {entryFlags, 4},
		"offset":                     {entryOffset, 8},
		"stored bytes":               {entryStored, 8},
		"raw bytes":                  {entryRaw, 8},
		"CRC32C of the stored bytes": {entryChecksum, 4},
		"name":                       {entryName, AssetNameBytes},
	})
	if entryName+AssetNameBytes != EntryBytes {
		t.Error("an entry's fields do not fill it")
	}
	check("HASH (binary)", fields(t, doc, "HASH (binary)"), map[string]field{
		"chunk bytes": {0, 8},
		"chunk count": {8, 8},
		"SHA-256 of each chunk; the last may be short": {hashHead, 32},
	})
	for _, r := range rows(t, doc, entry) {
		switch r[0] {
		case "required":
			if r[1] != "0" || flagRequired != 1<<0 {
				t.Errorf("flag %v", r)
			}
		case "deflate":
			if r[1] != "1" || flagDeflate != 1<<1 {
				t.Errorf("flag %v", r)
			}
		}
	}
}

func TestDocumentLimits(t *testing.T) {
	want := map[string]int{
		"MaxSections": MaxSections, "MaxMetaBytes": MaxMetaBytes, "MaxNodes": MaxNodes, "MaxTensors": MaxTensors,
		"MaxRank": MaxRank, "MaxDepth": MaxDepth, "MaxNameBytes": MaxNameBytes, "MemoryBase": MemoryBase,
	}
	for _, r := range rows(t, document(t), "Limits")[1:] {
		name := strings.Trim(r[0], "`")
		if v, ok := want[name]; !ok || strconv.Itoa(v) != r[1] {
			t.Errorf("docs/format.md says %s is %s, the code %d", name, r[1], v)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("docs/format.md does not mention %s", name)
	}
}

// TestDocumentWords checks numbers and names that stand in sentences.
func TestDocumentWords(t *testing.T) {
	doc := document(t)
	var types []string
	for dt := tensor.F32; dt <= tensor.D2; dt++ {
		types = append(types, dt.String())
	}
	magic := strings.TrimSpace(fmt.Sprintf("% x", Magic))
	for title, sentences := range map[string][]string{
		"Terms": {fmt.Sprintf("**Line**: %d bytes", LineBytes), fmt.Sprintf("**Page**: %d bytes", PageBytes)},
		fmt.Sprintf("The `.dsk` file, version %d", Version):          {"model/dskfile"},
		fmt.Sprintf("Preamble (%d bytes)", PreambleBytes):            {"`" + magic + "`", "`" + strings.Trim(strconv.QuoteToASCII(Magic), `"`) + "`", fmt.Sprintf("version: %d", Version), fmt.Sprintf("from byte %d to its end", PreambleBytes)},
		fmt.Sprintf("Section table (%d bytes an entry)", EntryBytes): {strings.Join(requiredTypes[:3], ", ") + " and " + requiredTypes[3] + " occur exactly once, required, in this order"},
		"Packed data":   {fmt.Sprintf("at most %d x the stream's bytes + %d", packedGrowth, packedBase), fmt.Sprintf("A file of version %d", PackedVersion), fmt.Sprintf("up to %d", mostSeen)},
		"HASH (binary)": {fmt.Sprintf("at most %d MiB; the writer uses %d MiB", ChunkBytes>>20, ChunkBytes>>20)},
		"ASET":          {fmt.Sprintf("1 to %d bytes", AssetNameBytes)},
		"GRPH":          {"`dtype` is one of " + strings.Join(types, " ")},
	} {
		for _, s := range sentences {
			if !strings.Contains(doc[title], s) {
				t.Errorf("docs/format.md, %q, does not say %q", title, s)
			}
		}
	}
}

// TestDocumentKeys compares the tables of JSON keys with what the encoder writes and the decoder takes.
func TestDocumentKeys(t *testing.T) {
	doc := document(t)
	keys := regexp.MustCompile("`([a-z]+)`")
	inDoc := func(title, object string) (list []string) {
		for _, r := range rows(t, doc, title) {
			if r[0] == object {
				// What stands in brackets explains a key.
				for _, k := range keys.FindAllStringSubmatch(regexp.MustCompile(`\([^)]*\)|\[[^\]]*\]`).ReplaceAllString(r[1], ""), -1) {
					list = append(list, k[1])
				}
			}
		}
		return list
	}
	source, err := os.ReadFile("graph.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := os.ReadFile("tensors.go")
	if err != nil {
		t.Fatal(err)
	}
	code := string(source) + string(more)
	for _, c := range []struct{ title, object string }{
		{"GRPH", "graph"}, {"GRPH", "value"}, {"GRPH", "state"}, {"GRPH", "node"}, {"GRPH", "attr"}, {"GRPH", "tensor"}, {"TENS", "tensor"},
	} {
		list := inDoc(c.title, c.object)
		call := `d.object("` + strings.Join(list, `", "`) + `")`
		if len(list) == 0 || !strings.Contains(code, call) {
			t.Errorf("%s, object %s: the decoder has no %s", c.title, c.object, call)
		}
	}
}
