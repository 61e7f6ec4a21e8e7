package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/convert/gguf"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/dsk-toolkit/dsk/tokenizer"
	"github.com/spf13/cobra"
)

type tokenizeOptions struct {
	decode, noSpecial, jsonl bool
}

func (a *app) tokenizeCommand() *cobra.Command {
	var o tokenizeOptions
	cmd := &cobra.Command{
		Use:   "tokenize MODEL [TEXT]",
		Short: "Turn text into token ids, or ids into text",
		Long: `Turn text into token ids, or ids into text. MODEL is a .dsk, a .gguf (a vocabulary
alone will do) or a tokenizer.json.
A missing TEXT is read from standard input.

  dsk tokenize m.dsk "Once upon a time"
  dsk tokenize m.dsk --decode "81 2487 913"
  dsk tokenize tokenizer.json --jsonl < texts.jsonl`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runTokenize(cmd.Context(), args, &o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.decode, "decode", false, "the text holds ids; print what they stand for")
	f.BoolVar(&o.noSpecial, "no-special", false, "add no special tokens; leave them out when decoding")
	f.BoolVar(&o.jsonl, "jsonl", false, `read {"text"} a line, print {"ids"} a line`)
	return cmd
}

func (a *app) runTokenize(ctx context.Context, args []string, o *tokenizeOptions) error {
	tok, err := a.openTokenizer(ctx, args[0])
	if err != nil {
		return err
	}
	if o.jsonl {
		return a.tokenizeLines(tok, o)
	}
	text := ""
	if len(args) == 2 && args[1] != "-" {
		text = args[1]
	} else {
		var b strings.Builder
		if _, err := io.Copy(&b, a.stdin); err != nil {
			return err
		}
		text = b.String()
	}
	if o.decode {
		ids, err := parseIDs(text, tok.VocabSize())
		if err != nil {
			return err
		}
		out := tok.Decode(ids, o.noSpecial)
		if a.json {
			a.printJSON("tokenize", struct {
				Text string `json:"text"`
			}{out})
			return nil
		}
		a.print("%s", out)
		return nil
	}
	ids := tok.Encode(text, !o.noSpecial)
	if a.json {
		a.printJSON("tokenize", struct {
			IDs    []int32 `json:"ids"`
			Tokens int     `json:"tokens"`
		}{orEmpty(ids), len(ids)})
		return nil
	}
	var line []byte
	for i, id := range ids {
		if i > 0 {
			line = append(line, ' ')
		}
		line = strconv.AppendInt(line, int64(id), 10)
	}
	_, err = a.stdout.Write(append(line, '\n'))
	return err
}

func (a *app) tokenizeLines(tok *tokenizer.Tokenizer, o *tokenizeOptions) error {
	dec := json.NewDecoder(bufio.NewReader(a.stdin))
	out := bufio.NewWriter(a.stdout)
	for n := 1; ; n++ {
		var line struct{ Text string }
		if err := dec.Decode(&line); errors.Is(err, io.EOF) {
			return out.Flush()
		} else if err != nil {
			return &fault.Format{File: "standard input", Offset: dec.InputOffset(), Where: fmt.Sprintf("line %d", n),
				Why: err.Error(), Next: `each line must be {"text": "..."}`}
		}
		b, err := json.Marshal(struct {
			IDs []int32 `json:"ids"`
		}{orEmpty(tok.Encode(line.Text, !o.noSpecial))})
		if err != nil {
			return err
		}
		if _, err := out.Write(append(b, '\n')); err != nil {
			return err
		}
	}
}

func orEmpty(ids []int32) []int32 {
	if ids == nil {
		return []int32{}
	}
	return ids
}

// openTokenizer reads the tokenizer of a .dsk or a .gguf, or a tokenizer.json.
func (a *app) openTokenizer(ctx context.Context, path string) (*tokenizer.Tokenizer, error) {
	if strings.HasSuffix(path, ".json") {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		t, err := tokenizer.Parse(b)
		return t, fault.InFile(err, path)
	}
	if isGGUF(path) {
		t, err := ggufTokenizer(path)
		return t, fault.InFile(err, path)
	}
	f, m, err := a.openModel(ctx, path, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := modelTokenizer(m)
	return t, fault.InFile(err, path)
}

func ggufTokenizer(path string) (*tokenizer.Tokenizer, error) {
	file, err := tensor.Map(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f, err := gguf.Read(file.Data)
	if err != nil {
		return nil, err
	}
	return f.Tokenizer()
}

// modelTokenizer parses a model's tokenizer and replays the ids that were recorded at convert.
func modelTokenizer(m *model.Model) (*tokenizer.Tokenizer, error) {
	b := m.Assets[model.AssetTokenizer]
	if b == nil {
		return nil, &fault.Usage{What: "the model has no tokenizer"}
	}
	t, err := tokenizer.Parse(b)
	if err != nil {
		return nil, err
	}
	if golden := m.Assets[model.AssetTokenGolden]; golden != nil {
		if err := tokenizer.CheckGolden(t, golden); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func parseIDs(text string, vocab int) ([]int32, error) {
	var ids []int32
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,[]\n\t\r", r) }) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n >= vocab {
			return nil, &fault.Usage{What: fmt.Sprintf("%q is no token id below %d", s, vocab)}
		}
		ids = append(ids, int32(n))
	}
	return ids, nil
}
