package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/chat"
	"github.com/dsk-toolkit/dsk/grammar"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
	"github.com/spf13/pflag"
)

// batchOptions are the flags of running many prompts.
type batchOptions struct {
	jsonl, unordered bool
	size             int
}

func (o *batchOptions) add(f *pflag.FlagSet) {
	f.BoolVar(&o.jsonl, "jsonl", false, "read a JSON object with a prompt a line, of the file in the prompt's place or standard input; print one with its text a line")
	f.BoolVar(&o.unordered, "unordered", false, "with --jsonl, print texts as they end, not in the order of the prompts")
	f.IntVar(&o.size, "batch", 8, "with --jsonl, texts that are written at a time")
}

func (o *batchOptions) check(a *app, t *textOptions, c *chatOptions, args []string) error {
	bad := func(flag string) error {
		return &fault.Usage{What: flag + " does not go with --jsonl"}
	}
	switch {
	case o.size < 1:
		return &fault.Usage{What: "--batch must be at least 1"}
	case len(args) > 1:
		return &fault.Usage{What: "--jsonl takes one file of prompts, or none to read standard input"}
	case a.json:
		return &fault.Usage{What: "--jsonl prints an object a line, --json one object: give one of them"}
	case c.interactive:
		return bad("-i")
	case t.promptFile != "":
		return bad("--file")
	case t.draft != "":
		return bad("--draft")
	case t.cache.path != "":
		return bad("--prompt-cache")
	}
	return nil
}

// maxPromptLine is the longest line of --jsonl.
const maxPromptLine = 64 << 20

// promptLine is a line of --jsonl. What it does not say is as the flags say.
type promptLine struct {
	ID          json.RawMessage `json:"id"`
	Prompt      *string         `json:"prompt"`
	Messages    []message       `json:"messages"`
	MaxTokens   *int            `json:"max_tokens"`
	Temperature *float64        `json:"temperature"`
	TopK        *int            `json:"top_k"`
	TopP        *float64        `json:"top_p"`
	MinP        *float64        `json:"min_p"`
	Seed        *uint64         `json:"seed"`
	Stop        []string        `json:"stop"`
}

type message struct {
	Role      string `json:"role"`
	Content   string `json:"content"`
	Reasoning string `json:"reasoning_content"`
}

// textLine is a line of output.
type textLine struct {
	ID              json.RawMessage `json:"id,omitempty"`
	Line            int             `json:"line"`
	Error           *jsonError      `json:"error,omitempty"`
	Text            *string         `json:"text,omitempty"`
	Reasoning       string          `json:"reasoning,omitempty"`
	Tokens          []int32         `json:"tokens,omitempty"`
	PromptTokens    int             `json:"prompt_tokens,omitempty"`
	GeneratedTokens int             `json:"generated_tokens,omitempty"`
	FinishReason    string          `json:"finish_reason,omitempty"`
	Logprobs        []tokenJSON     `json:"logprobs,omitempty"`
}

// batchRun is a run of --jsonl.
type batchRun struct {
	app       *app
	model     *model.Model
	tok       *tokenizer.Tokenizer
	o         *textOptions
	chat      *chatOptions
	unordered bool
	template  *chat.Template // nil until a line needs it
	form      *grammar.Grammar
	idle      map[bool][]*grammar.Matcher // of texts that ended: they know much of the grammar already
	context   int
	prompts   int // lines with a prompt
	bad       int // of those, the ones without a text
	started   int // outputs that were promised
	written   int // outputs that were printed, in their order
	waiting   map[int]textLine
}

func (a *app) runBatch(ctx context.Context, m *model.Model, args []string, o *runOptions) error {
	if err := o.batch.check(a, &o.text, &o.chat, args); err != nil {
		return err
	}
	tok, err := modelTokenizer(m)
	if err != nil {
		return err
	}
	r := &batchRun{app: a, model: m, tok: tok, o: &o.text, chat: &o.chat, unordered: o.batch.unordered, waiting: map[int]textLine{}, idle: map[bool][]*grammar.Matcher{}}
	if r.form, err = o.text.form(); err != nil {
		return err
	}
	if o.chat.chat {
		if r.template, err = chatTemplate(m, tok, r.chat); err != nil {
			return err
		}
	}
	in, name := a.stdin, "standard input"
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in, name = f, args[0]
	}
	b, err := runtime.NewBatch(m, tok, runtime.Options{Threads: a.threads, Context: o.text.ctx, Cache: runtime.CacheType(o.text.kv), Sequences: o.batch.size})
	if err != nil {
		return err
	}
	defer b.Close()
	r.context = b.Context()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := b.Run(ctx, r.source(readLines(ctx, in, name))); err != nil {
		return err
	}
	if r.bad > 0 {
		return fmt.Errorf("%d of %d lines gave no text; their errors are in the output", r.bad, r.prompts)
	}
	return nil
}

