package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/spf13/cobra"
)

type embedOptions struct {
	jsonl  bool
	prompt string
}

// embedTexts is how many texts are read before any is written.
const embedTexts = 64

func (a *app) embedCommand() *cobra.Command {
	var o embedOptions
	cmd := &cobra.Command{
		Use:   "embed MODEL.dsk [TEXT...]",
		Short: "Turn texts into vectors",
		Long: `Turn texts into vectors, one JSON object a line: {"tokens":7,"embedding":[...]}, with "cut":true
for a text that is longer than the model takes. Without TEXT, each line of standard input is one;
with --jsonl it is an object {"text"}, whose "id" is kept.

  dsk embed minilm.dsk "a red bicycle" "ein rotes Fahrrad"
  dsk embed minilm.dsk --jsonl < texts.jsonl > vectors.jsonl
  dsk embed e5.dsk --prompt query "how do magnets work"

How the vector is made of those of the tokens (mean, first token, last token, ...), and whether its
length is 1, is read from modules.json when the model is converted; without it, it is their mean.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runEmbed(cmd.Context(), args[0], args[1:], &o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.jsonl, "jsonl", false, `read {"text"} a line`)
	f.StringVar(&o.prompt, "prompt", "", "put the model's prompt of this name before each text")
	return cmd
}

// embedded is one text's line.
type embedded struct {
	ID        json.RawMessage `json:"id,omitempty"`
	Tokens    int             `json:"tokens"`
	Cut       bool            `json:"cut,omitempty"`
	Embedding []float32       `json:"embedding"`
}

func (a *app) runEmbed(ctx context.Context, path string, texts []string, o *embedOptions) error {
	f, m, err := a.openModel(ctx, path, false)
	if err != nil {
		return err
	}
	defer f.Close()
	return fault.InFile(a.embed(ctx, m, texts, o), path)
}

func (a *app) embed(ctx context.Context, m *model.Model, texts []string, o *embedOptions) error {
	if len(texts) > 0 && o.jsonl {
		return &fault.Usage{What: "--jsonl reads standard input; give no texts with it"}
	}
	prompt, err := embedPrompt(m, o.prompt)
	if err != nil {
		return err
	}
	tok, err := modelTokenizer(m)
	if err != nil {
		return err
	}
	e, err := runtime.NewTextEncoder(m, tok, runtime.OutputEmbedding, runtime.Options{Threads: a.threads})
	if err != nil {
		return err
	}
	defer e.Close()
	next := a.textSource(texts, o.jsonl)
	var all []embedded
	out := bufio.NewWriter(a.stdout)
	for {
		part, err := next()
		if err != nil {
			return err
		}
		if len(part) == 0 {
			break
		}
		lines, err := embedPart(ctx, e, prompt, part)
		if err != nil {
			return err
		}
		if a.json {
			all = append(all, lines...)
			continue
		}
		for i := range lines {
			b, err := json.Marshal(&lines[i])
			if err != nil {
				return err
			}
			if _, err := out.Write(append(b, '\n')); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if a.json {
		a.printJSON("embed", struct {
			Dimensions int        `json:"dimensions"`
			Embeddings []embedded `json:"embeddings"`
		}{e.Width(), append([]embedded{}, all...)})
	}
	return nil
}

// embedPrompt returns the text of a prompt, the model's own without a name.
func embedPrompt(m *model.Model, name string) (string, error) {
	var prompts map[string]string
	if m.Meta.Text != nil {
		prompts = m.Meta.Text.Prompts
		if name == "" {
			return prompts[m.Meta.Text.DefaultPrompt], nil
		}
	}
	if name == "" {
		return "", nil
	}
	if text, ok := prompts[name]; ok {
		return text, nil
	}
	known := slices.Sorted(maps.Keys(prompts))
	if len(known) == 0 {
		return "", &fault.Usage{What: fmt.Sprintf("--prompt %s: the model has no prompts", name)}
	}
	return "", &fault.Usage{What: fmt.Sprintf("--prompt %s: the model's prompts are %s", name, strings.Join(known, ", "))}
}

// sourceText is a text to encode.
type sourceText struct {
	ID   json.RawMessage
	Text *string
}

// textSource returns what gives the next texts, none at the end: the arguments, or the lines of standard input.
func (a *app) textSource(texts []string, jsonl bool) func() ([]sourceText, error) {
	if len(texts) > 0 {
		return func() ([]sourceText, error) {
			var part []sourceText
			for len(texts) > 0 && len(part) < embedTexts {
				part, texts = append(part, sourceText{Text: &texts[0]}), texts[1:]
			}
			return part, nil
		}
	}
	in := bufio.NewReader(a.stdin)
	read := func(_ int) (sourceText, error) {
		line, err := in.ReadString('\n')
		if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
			return sourceText{}, err
		}
		line = withoutLineBreak([]byte(line))
		return sourceText{Text: &line}, nil
	}
	if jsonl {
		dec := json.NewDecoder(in)
		read = func(n int) (t sourceText, err error) {
			if err = dec.Decode(&t); errors.Is(err, io.EOF) {
				return t, err
			}
			if err == nil && t.Text == nil {
				err = errors.New("there is no text")
			}
			if err != nil {
				err = &fault.Format{File: "standard input", Offset: dec.InputOffset(), Where: fmt.Sprintf("line %d", n),
					Why: err.Error(), Next: `each line must be {"text": "..."}`}
			}
			return t, err
		}
	}
	n := 0
	return func() (part []sourceText, err error) {
		for len(part) < embedTexts {
			n++
			t, err := read(n)
			if errors.Is(err, io.EOF) {
				return part, nil
			}
			if err != nil {
				return nil, err
			}
			part = append(part, t)
		}
		return part, nil
	}
}

func embedPart(ctx context.Context, e *runtime.TextEncoder, prompt string, part []sourceText) ([]embedded, error) {
	texts := make([]string, len(part))
	for i, t := range part {
		texts[i] = prompt + *t.Text
	}
	vectors, err := e.Encode(ctx, texts)
	if err != nil {
		return nil, err
	}
	lines := make([]embedded, len(part))
	for i, v := range vectors {
		lines[i] = embedded{ID: part[i].ID, Tokens: v.Tokens, Cut: v.Cut, Embedding: v.Values}
	}
	return lines, nil
}
