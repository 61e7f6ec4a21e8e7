package docs

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/onnx"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestFamilies holds families.md against the table of model families and the operators that an import takes.
// With -update it writes the page.
func TestFamilies(t *testing.T) {
	f, err := os.Open("../../shared/onnx/families.tsv")
	if err != nil {
		t.Skip("../shared is absent: the table of model families is not compared")
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := familiesPage(rows[1:])
	if *update {
		if err := os.WriteFile("families.md", want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("families.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("families.md does not say what the importer takes; go test ./docs -update writes it")
	}
}

// familiesPage writes a row for each family: family, class, domain, number of operators, operators, evidence.
func familiesPage(rows [][]string) []byte {
	none := func(string, string) []tensor.DType { return nil }
	takes := map[string]bool{}
	for _, o := range onnx.Operators(runtime.Supports, none) {
		takes[o.Op] = true
		if o.Domain != "" {
			takes[o.Domain+"::"+o.Op] = true
		}
	}
	var table bytes.Buffer
	covered := 0
	for _, row := range rows {
		var missing []string
		for _, op := range strings.Fields(row[4]) {
			if !takes[op] {
				missing = append(missing, op)
			}
		}
		says := "all"
		if len(missing) > 0 {
			says = "all but " + strings.Join(missing, ", ")
		} else {
			covered++
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", row[0], row[2], row[3], says)
	}
	var page bytes.Buffer
	fmt.Fprintf(&page, `# Model families

Which families of ONNX models have operators that an import takes. The page is made by `+"`go test ./docs -update`"+` from a survey of
real models and the tables behind `+"`dsk convert --list-ops`"+`; a test compares it. A family counts as covered if every operator of the model that
stands for it is there; that a model also converts and gives its recorded results is what `+"`dsk check`"+` measures.

%d of %d families are covered.

| family | for | operators | there are |
|---|---|---|---|
`, covered, len(rows))
	page.Write(table.Bytes())
	return page.Bytes()
}
