package safetensors

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/architectures.md anew")

// TestDocument holds docs/architectures.md against the registry; with -update it writes the page.
func TestDocument(t *testing.T) {
	var page strings.Builder
	page.WriteString(`# Architectures

What ` + "`dsk convert`" + ` reads from a folder with config.json and safetensors. ` + "`model_type`" + ` and ` + "`architectures`" + ` in config.json
must be as below. Weights are F32, F16 or BF16.

Encoders and encoder-decoders take part as language models do: what stands on them (a masked language model, classes of texts, of tokens or of
images, answers) is the class's. Beside a checkpoint, modules.json of sentence-transformers makes it a model for ` + "`dsk embed`" + `: Pooling, Dense
and Normalize are known, behind encoders and behind language models (` + "`...ForCausalLM`" + `, or ` + "`...Model`" + ` without a head).

This page is made from the code: ` + "`go test ./convert/safetensors -run Document -update`" + `.

| model_type | class | in dsk | models |
|---|---|---|---|
`)
	list := slices.Clone(architectures)
	slices.SortFunc(list, func(a, b architecture) int {
		return cmp.Or(cmp.Compare(a.modelType, b.modelType), cmp.Compare(a.class, b.class))
	})
	for _, a := range list {
		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", a.modelType, a.class, a.name, a.models)
	}
	path := filepath.Join("..", "..", "docs", "architectures.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != page.String() {
		t.Errorf("docs/architectures.md is not current: go test ./convert/safetensors -run Document -update")
	}
}
