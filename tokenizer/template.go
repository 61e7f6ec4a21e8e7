package tokenizer

import (
	"encoding/json"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// frame holds the special tokens around a text.
type frame struct {
	before, after []int32
	pair          []slot // how two texts are joined; nil: one after the other
}

// postProcessor reads which special tokens surround a single text.
func (p *parser) postProcessor(raw json.RawMessage) (frame, error) {
	if isNull(raw) {
		return frame{}, nil
	}
	const where = "post_processor"
	o, err := decode[struct {
		Type       string
		Processors []json.RawMessage
		Single     []struct {
			SpecialToken *struct{ ID string }
			Sequence     *struct{ ID string }
		}
		Pair          json.RawMessage
		SpecialTokens map[string]struct{ IDs []int32 } `json:"special_tokens"`
		Sep, Cls      json.RawMessage
	}](raw, where)
	if err != nil {
		return frame{}, err
	}
	var f frame
	switch o.Type {
	case "Sequence":
		inner, err := nest(p, o.Processors, where, p.postProcessor)
		if err != nil {
			return f, err
		}
		for _, g := range inner {
			f.before = append(g.before, f.before...)
			f.after = append(f.after, g.after...)
			if g.pair != nil {
				f.pair = g.pair
			}
		}
	case "TemplateProcessing":
		parts, err := pairParts(o.Pair, where)
		if err != nil {
			return f, err
		}
		if f.pair, err = pairTemplate(parts, o.SpecialTokens, where); err != nil {
			return f, err
		}
		seen := false
		for _, part := range o.Single {
			if part.Sequence != nil {
				seen = true
				continue
			}
			if part.SpecialToken == nil {
				return f, fault.Formatf("tokenizer "+where, "a part of the template is neither a token nor a sequence")
			}
			special, ok := o.SpecialTokens[part.SpecialToken.ID]
			if !ok {
				return f, fault.Formatf("tokenizer "+where, "the template's token %q is not in special_tokens", part.SpecialToken.ID)
			}
			if seen {
				f.after = append(f.after, special.IDs...)
			} else {
				f.before = append(f.before, special.IDs...)
			}
		}
	case "BertProcessing", "RobertaProcessing":
		for _, end := range []struct {
			raw json.RawMessage
			ids *[]int32
		}{{o.Cls, &f.before}, {o.Sep, &f.after}} {
			pair, err := decode[[2]json.RawMessage](end.raw, where)
			if err != nil {
				return f, err
			}
			id, err := decode[int32](pair[1], where)
			if err != nil {
				return f, err
			}
			*end.ids = []int32{id}
		}
		f.pair = framedPair(f, o.Type == "RobertaProcessing")
	case "ByteLevel": // moves offsets only
	default:
		p.unsupported(where, o.Type)
	}
	return f, nil
}
