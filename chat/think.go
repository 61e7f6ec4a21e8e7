package chat

import "strings"

const (
	thinkBegin = "<think>"
	thinkEnd   = "</think>"
)

// Reply takes an assistant's turn in pieces and tells what was thought, between <think> and </think> at its start, from what was said.
type Reply struct {
	// Said and Thought get each part as soon as it is clear which it is; nil drops it.
	Said, Thought func(string) error

	state   replyState
	held    string
	said    strings.Builder
	thought strings.Builder
}

type replyState uint8

const (
	replyBegins replyState = iota
	replyThinks
	replyPauses // behind the thoughts, before the first letter of what is said
	replySpeaks
)

// NewReply returns the reply to a prompt, which may have begun the thoughts itself.
func NewReply(prompt string, said, thought func(string) error) *Reply {
	r := &Reply{Said: said, Thought: thought}
	if strings.HasSuffix(strings.TrimRight(prompt, whitespace), thinkBegin) {
		r.state = replyThinks
	}
	return r
}

const whitespace = " \t\r\n"

// Write takes more text.
func (r *Reply) Write(text string) error {
	r.held += text
	for {
		switch r.state {
		case replyBegins:
			r.held = strings.TrimLeft(r.held, whitespace)
			rest, thinks := strings.CutPrefix(r.held, thinkBegin)
			switch {
			case thinks:
				r.state, r.held = replyThinks, rest
			case strings.HasPrefix(thinkBegin, r.held):
				return nil
			default:
				r.state = replySpeaks
			}
		case replyThinks:
			before, after, found := strings.Cut(r.held, thinkEnd)
			if !found {
				keep := overlap(r.held, thinkEnd)
				before, r.held = r.held[:len(r.held)-keep], r.held[len(r.held)-keep:]
				return r.think(before)
			}
			r.state, r.held = replyPauses, after
			if err := r.think(before); err != nil {
				return err
			}
		case replyPauses:
			if r.held = strings.TrimLeft(r.held, whitespace); r.held == "" {
				return nil
			}
			r.state = replySpeaks
		case replySpeaks:
			text := r.held
			r.held = ""
			return r.say(text)
		}
	}
}

// Say takes text that is said as it is, whatever it begins with.
func (r *Reply) Say(text string) error {
	r.state = replySpeaks
	return r.say(text)
}

// Close ends the turn: what was held back comes out.
func (r *Reply) Close() error {
	text := r.held
	r.held = ""
	if r.state == replyThinks {
		return r.think(text)
	}
	return r.say(text)
}

func (r *Reply) say(text string) error {
	r.said.WriteString(text)
	if r.Said == nil || text == "" {
		return nil
	}
	return r.Said(text)
}

func (r *Reply) think(text string) error {
	r.thought.WriteString(text)
	if r.Thought == nil || text == "" {
		return nil
	}
	return r.Thought(text)
}

// Message is the turn as a message of the conversation.
func (r *Reply) Message() Message {
	return Message{Role: "assistant", Content: r.said.String(), Reasoning: strings.Trim(r.thought.String(), whitespace)}
}

// overlap is how much of mark's beginning stands at the end of s.
func overlap(s, mark string) int {
	for n := min(len(mark)-1, len(s)); n > 0; n-- {
		if strings.HasSuffix(s, mark[:n]) {
			return n
		}
	}
	return 0
}
