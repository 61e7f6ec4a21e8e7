package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/grammar"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
	"github.com/spf13/pflag"
)

// textOptions are the flags of running a language model.
type textOptions struct {
	maxTokens, topK, ctx, logprobs  int
	draftTokens                     int
	temperature, topP, minP         float64
	repetition, frequency, presence float64
	seed                            uint64
	stop                            []string
	promptFile, schema, grammar     string
	overflow, kv, draft             string
	noSpecial                       bool
	maxGiven                        bool // --max-tokens, of which recordings have another default
	cache                           promptCache
}

func (o *textOptions) add(f *pflag.FlagSet) {
	f.IntVarP(&o.maxTokens, "max-tokens", "n", 128, "tokens to generate (0 = until the model ends)")
	f.StringVar(&o.kv, "kv", "f32", "keep keys and values as f32, f16, bf16 or int8")
	f.Float64Var(&o.temperature, "temperature", 0, "0 = greedy")
	f.IntVar(&o.topK, "top-k", 0, "sample from the k likeliest tokens (0 = all)")
	f.Float64Var(&o.topP, "top-p", 1, "sample from the likeliest tokens that hold this much probability")
	f.Float64Var(&o.minP, "min-p", 0, "drop tokens less likely than this fraction of the likeliest")
	f.Float64Var(&o.repetition, "repetition-penalty", 1, "divide the logits of tokens of the prompt and the output by this")
	f.Float64Var(&o.frequency, "frequency-penalty", 0, "take this off a token's logit for each time it stands in the output")
	f.Float64Var(&o.presence, "presence-penalty", 0, "take this off the logits of tokens that stand in the output")
	f.Uint64Var(&o.seed, "seed", 0, "of the sampler")
	f.StringArrayVar(&o.stop, "stop", nil, "end at this text; may be repeated")
	f.IntVar(&o.logprobs, "logprobs", -1, "print a JSON object a token, with its log-probability and those of the N likeliest")
	f.StringVar(&o.schema, "json-schema", "", "hold the output to this JSON schema: a file, or the schema itself")
	f.StringVar(&o.grammar, "grammar", "", "hold the output to the grammar in this file (GBNF)")
	f.StringVar(&o.draft, "draft", "", "guess tokens with this smaller model, or lookup: as earlier in the text; the output stays as it is")
	f.IntVar(&o.draftTokens, "draft-tokens", 0, "the most tokens that --draft guesses at once (0 = 5, or 1 with a draft for weights of up to 16 MiB)")
	f.StringVar(&o.cache.path, "prompt-cache", "", "keep the keys and values of the prompt in this file: what another prompt begins with too is not computed again")
	f.IntVar(&o.ctx, "ctx", 0, "context in tokens (0 = the model's)")
	f.StringVar(&o.overflow, "on-overflow", "error", "what to do with a prompt longer than the context: error, or truncate its beginning")
	f.StringVarP(&o.promptFile, "file", "f", "", "read the prompt from a file")
	f.BoolVar(&o.noSpecial, "no-special", false, "add no special tokens to the prompt")
}

func (o *textOptions) check() error {
	switch {
	case o.temperature < 0:
		return &fault.Usage{What: "--temperature must not be negative"}
	case o.topK < 0:
		return &fault.Usage{What: "--top-k must not be negative"}
	case o.topP <= 0 || o.topP > 1:
		return &fault.Usage{What: "--top-p must lie in (0, 1]"}
	case o.minP < 0 || o.minP > 1:
		return &fault.Usage{What: "--min-p must lie in [0, 1]"}
	case o.repetition <= 0:
		return &fault.Usage{What: "--repetition-penalty must be positive; 1 does nothing"}
	case o.maxTokens < 0:
		return &fault.Usage{What: "--max-tokens must not be negative"}
	case o.logprobs < -1:
		return &fault.Usage{What: "--logprobs must not be negative"}
	case o.draftTokens < 0:
		return &fault.Usage{What: "--draft-tokens must not be negative"}
	case o.schema != "" && o.grammar != "":
		return &fault.Usage{What: "give --json-schema or --grammar, not both"}
	case o.overflow != "error" && o.overflow != "truncate":
		return &fault.Usage{What: fmt.Sprintf("--on-overflow is error or truncate, not %q", o.overflow)}
	}
	return nil
}

func (o *textOptions) sampler() *runtime.Sampler {
	return &runtime.Sampler{Temperature: float32(o.temperature), TopK: o.topK, TopP: float32(o.topP), MinP: float32(o.minP), Seed: o.seed,
		RepetitionPenalty: float32(o.repetition), FrequencyPenalty: float32(o.frequency), PresencePenalty: float32(o.presence)}
}

