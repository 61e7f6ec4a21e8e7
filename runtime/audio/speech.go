package audio

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// inputFeatures is the encoder's input F32 [batch, bins, frames].
const inputFeatures = "input_features"

// Takes reports whether a model is run on sounds.
func Takes(m *model.Model) bool {
	return m.Meta.Task == model.TaskSeq2Seq && m.Assets[model.AssetAudio] != nil && slices.ContainsFunc(m.Graph.Inputs, func(v model.Value) bool { return v.Name == inputFeatures })
}

// Options say what a text is to be.
type Options struct {
	// Language is a code that the tokenizer has, such as "de"; "" has the model find out in each recording.
	Language string
	// Task is "transcribe", the default "", or "translate", into English.
	Task string
	// Generate holds the sampler and limits of each window's text; its Constraint is left out.
	Generate runtime.GenerateOptions
}

// Segment is the text of one window of a recording.
type Segment struct {
	Start float64 `json:"start"` // seconds
	End   float64 `json:"end"`
	Text  string  `json:"text"`
}

// Recognizer writes down what is said in recordings. It is not safe for concurrent use.
type Recognizer struct {
	s        *runtime.Seq2Seq
	tok      *tokenizer.Tokenizer
	bank     *melBank
	frames   int
	vocab    int
	eos      []int
	start    []int32
	silent   []int32 // tokens that are no text
	language map[string]int32
}

// languageToken is how the tokenizer spells a language.
var languageToken = regexp.MustCompile(`^<\|([a-z]{2,3})\|>$`)

// New prepares a model for which Takes is true.
func New(m *model.Model, tok *tokenizer.Tokenizer, o runtime.Options) (*Recognizer, error) {
	settings, err := ParseSettings(m.Assets[model.AssetAudio])
	if err != nil {
		return nil, err
	}
	s, err := runtime.NewSeq2Seq(m, o)
	if err != nil {
		return nil, err
	}
	r := &Recognizer{s: s, tok: tok, bank: newMelBank(*settings), vocab: m.Meta.LM.VocabSize, eos: m.Meta.LM.EOS, start: s.Start(), language: map[string]int32{}}
	if err := r.prepare(); err != nil {
		s.Close()
		return nil, err
	}
	return r, nil
}

// prepare finds the window's length and the tokens that stand for something else than text.
func (r *Recognizer) prepare() error {
	in := r.s.SourceInputs()
	if len(in) != 1 || in[0].Name != inputFeatures || len(in[0].Type.Shape) != 3 || !in[0].Type.Shape[2].IsKnown() || in[0].Type.Shape[1] != model.Known(r.bank.Bins) {
		return fault.Formatf("graph", "its source is %v, want %s of %d bands and a known number of frames", in, inputFeatures, r.bank.Bins)
	}
	if r.frames = in[0].Type.Shape[2].N; r.frames < 1 || r.frames > math.MaxInt32/r.bank.Hop {
		return fault.Formatf("graph", "%d frames", r.frames)
	}
	if len(r.start) == 0 {
		return fault.Formatf("metadata", "the model does not say with which token its decoder starts")
	}
	times, timed := r.tok.TokenID("<|notimestamps|>")
	for id := range int32(min(r.tok.VocabSize(), r.vocab)) {
		name := r.tok.Token(id)
		if slices.Contains(r.eos, int(id)) {
			continue
		}
		if r.tok.IsSpecial(id) || timed && id > times && strings.HasPrefix(name, "<|") {
			r.silent = append(r.silent, id)
		}
		if m := languageToken.FindStringSubmatch(name); m != nil && r.bank.Multilingual {
			r.language[m[1]] = id
		}
	}
	for _, id := range append(slices.Clone(r.bank.Suppress), r.bank.BeginSuppress...) {
		if id < 0 || int(id) >= r.vocab {
			return fault.Formatf("asset audio.json", "token %d is outside the vocabulary of %d", id, r.vocab)
		}
	}
	r.silent = append(r.silent, r.bank.Suppress...)
	return nil
}

// Close ends the sessions.
func (r *Recognizer) Close() { r.s.Close() }

