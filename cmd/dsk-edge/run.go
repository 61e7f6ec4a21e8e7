package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/dsk-toolkit/dsk/dataset/npy"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// maxLine is the longest request in bytes.
const maxLine = 256 << 20

// serveStdio answers requests until the end of the input. A request that fails is answered with its error.
func serveStdio(ctx context.Context, a *app, _ *flag.FlagSet, _ []string) error {
	e, err := a.newEngine(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	in := bufio.NewScanner(a.stdin)
	in.Buffer(make([]byte, 0, 64<<10), maxLine)
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		if line == "" {
			continue
		}
		q := &request{}
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		r, err := &response{}, d.Decode(q)
		if err != nil {
			err = fault.Formatf("request", "%v", err)
		} else {
			if r, err = e.answer(ctx, q, nil); r == nil {
				r = &response{ID: q.ID}
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r = &response{ID: q.ID, Error: &problem{fault.ExitCode(err), err.Error()}}
		}
		if err := a.printJSON(r); err != nil {
			return err
		}
	}
	return in.Err()
}

// runFlags are those of run.
type runFlags struct {
	request
	temperature, topP float64
	stop, inputs      list
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func (o *runFlags) add(_ *app, f *flag.FlagSet) {
	f.IntVar(&o.MaxTokens, "max-tokens", 128, "tokens to generate (0 = until the model ends)")
	f.Float64Var(&o.temperature, "temperature", 0, "0 = greedy")
	f.IntVar(&o.TopK, "top-k", 0, "sample from the k likeliest tokens (0 = all)")
	f.Float64Var(&o.topP, "top-p", 1, "sample from the likeliest tokens that hold this much probability")
	f.Uint64Var(&o.Seed, "seed", 0, "of the sampler")
	f.Var(&o.stop, "stop", "end at this text; may be repeated")
	f.IntVar(&o.Top, "top", 5, "classes to print")
	f.Var(&o.inputs, "input", "NAME=FILE.npy; may be repeated")
}

func (o *runFlags) run(ctx context.Context, a *app, _ *flag.FlagSet, args []string) error {
	o.Temperature, o.TopP, o.Stop = float32(o.temperature), float32(o.topP), o.stop
	e, err := a.newEngine(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	switch task := e.l.m.Meta.Task; {
	case len(o.inputs) > 0:
		return o.arrays(ctx, e)
	case task == model.TaskLM, task == model.TaskSeq2Seq, task == model.TaskEmbed, task == model.TaskTextClassify:
		if len(args) == 0 {
			b, err := io.ReadAll(a.stdin)
			if err != nil {
				return err
			}
			args = []string{strings.TrimRight(string(b), "\r\n")}
		}
	case len(args) == 0:
		return &fault.Usage{What: "give images, or --input NAME=FILE.npy"}
	}
	var emit func(string) error
	if !a.json {
		emit = func(s string) error { _, err := io.WriteString(a.stdout, s); return err }
	}
	for _, arg := range args {
		q := o.request
		switch e.l.m.Meta.Task {
		case model.TaskLM, model.TaskSeq2Seq:
			q.Prompt = arg
		case model.TaskEmbed, model.TaskTextClassify:
			q.Text = arg
		default:
			q.Image = arg
		}
		r, err := e.answer(ctx, &q, emit)
		if err != nil {
			return err
		}
		if err := a.show(arg, r); err != nil {
			return err
		}
	}
	return nil
}

// show prints an answer for people, or as JSON; a text has been printed as it came.
func (a *app) show(arg string, r *response) error {
	if a.json {
		return a.printJSON(r)
	}
	var b strings.Builder
	switch {
	case r.FinishReason != "":
	case r.Embedding != nil:
		text, err := json.Marshal(r.Embedding)
		if err != nil {
			return err
		}
		b.Write(text)
	default:
		b.WriteString(arg)
	}
	b.WriteString("\n")
	for _, c := range r.Classes {
		fmt.Fprintf(&b, "  %5.1f %%  %d %s\n", 100*c.Probability, c.Class, c.Label)
	}
	for _, x := range r.Boxes {
		fmt.Fprintf(&b, "  %.3f  %d %s  %.0f,%.0f %.0f,%.0f\n", x.Score, x.Class, x.Label, x.X1, x.Y1, x.X2, x.Y2)
	}
	if r.Score != nil {
		fmt.Fprintf(&b, "  %g\n", *r.Score)
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// arrays runs the graph on .npy files and prints the outputs as JSON.
func (o *runFlags) arrays(ctx context.Context, e *engine) error {
	in := map[string]*tensor.Tensor{}
	for _, spec := range o.inputs {
		name, file, ok := strings.Cut(spec, "=")
		if !ok {
			return &fault.Usage{What: fmt.Sprintf("--input %q: give NAME=FILE.npy", spec)}
		}
		t, err := npy.Read(file)
		if err != nil {
			return err
		}
		in[name] = t
	}
	r := &response{}
	if err := e.run(ctx, in, r); err != nil {
		return err
	}
	return e.app.printJSON(r)
}
