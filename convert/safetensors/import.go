// Package safetensors imports checkpoints in the Hugging Face layout: a folder with config.json,
// weights in safetensors form and a tokenizer.json. It owns the reading of that format, and the
// lowering of each architecture to a graph (arch_*.go). Weights stay in the mapped files until they
// are written.
package safetensors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// Options say how to import.
type Options struct {
	// Name names the model; "" stands for the folder's name.
	Name string
}

// Report is the account of an import.
type Report struct {
	Architecture string `json:"architecture"`
	// Tensors is how many tensors the checkpoint has, Parameters how many weights the graph uses,
	// tied ones once.
	Tensors    int   `json:"tensors"`
	Parameters int64 `json:"parameters"`
	Nodes      int   `json:"nodes"`
	// Unused lists the tensors that the architecture does not use.
	Unused   []string `json:"unused,omitempty"`
	Warnings []string `json:"warnings,omitempty"`

	weights *checkpoint
}

// Close unmaps the checkpoint. The model's weights are read out of it, so it comes last, after
// the model was written or is no longer needed.
func (r *Report) Close() error { return r.weights.close() }

func (r *Report) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Import reads the checkpoint in the folder dir. Errors: *fault.Format for a broken or incomplete one,
// *fault.Unsupported for an architecture, or an option of one, that dsk does not have.
func Import(ctx context.Context, dir string, o Options) (*model.Model, *Report, error) {
	configPath := filepath.Join(dir, "config.json")
	data, err := readFile(dir, "config.json")
	if errors.Is(err, fs.ErrNotExist) {
		if _, dirErr := os.Stat(dir); dirErr != nil {
			return nil, nil, dirErr
		}
		e := fault.Formatf("", "there is no config.json")
		e.File, e.Next = dir, "name a folder with a Hugging Face checkpoint"
		return nil, nil, e
	}
	if err != nil {
		return nil, nil, err
	}
	c, err := readConfig(data)
	if err != nil {
		return nil, nil, fault.InFile(err, configPath)
	}
	arch, err := findArchitecture(c)
	if err != nil {
		return nil, nil, fault.InFile(err, configPath)
	}
	if q := c.sub("quantization_config"); q != nil {
		c.unsupported("a checkpoint quantized with "+q.text("quant_method", "an unnamed method"), "convert the original weights")
	}
	weights, warnings, err := openCheckpoint(dir)
	if err != nil {
		return nil, nil, err
	}
	r := &Report{Architecture: arch.name, Tensors: len(weights.tensors), Warnings: warnings, weights: weights}
	m, err := r.build(ctx, dir, arch, c, o)
	if err != nil {
		weights.close()
		return nil, nil, err
	}
	return m, r, nil
}

// lower makes the graph and what it tells of the model. Errors name the path of the config, or that of the weights.
func (r *Report) lower(b *builder, arch architecture, configPath, weightPath string) (*model.Model, error) {
	c, length := b.config, arch.build(b)
	m := &model.Model{Graph: b.graph, Assets: map[string][]byte{}}
	if _, ok := c.raw("vocab_size"); ok || b.task == model.TaskLM {
		vocab := c.count("vocab_size")
		if b.task == model.TaskLM || b.task == model.TaskSeq2Seq {
			m.Meta.LM = &model.LMInfo{VocabSize: vocab, ContextLength: length, BOS: c.ids("bos_token_id", vocab), EOS: c.ids("eos_token_id", vocab)}
			if b.task == model.TaskSeq2Seq {
				m.Meta.LM.Start = c.ids("decoder_start_token_id", vocab)
			}
		} else {
			m.Meta.Text = b.textInfo(vocab, length)
		}
	}
	if len(b.labels) > 0 {
		m.Assets[model.AssetLabels] = []byte(strings.Join(b.labels, "\n") + "\n")
	}
	if err := c.err(); err != nil {
		return nil, fault.InFile(err, configPath)
	}
	if err := b.err(); err != nil {
		return nil, fault.InFile(err, weightPath)
	}
	if err := b.graph.Check(); err != nil {
		return nil, err
	}
	if err := b.graph.Infer(); err != nil {
		return nil, fault.InFile(fault.Formatf("", "%v", err), configPath)
	}
	r.Warnings = append(r.Warnings, b.warnings...)
	r.Parameters, r.Nodes = b.params, len(b.graph.Nodes)
	for name := range r.weights.unused {
		if !isBuffer(name) {
			r.Unused = append(r.Unused, name)
		}
	}
	sort.Strings(r.Unused)
	if len(r.Unused) > 0 {
		r.warn("%d tensors are not used by %s: %s", len(r.Unused), arch.name, some(r.Unused))
	}
	m.Meta.Architecture, m.Meta.Task, m.Meta.Parameters = arch.name, b.task, b.params
	return m, nil
}

// vocabSize returns how many tokens a model knows, 0 if it takes none.
func vocabSize(m *model.Model) int {
	switch {
	case m.Meta.LM != nil:
		return m.Meta.LM.VocabSize
	case m.Meta.Text != nil:
		return m.Meta.Text.VocabSize
	}
	return 0
}

