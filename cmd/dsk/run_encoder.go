package main

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/runtime/audio"
	"github.com/dsk-toolkit/dsk/runtime/vision"
)

// textClasses is one text's entry in the output of run.
type textClasses struct {
	Text    string         `json:"text"`
	First   string         `json:"first,omitempty"` // of a pair, whose second is the text
	Cut     bool           `json:"cut,omitempty"`   // the text was longer than the model takes
	Classes []vision.Class `json:"classes,omitempty"`
	Score   *float32       `json:"score,omitempty"` // of a model without classes
}

// runTextClasses prints the likeliest classes of texts: the arguments, or the lines of standard input; each behind the text of --pair, if there is one.
func (a *app) runTextClasses(ctx context.Context, m *model.Model, texts []string, first string, top int) error {
	tok, err := modelTokenizer(m)
	if err != nil {
		return err
	}
	e, err := runtime.NewTextEncoder(m, tok, runtime.OutputLogits, runtime.Options{Threads: a.threads})
	if err != nil {
		return err
	}
	defer e.Close()
	names, all := labels(m), []textClasses{}
	next := a.textSource(texts, false)
	for {
		part, err := next()
		if err != nil {
			return err
		}
		if len(part) == 0 {
			break
		}
		list, pairs := make([]string, len(part)), make([][2]string, len(part))
		for i, t := range part {
			list[i], pairs[i] = *t.Text, [2]string{first, *t.Text}
		}
		var scores []runtime.EncodedText
		if first == "" {
			scores, err = e.Encode(ctx, list)
		} else {
			scores, err = e.EncodePairs(ctx, pairs)
		}
		if err != nil {
			return err
		}
		for i, s := range scores {
			r := textClasses{Text: list[i], First: first, Cut: s.Cut}
			if len(s.Values) == 1 {
				r.Score = &s.Values[0]
			} else {
				r.Classes = likeliest(s.Values, names, top)
			}
			if a.json {
				all = append(all, r)
				continue
			}
			a.print("%s", r.Text)
			if r.Score != nil {
				a.print("  %g", *r.Score)
			}
			for _, c := range r.Classes {
				a.print("  %5.1f %%  %s", 100*c.Probability, c.Label)
			}
		}
	}
	if a.json {
		a.printJSON("run", struct {
			Texts []textClasses `json:"texts"`
		}{all})
	}
	return nil
}

// likeliest returns the classes with the highest scores, with their probabilities among all.
func likeliest(scores []float32, names []string, top int) []vision.Class {
	list, p := make([]vision.Class, len(scores)), vision.Probabilities(scores)
	for i := range list {
		list[i] = vision.Class{Class: i, Label: className(names, i), Probability: p[i]}
	}
	slices.SortStableFunc(list, func(a, b vision.Class) int { return cmp.Compare(b.Probability, a.Probability) })
	return list[:min(top, len(list))]
}

// runSeq2Seq writes the text that an encoder-decoder makes of a text, or of its encoder's inputs where arrays are given for them. With arrays
// for the decoder, too, it is run as any graph.
func (a *app) runSeq2Seq(ctx context.Context, m *model.Model, args []string, o *runOptions) error {
	if err := o.text.check(); err != nil {
		return err
	}
	in, err := readInputs(m.Graph, o.inputs)
	if err != nil {
		return err
	}
	text := ""
	switch {
	case len(in) == 0 && audio.Takes(m):
		return a.runRecordings(ctx, m, args, o)
	case in["decoder_input_ids"] != nil:
		return a.runTensors(ctx, m, o)
	case len(in) == 0:
		if text, err = a.prompt(args, &o.text); err != nil {
			return err
		}
	}
	tok, err := modelTokenizer(m)
	if err != nil {
		return err
	}
	s, err := runtime.NewSeq2Seq(m, runtime.Options{Threads: a.threads, Context: o.text.ctx, Cache: runtime.CacheType(o.text.kv)})
	if err != nil {
		return err
	}
	defer s.Close()
	tokens := 0
	if len(in) > 0 {
		_, err = s.Encode(ctx, in)
	} else {
		ids := tok.Encode(text, !o.text.noSpecial)
		tokens = len(ids)
		_, err = s.EncodeTokens(ctx, ids)
	}
	if err != nil {
		return err
	}
	if len(s.Start()) == 0 {
		return &fault.Usage{What: "the model does not say with which token its decoder starts"}
	}
	g := runtime.GenerateOptions{MaxTokens: o.text.maxTokens, Sampler: o.text.sampler(), EOS: m.Meta.LM.EOS, Stop: o.text.stop}
	var all strings.Builder
	made, err := s.Generate(ctx, tok, s.Start(), g, func(part string) error {
		if all.Len() == 0 {
			part = strings.TrimLeft(part, " ") // tokenizers put a blank before a word, and no text goes before this one
		}
		all.WriteString(part)
		if a.json {
			return nil
		}
		_, err := io.WriteString(a.stdout, part)
		return err
	})
	if err != nil {
		return err
	}
	if !a.json {
		a.print("")
		return nil
	}
	a.printJSON("run", struct {
		Text            string  `json:"text"`
		Tokens          []int32 `json:"tokens"`
		SourceTokens    int     `json:"source_tokens"`
		GeneratedTokens int     `json:"generated_tokens"`
		FinishReason    string  `json:"finish_reason"`
		GenerateSeconds float64 `json:"generate_seconds"`
	}{all.String(), orEmpty(made.Tokens), tokens, len(made.Tokens), made.Reason, made.Decode.Seconds()})
	return nil
}
