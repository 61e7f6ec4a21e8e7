package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// draftLookup is the value of --draft that guesses from the text itself.
const draftLookup = "lookup"

// speculation returns what --draft asks for, nil without it, and what closes it.
func (a *app) speculation(ctx context.Context, target *runtime.LM, m *model.Model, tok *tokenizer.Tokenizer, o *textOptions) (*runtime.Speculation, func(), error) {
	switch o.draft {
	case "":
		if o.draftTokens != 0 {
			return nil, nil, &fault.Usage{What: "--draft-tokens is for --draft"}
		}
		return nil, func() {}, nil
	case draftLookup:
		return &runtime.Speculation{Drafter: &runtime.LookupDrafter{}, Most: o.draftTokens}, func() {}, nil
	}
	f, draft, err := a.openModel(ctx, o.draft, false)
	if err != nil {
		return nil, nil, err
	}
	lm, err := draftModel(o.draft, draft, m, tok, target.Context(), runtime.Options{Threads: a.threads, Cache: runtime.CacheType(o.kv)})
	if err != nil {
		f.Close()
		return nil, nil, fault.InFile(err, o.draft)
	}
	end := func() {
		lm.Close()
		f.Close()
	}
	return &runtime.Speculation{Drafter: runtime.NewModelDrafter(lm, target), Most: o.draftTokens}, end, nil
}

// draftModel prepares a model that guesses for another: it must have the same tokens.
func draftModel(path string, draft, target *model.Model, tok *tokenizer.Tokenizer, context int, o runtime.Options) (*runtime.LM, error) {
	if draft.Meta.LM == nil {
		return nil, &fault.Usage{What: path + " is no language model; a draft must be one, with the model's tokenizer"}
	}
	if !bytes.Equal(draft.Assets[model.AssetTokenizer], target.Assets[model.AssetTokenizer]) {
		other, err := modelTokenizer(draft)
		if err != nil {
			return nil, err
		}
		if other.VocabSize() != tok.VocabSize() {
			return nil, &fault.Usage{What: fmt.Sprintf("%s knows %d tokens, the model %d; a draft must have the model's tokenizer", path, other.VocabSize(), tok.VocabSize())}
		}
		for id := range int32(tok.VocabSize()) {
			if other.Token(id) != tok.Token(id) {
				return nil, &fault.Usage{What: fmt.Sprintf("token %d of %s is %q, the model's %q; a draft must have the model's tokenizer", id, path, other.Token(id), tok.Token(id))}
			}
		}
	}
	if o.Context = context; draft.Meta.LM.ContextLength > 0 {
		o.Context = min(context, draft.Meta.LM.ContextLength)
	}
	return runtime.NewLM(draft, o)
}
