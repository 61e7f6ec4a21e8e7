package gguf

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// The kinds of token in tokenizer.ggml.token_type.
const (
	tokenNormal  = 1
	tokenUnknown = 2
	tokenControl = 3
	tokenUser    = 4
)

// Limits against vocabularies that are made to exhaust the reader: every split of a token is looked at, and those that
// are merges are written out, together in at most maxMergeBytes.
const (
	maxTokens     = 1 << 22
	maxTokenBytes = 1 << 10
	maxMergeBytes = 1 << 27
)

// space is how SentencePiece writes a blank.
const space = "▁"

// controlNames are tokens that end or frame a text and count as control tokens whatever kind the
// file gives them, as in llama.cpp.
var controlNames = map[string]bool{
	"<|eot_id|>": true, "<|im_end|>": true, "<|end|>": true, "<|return|>": true, "<|call|>": true, "<end_of_turn>": true,
	"<|endoftext|>": true, "</s>": true, "<|eom_id|>": true, "<EOT>": true, "_<EOT>": true, "<|end_of_text|>": true,
	"<end_of_utterance>": true, "<eos>": true, "<｜end▁of▁sentence｜>": true,
}

// object is a JSON object.
type object = map[string]any

// vocabulary is the tokenizer.ggml metadata on its way to a tokenizer.json.
type vocabulary struct {
	file   *File
	tokens []string
	ids    map[string]int
	kinds  []int32 // by token
}

// Tokenizer returns the tokenizer that the metadata describe. Its ids are those of llama.cpp. It fails with
// *fault.Unsupported for models and pre-tokenizers that dsk does not have, with *fault.Format for a broken vocabulary,
// and with *fault.Usage if the file has none.
func (f *File) Tokenizer() (*tokenizer.Tokenizer, error) {
	data, err := f.TokenizerJSON()
	if err != nil {
		return nil, err
	}
	return tokenizer.Parse(data)
}