// form reads the grammar or schema that the output is held to, nil without one.
func (o *textOptions) form() (*grammar.Grammar, error) {
	switch s := strings.TrimSpace(o.schema); {
	case o.grammar != "":
		b, err := os.ReadFile(o.grammar)
		if err != nil {
			return nil, err
		}
		g, err := grammar.Parse(string(b))
		return g, fault.InFile(err, o.grammar)
	case s == "":
		return nil, nil
	case s[0] == '{' || s == "true":
		g, err := grammar.FromSchema([]byte(s))
		return g, fault.InFile(err, "--json-schema")
	}
	b, err := os.ReadFile(o.schema)
	if err != nil {
		return nil, err
	}
	g, err := grammar.FromSchema(b)
	return g, fault.InFile(err, o.schema)
}

// prompt is the argument, or a file or standard input without the last line break.
func (a *app) prompt(args []string, o *textOptions) (string, error) {
	text, from, err := a.readPrompt(args, o)
	if err != nil {
		return "", err
	}
	return text, checkText(text, from)
}

// checkText demands UTF-8.
func checkText(text, from string) error {
	if utf8.ValidString(text) {
		return nil
	}
	at := 0
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			at = i
			break
		}
	}
	return &fault.Format{File: from, Offset: int64(at), Why: "the text is not UTF-8", Next: "convert it to UTF-8, with iconv for instance"}
}

func (a *app) readPrompt(args []string, o *textOptions) (text, from string, err error) {
	switch {
	case len(args) > 1:
		return "", "", &fault.Usage{What: "give the prompt as one argument: put it in quotes"}
	case len(args) == 1 && args[0] != "-" && o.promptFile == "":
		return args[0], "the prompt", nil
	case o.promptFile != "" && len(args) == 0:
		b, err := os.ReadFile(o.promptFile)
		return withoutLineBreak(b), o.promptFile, err
	case o.promptFile != "":
		return "", "", &fault.Usage{What: "give the prompt as an argument or with --file, not both"}
	}
	b, err := io.ReadAll(a.stdin)
	if err != nil {
		return "", "", fmt.Errorf("standard input: %w", err)
	}
	return withoutLineBreak(b), "standard input", nil
}

// withoutLineBreak drops the line break that an editor or echo puts at a text's end.
func withoutLineBreak(b []byte) string {
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
}

// writer is a language model with its settings, ready to write.
type writer struct {
	app     *app
	o       *textOptions
	model   *model.Model
	tok     *tokenizer.Tokenizer
	lm      *runtime.LM
	options runtime.GenerateOptions
	matcher *grammar.Matcher // nil: any text
	scores  []tokenJSON      // of the output, for --json
	undraft func()
}

// tokenJSON is a token in the output of --logprobs.
type tokenJSON struct {
	Token   string      `json:"token"`
	ID      int32       `json:"id"`
	Logprob float64     `json:"logprob"`
	Top     []tokenJSON `json:"top,omitempty"`
}

func (a *app) newWriter(ctx context.Context, m *model.Model, o *textOptions, eos func(*tokenizer.Tokenizer) []int) (*writer, error) {
	tok, err := modelTokenizer(m)
	if err != nil {
		return nil, err
	}
	w := &writer{app: a, o: o, model: m, tok: tok}
	w.options = runtime.GenerateOptions{MaxTokens: o.maxTokens, Sampler: o.sampler(), EOS: eos(tok), Stop: o.stop}
	if o.logprobs >= 0 {
		w.options.TopScores, w.options.Scores = o.logprobs, w.score
	}
	form, err := o.form()
	if err != nil {
		return nil, err
	}
	if form != nil {
		w.matcher = grammar.ForTokenizer(form, tok, m.Meta.LM.VocabSize, w.options.EOS)
		w.options.Constraint = w.matcher
	}
	if w.lm, err = runtime.NewLM(m, runtime.Options{Threads: a.threads, Context: o.ctx, Cache: runtime.CacheType(o.kv)}); err != nil {
		return nil, err
	}
	if w.options.Speculation, w.undraft, err = a.speculation(ctx, w.lm, m, tok, o); err != nil {
		w.lm.Close()
		return nil, err
	}
	return w, nil
}

func (w *writer) close() {
	w.undraft()
	w.lm.Close()
}

