package gguf

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// Report is the account of an import.
type Report struct {
	*safetensors.Report
	// Types counts the tensors of each element type.
	Types []TypeCount `json:"types"`
}

// TypeCount says how many tensors have an element type of ggml.
type TypeCount struct {
	Type    string `json:"type"`
	Tensors int    `json:"tensors"`
}

// Import reads the model in a file, or in all the parts that one was split into, whichever of them is named: its metadata and the names of its tensors are translated to those that transformers would
// give the same model, and that is lowered as convert/safetensors does. Quantized weights become F32, exactly, when they are
// written: no format of ours holds one of ggml's without a loss. Errors: *fault.Format for a broken file, *fault.Unsupported for an
// architecture, an element type or a tensor that dsk does not have, *fault.Usage for a file without weights.
func Import(ctx context.Context, path string, o safetensors.Options) (*model.Model, *Report, error) {
	f, files, err := openParts(path)
	if err != nil {
		return nil, nil, err
	}
	s, err := describe(f, files)
	if err != nil {
		closeParts(files)
		return nil, nil, fault.InFile(err, path)
	}
	if o.Name == "" {
		o.Name = f.Text("general.name")
	}
	if o.Name == "" {
		o.Name = nameOf(path)
	}
	m, r, err := safetensors.ImportSource(ctx, s, o)
	if err != nil {
		return nil, nil, err
	}
	counts := map[string]int{}
	for _, t := range f.Tensors {
		counts[t.Type]++
	}
	out := &Report{Report: r}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out.Types = append(out.Types, TypeCount{name, counts[name]})
	}
	return m, out, nil
}

// nameOf is what a model without a name is called: by its file, without what tells parts apart.
func nameOf(path string) string {
	base := filepath.Base(path)
	if m := partName.FindStringSubmatch(base); m != nil {
		return m[1]
	}
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// describe translates what the files say.
func describe(f *File, files []sourceFile) (*safetensors.Source, error) {
	if len(f.Tensors) == 0 {
		return nil, &fault.Usage{What: "the file has no weights, only metadata"}
	}
	arch, err := findArchitecture(f.Text("general.architecture"))
	if err != nil {
		return nil, err
	}
	t := newTranslation(f, files, arch)
	t.common()
	if arch.configure != nil {
		arch.configure(t)
	}
	t.translate()
	if err := t.err(); err != nil {
		return nil, err
	}
	config, err := json.Marshal(t.config)
	if err != nil {
		return nil, fault.Formatf("metadata", "%v", err) // such as an infinite number
	}
	s := &safetensors.Source{Format: "gguf", Config: config, Tensors: t.tensors, PlainNorms: true, ChatTemplate: f.Text("tokenizer.chat_template")}
	for _, f := range files {
		s.Files = append(s.Files, safetensors.SourceFile{Path: f.path, Mapping: f.mapping})
	}
	if f.Value("tokenizer.ggml.model") != nil && f.Text("tokenizer.ggml.model") != "none" {
		if s.Tokenizer, err = f.TokenizerJSON(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func findArchitecture(name string) (*architecture, error) {
	if name == "" {
		return nil, fault.Formatf("metadata general.architecture", "it is missing or no text")
	}
	known := make([]string, len(architectures))
	for i := range architectures {
		if architectures[i].name == name {
			return &architectures[i], nil
		}
		known[i] = architectures[i].name
	}
	hint := "dsk reads " + strings.Join(known, ", ")
	if near := fault.Nearest(name, known); near != "" {
		hint = "the nearest that dsk reads is " + near
	}
	return nil, unsupported("architecture", name, hint)
}