// TokenizerJSON returns the tokenizer as a tokenizer.json. Errors are those of Tokenizer.
func (f *File) TokenizerJSON() ([]byte, error) {
	const modelKey = "tokenizer.ggml.model"
	kind, ok, err := get[string](f, modelKey)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &fault.Usage{What: "the file has no vocabulary: its metadata lack " + modelKey}
	}
	var build func(*vocabulary) (object, error)
	switch kind {
	case "gpt2":
		build = (*vocabulary).byteLevel
	case "llama":
		build = (*vocabulary).sentencePiece
	case "bert":
		build = (*vocabulary).wordPiece
	default:
		return nil, unsupported("tokenizer", modelKey+" "+kind, "gpt2, llama and bert are supported")
	}
	v, err := f.vocabulary()
	if err != nil {
		return nil, err
	}
	out, err := build(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func (f *File) vocabulary() (*vocabulary, error) {
	const key = "tokenizer.ggml.tokens"
	tokens, _, err := get[[]string](f, key)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 || len(tokens) > maxTokens {
		return nil, fault.Formatf("metadata "+key, "%d tokens, want 1 to %d", len(tokens), maxTokens)
	}
	v := &vocabulary{file: f, tokens: slices.Clone(tokens), ids: make(map[string]int, len(tokens))}
	for i, t := range tokens {
		if t == "" {
			t = fmt.Sprintf("[EMPTY_%d]", i)
			v.tokens[i] = t
		}
		if len(t) > maxTokenBytes || !utf8.ValidString(t) {
			return nil, fault.Formatf("metadata "+key, "token %d is longer than %d bytes or not UTF-8", i, maxTokenBytes)
		}
		if other, ok := v.ids[t]; ok {
			return nil, fault.Formatf("metadata "+key, "tokens %d and %d are both %q", other, i, t)
		}
		v.ids[t] = i
	}
	kinds, ok, err := get[[]int32](f, "tokenizer.ggml.token_type")
	switch {
	case err != nil:
		return nil, err
	case !ok:
		v.kinds = slices.Repeat([]int32{tokenNormal}, len(tokens))
	case len(kinds) < len(tokens):
		return nil, fault.Formatf("metadata tokenizer.ggml.token_type", "%d kinds for %d tokens", len(kinds), len(tokens))
	default:
		v.kinds = slices.Clone(kinds[:len(tokens)])
	}
	for i, t := range v.tokens {
		if controlNames[t] {
			v.kinds[i] = tokenControl
		}
	}
	return v, nil
}

// isAdded reports whether a token is found in the text before anything else; of those, control and
// unknown tokens only where special tokens may be spelt out.
func (v *vocabulary) isAdded(i int) bool {
	k := v.kinds[i]
	return k == tokenControl || k == tokenUnknown || k == tokenUser
}

// added lists the tokens that are cut out of the text before anything else.
func (v *vocabulary) added() []object {
	name := strings.ToLower(v.file.Text("general.name"))
	phi3 := strings.Contains(name, "phi-3") || strings.Contains(name, "phi3")
	list := []object{}
	for i, t := range v.tokens {
		if v.isAdded(i) {
			strip := phi3 && t != "<unk>" && t != "<s>" && t != "<|endoftext|>"
			list = append(list, object{"id": i, "content": t, "special": v.kinds[i] != tokenUser, "rstrip": strip})
		}
	}
	return list
}

// frame makes the post-processor: the tokens that surround a text. A negative id stands for none.
func (v *vocabulary) frame(before, after int) object {
	single, special := []object{}, object{}
	add := func(id int) {
		if id >= 0 {
			single = append(single, object{"SpecialToken": object{"id": v.tokens[id], "type_id": 0}})
			special[v.tokens[id]] = object{"id": v.tokens[id], "ids": []int{id}, "tokens": []string{v.tokens[id]}}
		}
	}
	add(before)
	single = append(single, object{"Sequence": object{"id": "A", "type_id": 0}})
	add(after)
	return object{"type": "TemplateProcessing", "single": single, "special_tokens": special}
}

// ends reads which tokens surround a text: begin and end of text, if they are wanted.
func (v *vocabulary) ends(addBOS bool, bos, eos int) (object, error) {
	addBOS, err := v.file.flag("tokenizer.ggml.add_bos_token", addBOS)
	if err != nil {
		return nil, err
	}
	addEOS, err := v.file.flag("tokenizer.ggml.add_eos_token", false)
	if err != nil {
		return nil, err
	}
	before, after := -1, -1
	if addBOS {
		if before, err = v.id("bos", bos); err != nil {
			return nil, err
		}
	}
	if addEOS {
		if after, err = v.id("eos", eos); err != nil {
			return nil, err
		}
	}
	return v.frame(before, after), nil
}

// id returns the id of a special token, by default def.
func (v *vocabulary) id(name string, def int) (int, error) {
	key := "tokenizer.ggml." + name + "_token_id"
	id, err := v.file.id(key, def, len(v.tokens))
	if err == nil && id >= len(v.tokens) {
		err = fault.Formatf("metadata "+key, "it is absent, and its default %d is no id of %d tokens", def, len(v.tokens))
	}
	return id, err
}

// byteLevel is GPT-2's kind of BPE.
func (v *vocabulary) byteLevel() (object, error) {
	const mergesKey = "tokenizer.ggml.merges"
	name := v.file.Text("tokenizer.ggml.pre")
	pre, ok := preTokenizers[name]
	if !ok {
		return nil, unsupported("tokenizer", "tokenizer.ggml.pre "+name, "its rules to split text are not known")
	}
	list, _, err := get[[]string](v.file, mergesKey)
	if err != nil {
		return nil, err
	}
	merges := make([][2]string, 0, len(list))
	seen := make(map[string]bool, len(list))
	for i, m := range list {
		// A token may begin with a blank, but not be empty.
		at := -1
		if len(m) > 1 {
			at = strings.IndexByte(m[1:], ' ') + 1
		}
		if at <= 0 || at+1 == len(m) || !utf8.ValidString(m) {
			return nil, fault.Formatf("metadata "+mergesKey, "merge %d, %q, is not two tokens", i, m)
		}
		if !seen[m] { // the first of several counts
			seen[m] = true
			merges = append(merges, [2]string{m[:at], m[at+1:]})
		}
	}
	post, err := v.ends(pre.addBOS, 11, 11)
	if err != nil {
		return nil, err
	}
	steps := []object{}
	for _, p := range pre.patterns {
		steps = append(steps, object{"type": "Split", "pattern": object{"Regex": p}, "behavior": "Isolated"})
	}
	steps = append(steps, object{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})
	return object{
		"model":          object{"type": "BPE", "vocab": v.ids, "merges": merges, "ignore_merges": pre.ignoreMerges},
		"added_tokens":   v.added(),
		"pre_tokenizer":  object{"type": "Sequence", "pretokenizers": steps},
		"decoder":        object{"type": "Sequence", "decoders": append(v.spelled(), object{"type": "ByteLevel"})},
		"post_processor": post,
	}, nil
}

// spelled makes decoders for added tokens that are text, but would be read as bytes: "ü" is a character to
// the added token and the byte FC to the others. They are written as the bytes of their text first.
func (v *vocabulary) spelled() []object {
	list := []object{}
	for i, t := range v.tokens {
		// Up to U+01FF lie the characters that stand for bytes; ASCII stands for itself.
		if !v.isAdded(i) || strings.ContainsFunc(t, func(r rune) bool { return r > 0x1FF }) {
			continue
		}
		var spelling strings.Builder
		for _, b := range []byte(t) {
			spelling.WriteRune(byteRune(b))
		}
		if spelling.Len() > len(t) && !strings.Contains(t, " ") {
			list = append(list, object{"type": "Replace", "pattern": object{"Regex": `\A` + regexp.QuoteMeta(t) + `\z`}, "content": spelling.String()})
		}
	}
	return list
}

// byteRune is the character that GPT-2 writes for a byte: printable Latin-1 stands for itself, the others
// follow from U+0100 on.
func byteRune(b byte) rune {
	switch {
	case b <= ' ':
		return 0x100 + rune(b)
	case b >= 0x7F && b <= 0xA0:
		return 0x121 + rune(b-0x7F)
	case b == 0xAD:
		return 0x143
	}
	return rune(b)
}

// sentencePiece is BPE by scores: two neighbours that make a token are joined, best score first; what is no
// token becomes bytes.
func (v *vocabulary) sentencePiece() (object, error) {
	merges, err := v.scoredMerges()
	if err != nil {
		return nil, err
	}
	unk, err := v.id("unknown", 0)
	if err != nil {
		return nil, err
	}
	prefix, err := v.file.flag("tokenizer.ggml.add_space_prefix", true)
	if err != nil {
		return nil, err
	}
	post, err := v.ends(true, 1, 2)
	if err != nil {
		return nil, err
	}
	normal := []object{}
	decoders := []object{
		{"type": "Replace", "pattern": object{"String": space}, "content": " "},
		{"type": "ByteFallback"}, {"type": "Fuse"},
	}
	if prefix {
		normal = append(normal, object{"type": "Prepend", "prepend": space})
		decoders = append(decoders, object{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	normal = append(normal, object{"type": "Replace", "pattern": object{"String": " "}, "content": space})
	return object{
		"model": object{"type": "BPE", "vocab": v.ids, "merges": merges, "byte_fallback": true,
			"unk_token": v.tokens[unk], "fuse_unk": true},
		"added_tokens":   v.added(),
		"normalizer":     object{"type": "Sequence", "normalizers": normal},
		"decoder":        object{"type": "Sequence", "decoders": decoders},
		"post_processor": post,
	}, nil
}

// scoredMerges lists every way to make a token out of two, best score first.
func (v *vocabulary) scoredMerges() ([][2]string, error) {
	const key = "tokenizer.ggml.scores"
	scores, _, err := get[[]float32](v.file, key)
	if err != nil {
		return nil, err
	}
	if len(scores) < len(v.tokens) {
		return nil, fault.Formatf("metadata "+key, "%d scores for %d tokens", len(scores), len(v.tokens))
	}
	type split struct{ token, at int32 }
	var splits []split
	size := 0
	for i, t := range v.tokens {
		if math.IsNaN(float64(scores[i])) {
			return nil, fault.Formatf("metadata "+key, "the score of token %d is not a number", i)
		}
		for at := 1; at < len(t); at++ {
			if !utf8.RuneStart(t[at]) {
				continue
			}
			if _, ok := v.ids[t[:at]]; !ok {
				continue
			}
			if _, ok := v.ids[t[at:]]; !ok {
				continue
			}
			if size += len(t) + 8; size > maxMergeBytes {
				return nil, fault.Formatf("metadata "+key, "the tokens can be made of each other in too many ways")
			}
			splits = append(splits, split{int32(i), int32(at)})
		}
	}
	slices.SortStableFunc(splits, func(a, b split) int { return cmp.Compare(scores[b.token], scores[a.token]) })
	merges := make([][2]string, len(splits))
	for i, s := range splits {
		t := v.tokens[s.token]
		merges[i] = [2]string{t[:s.at], t[s.at:]}
	}
	return merges, nil
}

// wordPiece is BERT's model. The file marks the start of a word, BERT its continuation.
func (v *vocabulary) wordPiece() (object, error) {
	const more = "##"
	clear(v.ids)
	for i, t := range v.tokens {
		if rest, ok := strings.CutPrefix(t, space); ok && rest != "" {
			t = rest
		} else if !v.isAdded(i) && (!strings.HasPrefix(t, "[") || !strings.HasSuffix(t, "]")) {
			t = more + t
		}
		if other, ok := v.ids[t]; ok {
			return nil, fault.Formatf("metadata tokenizer.ggml.tokens", "tokens %d and %d are both %q", other, i, t)
		}
		v.tokens[i], v.ids[t] = t, i
	}
	var ids [3]int
	for i, s := range []struct {
		name string
		def  int
	}{{"unknown", 100}, {"cls", 101}, {"seperator", 102}} { // the format spells it so
		var err error
		if ids[i], err = v.id(s.name, s.def); err != nil {
			return nil, err
		}
	}
	cls, err := v.file.id("tokenizer.ggml.bos_token_id", ids[1], len(v.tokens))
	if err != nil {
		return nil, err
	}
	lower, err := v.file.flag("tokenizer.ggml.normalizer.lowercase", true)
	if err != nil {
		return nil, err
	}
	strip, err := v.file.flag("tokenizer.ggml.normalizer.strip_accents", lower)
	if err != nil {
		return nil, err
	}
	normal := []object{}
	if strip {
		// llama.cpp keeps the first character of a decomposition and drops all marks; BERT itself
		// keeps the vowels of Hangul and the marks that take up space.
		normal = append(normal, object{"type": "NFD"}, object{"type": "StripAccents"},
			object{"type": "Replace", "pattern": object{"Regex": `[\u1160-\u11FF]`}, "content": ""})
	}
	normal = append(normal, object{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
		"strip_accents": false, "lowercase": lower})
	return object{
		"model": object{"type": "WordPiece", "vocab": v.ids, "unk_token": v.tokens[ids[0]], "continuing_subword_prefix": more,
			"max_input_chars_per_word": math.MaxInt32},
		"added_tokens":   v.added(),
		"normalizer":     object{"type": "Sequence", "normalizers": normal},
		"pre_tokenizer":  object{"type": "BertPreTokenizer"},
		"decoder":        object{"type": "WordPiece", "prefix": more, "cleanup": false},
		"post_processor": v.frame(cls, ids[2]),
	}, nil
}
