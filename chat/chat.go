// Package chat turns a conversation into the prompt of a model that was trained on conversations, by the model's own template, and
// tells apart what such a model thinks and what it says.
package chat

import (
	"slices"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/chat/jinja"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// Message is one turn.
type Message struct {
	Role    string // "system", "user" or "assistant"
	Content string
	// Reasoning is what the assistant thought before it said Content.
	Reasoning string
}

// Template is a model's chat template with the tokens that it writes.
type Template struct {
	t        *jinja.Template
	bos, eos string
}

// Options are the settings of a rendering.
type Options struct {
	Now time.Time // what strftime_now tells
	// Think is given to templates that ask for it (enable_thinking): whether the model is to think before it speaks.
	Think bool
}

// Parse reads a template. The texts of the begin and end tokens may be empty. Errors are those of jinja.Parse.
func Parse(src, bos, eos string) (*Template, error) {
	t, err := jinja.Parse(src)
	if err != nil {
		return nil, err
	}
	return &Template{t, bos, eos}, nil
}

// Render writes the conversation, and the beginning of the assistant's next turn. Errors are those of jinja's Render.
func (t *Template) Render(messages []Message, o Options) (string, error) {
	list := &jinja.List{}
	for _, m := range messages {
		d := jinja.NewDict("role", m.Role, "content", m.Content)
		if m.Reasoning != "" {
			d = jinja.NewDict("role", m.Role, "content", m.Content, "reasoning_content", m.Reasoning)
		}
		list.Items = append(list.Items, d)
	}
	return t.t.Render(map[string]any{"messages": list, "add_generation_prompt": true, "bos_token": t.bos, "eos_token": t.eos,
		"enable_thinking": o.Think, "tools": nil, "documents": nil}, o.Now)
}

// Encode turns a rendered conversation into tokens. What users and the model said is text, even where it spells a special token: nobody can
// end a turn or begin one by writing its mark.
func Encode(tok *tokenizer.Tokenizer, text string, messages []Message) []int32 {
	var ids []int32
	for _, m := range messages {
		said := strings.TrimSpace(m.Content)
		if said == "" || !slices.ContainsFunc(tok.Encode(said, false), tok.IsSpecial) {
			continue
		}
		before, after, found := strings.Cut(text, said)
		if !found {
			continue
		}
		ids = append(append(ids, tok.Encode(before, false)...), tok.EncodePlain(said)...)
		text = after
	}
	return append(ids, tok.Encode(text, false)...)
}

// endings are the tokens with which families of models end a turn. A model's own list of end tokens is not always complete.
var endings = []string{"</s>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>", "<|end|>", "<end_of_turn>", "<turn|>",
	"<|user|>", "<|observation|>", "<|return|>", "<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>", "<|end_of_role|>", "<eos>"}

// EndTokens adds to a model's end tokens those special tokens of its vocabulary that end a turn.
func EndTokens(tok *tokenizer.Tokenizer, eos []int) []int {
	eos = slices.Clone(eos)
	for _, s := range endings {
		if id, ok := tok.TokenID(s); ok && tok.IsSpecial(id) && !slices.Contains(eos, int(id)) {
			eos = append(eos, int(id))
		}
	}
	return eos
}
