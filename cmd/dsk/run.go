package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/spf13/cobra"
)

type runOptions struct {
	maxTokens, topK, ctx    int
	temperature, topP, minP float64
	seed                    uint64
	stop, inputs            []string
	promptFile, outputDir   string
	annotate                string
	annotateScore           float64
	noSpecial, force        bool
	top                     int
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run MODEL.dsk [PROMPT | IMAGE...]",
		Short: "Run a model: text to text, image to labels or boxes, tensors to tensors",
		Long: `Run a model: text to text, image to labels or boxes, tensors to tensors.

  dsk run lm.dsk "Once upon a time" --max-tokens 64
  echo "Once upon a time" | dsk run lm.dsk
  dsk run cnn.dsk photo.jpg other.png
  dsk run detector.dsk photo.jpg --annotate boxes.png
  dsk run graph.dsk --input x=x.npy --output-dir out

A missing prompt is read from standard input. Nothing is ever asked.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRun(cmd.Context(), args[0], args[1:], &o) },
	}
	f := cmd.Flags()
	f.IntVarP(&o.maxTokens, "max-tokens", "n", 128, "tokens to generate (0 = until the model ends)")
	f.Float64Var(&o.temperature, "temperature", 0, "0 = greedy")
	f.IntVar(&o.topK, "top-k", 0, "sample from the k likeliest tokens (0 = all)")
	f.Float64Var(&o.topP, "top-p", 1, "sample from the likeliest tokens that hold this much probability")
	f.Float64Var(&o.minP, "min-p", 0, "drop tokens less likely than this fraction of the likeliest")
	f.Uint64Var(&o.seed, "seed", 0, "of the sampler")
	f.StringArrayVar(&o.stop, "stop", nil, "end at this text; may be repeated")
	f.IntVar(&o.ctx, "ctx", 0, "context in tokens (0 = the model's)")
	f.StringVarP(&o.promptFile, "file", "f", "", "read the prompt from a file")
	f.BoolVar(&o.noSpecial, "no-special", false, "add no special tokens to the prompt")
	f.StringArrayVar(&o.inputs, "input", nil, "NAME=FILE.npy, or FILE.npz; may be repeated")
	f.StringVar(&o.outputDir, "output-dir", "", "write every output there as NAME.npy")
	f.BoolVar(&o.force, "force", false, "replace existing output files")
	f.IntVar(&o.top, "top", 5, "classes to print")
	f.StringVar(&o.annotate, "annotate", "", "write the image with its boxes or labels as OUT.png; with several images, OUT-%d.png")
	f.Float64Var(&o.annotateScore, "annotate-score", 0.3, "draw no boxes that score less")
	return cmd
}

func (a *app) runRun(ctx context.Context, path string, args []string, o *runOptions) error {
	f, m, err := a.openModel(ctx, path, false)
	if err != nil {
		return err
	}
	defer f.Close()
	switch {
	case o.annotate != "" && (len(o.inputs) > 0 || m.Meta.Task == model.TaskLM):
		return &fault.Usage{What: "--annotate is for models that are run on images"}
	case len(o.inputs) > 0:
		return fault.InFile(a.runTensors(ctx, m, o), path)
	case m.Meta.Task == model.TaskLM:
		return fault.InFile(a.runText(ctx, m, args, o), path)
	case len(args) == 0:
		return &fault.Usage{What: fmt.Sprintf("give images, or --input NAME=FILE.npy; the model's inputs are %s", inputList(m.Graph))}
	}
	return fault.InFile(a.runImages(ctx, m, args, o), path)
}

func inputList(g *model.Graph) string {
	var names []string
	for _, in := range g.Inputs {
		names = append(names, fmt.Sprintf("%s %v", in.Name, in.Type))
	}
	return strings.Join(names, ", ")
}

// prompt is the argument, or a file or standard input without the last line break.
func (a *app) prompt(args []string, o *runOptions) (string, error) {
	switch {
	case len(args) > 1:
		return "", &fault.Usage{What: "give the prompt as one argument: put it in quotes"}
	case len(args) == 1 && args[0] != "-" && o.promptFile == "":
		return args[0], nil
	case o.promptFile != "" && len(args) == 0:
		b, err := os.ReadFile(o.promptFile)
		return withoutLineBreak(b), err
	case o.promptFile != "":
		return "", &fault.Usage{What: "give the prompt as an argument or with --file, not both"}
	}
	b, err := io.ReadAll(a.stdin)
	if err != nil {
		return "", fmt.Errorf("standard input: %w", err)
	}
	return withoutLineBreak(b), nil
}

// withoutLineBreak drops the line break that an editor or echo puts at a text's end.
func withoutLineBreak(b []byte) string {
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
}

func (a *app) runText(ctx context.Context, m *model.Model, args []string, o *runOptions) error {
	sampler := &runtime.Sampler{Temperature: float32(o.temperature), TopK: o.topK, TopP: float32(o.topP), MinP: float32(o.minP), Seed: o.seed}
	if err := checkSampling(o); err != nil {
		return err
	}
	tok, err := modelTokenizer(m)
	if err != nil {
		return err
	}
	text, err := a.prompt(args, o)
	if err != nil {
		return err
	}
	ids := tok.Encode(text, !o.noSpecial)
	if len(ids) == 0 {
		if len(m.Meta.LM.BOS) == 0 {
			return &fault.Usage{What: "the prompt is empty"}
		}
		ids = []int32{int32(m.Meta.LM.BOS[0])}
	}
	lm, err := runtime.NewLM(m, runtime.Options{Threads: a.threads, Context: o.ctx})
	if err != nil {
		return err
	}
	defer lm.Close()
	var all strings.Builder
	g, err := lm.Generate(ctx, tok, ids, runtime.GenerateOptions{MaxTokens: o.maxTokens, Sampler: sampler, EOS: m.Meta.LM.EOS, Stop: o.stop},
		func(s string) error {
			if a.json {
				all.WriteString(s)
				return nil
			}
			_, err := io.WriteString(a.stdout, s)
			return err
		})
	if err != nil {
		return err
	}
	if !a.json {
		a.print("")
		return nil
	}
	a.printJSON("run", struct {
		Text             string  `json:"text"`
		Tokens           []int32 `json:"tokens"`
		PromptTokens     int     `json:"prompt_tokens"`
		GeneratedTokens  int     `json:"generated_tokens"`
		FinishReason     string  `json:"finish_reason"`
		PromptSeconds    float64 `json:"prompt_seconds"`
		GenerateSeconds  float64 `json:"generate_seconds"`
		PromptPerSecond  float64 `json:"prompt_tokens_per_second"`
		DecodedPerSecond float64 `json:"tokens_per_second"`
	}{all.String(), orEmpty(g.Tokens), g.PromptTokens, len(g.Tokens), g.Reason, g.Prompt.Seconds(), g.Decode.Seconds(),
		float64(g.PromptTokens) / g.Prompt.Seconds(), float64(len(g.Tokens)) / max(g.Decode.Seconds(), 1e-9)})
	return nil
}

func checkSampling(o *runOptions) error {
	switch {
	case o.temperature < 0:
		return &fault.Usage{What: "--temperature must not be negative"}
	case o.topK < 0:
		return &fault.Usage{What: "--top-k must not be negative"}
	case o.topP <= 0 || o.topP > 1:
		return &fault.Usage{What: "--top-p must lie in (0, 1]"}
	case o.minP < 0 || o.minP > 1:
		return &fault.Usage{What: "--min-p must lie in [0, 1]"}
	case o.maxTokens < 0:
		return &fault.Usage{What: "--max-tokens must not be negative"}
	}
	return nil
}

// runTensors runs any graph: arrays in, arrays out.
func (a *app) runTensors(ctx context.Context, m *model.Model, o *runOptions) error {
	in, err := readInputs(m.Graph, o.inputs)
	if err != nil {
		return err
	}
	s, err := runtime.NewSession(m, runtime.Options{Threads: a.threads, Context: o.ctx})
	if err != nil {
		return err
	}
	defer s.Close()
	out, err := s.Run(ctx, in)
	if err != nil {
		return err
	}
	type entry struct {
		Name  string `json:"name"`
		DType string `json:"dtype"`
		Shape []int  `json:"shape"`
		File  string `json:"file,omitempty"`
	}
	var list []entry
	for i, v := range m.Graph.Outputs {
		e := entry{Name: v.Name, DType: out[i].DType.String(), Shape: out[i].Shape}
		if o.outputDir != "" {
			if e.File, err = writeArray(o.outputDir, v.Name, out[i], o.force); err != nil {
				return err
			}
		}
		list = append(list, e)
	}
	if a.json {
		a.printJSON("run", struct {
			Outputs []entry `json:"outputs"`
		}{list})
		return nil
	}
	for i, e := range list {
		a.print("%s %s%v %s", e.Name, e.DType, e.Shape, preview(out[i]))
	}
	return nil
}

func readInputs(g *model.Graph, specs []string) (map[string]*tensor.Tensor, error) {
	in := map[string]*tensor.Tensor{}
	for _, spec := range specs {
		name, file, ok := strings.Cut(spec, "=")
		if !ok {
			name, file = "", spec
		}
		arrays, err := dataset.ReadArrays(file)
		if err != nil {
			return nil, err
		}
		for key, t := range arrays {
			if name != "" {
				key = name
			}
			if key == "" {
				if len(g.Inputs) != 1 {
					return nil, &fault.Usage{What: fmt.Sprintf("--input %s: say which input it is, NAME=FILE; the inputs are %s", spec, inputList(g))}
				}
				key = g.Inputs[0].Name
			}
			in[key] = t
		}
	}
	return in, nil
}

// writeArray writes an output as a .npy file, never over another one unless told to.
func writeArray(dir, name string, t *tensor.Tensor, force bool) (string, error) {
	b, err := dataset.EncodeNPY(t)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:`, r) {
			return '_'
		}
		return r
	}, name)+".npy")
	if err := needOutput(file, force); err != nil {
		return "", err
	}
	return file, saveFile(file, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// preview shows the first values of a float tensor.
func preview(t *tensor.Tensor) string {
	if t.DType != tensor.F32 {
		return ""
	}
	v := t.F32()
	return strings.Trim(fmt.Sprintf("%.5g", v[:min(len(v), 8)]), "[]")
}

// labels reads the class names that a model carries.
func labels(m *model.Model) []string {
	var names []string
	s := bufio.NewScanner(strings.NewReader(string(m.Assets[model.AssetLabels])))
	for s.Scan() {
		names = append(names, s.Text())
	}
	return names
}

func className(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("class %d", i)
}
