package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/runtime/detect"
	"github.com/dsk-toolkit/dsk/runtime/vision"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// request is what the model is asked: a prompt, a text, an image or arrays, as it takes them.
type request struct {
	ID          json.RawMessage   `json:"id,omitempty"`
	Prompt      string            `json:"prompt,omitempty"`
	Text        string            `json:"text,omitempty"`
	Image       string            `json:"image,omitempty"` // a file
	Inputs      map[string]*array `json:"inputs,omitempty"`
	Golden      bool              `json:"golden,omitempty"` // run on the recorded inputs
	MaxTokens   int               `json:"max_tokens,omitempty"`
	Temperature float32           `json:"temperature,omitempty"`
	TopK        int               `json:"top_k,omitempty"`
	TopP        float32           `json:"top_p,omitempty"`
	Seed        uint64            `json:"seed,omitempty"`
	Stop        []string          `json:"stop,omitempty"`
	Top         int               `json:"top,omitempty"` // classes
}

// array is a tensor as JSON.
type array struct {
	DType string    `json:"dtype,omitempty"`
	Shape []int     `json:"shape"`
	Data  []float64 `json:"data"`
}

// response is the answer.
type response struct {
	ID           json.RawMessage   `json:"id,omitempty"`
	Text         string            `json:"text,omitempty"`
	Tokens       int               `json:"generated_tokens,omitempty"`
	FinishReason string            `json:"finish_reason,omitempty"`
	Classes      []vision.Class    `json:"classes,omitempty"`
	Boxes        []box             `json:"boxes,omitempty"`
	Score        *float32          `json:"score,omitempty"`
	Embedding    []float32         `json:"embedding,omitempty"`
	Outputs      map[string]*array `json:"outputs,omitempty"`
	Seconds      float64           `json:"seconds"`
	Error        *problem          `json:"error,omitempty"`
}

type problem struct {
	Code    int    `json:"code"` // as the exit code
	Message string `json:"message"`
}

type box struct {
	detect.Box
	Label string `json:"label,omitempty"`
}

// engine answers requests. What a kind of request needs is prepared with the first one.
type engine struct {
	app     *app
	l       *loaded
	labels  []string
	tok     *tokenizer.Tokenizer
	lm      *runtime.LM
	seq     *runtime.Seq2Seq
	encoder *runtime.TextEncoder
	vision  *vision.Model
	session *runtime.Session
}

func (a *app) newEngine(ctx context.Context) (*engine, error) {
	l, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	e := &engine{app: a, l: l}
	if b := l.m.Assets[model.AssetLabels]; b != nil {
		e.labels = strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	}
	return e, nil
}

func (e *engine) Close() {
	switch {
	case e.lm != nil:
		e.lm.Close()
	case e.seq != nil:
		e.seq.Close()
	case e.encoder != nil:
		e.encoder.Close()
	case e.vision != nil:
		e.vision.Close()
	}
	if e.session != nil {
		e.session.Close()
	}
	e.l.Close()
}

// answer answers one request; emit gets the text of a generation as it comes.
func (e *engine) answer(ctx context.Context, q *request, emit func(string) error) (*response, error) {
	if err := e.app.guard.Wait(ctx); err != nil {
		return nil, err
	}
	start := time.Now()
	r := &response{ID: q.ID}
	var err error
	task := e.l.m.Meta.Task
	switch {
	case q.Golden:
		err = e.golden(ctx, r)
	case q.Inputs != nil:
		err = e.arrays(ctx, q, r)
	case q.Image != "":
		err = e.image(ctx, q, r)
	case task == model.TaskLM, task == model.TaskSeq2Seq:
		err = e.generate(ctx, q, r, emit)
	case task == model.TaskEmbed, task == model.TaskTextClassify:
		err = e.text(ctx, q, r)
	default:
		err = &fault.Usage{What: "the model takes an image or inputs; the request has neither"}
	}
	r.Seconds = time.Since(start).Seconds()
	return r, err
}

