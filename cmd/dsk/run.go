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
	"github.com/dsk-toolkit/dsk/dataset/npy"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/spf13/cobra"
)

type runOptions struct {
	text          textOptions
	chat          chatOptions
	batch         batchOptions
	audio         audioOptions
	pair          string
	inputs        []string
	outputDir     string
	annotate      string
	annotateScore float64
	force         bool
	top           int
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run MODEL.dsk [PROMPT | IMAGE... | RECORDING...]",
		Short: "Run a model: text or speech to text, image to labels or boxes, tensors to tensors",
		Long: `Run a model: text or speech to text, image to labels or boxes, tensors to tensors.

  dsk run lm.dsk "Once upon a time" --max-tokens 64
  echo "Once upon a time" | dsk run lm.dsk
  dsk run chat.dsk --chat "Why is the sky blue?" --system "Answer in one sentence."
  dsk run chat.dsk -i
  dsk run lm.dsk "A person:" --json-schema person.json
  dsk run lm.dsk "Once upon a time" --draft small.dsk
  dsk run lm.dsk --jsonl prompts.jsonl > texts.jsonl
  dsk run flan-t5.dsk "Translate to German: a red bicycle"
  dsk run sentiment.dsk "What a good day" "What a bad day"
  dsk run reranker.dsk --pair "how tall is the tower?" "It is 320 m high." "It rains."
  dsk run whisper.dsk speech.wav --language de
  dsk run cnn.dsk photo.jpg other.png
  dsk run detector.dsk photo.jpg --annotate boxes.png
  dsk run graph.dsk --input x=x.npy --output-dir out

A missing prompt is read from standard input. Nothing is ever asked without -i, which reads
a question a line until the end of the input (Ctrl-D).

The next token is found in these steps: --grammar or --json-schema, repetition, frequency
and presence penalties, --temperature, --top-k, --top-p, --min-p, a draw with --seed.

--draft guesses several tokens with a smaller model of the same tokenizer, which the model
then checks at once: faster, and the output is the same (with a temperature: as likely).

--prompt-cache makes a long beginning that prompts have in common cost nothing the next time.

With --jsonl a line is {"prompt"} or {"messages"}, and may say "id", "max_tokens", "temperature",
"top_k", "top_p", "min_p", "seed" and "stop" for itself. Texts are written --batch at a time, and
are what each prompt gives alone. A line that is bad gives an "error" in its place.

EXIT STATUS
  1 if a line of --jsonl gave no text; 2 if the prompt does not fit the context, or the model
  has no tokenizer or chat template; 3 if --max-tokens is too small for any output that the
  grammar or schema allows; 4 with all gaps listed if a chat template, grammar or schema
  needs what is not supported; 6 if one is broken, or the prompt is not UTF-8, or the file of
  --prompt-cache is damaged.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.text.maxGiven = cmd.Flags().Changed("max-tokens")
			return a.runRun(cmd.Context(), args[0], args[1:], &o)
		},
	}
	f := cmd.Flags()
	o.text.add(f)
	o.chat.add(f)
	o.batch.add(f)
	o.audio.add(f)
	f.StringArrayVar(&o.inputs, "input", nil, "NAME=FILE.npy, or FILE.npz; may be repeated")
	f.StringVar(&o.outputDir, "output-dir", "", "write every output there as NAME.npy")
	f.BoolVar(&o.force, "force", false, "replace existing output files")
	f.StringVar(&o.pair, "pair", "", "classify each text together with this one, which comes first: a question before passages")
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
	o.text.cache.model = f.Info().Hash
	switch {
	case m.Meta.Task != model.TaskLM && (o.text.draft != "" || o.text.cache.path != ""):
		return &fault.Usage{What: "--draft and --prompt-cache are for language models"}
	case o.pair != "" && m.Meta.Task != model.TaskTextClassify:
		return &fault.Usage{What: "--pair is for models that classify texts"}
	case o.batch.jsonl && m.Meta.Task != model.TaskLM:
		return &fault.Usage{What: "--jsonl is for language models"}
	case o.annotate != "" && (len(o.inputs) > 0 || m.Meta.Task == model.TaskLM):
		return &fault.Usage{What: "--annotate is for models that are run on images"}
	case m.Meta.Task == model.TaskSeq2Seq:
		return fault.InFile(a.runSeq2Seq(ctx, m, args, o), path)
	case len(o.inputs) > 0:
		return fault.InFile(a.runTensors(ctx, m, o), path)
	case m.Meta.Task == model.TaskTextClassify:
		return fault.InFile(a.runTextClasses(ctx, m, args, o.pair, o.top), path)
	case m.Meta.Task == model.TaskEmbed:
		return &fault.Usage{What: fmt.Sprintf("%s makes vectors of texts: use dsk embed, or --input NAME=FILE.npy", path)}
	case m.Meta.Task == model.TaskLM && o.batch.jsonl:
		return fault.InFile(a.runBatch(ctx, m, args, o), path)
	case m.Meta.Task == model.TaskLM:
		return fault.InFile(a.runText(ctx, m, args, &o.text, &o.chat), path)
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

// runTensors runs any graph: arrays in, arrays out.
func (a *app) runTensors(ctx context.Context, m *model.Model, o *runOptions) error {
	in, err := readInputs(m.Graph, o.inputs)
	if err != nil {
		return err
	}
	s, err := runtime.NewSession(m, runtime.Options{Threads: a.threads, Context: o.text.ctx})
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
	b, err := npy.Encode(t)
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
