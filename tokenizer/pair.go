package tokenizer

import (
	"encoding/json"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// slot is a part of what two texts that belong together become: special tokens, or one of the texts.
type slot struct {
	ids  []int32 // of special tokens
	text int     // 1 or 2; 0: special tokens
	kind int32   // of its tokens, as token_type_ids has it
}

// plainPair is how texts are joined where nothing says it.
var plainPair = []slot{{text: 1}, {text: 2, kind: 1}}

// pairPart is a part of a template.
type pairPart struct {
	SpecialToken *struct {
		ID   string
		Type int32 `json:"type_id"`
	}
	Sequence *struct {
		ID   string
		Type int32 `json:"type_id"`
	}
}

// pairTemplate reads how TemplateProcessing joins two texts.
func pairTemplate(parts []pairPart, special map[string]struct{ IDs []int32 }, where string) ([]slot, error) {
	var out []slot
	texts := [3]int{}
	for _, part := range parts {
		switch {
		case part.Sequence != nil && (part.Sequence.ID == "A" || part.Sequence.ID == "B"):
			n := int(part.Sequence.ID[0]-'A') + 1
			texts[n]++
			out = append(out, slot{text: n, kind: part.Sequence.Type})
		case part.SpecialToken != nil:
			s, ok := special[part.SpecialToken.ID]
			if !ok {
				return nil, fault.Formatf("tokenizer "+where, "the template's token %q is not in special_tokens", part.SpecialToken.ID)
			}
			out = append(out, slot{ids: s.IDs, kind: part.SpecialToken.Type})
		default:
			return nil, fault.Formatf("tokenizer "+where, "a part of the template for pairs is neither a token nor a sequence")
		}
	}
	if len(parts) > 0 && (texts[1] != 1 || texts[2] != 1) {
		return nil, fault.Formatf("tokenizer "+where, "the template for pairs does not have each text once")
	}
	return out, nil
}

// framedPair joins texts as BertProcessing and RobertaProcessing do: the first has the mark of its end doubled or the second another kind.
func framedPair(f frame, roberta bool) []slot {
	if roberta {
		return []slot{{ids: f.before}, {text: 1}, {ids: append(slices.Clone(f.after), f.after...)}, {text: 2}, {ids: f.after}}
	}
	return []slot{{ids: f.before}, {text: 1}, {ids: f.after}, {text: 2, kind: 1}, {ids: f.after, kind: 1}}
}

// EncodePair returns the ids of two texts that belong together, a question and a passage for instance, joined as the tokenizer's post-processor does
// it, and the kind of each, which is what models take as token_type_ids. Where there are more than most, if that is not 0, the longer
// text loses its end, and cut is true.
func (t *Tokenizer) EncodePair(first, second string, most int) (ids, kinds []int32, cut bool) {
	texts := [3][]int32{nil, t.encode(nil, first, false), t.encode(nil, second, false)}
	slots := t.frame.pair
	if slots == nil {
		slots = plainPair
	}
	total := len(texts[1]) + len(texts[2])
	for _, s := range slots {
		total += len(s.ids)
	}
	for ; most > 0 && total > most && len(texts[1])+len(texts[2]) > 0; total-- {
		longer := 1
		if len(texts[2]) > len(texts[1]) {
			longer = 2
		}
		texts[longer], cut = texts[longer][:len(texts[longer])-1], true
	}
	for _, s := range slots {
		part := s.ids
		if s.text > 0 {
			part = texts[s.text]
		}
		ids = append(ids, part...)
		for range part {
			kinds = append(kinds, s.kind)
		}
	}
	return ids, kinds, cut
}

// specialIDs are those of the tokens that the post-processor adds.
func (f frame) specialIDs() []int32 {
	ids := append(slices.Clone(f.before), f.after...)
	for _, s := range f.pair {
		ids = append(ids, s.ids...)
	}
	return ids
}

// pairParts reads a template's parts for pairs.
func pairParts(raw json.RawMessage, where string) ([]pairPart, error) {
	if isNull(raw) {
		return nil, nil
	}
	return decode[[]pairPart](raw, where)
}