// numbered is a line of input, or why there is none.
type numbered struct {
	n    int
	text []byte
	err  error
}

// readLines reads lines that are not blank ahead of their use. It may be waiting for input when ctx ends, and is left there.
func readLines(ctx context.Context, in io.Reader, name string) <-chan numbered {
	lines := make(chan numbered, 16)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(in)
		s.Buffer(nil, maxPromptLine)
		n := 0
		send := func(l numbered) bool {
			select {
			case lines <- l:
				return true
			case <-ctx.Done():
				return false
			}
		}
		for s.Scan() {
			n++
			if text := bytes.TrimSpace(s.Bytes()); len(text) > 0 && !send(numbered{n: n, text: slices.Clone(text)}) {
				return
			}
		}
		switch err := s.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			send(numbered{err: &fault.Format{File: name, Offset: -1, Where: fmt.Sprintf("line %d", n+1), Why: fmt.Sprintf("it is longer than %d MiB", maxPromptLine>>20),
				Next: "each line must be one JSON object with a prompt"}})
		case err != nil:
			send(numbered{err: fmt.Errorf("%s: %w", name, err)})
		}
	}()
	return lines
}

// source makes requests of lines. Bad ones are answered at once.
func (r *batchRun) source(lines <-chan numbered) runtime.Source {
	return func(ctx context.Context, wait bool) (*runtime.Request, error) {
		for {
			if r.app.outErr != nil {
				return nil, r.app.outErr
			}
			var l numbered
			open := true
			if wait {
				select {
				case l, open = <-lines:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			} else {
				select {
				case l, open = <-lines:
				default:
					return nil, nil
				}
			}
			switch {
			case !open:
				return nil, io.EOF
			case l.err != nil:
				return nil, l.err
			}
			r.prompts++
			if q := r.request(l); q != nil {
				return q, nil
			}
		}
	}
}

// request makes a request of a line, nil if it is bad.
func (r *batchRun) request(l numbered) *runtime.Request {
	at := r.started
	r.started++
	out := textLine{Line: l.n}
	p, err := readPromptLine(l.text)
	out.ID = p.ID
	var q *runtime.Request
	if err == nil {
		q, err = r.newRequest(p, at, out)
	}
	if err != nil {
		r.fail(at, out, err)
		return nil
	}
	return q
}

func readPromptLine(text []byte) (p promptLine, err error) {
	if err := checkText(string(text), ""); err != nil {
		return p, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err = d.Decode(&p); err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			err = errors.New("there is more than one JSON value")
		}
	}
	switch {
	case err != nil:
		return p, &fault.Format{Offset: -1, Why: strings.TrimPrefix(err.Error(), "json: "), Next: `a line must be an object with "prompt" or "messages"`}
	case (p.Prompt == nil) == (len(p.Messages) == 0):
		return p, &fault.Usage{What: `a line must have "prompt" or "messages", and not both`}
	}
	return p, nil
}

