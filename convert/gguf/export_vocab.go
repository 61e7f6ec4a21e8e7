package gguf

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// tokenizerFile is what a tokenizer.json says of the vocabulary.
type tokenizerFile struct {
	AddedTokens []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
	Model struct {
		Type         string          `json:"type"`
		Vocab        json.RawMessage `json:"vocab"`
		Merges       json.RawMessage `json:"merges"`
		ByteFallback bool            `json:"byte_fallback"`
		UnkToken     string          `json:"unk_token"`
	} `json:"model"`
}

// maxVocabulary caps the tokens of a model that is written.
const maxVocabulary = 1 << 22

// preOrder are the pre-tokenizers that are tried, one name for each set of rules.
var preOrder = []string{"gpt-2", "llama-bpe", "qwen2", "starcoder", "gpt-4o", "tekken", "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon", "bloom", "dbrx", "default"}

// addTokenizer adds the tokenizer that the model carries; one that llama.cpp would not understand as ours does is a gap.
func (e *export) addTokenizer() error {
	data, ok := e.m.Assets[model.AssetTokenizer]
	if !ok {
		e.set("tokenizer.ggml.model", "none")
		return nil
	}
	var t tokenizerFile
	if err := json.Unmarshal(data, &t); err != nil {
		return e.gapError("tokenizer.json: "+err.Error(), "")
	}
	var vocab map[string]int
	if t.Model.Type != "BPE" || json.Unmarshal(t.Model.Vocab, &vocab) != nil {
		return e.gapError("a "+t.Model.Type+" vocabulary", "byte-pair encodings are written")
	}
	merges, err := readMerges(t.Model.Merges)
	if err != nil {
		return e.gapError(err.Error(), "")
	}
	n := e.m.Meta.LM.VocabSize
	if n > maxVocabulary {
		return e.gapError(fmt.Sprintf("a vocabulary of %d", n), "")
	}
	tokens, kinds := make([]string, n), make([]int32, n)
	for i := range tokens {
		tokens[i], kinds[i] = fmt.Sprintf("[PAD%d]", i), 5 // unused
	}
	for token, id := range vocab {
		if id >= 0 && id < n {
			tokens[id], kinds[id] = token, tokenNormal
		}
	}
	for _, a := range t.AddedTokens {
		if a.ID >= 0 && a.ID < n {
			tokens[a.ID], kinds[a.ID] = a.Content, tokenUser
			if a.Special {
				kinds[a.ID] = tokenControl
			}
		}
	}
	var tries [][]Entry
	if t.Model.ByteFallback {
		tries = [][]Entry{scored(tokens, kinds, merges, vocab, t.Model.UnkToken)}
	} else {
		list := make([]string, len(merges))
		for i, m := range merges {
			list[i] = m[0] + " " + m[1]
		}
		for _, pre := range preOrder {
			tries = append(tries, []Entry{{"tokenizer.ggml.model", "gpt2"}, {"tokenizer.ggml.pre", pre}, {"tokenizer.ggml.merges", list}})
		}
	}
	common := []Entry{{"tokenizer.ggml.tokens", tokens}, {"tokenizer.ggml.token_type", kinds}}
	lm := e.m.Meta.LM
	if len(lm.BOS) > 0 {
		common = append(common, Entry{"tokenizer.ggml.bos_token_id", uint32(lm.BOS[0])})
	}
	if len(lm.EOS) > 0 {
		common = append(common, Entry{"tokenizer.ggml.eos_token_id", uint32(lm.EOS[0])})
	}
	if len(lm.EOS) > 1 {
		common = append(common, Entry{"tokenizer.ggml.eot_token_id", uint32(lm.EOS[1])})
	}
	ours, err := tokenizer.Parse(data)
	if err != nil {
		return err
	}
	// What is put around a text shows on an empty one.
	frame := ours.Encode("", true)
	begins := len(lm.BOS) > 0 && len(frame) > 0 && int(frame[0]) == lm.BOS[0]
	ends := len(lm.EOS) > 0 && len(frame) > 1 && int(frame[len(frame)-1]) == lm.EOS[0]
	common = append(common, Entry{"tokenizer.ggml.add_bos_token", begins}, Entry{"tokenizer.ggml.add_eos_token", ends})
	golden := tokenizer.Golden(ours)
	for _, try := range tries {
		entries := slices.Concat(try, common)
		if readsAs(entries, golden) {
			e.entries = append(e.entries, entries...)
			if template := e.m.Assets[model.AssetChatTemplate]; len(template) > 0 {
				e.set("tokenizer.chat_template", string(template))
			}
			return nil
		}
	}
	return e.gapError("its rules to split text", "none of the pre-tokenizers of llama.cpp that dsk knows gives the same tokens")
}

// readsAs reports whether metadata give a tokenizer that encodes as the record says.
func readsAs(entries []Entry, golden []byte) bool {
	f := &File{Entries: entries, byKey: map[string]int{}}
	for i, e := range entries {
		f.byKey[e.Key] = i
	}
	t, err := f.Tokenizer()
	return err == nil && tokenizer.CheckGolden(t, golden) == nil
}

// readMerges reads merges as "a b" or ["a", "b"].
func readMerges(data json.RawMessage) ([][2]string, error) {
	var pairs [][2]string
	if json.Unmarshal(data, &pairs) == nil {
		return pairs, nil
	}
	var lines []string
	if err := json.Unmarshal(data, &lines); err != nil {
		return nil, fmt.Errorf("merges that are neither texts nor pairs: %w", err)
	}
	pairs = make([][2]string, 0, len(lines)) // without what the first try left there
	for _, l := range lines {
		a, b, ok := cutLast(l, " ")
		if !ok {
			return nil, fmt.Errorf("the merge %q", l)
		}
		pairs = append(pairs, [2]string{a, b})
	}
	return pairs, nil
}

// scored is a vocabulary of SentencePiece's kind: a token's score falls with the first merge that makes it.
func scored(tokens []string, kinds []int32, merges [][2]string, vocab map[string]int, unknown string) []Entry {
	scores := make([]float32, len(tokens))
	for i := range scores {
		scores[i] = float32(-len(merges) - i)
	}
	made := map[int]bool{}
	for i, m := range merges {
		if id, ok := vocab[m[0]+m[1]]; ok && id >= 0 && id < len(tokens) && !made[id] {
			made[id] = true
			scores[id] = float32(-i)
		}
	}
	for i, t := range tokens {
		var b int
		if n, err := fmt.Sscanf(t, "<0x%02X>", &b); n == 1 && err == nil && len(t) == 6 {
			kinds[i] = 6 // a byte
		}
	}
	out := []Entry{{"tokenizer.ggml.model", "llama"}, {"tokenizer.ggml.scores", scores}}
	if id, ok := vocab[unknown]; ok && id < len(tokens) {
		kinds[id] = tokenUnknown
		out = append(out, Entry{"tokenizer.ggml.unknown_token_id", uint32(id)})
	}
	return out
}