// build makes the model.
func (r *Report) build(ctx context.Context, dir string, arch architecture, c *config, o Options) (*model.Model, error) {
	b := newBuilder(c, r.weights)
	var err error
	if b.sentence, err = readSentence(dir, r.weights); err != nil {
		return nil, err
	}
	if arch.headless && b.sentence == nil {
		b.sentence = meanSentence()
	}
	m, err := r.lower(b, arch, filepath.Join(dir, "config.json"), dir)
	if err != nil {
		return nil, err
	}
	m.Meta.Name = o.Name
	if m.Meta.Name == "" {
		if abs, err := filepath.Abs(dir); err == nil {
			m.Meta.Name = filepath.Base(abs)
		}
	}
	m.Meta.License = readLicense(dir, c)
	if m.Meta.LM != nil {
		if err := r.addGeneration(dir, m.Meta.LM); err != nil {
			return nil, err
		}
	}
	if b.task == model.TaskClassify {
		if err := r.addPreprocess(dir, m); err != nil {
			return nil, err
		}
	}
	if takesSounds(m.Graph) {
		if err := r.addSpeech(dir, m); err != nil {
			return nil, err
		}
	}
	if vocabSize(m) > 0 {
		if err := r.addTokenizer(dir, m); err != nil {
			return nil, err
		}
	}
	files, err := r.weights.sources(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(c.source)
	files = append([]model.SourceFile{{Name: "config.json", Bytes: int64(len(c.source)), SHA256: hex.EncodeToString(sum[:])}}, files...)
	m.Meta.Source = model.Source{Format: "safetensors", Files: files}
	m.Meta.Steps = []model.Step{}
	return m, nil
}

// isBuffer reports whether a tensor is no weight but something that old checkpoints were saved with: causal masks, and frequencies
// that the config gives as well.
func isBuffer(name string) bool {
	for _, suffix := range []string{".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq",
		"embeddings.position_ids"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// addGeneration reads generation_config.json, whose end tokens go before those of config.json.
func (r *Report) addGeneration(dir string, lm *model.LMInfo) error {
	data, err := readFile(dir, "generation_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := readConfig(data)
	if err == nil {
		if eos := c.ids("eos_token_id", lm.VocabSize); len(eos) > 0 {
			lm.EOS = eos
		}
		if bos := c.ids("bos_token_id", lm.VocabSize); len(bos) > 0 {
			lm.BOS = bos
		}
		err = c.err()
	}
	if err != nil {
		return fault.InFile(err, filepath.Join(dir, "generation_config.json"))
	}
	return nil
}

// addTokenizer takes tokenizer.json, with a record of how it encodes, and the chat template along.
func (r *Report) addTokenizer(dir string, m *model.Model) error {
	data, err := readFile(dir, "tokenizer.json")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint := ""
		if _, err := os.Stat(filepath.Join(dir, "tokenizer.model")); err == nil {
			hint = " (tokenizer.model is not read; save the tokenizer as tokenizer.json)"
		}
		r.warn("there is no tokenizer.json: the model takes token ids, not text%s", hint)
		return nil
	case err != nil:
		return err
	}
	if err := r.takeTokenizer(m, data, filepath.Join(dir, "tokenizer.json")); err != nil {
		return err
	}
	template, err := readChatTemplate(dir)
	if err != nil {
		return err
	}
	if template != "" {
		m.Assets[model.AssetChatTemplate] = []byte(template)
	}
	return nil
}

// takeTokenizer adds a tokenizer.json, with a record of how it encodes.
func (r *Report) takeTokenizer(m *model.Model, data []byte, path string) error {
	t, err := tokenizer.Parse(data)
	if err != nil {
		return fault.InFile(err, path)
	}
	golden := tokenizer.Golden(t)
	if err := t.Err(); err != nil {
		return fault.InFile(err, path)
	}
	if vocab := vocabSize(m); t.VocabSize() > vocab {
		r.warn("the tokenizer has %d tokens, but the model only %d", t.VocabSize(), vocab)
	}
	m.Assets[model.AssetTokenizer] = data
	m.Assets[model.AssetTokenGolden] = golden
	return nil
}

// readChatTemplate returns the chat template: chat_template.jinja, or the one in tokenizer_config.json,
// where it is a text or a list of named ones.
func readChatTemplate(dir string) (string, error) {
	data, err := readFile(dir, "chat_template.jinja")
	if err == nil {
		return string(data), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if data, err = readFile(dir, "tokenizer_config.json"); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return "", err
	}
	var file struct {
		ChatTemplate json.RawMessage `json:"chat_template"`
	}
	path := filepath.Join(dir, "tokenizer_config.json")
	if err := json.Unmarshal(data, &file); err != nil {
		return "", fault.InFile(fault.Formatf("", "%v", err), path)
	}
	if len(file.ChatTemplate) == 0 {
		return "", nil
	}
	var text string
	if err := json.Unmarshal(file.ChatTemplate, &text); err == nil {
		return text, nil
	}
	var named []struct{ Name, Template string }
	if err := json.Unmarshal(file.ChatTemplate, &named); err != nil {
		return "", fault.InFile(fault.Formatf("chat_template", "it is neither a text nor a list of templates"), path)
	}
	for _, t := range named {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", nil
}

// readLicense returns the license that config.json names, or the front matter of the model
// card (README.md); "" if neither does.
func readLicense(dir string, c *config) string {
	var license string
	if raw, ok := c.raw("license"); ok && json.Unmarshal(raw, &license) == nil && license != "" {
		return license
	}
	card, err := readFile(dir, "README.md")
	if err != nil {
		return ""
	}
	text, ok := strings.CutPrefix(strings.ReplaceAll(string(card), "\r\n", "\n"), "---\n")
	if !ok {
		return ""
	}
	front, _, ok := strings.Cut(text, "\n---")
	if !ok {
		return ""
	}
	for line := range strings.Lines(front) {
		if value, ok := strings.CutPrefix(line, "license:"); ok {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}
