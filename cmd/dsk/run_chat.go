package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/chat"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// chatOptions are the flags of conversations.
type chatOptions struct {
	chat, interactive       bool
	system, template, think string
}

func (o *chatOptions) add(f *pflag.FlagSet) {
	f.BoolVar(&o.chat, "chat", false, "the prompt is a question to a model made for conversations")
	f.StringVar(&o.system, "system", "", "how the model is to behave, with --chat")
	f.BoolVarP(&o.interactive, "interactive", "i", false, "chat: a question a line, until the input ends")
	f.StringVar(&o.template, "chat-template", "", "a file with a chat template (Jinja) in place of the model's own")
	f.StringVar(&o.think, "think", "show", "what becomes of a reasoning model's thoughts: show or hide")
}

func (o *chatOptions) check(a *app, t *textOptions) error {
	switch {
	case o.think != "show" && o.think != "hide":
		return &fault.Usage{What: fmt.Sprintf("--think is show or hide, not %q", o.think)}
	case o.interactive && a.json:
		return &fault.Usage{What: "-i answers as it goes; --json prints one object: give one of them"}
	case !o.chat && !o.interactive && (o.system != "" || o.template != ""):
		return &fault.Usage{What: "--system and --chat-template are for conversations: add --chat"}
	case (o.chat || o.interactive) && t.noSpecial:
		return &fault.Usage{What: "--no-special does not go with --chat: the template writes the special tokens"}
	}
	return checkText(o.system, "--system")
}

// chatTemplate is the template that the user gave, or the model's.
func chatTemplate(m *model.Model, tok *tokenizer.Tokenizer, o *chatOptions) (*chat.Template, error) {
	special := func(ids []int) string {
		if len(ids) == 0 {
			return ""
		}
		return tok.Token(int32(ids[0]))
	}
	bos, eos := special(m.Meta.LM.BOS), special(m.Meta.LM.EOS)
	if o.template != "" {
		b, err := os.ReadFile(o.template)
		if err != nil {
			return nil, err
		}
		t, err := chat.Parse(string(b), bos, eos)
		return t, fault.InFile(err, o.template)
	}
	src, ok := m.Assets[model.AssetChatTemplate]
	if !ok {
		return nil, &fault.Usage{What: "the model has no chat template, so it was hardly made for conversations; run it without --chat, or give its template with --chat-template FILE"}
	}
	return chat.Parse(string(src), bos, eos)
}

// conversation is a chat as it goes on.
type conversation struct {
	*writer
	template *chat.Template
	turns    *runtime.Conversation
	messages []chat.Message
	think    string
}

func (a *app) runChat(ctx context.Context, m *model.Model, args []string, o *textOptions, co *chatOptions) error {
	question := ""
	var err error
	if !co.interactive || len(args) > 0 || o.promptFile != "" {
		if question, err = a.prompt(args, o); err != nil {
			return err
		}
	}
	w, err := a.newWriter(ctx, m, o, func(tok *tokenizer.Tokenizer) []int { return chat.EndTokens(tok, m.Meta.LM.EOS) })
	if err != nil {
		return err
	}
	defer w.close()
	template, err := chatTemplate(m, w.tok, co)
	if err != nil {
		return err
	}
	c := &conversation{writer: w, template: template, turns: runtime.NewConversation(w.lm), think: co.think}
	if err := o.cache.load(a, c.turns); err != nil {
		return err
	}
	if co.system != "" {
		c.messages = []chat.Message{{Role: "system", Content: co.system}}
	}
	if !co.interactive {
		return c.turn(ctx, question)
	}
	if question != "" {
		if err := c.turn(ctx, question); err != nil {
			return err
		}
	}
	return c.converse(ctx)
}

// converse answers each line of standard input. A line that is too long for the context, or no UTF-8, is told and left out.
func (c *conversation) converse(ctx context.Context) error {
	lines := bufio.NewReader(c.app.stdin)
	for {
		if f, ok := c.app.stderr.(*os.File); ok && !c.app.quiet && term.IsTerminal(int(f.Fd())) {
			fmt.Fprint(f, "> ")
		}
		line, err := lines.ReadString('\n')
		if question := strings.TrimSpace(line); question != "" {
			var usage *fault.Usage
			failed := checkText(question, "standard input")
			if failed == nil {
				if failed = c.turn(ctx, question); failed != nil && !errors.As(failed, &usage) {
					return failed
				}
			}
			if failed != nil {
				c.app.warn("%v", failed)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
}

// turn asks a question and answers it. A question that cannot be asked leaves the conversation as it was.
func (c *conversation) turn(ctx context.Context, question string) error {
	messages := slices.Concat(c.messages, []chat.Message{{Role: "user", Content: question}})
	prompt, ids, err := chatTokens(c.template, c.tok, messages, c.matcher == nil, c.lm.Context(), c.o)
	if err != nil {
		return err
	}
	var thought func(string) error
	shown := false
	if c.think == "show" {
		thought = func(s string) error {
			if !shown {
				s = "<think>" + s
			}
			shown = true
			return c.show(s)
		}
	}
	reply := chat.NewReply(prompt, func(s string) error {
		if shown {
			s = "</think>\n" + s
		}
		shown = false
		return c.show(s)
	}, thought)
	emit := reply.Write
	if c.matcher != nil {
		c.matcher.Reset()
		emit = reply.Say
	}
	g, err := c.turns.Generate(ctx, c.tok, ids, c.options, emit)
	if err != nil {
		return err
	}
	if err := c.o.cache.save(c.turns, ids); err != nil {
		return err
	}
	if err := reply.Close(); err != nil {
		return err
	}
	answer := reply.Message()
	messages = append(messages, answer)
	c.messages = messages
	c.finish(g, answer.Content, answer.Reasoning)
	return nil
}

// chatTokens writes a conversation as a prompt, with its tokens, that leaves room for an answer in a context.
func chatTokens(t *chat.Template, tok *tokenizer.Tokenizer, messages []chat.Message, think bool, context int, o *textOptions) (string, []int32, error) {
	room := 1
	if o.overflow == "truncate" {
		room = max(1, context/4)
		if o.maxTokens > 0 {
			room = min(room, o.maxTokens)
		}
	}
	prompt, ids, err := t.Prompt(tok, messages, chat.Options{Now: time.Now(), Think: think}, context-room, o.overflow == "truncate")
	if err == nil && len(ids) == 0 {
		err = &fault.Usage{What: "the chat template wrote nothing for this conversation; give another with --chat-template FILE"}
	}
	return prompt, ids, err
}