func (e *engine) tokenizer() (*tokenizer.Tokenizer, error) {
	if e.tok != nil {
		return e.tok, nil
	}
	b := e.l.m.Assets[model.AssetTokenizer]
	if b == nil {
		return nil, &fault.Usage{What: "the model has no tokenizer, so it takes no text"}
	}
	var err error
	if e.tok, err = tokenizer.Parse(b); err != nil {
		return nil, err
	}
	if record := e.l.m.Assets[model.AssetTokenGolden]; record != nil {
		err = tokenizer.CheckGolden(e.tok, record)
	}
	return e.tok, err
}

// generate writes text, with a language model or an encoder-decoder.
func (e *engine) generate(ctx context.Context, q *request, r *response, emit func(string) error) error {
	tok, err := e.tokenizer()
	if err != nil {
		return err
	}
	if q.Temperature < 0 || q.TopK < 0 || q.TopP < 0 || q.TopP > 1 || q.MaxTokens < 0 {
		return &fault.Usage{What: "temperature, top_k, top_p or max_tokens is out of its range"}
	}
	sampler := &runtime.Sampler{Temperature: q.Temperature, TopK: q.TopK, TopP: q.TopP, Seed: q.Seed, RepetitionPenalty: 1}
	if q.TopP == 0 {
		sampler.TopP = 1
	}
	o := runtime.GenerateOptions{MaxTokens: q.MaxTokens, Sampler: sampler, EOS: e.l.m.Meta.LM.EOS, Stop: q.Stop}
	var all strings.Builder
	write := func(s string) error {
		all.WriteString(s)
		if e.app.tempLimit > 0 {
			if err := e.app.guard.Wait(ctx); err != nil {
				return err
			}
		}
		if emit == nil {
			return nil
		}
		return emit(s)
	}
	ids := tok.Encode(q.Prompt, true)
	var made *runtime.Generation
	if e.l.m.Meta.Task == model.TaskSeq2Seq {
		if e.seq == nil {
			if e.seq, err = runtime.NewSeq2Seq(e.l.m, e.app.options()); err != nil {
				return err
			}
		}
		if len(e.seq.Start()) == 0 {
			return &fault.Usage{What: "the model does not say with which token its decoder starts"}
		}
		if _, err = e.seq.EncodeTokens(ctx, ids); err != nil {
			return err
		}
		made, err = e.seq.Generate(ctx, tok, e.seq.Start(), o, write)
	} else {
		if e.lm == nil {
			if e.lm, err = runtime.NewLM(e.l.m, e.app.options()); err != nil {
				return err
			}
		}
		if bos := e.l.m.Meta.LM.BOS; len(ids) == 0 && len(bos) > 0 {
			ids = []int32{int32(bos[0])}
		}
		if len(ids) == 0 {
			return &fault.Usage{What: "the prompt is empty"}
		}
		if ids, err = runtime.FitPrompt(ids, e.lm.Context(), q.MaxTokens, 0, false); err != nil {
			return err
		}
		e.lm.Rewind(0)
		made, err = e.lm.Generate(ctx, tok, ids, o, write)
	}
	if err != nil {
		return err
	}
	r.Text, r.Tokens, r.FinishReason = all.String(), len(made.Tokens), made.Reason
	return nil
}