// score prints a token's log-probability, or keeps it for --json.
func (w *writer) score(s runtime.TokenScores) error {
	line := scoreLine(w.tok, s)
	if w.app.json {
		w.scores = append(w.scores, line)
		return nil
	}
	b, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = w.app.stdout.Write(append(b, '\n'))
	return err
}

func scoreLine(tok *tokenizer.Tokenizer, s runtime.TokenScores) tokenJSON {
	line := tokenLine(tok, s.TokenScore)
	for _, t := range s.Top {
		line.Top = append(line.Top, tokenLine(tok, t))
	}
	return line
}

func tokenLine(tok *tokenizer.Tokenizer, s runtime.TokenScore) tokenJSON {
	return tokenJSON{Token: tok.Decode([]int32{s.ID}, false), ID: s.ID, Logprob: max(s.Logprob, -1e30)}
}

// show writes a part of the output as it comes, unless all of it is printed at the end or as tokens.
func (w *writer) show(text string) error {
	if w.app.json || w.o.logprobs >= 0 {
		return nil
	}
	_, err := io.WriteString(w.app.stdout, text)
	return err
}

// textResult is the output of a language model as JSON.
type textResult struct {
	Text             string      `json:"text"`
	Reasoning        string      `json:"reasoning,omitempty"`
	Tokens           []int32     `json:"tokens"`
	PromptTokens     int         `json:"prompt_tokens"`
	CachedTokens     int         `json:"cached_tokens,omitempty"`
	GeneratedTokens  int         `json:"generated_tokens"`
	FinishReason     string      `json:"finish_reason"`
	PromptSeconds    float64     `json:"prompt_seconds"`
	GenerateSeconds  float64     `json:"generate_seconds"`
	PromptPerSecond  float64     `json:"prompt_tokens_per_second"`
	DecodedPerSecond float64     `json:"tokens_per_second"`
	GuessedTokens    int         `json:"guessed_tokens,omitempty"`
	KeptTokens       int         `json:"kept_tokens,omitempty"`
	Logprobs         []tokenJSON `json:"logprobs,omitempty"`
}

// finish prints what comes after the text: a line break, or all of it as JSON.
func (w *writer) finish(g *runtime.Generation, text, reasoning string) {
	switch {
	case w.app.json:
		w.app.printJSON("run", textResult{text, reasoning, orEmpty(g.Tokens), g.PromptTokens, g.CachedTokens, len(g.Tokens), g.Reason, g.Prompt.Seconds(), g.Decode.Seconds(),
			float64(g.PromptTokens-g.CachedTokens) / g.Prompt.Seconds(), float64(len(g.Tokens)) / max(g.Decode.Seconds(), 1e-9), g.Guessed, g.Kept, w.scores})
	case w.o.logprobs < 0:
		w.app.print("")
	}
}

func (a *app) runText(ctx context.Context, m *model.Model, args []string, o *textOptions, c *chatOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := c.check(a, o); err != nil {
		return err
	}
	if c.chat || c.interactive {
		return a.runChat(ctx, m, args, o, c)
	}
	text, err := a.prompt(args, o)
	if err != nil {
		return err
	}
	w, err := a.newWriter(ctx, m, o, func(*tokenizer.Tokenizer) []int { return m.Meta.LM.EOS })
	if err != nil {
		return err
	}
	defer w.close()
	ids, err := promptTokens(m, w.tok, text, w.lm.Context(), o)
	if err != nil {
		return err
	}
	var all strings.Builder
	turns := runtime.NewConversation(w.lm)
	if err := o.cache.load(a, turns); err != nil {
		return err
	}
	g, err := turns.Generate(ctx, w.tok, ids, w.options, func(s string) error {
		all.WriteString(s)
		return w.show(s)
	})
	if err != nil {
		return err
	}
	if err := o.cache.save(turns, ids); err != nil {
		return err
	}
	w.finish(g, all.String(), "")
	return nil
}

// promptTokens are the tokens of a text that is to be continued in a context.
func promptTokens(m *model.Model, tok *tokenizer.Tokenizer, text string, context int, o *textOptions) ([]int32, error) {
	ids, bos := tok.Encode(text, !o.noSpecial), m.Meta.LM.BOS
	if len(ids) == 0 {
		if len(bos) == 0 {
			return nil, &fault.Usage{What: "the prompt is empty"}
		}
		ids = []int32{int32(bos[0])}
	}
	keep := 0
	if len(bos) > 0 && ids[0] == int32(bos[0]) {
		keep = 1
	}
	return runtime.FitPrompt(ids, context, o.maxTokens, keep, o.overflow == "truncate")
}
