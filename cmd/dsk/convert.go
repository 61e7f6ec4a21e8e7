package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/check"
	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/convert/gguf"
	"github.com/dsk-toolkit/dsk/convert/onnx"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/runtime/detect"
	"github.com/dsk-toolkit/dsk/runtime/vision"
	"github.com/spf13/cobra"
)

type convertOptions struct {
	output, input, format, framework string
	shapes                           []string
	labels, preprocess, verify, name string
	head                             string
	weights                          string
	noFuse, partial, force, listOps  bool
}

func (a *app) convertCommand() *cobra.Command {
	var o convertOptions
	cmd := &cobra.Command{
		Use:   "convert SRC -o OUT.dsk",
		Short: "Turn a trained model into a .dsk file, or one of those into ONNX or GGUF",
		Long: `Turn a trained model into a .dsk file. SRC is a .onnx file, a .gguf file, or a folder in the
Hugging Face layout (config.json, *.safetensors, tokenizer.json).

If SRC is a .dsk file and the output's name ends in .onnx, it is written as standard ONNX, with
the same weights: quantized ones as one byte and a scale for each 32 (qdq), or as the float32
numbers that they stand for (f32). A language model's caches become inputs and outputs. A
language model is written for llama.cpp if the name ends in .gguf.

  dsk convert model.onnx -o model.dsk --preprocess mean=127.5,std=127.5,resize=256,256:crop
  dsk convert ./llama-folder -o llama.dsk
  dsk convert llama.gguf -o llama.dsk
  dsk convert llama.dsk -o llama.gguf --weights q8_0
  dsk convert small.dsk -o small.onnx
  dsk convert model.onnx -o model.dsk --verify test_data/

--preprocess is a file, or keys: mean= and std= in the 0..255 units of the image, per
channel in the order given by order=rgb|bgr; resize=W,H:stretch|letterbox|crop;
filter=bilinear|bicubic as PIL; scale=; layout=nchw|nhwc; gray. Without it: no resize,
RGB/255.

EXIT STATUS
  3 if --verify finds a difference; 4 with all gaps listed if something is unsupported; 6 if
  the source is broken. No file is left then.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.listOps:
				a.listOperators()
				return nil
			case len(args) == 1 && o.input != "":
				return &fault.Usage{What: "give the source as an argument or with --input, not both"}
			case len(args) == 1:
				o.input = args[0]
			case o.input == "":
				return &fault.Usage{What: "a source is needed: a .onnx or .gguf file, or a folder with config.json and *.safetensors"}
			}
			return a.runConvert(cmd.Context(), &o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "file to write (- = standard output)")
	f.StringVar(&o.input, "input", "", "the source (older spelling of the argument)")
	f.StringVar(&o.format, "format", "auto", "auto, onnx, safetensors or gguf")
	f.StringVar(&o.framework, "framework", "", "older spelling of --format")
	f.StringVar(&o.name, "name", "", "name of the model (default: the source's)")
	f.StringArrayVar(&o.shapes, "input-shape", nil, "NAME=1,3,224,224: fix an input's shape; may be repeated")
	f.StringVar(&o.labels, "labels", "", "file with a class name a line")
	f.StringVar(&o.preprocess, "preprocess", "", "how an image becomes the input")
	f.StringVar(&o.head, "head", "", "detector head, where the outputs do not show it: "+strings.Join(detect.Kinds(), ", ")+", or a JSON file")
	f.StringVar(&o.verify, "verify", "", "ONNX test data to hold the result against")
	f.StringVar(&o.weights, "weights", "", "matrices in a .gguf file: f32, f16 (default), q8_0 or q4_0; quantized weights in a .onnx file: qdq (default) or f32")
	f.BoolVar(&o.noFuse, "no-fuse", false, "keep the operators as they are in the source")
	f.BoolVar(&o.partial, "partial", false, "leave out outputs that need something unsupported")
	f.BoolVar(&o.force, "force", false, "replace an existing file")
	f.BoolVar(&o.listOps, "list-ops", false, "print the operators, opsets and element types that ONNX models may use")
	return cmd
}

func (a *app) runConvert(ctx context.Context, o *convertOptions) error {
	if err := needOutput(o.output, o.force); err != nil {
		return err
	}
	switch filepath.Ext(o.output) {
	case ".gguf":
		return a.exportGGUF(ctx, o)
	case ".onnx":
		return a.exportONNX(ctx, o)
	}
	if o.weights != "" {
		return &fault.Usage{What: "--weights is for files that end in .gguf or .onnx; quantize sets the width of weights in a .dsk file"}
	}
	co, err := o.settings()
	if err != nil {
		return err
	}
	m, rep, err := convert.Open(ctx, o.input, co)
	if err != nil {
		return err
	}
	defer rep.Close()
	if err := recognize(m, o.head); err != nil {
		return err
	}
	for _, w := range rep.Warnings {
		a.warn("%s", w)
	}
	parity := ""
	if o.verify != "" {
		if parity, err = check.Sets(ctx, m, rep.ONNX, check.Options{RTol: check.DefaultRTol, ATol: -1, Threads: a.threads}); err != nil {
			// What has a class of its own is no difference: test data that are broken or do not fit, too little memory.
			if exitCode(err) != exitFailure {
				return err
			}
			return &fault.Gate{What: fmt.Sprintf("--verify %s: %v", o.verify, err)}
		}
	}
	bytes, err := a.saveModel(ctx, o.output, m, o.force)
	if err != nil {
		return err
	}
	if o.output == "-" {
		return nil
	}
	a.printConverted(o.output, bytes, rep, parity)
	return nil
}

// recognize gives a detector the head that --head says, a kind or a JSON file, or that its outputs show.
func recognize(m *model.Model, head string) error {
	if head == "" {
		vision.Recognize(m)
		return nil
	}
	if filepath.Ext(head) == ".json" {
		b, err := os.ReadFile(head)
		if err != nil {
			return err
		}
		return fault.InFile(vision.SetHead(m, string(b)), head)
	}
	return vision.SetHead(m, head)
}

// exportGGUF writes a .dsk file, of a language model, as GGUF.
func (a *app) exportGGUF(ctx context.Context, o *convertOptions) error {
	f, m, err := a.openModel(ctx, o.input, true)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := gguf.Save(ctx, o.output, m, gguf.ExportOptions{Weights: o.weights, Force: o.force}); err != nil {
		return fault.InFile(err, o.input)
	}
	return a.printExported(o.output, convert.FormatGGUF, m)
}

// exportONNX writes a .dsk file as ONNX.
func (a *app) exportONNX(ctx context.Context, o *convertOptions) error {
	f, m, err := a.openModel(ctx, o.input, true)
	if err != nil {
		return err
	}
	defer f.Close()
	err = saveFile(o.output, func(w io.Writer) error {
		return onnx.Export(ctx, w, m, onnx.ExportOptions{Weights: o.weights, Version: version})
	})
	if err != nil {
		return fault.InFile(err, o.input)
	}
	return a.printExported(o.output, convert.FormatONNX, m)
}

// printExported says what was written for others.
func (a *app) printExported(path, format string, m *model.Model) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if a.json {
		a.printJSON("convert", struct {
			Output     string `json:"output"`
			Bytes      int64  `json:"bytes"`
			Format     string `json:"format"`
			Parameters int64  `json:"parameters"`
		}{path, info.Size(), format, m.Meta.Parameters})
		return nil
	}
	a.print("%s: %s (%d parameters)", path, megabytes(info.Size()), m.Meta.Parameters)
	return nil
}

// settings turns flags into the verb's options.
func (o *convertOptions) settings() (convert.Options, error) {
	co := convert.Options{Format: o.format, Name: o.name, Version: version, NoFuse: o.noFuse, Partial: o.partial,
		Eval: runtime.Eval, Supports: runtime.Supports, Verify: o.verify}
	if o.framework != "" {
		co.Format = o.framework
	}
	var err error
	if co.InputShapes, err = parseShapes(o.shapes); err != nil {
		return co, err
	}
	if o.labels != "" {
		b, err := os.ReadFile(o.labels)
		if err != nil {
			return co, err
		}
		co.Labels = strings.Split(strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n"), "\n")
	}
	if o.preprocess != "" {
		p, err := readPreprocess(o.preprocess)
		if err != nil {
			return co, err
		}
		if co.Preprocess, err = json.Marshal(p); err != nil {
			return co, err
		}
	}
	return co, nil
}

// parseShapes reads NAME=1,3,224,224.
func parseShapes(specs []string) (map[string][]int, error) {
	var shapes map[string][]int
	for _, s := range specs {
		name, list, ok := strings.Cut(s, "=")
		var shape []int
		for _, d := range strings.Split(list, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(d))
			ok = ok && err == nil && n >= 0
			shape = append(shape, n)
		}
		if !ok {
			return nil, &fault.Usage{What: fmt.Sprintf("--input-shape %q: must be NAME=1,3,224,224", s)}
		}
		if shapes == nil {
			shapes = map[string][]int{}
		}
		shapes[name] = shape
	}
	return shapes, nil
}

// readPreprocess reads a JSON file, or the flag's own form.
func readPreprocess(s string) (*picture.Preprocess, error) {
	b, err := os.ReadFile(s)
	if err != nil {
		return picture.ParsePreprocessFlag(s)
	}
	p, err := picture.ParsePreprocess(b)
	return p, fault.InFile(err, s)
}

func (a *app) printConverted(output string, bytes int64, rep *convert.Report, parity string) {
	if a.json {
		a.printJSON("convert", struct {
			Output string `json:"output"`
			Bytes  int64  `json:"bytes"`
			*convert.Report
			Verified string `json:"verified,omitempty"`
		}{output, bytes, rep, parity})
		return
	}
	a.print("%s: %s from %s (%d parameters)", output, megabytes(bytes), megabytes(rep.SourceBytes), rep.Parameters)
	if rep.ONNX != nil {
		a.print("  %d nodes of opset %d became %d%s", rep.ONNX.SourceNodes, rep.ONNX.Opset, rep.ONNX.Nodes, rewrites(rep.ONNX.Rewrites))
		for _, name := range rep.ONNX.Dropped {
			a.print("  left out: output %s", name)
		}
	}
	if parity != "" {
		a.print("  verified: %s", parity)
	}
}

func rewrites(list []model.RewriteCount) string {
	var parts []string
	for _, r := range list {
		parts = append(parts, fmt.Sprintf("%s %d", r.Pass, r.Count))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}
