package runtime

import (
	"context"
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// Conversation generates one answer after another from prompts that begin alike, as the turns of a chat do: what a prompt has in
// common with the text before stays in the model's caches. Not safe for concurrent use.
type Conversation struct {
	lm   *LM
	held []int32 // the tokens in the caches
}

// NewConversation starts with empty caches.
func NewConversation(lm *LM) *Conversation {
	lm.Rewind(0)
	return &Conversation{lm: lm}
}

// Generate is LM.Generate for a whole prompt, of which only what is new is computed.
func (c *Conversation) Generate(ctx context.Context, tok *tokenizer.Tokenizer, prompt []int32, o GenerateOptions, emit func(text string) error) (*Generation, error) {
	if len(prompt) == 0 {
		return &Generation{}, &fault.Usage{What: "there is no token to start from"}
	}
	n := commonPrefix(c.held, prompt[:len(prompt)-1])
	c.lm.Rewind(n)
	c.held = append(c.held[:n], prompt[n:]...)
	g, err := c.lm.generate(ctx, tok, prompt, n, o, emit)
	c.held = append(c.held, g.Tokens...)
	c.held = c.held[:min(len(c.held), c.lm.Past())]
	return g, err
}

// FitPrompt shortens a prompt that leaves no room in a context for an answer of maxTokens (0: any): tokens behind the first keep
// are dropped, the oldest first. The room is no more than half of the context. Without truncate a prompt that is longer than the
// context is an error that says so.
func FitPrompt(prompt []int32, context, maxTokens, keep int, truncate bool) ([]int32, error) {
	if !truncate {
		if len(prompt) > context {
			return nil, &fault.Usage{What: fmt.Sprintf("the prompt has %d tokens, the context holds %d; shorten it, raise --ctx, or let its beginning go with --on-overflow truncate", len(prompt), context)}
		}
		return prompt, nil
	}
	room := max(1, context/2)
	if maxTokens > 0 {
		room = min(room, maxTokens)
	}
	limit := max(1, context-room)
	if len(prompt) <= limit {
		return prompt, nil
	}
	keep = min(keep, limit-1)
	return slices.Concat(prompt[:keep], prompt[len(prompt)-(limit-keep):]), nil
}
