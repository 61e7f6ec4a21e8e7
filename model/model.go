// Package model owns the in-memory model that every verb shares: a graph with
// ONNX operator semantics (opset 27 forms; see docs/architecture.md for the few
// operators of the "dsk" domain), its weights, and what must travel with them.
// Verbs never change a Model that they were given; they work on a Clone.
package model

import (
	"maps"
	"sort"
)

// Opset is the ONNX operator set whose forms every graph uses. Importers translate older forms.
const Opset = 27

// Model is a graph and everything that is needed to run it.
type Model struct {
	Graph *Graph
	Meta  Meta
	// Assets are files that travel with the model and are read by the package that
	// knows them: "tokenizer.json", "chat_template.jinja", "preprocess.json",
	// "labels.txt", "detector.json", "golden.json".
	Assets map[string][]byte
	// Packed says that the model's file is stored packed: smaller, but unpacked in memory when it is opened
	// instead of being used as it is mapped.
	Packed bool
}

// The names of assets.
const (
	AssetTokenizer    = "tokenizer.json"
	AssetChatTemplate = "chat_template.jinja"
	AssetPreprocess   = "preprocess.json"
	AssetAudio        = "audio.json"
	AssetLabels       = "labels.txt"
	AssetDetector     = "detector.json"
	// AssetTokenGolden holds texts and ids recorded at convert and replayed at load.
	AssetTokenGolden = "tokenizer.golden.json"
)

// Meta is what is known about a model beside its graph. It is stored as JSON.
type Meta struct {
	Name    string `json:"name,omitempty"`
	License string `json:"license,omitempty"`
	// Architecture is the importer's name of the family: "llama", or "onnx" for a graph as it came.
	Architecture string  `json:"architecture,omitempty"`
	Task         Task    `json:"task,omitempty"`
	Source       Source  `json:"source"`
	Parameters   int64   `json:"parameters"` // weights in the source, tied ones once
	LM           *LMInfo `json:"lm,omitempty"`
	// Text is there for models that take texts and are no language models.
	Text *TextInfo `json:"text,omitempty"`
	// Steps is the history: convert first, then every verb that made a new file.
	Steps []Step `json:"steps"`
}

// Task says what a model is for, so that run and eval know how to feed it.
type Task string

// The tasks.
const (
	TaskGraph    Task = ""         // tensors in, tensors out
	TaskLM       Task = "lm"       // a causal language model
	TaskClassify Task = "classify" // an image in, one score a class out
	TaskDetect   Task = "detect"   // an image in, boxes out
	TaskEmbed    Task = "embed"    // a text in, a vector out
	TaskSeq2Seq  Task = "seq2seq"  // an encoder's input, a text or sound, in, a text out
	// TaskTextClassify is a text in, one score a class out.
	TaskTextClassify Task = "classify-text"
)

// Source says where a model came from.
type Source struct {
	Format string       `json:"format"` // "onnx", "safetensors"
	Files  []SourceFile `json:"files"`
}

// SourceFile is one file of the source: its base name, size and hash.
type SourceFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// LMInfo holds what a language model's session needs beside the graph.
type LMInfo struct {
	VocabSize     int   `json:"vocab_size"`
	ContextLength int   `json:"context_length"`
	BOS           []int `json:"bos,omitempty"`
	EOS           []int `json:"eos,omitempty"`
	// Start is what the decoder of an encoder-decoder begins with.
	Start []int `json:"start,omitempty"`
}

// TextInfo holds what an encoder of texts needs beside the graph.
type TextInfo struct {
	VocabSize int `json:"vocab_size"`
	// MaxTokens is how many tokens a text may have, special ones included.
	MaxTokens int `json:"max_tokens"`
	// How sentence_embedding is made of the tokens' vectors, as sentence-transformers names it: "mean", "cls", "max",
	// "lasttoken", "mean_sqrt_len", "weightedmean", several with "+" between. Normalized ones have the length 1.
	Pooling    string `json:"pooling,omitempty"`
	Dimensions int    `json:"dimensions,omitempty"`
	Normalized bool   `json:"normalized,omitempty"`
	// Prompts go before a text, by the name of their purpose; DefaultPrompt names the one for texts without any.
	Prompts       map[string]string `json:"prompts,omitempty"`
	DefaultPrompt string            `json:"default_prompt,omitempty"`
}

// Step is one verb's entry in a model's history. It holds no times and no paths of a machine.
type Step struct {
	Verb    string            `json:"verb"`    // "convert", "quantize"
	Version string            `json:"version"` // of dsk
	Options map[string]string `json:"options,omitempty"`
}

// Clone returns a copy that can be changed: graph structure, maps and metadata are
// copied, tensors are shared.
func (m *Model) Clone() *Model {
	c := *m
	c.Graph = m.Graph.Clone()
	c.Assets = maps.Clone(m.Assets)
	c.Meta.Source.Files = append([]SourceFile(nil), m.Meta.Source.Files...)
	c.Meta.Steps = append([]Step(nil), m.Meta.Steps...)
	if m.Meta.LM != nil {
		lm := *m.Meta.LM
		c.Meta.LM = &lm
	}
	if m.Meta.Text != nil {
		text := *m.Meta.Text
		text.Prompts = maps.Clone(text.Prompts)
		c.Meta.Text = &text
	}
	return &c
}

// AssetNames returns the names of the assets in order.
func (m *Model) AssetNames() []string { return sortedKeys(m.Assets) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