// Transcribe writes down a recording, window by window, and calls emit with each segment. A recording that is longer than a window is cut where
// it is quietest near a window's end. It returns the language, "" for models of one language.
func (r *Recognizer) Transcribe(ctx context.Context, sound *Sound, o Options, emit func(Segment) error) (language string, err error) {
	if err := r.check(&o); err != nil {
		return "", err
	}
	sound = sound.At(r.bank.Rate)
	if len(sound.Samples) == 0 {
		return "", &fault.Usage{What: "the recording is empty"}
	}
	language = o.Language
	for from := 0; from < len(sound.Samples); {
		to := r.cut(sound.Samples, from)
		in := map[string]*tensor.Tensor{inputFeatures: r.bank.features(sound.Samples[from:to], r.frames)}
		if _, err := r.s.Encode(ctx, in); err != nil {
			return language, err
		}
		if language == "" && len(r.language) > 0 {
			if language, err = r.detect(ctx); err != nil {
				return "", err
			}
		}
		text, err := r.window(ctx, language, &o)
		if err != nil {
			return language, err
		}
		if err := emit(Segment{float64(from) / float64(r.bank.Rate), float64(to) / float64(r.bank.Rate), text}); err != nil {
			return language, err
		}
		from = to
	}
	return language, nil
}

// check holds the options against what the model can do.
func (r *Recognizer) check(o *Options) error {
	if o.Task == "" {
		o.Task = "transcribe"
	}
	if o.Task != "transcribe" && o.Task != "translate" {
		return &fault.Usage{What: fmt.Sprintf("the task is transcribe or translate, not %q", o.Task)}
	}
	if len(r.language) == 0 {
		if o.Language != "" || o.Task != "transcribe" {
			return &fault.Usage{What: "the model knows one language and only transcribes"}
		}
		return nil
	}
	if _, ok := r.language[o.Language]; !ok && o.Language != "" {
		known := make([]string, 0, len(r.language))
		for code := range r.language {
			known = append(known, code)
		}
		sort.Strings(known)
		return &fault.Usage{What: fmt.Sprintf("the model has no language %q; it knows %s", o.Language, strings.Join(known, ", "))}
	}
	if _, ok := r.tok.TokenID("<|" + o.Task + "|>"); !ok {
		return &fault.Usage{What: "the tokenizer has no token for the task " + o.Task}
	}
	return nil
}

const (
	// cutShare is the part at a window's end in which a long recording is cut, and quiet how long, in seconds, the place is that must be quiet.
	cutShare = 6
	quiet    = 0.1
)

// cut returns the end of the window that begins at from.
func (r *Recognizer) cut(samples []float32, from int) int {
	window := r.frames * r.bank.Hop
	if len(samples)-from <= window {
		return len(samples)
	}
	end, span := from+window, max(int(quiet*float64(r.bank.Rate)), 1)
	best, least := end, math.Inf(1)
	for at := end - window/cutShare; at+span <= end; at += span {
		var energy float64
		for _, v := range samples[at : at+span] {
			energy += float64(v) * float64(v)
		}
		if energy <= least {
			best, least = at+span/2+1, energy
		}
	}
	return best
}

// detect returns the likeliest language of the source.
func (r *Recognizer) detect(ctx context.Context) (string, error) {
	logits, err := r.s.Next(ctx, r.start)
	if err != nil {
		return "", err
	}
	best := ""
	for code, id := range r.language {
		if b := r.language[best]; best == "" || logits[id] > logits[b] || logits[id] == logits[b] && id < b {
			best = code
		}
	}
	r.s.Rewind(0)
	return best, nil
}

// window writes down the source.
func (r *Recognizer) window(ctx context.Context, language string, o *Options) (string, error) {
	prompt := slices.Clone(r.start)
	if id, ok := r.language[language]; ok {
		task, _ := r.tok.TokenID("<|" + o.Task + "|>")
		prompt = append(prompt, id, task)
	}
	if id, ok := r.tok.TokenID("<|notimestamps|>"); ok {
		prompt = append(prompt, id)
	}
	g := o.Generate
	g.EOS, g.Constraint = r.eos, &textOnly{silent: r.silent, first: r.bank.BeginSuppress, eos: r.eos}
	var text strings.Builder
	_, err := r.s.Generate(ctx, r.tok, prompt, g, func(part string) error {
		text.WriteString(part)
		return nil
	})
	return strings.TrimSpace(text.String()), err
}

// textOnly is a runtime.Constraint that leaves out tokens which are no text.
type textOnly struct {
	silent, first []int32
	eos           []int
	begun         bool
}

// Mask implements runtime.Constraint.
func (t *textOnly) Mask(logits []float32, _ int) error {
	never := float32(math.Inf(-1))
	for _, id := range t.silent {
		logits[id] = never
	}
	if !t.begun {
		for _, id := range t.first {
			logits[id] = never
		}
	}
	return nil
}

// Accept implements runtime.Constraint.
func (t *textOnly) Accept(id int32) (bool, error) {
	t.begun = true
	return slices.Contains(t.eos, int(id)), nil
}