// text makes a vector or classes of a text.
func (e *engine) text(ctx context.Context, q *request, r *response) error {
	tok, err := e.tokenizer()
	if err != nil {
		return err
	}
	output := runtime.OutputEmbedding
	text := q.Text
	if text == "" {
		text = q.Prompt
	}
	if t := e.l.m.Meta.Text; e.l.m.Meta.Task == model.TaskTextClassify {
		output = runtime.OutputLogits
	} else if t != nil {
		text = t.Prompts[t.DefaultPrompt] + text
	}
	if e.encoder == nil {
		if e.encoder, err = runtime.NewTextEncoder(e.l.m, tok, output, e.app.options()); err != nil {
			return err
		}
	}
	out, err := e.encoder.Encode(ctx, []string{text})
	if err != nil {
		return err
	}
	v := slices.Clone(out[0].Values)
	switch {
	case output == runtime.OutputEmbedding:
		r.Embedding = v
	case len(v) == 1:
		r.Score = &v[0]
	default:
		p := vision.Probabilities(v)
		for i := range v {
			r.Classes = append(r.Classes, vision.Class{Class: i, Label: e.label(i), Probability: p[i]})
		}
		sort.SliceStable(r.Classes, func(i, j int) bool { return r.Classes[i].Probability > r.Classes[j].Probability })
		r.Classes = r.Classes[:min(q.classes(), len(r.Classes))]
	}
	return nil
}

func (q *request) classes() int {
	if q.Top > 0 {
		return q.Top
	}
	return 5
}

func (e *engine) label(class int) string {
	if class >= 0 && class < len(e.labels) {
		return e.labels[class]
	}
	return ""
}

// image finds classes or boxes.
func (e *engine) image(ctx context.Context, q *request, r *response) error {
	img, err := picture.ReadImage(q.Image)
	if err != nil {
		return err
	}
	if e.vision == nil {
		if e.vision, err = vision.New(e.l.m, e.app.options()); err != nil {
			return err
		}
	}
	if e.vision.Detects() {
		boxes, err := e.vision.Boxes(ctx, img)
		for _, b := range boxes {
			r.Boxes = append(r.Boxes, box{b, e.label(b.Class)})
		}
		return err
	}
	r.Classes, err = e.vision.Classify(ctx, img, q.classes())
	for i := range r.Classes {
		r.Classes[i].Label = e.label(r.Classes[i].Class)
	}
	return err
}

// arrays runs any graph.
func (e *engine) arrays(ctx context.Context, q *request, r *response) error {
	in := map[string]*tensor.Tensor{}
	for _, v := range e.l.m.Graph.Inputs {
		a := q.Inputs[v.Name]
		if a == nil {
			continue
		}
		t, err := a.tensor(v.Type.DType)
		if err != nil {
			return &fault.Usage{What: fmt.Sprintf("input %s: %v", v.Name, err)}
		}
		in[v.Name] = t
	}
	for name := range q.Inputs {
		if in[name] == nil {
			return &fault.Usage{What: fmt.Sprintf("the model has no input %q", name)}
		}
	}
	return e.run(ctx, in, r)
}

func (e *engine) run(ctx context.Context, in map[string]*tensor.Tensor, r *response) error {
	var err error
	if e.session == nil {
		if e.session, err = runtime.NewSession(e.l.m, e.app.options()); err != nil {
			return err
		}
	}
	out, err := e.session.Run(ctx, in)
	if err != nil {
		return err
	}
	r.Outputs = map[string]*array{}
	for i, v := range e.l.m.Graph.Outputs {
		if r.Outputs[v.Name], err = newArray(out[i]); err != nil {
			return fmt.Errorf("output %s: %w", v.Name, err)
		}
	}
	return nil
}

// golden runs the model on the recorded inputs.
func (e *engine) golden(ctx context.Context, r *response) error {
	if e.l.b == nil {
		return &fault.Usage{What: "a .dsk file has no recorded inputs"}
	}
	g, err := e.l.b.Golden()
	if err != nil {
		return err
	}
	replay, err := bundle.NewReplay(e.l.m, g, e.app.options())
	if err != nil {
		return err
	}
	defer replay.Close()
	out, err := replay.Run(ctx)
	if err != nil {
		return err
	}
	r.Outputs = map[string]*array{}
	for i, t := range out {
		if r.Outputs[g.Outputs[i].Name], err = newArray(t); err != nil {
			return err
		}
	}
	return nil
}
