package chat

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/chat/jinja"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// Prompt renders and encodes a conversation for at most limit tokens. If it has more, the oldest turns behind the system's go, a question
// with its answer, when truncate is set; else, and when the last turn alone is too long, the error is a *fault.Usage, as it is when the
// template refuses the conversation.
func (t *Template) Prompt(tok *tokenizer.Tokenizer, messages []Message, o Options, limit int, truncate bool) (text string, ids []int32, err error) {
	first := 0
	for first < len(messages) && messages[first].Role == "system" {
		first++
	}
	for {
		if text, err = t.Render(messages, o); err != nil {
			if raised := (*jinja.Raised)(nil); errors.As(err, &raised) {
				err = &fault.Usage{What: raised.Error()}
			}
			return "", nil, err
		}
		ids = Encode(tok, text, messages)
		if len(ids) <= limit {
			return text, ids, nil
		}
		if !truncate || len(messages)-first <= 2 {
			break
		}
		messages = slices.Concat(messages[:first], messages[first+2:])
	}
	next := "shorten it, raise --ctx, or let the oldest turns go with --on-overflow truncate"
	if truncate {
		next = "the last turn alone is too long: shorten it, or raise --ctx"
	}
	return "", nil, &fault.Usage{What: fmt.Sprintf("the conversation has %d tokens, the context has room for %d; %s", len(ids), limit, next)}
}