// options are the flags with what a line says.
func (p *promptLine) options(o textOptions) (*textOptions, error) {
	set(&o.maxTokens, p.MaxTokens)
	set(&o.temperature, p.Temperature)
	set(&o.topK, p.TopK)
	set(&o.topP, p.TopP)
	set(&o.minP, p.MinP)
	set(&o.seed, p.Seed)
	if p.Stop != nil {
		o.stop = p.Stop
	}
	return &o, o.check()
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// newRequest prepares the text that a line asks for, which becomes output number at.
func (r *batchRun) newRequest(p promptLine, at int, out textLine) (*runtime.Request, error) {
	o, err := p.options(*r.o)
	if err != nil {
		return nil, err
	}
	eos := r.model.Meta.LM.EOS
	var ids []int32
	var reply *chat.Reply
	var text strings.Builder
	write := func(s string) error {
		text.WriteString(s)
		return nil
	}
	if messages := r.messages(&p); messages != nil {
		if r.template == nil {
			if r.template, err = chatTemplate(r.model, r.tok, r.chat); err != nil {
				return nil, err
			}
		}
		var prompt string
		if prompt, ids, err = chatTokens(r.template, r.tok, messages, r.form == nil, r.context, o); err != nil {
			return nil, err
		}
		eos = chat.EndTokens(r.tok, eos)
		reply = chat.NewReply(prompt, func(string) error { return nil }, func(string) error { return nil })
		if write = reply.Write; r.form != nil {
			write = reply.Say
		}
	} else if ids, err = promptTokens(r.model, r.tok, *p.Prompt, r.context, o); err != nil {
		return nil, err
	}
	q := &runtime.Request{Prompt: ids, Options: runtime.GenerateOptions{MaxTokens: o.maxTokens, Sampler: o.sampler(), EOS: eos, Stop: o.stop}, Emit: write}
	var matcher *grammar.Matcher
	if r.form != nil {
		matcher = r.matcher(reply != nil, eos)
		q.Options.Constraint = matcher
	}
	if o.logprobs >= 0 {
		q.Options.TopScores = o.logprobs
		q.Options.Scores = func(s runtime.TokenScores) error {
			out.Logprobs = append(out.Logprobs, scoreLine(r.tok, s))
			return nil
		}
	}
	q.Done = func(g *runtime.Generation, err error) {
		if matcher != nil {
			r.idle[reply != nil] = append(r.idle[reply != nil], matcher)
		}
		if errors.Is(err, context.Canceled) {
			return
		}
		if err == nil && reply != nil {
			err = reply.Close()
		}
		if err != nil {
			r.fail(at, out, err)
			return
		}
		said := text.String()
		if reply != nil {
			answer := reply.Message()
			said, out.Reasoning = answer.Content, answer.Reasoning
		}
		out.Text, out.Tokens, out.PromptTokens, out.GeneratedTokens, out.FinishReason = &said, g.Tokens, g.PromptTokens, len(g.Tokens), g.Reason
		r.finish(at, out)
	}
	return q, nil
}

// messages is the conversation of a line, nil if its prompt is to be continued.
func (r *batchRun) messages(p *promptLine) []chat.Message {
	var list []chat.Message
	for _, m := range p.Messages {
		list = append(list, chat.Message{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning})
	}
	if list == nil && r.chat.chat {
		list = []chat.Message{{Role: "user", Content: *p.Prompt}}
	}
	if list != nil && r.chat.system != "" && list[0].Role != "system" {
		list = slices.Insert(list, 0, chat.Message{Role: "system", Content: r.chat.system})
	}
	return list
}

// matcher returns a matcher at its start, for a conversation or a prompt: their end tokens differ.
func (r *batchRun) matcher(talk bool, eos []int) *grammar.Matcher {
	idle := r.idle[talk]
	if len(idle) == 0 {
		return grammar.ForTokenizer(r.form, r.tok, r.model.Meta.LM.VocabSize, eos)
	}
	m := idle[len(idle)-1]
	r.idle[talk] = idle[:len(idle)-1]
	m.Reset()
	return m
}

// fail reports that output number at has no text.
func (r *batchRun) fail(at int, out textLine, err error) {
	r.bad++
	r.finish(at, textLine{ID: out.ID, Line: out.Line, Error: &jsonError{exitCode(err), err.Error(), items(err)}})
}

// finish prints output number at when it is its turn. What cannot be printed is known to the app.
func (r *batchRun) finish(at int, out textLine) {
	if r.unordered {
		r.print(out)
		return
	}
	r.waiting[at] = out
	for {
		next, ok := r.waiting[r.written]
		if !ok {
			return
		}
		delete(r.waiting, r.written)
		r.written++
		r.print(next)
	}
}

func (r *batchRun) print(out textLine) {
	b, err := json.Marshal(out)
	if err != nil {
		b, err = json.Marshal(textLine{ID: out.ID, Line: out.Line, Error: &jsonError{Code: exitFailure, Message: fmt.Sprintf("the result cannot be written as JSON: %v", err)}})
		r.bad++
	}
	if err == nil {
		r.app.print("%s", b)
	}
}
