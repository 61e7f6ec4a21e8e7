package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/quant"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/spf13/cobra"
)

type inspectOptions struct {
	tensors, graph, memory bool
	shapes                 []string
	ctx                    int
}

func (a *app) inspectCommand() *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show what is in a .dsk, .onnx, .gguf or .safetensors model",
		Long: `Show what is in a .dsk or .onnx model or a checkpoint's folder: source and history, inputs and
outputs, operators, weights. Of a .gguf or .safetensors file: metadata and weights. Of a .dsk,
.gguf or .safetensors file only the header is read.

  dsk inspect m.dsk --tensors
  dsk inspect m.dsk --memory
  dsk inspect model.onnx --graph --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runInspect(cmd.Context(), args[0], &o) },
	}
	cmd.Flags().BoolVar(&o.tensors, "tensors", false, "list every weight")
	cmd.Flags().BoolVar(&o.graph, "graph", false, "list every node")
	cmd.Flags().BoolVar(&o.memory, "memory", false, "plan a run of a .dsk file and print what it takes: weights, caches, intermediate values")
	cmd.Flags().StringArrayVar(&o.shapes, "input-shape", nil, "NAME=1,3,224,224 for --memory; unknown dimensions are 1 without it")
	cmd.Flags().IntVar(&o.ctx, "ctx", 0, "tokens in the caches for --memory (0 = the model's context)")
	return cmd
}

// inspection is the JSON form.
type inspection struct {
	File        string            `json:"file"`
	Format      string            `json:"format"`
	Bytes       int64             `json:"bytes"`
	BitsPerW    float64           `json:"bits_per_weight,omitempty"`
	RatioVsF32  float64           `json:"ratio_vs_f32,omitempty"`
	Version     int               `json:"version,omitempty"`
	HeaderBytes int64             `json:"header_bytes,omitempty"`
	Hash        string            `json:"sha256_header,omitempty"`
	Sections    []dskfile.Section `json:"sections,omitempty"`
	Chunks      []string          `json:"chunks_sha256,omitempty"`
	Metadata    map[string]any    `json:"metadata,omitempty"` // of files of weights
	Memory      *runtime.Account  `json:"memory,omitempty"`
	Proof       *quant.Proof      `json:"quantization,omitempty"` // what quantizing cost
	*model.Summary

	lines []metadatum // Metadata in the file's order
}

func (a *app) runInspect(ctx context.Context, path string, o *inspectOptions) error {
	if o.memory && !isDsk(path) && path != "-" {
		return &fault.Usage{What: "--memory plans a .dsk file: convert the model first"}
	}
	if !o.memory && (len(o.shapes) > 0 || o.ctx != 0) {
		return &fault.Usage{What: "--input-shape and --ctx are for --memory"}
	}
	inspect, show := a.inspectModel, a.printInspection
	switch {
	case path == "-" || isDsk(path):
	case isGGUF(path):
		inspect, show = inspectGGUF, a.printWeights
	case isSafetensors(path):
		inspect, show = inspectSafetensors, a.printWeights
	}
	in, err := inspect(ctx, path, o)
	if err != nil {
		return err
	}
	if p := float64(in.Meta.Parameters); p > 0 {
		in.BitsPerW, in.RatioVsF32 = 8*float64(in.Bytes)/p, 4*p/float64(in.Bytes)
	}
	if a.json {
		a.printJSON("inspect", in)
		return nil
	}
	show(in)
	return nil
}

// inspectModel describes a .dsk, or anything that can be converted.
func (a *app) inspectModel(ctx context.Context, path string, o *inspectOptions) (*inspection, error) {
	in := &inspection{File: path}
	var m *model.Model
	if path == "-" || isDsk(path) {
		f, opened, err := a.openModel(ctx, path, false)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		m = opened
		in.addFile(f.Info())
		if err := m.Graph.Check(); err != nil {
			return nil, fault.InFile(err, path)
		}
		if err := m.Graph.Infer(); err != nil {
			return nil, fault.InFile(fault.Formatf("graph", "%v", err), path)
		}
		if o.memory {
			if in.Memory, err = a.planMemory(m, o); err != nil {
				return nil, fault.InFile(err, path)
			}
		}
	} else {
		opened, rep, err := convert.Open(ctx, path, convert.Options{NoFuse: true})
		if err != nil {
			return nil, err
		}
		defer rep.Close()
		m = opened
		in.Format = m.Meta.Source.Format
		for _, f := range m.Meta.Source.Files {
			in.Bytes += f.Bytes
		}
	}
	var err error
	if in.Proof, err = quant.ReadProof(m); err != nil {
		return nil, fault.InFile(err, path)
	}
	in.Summary = model.Summarize(m, o.tensors, o.graph)
	return in, nil
}

// planMemory makes the plan of a run.
func (a *app) planMemory(m *model.Model, o *inspectOptions) (*runtime.Account, error) {
	shapes, err := parseShapes(o.shapes)
	if err != nil {
		return nil, err
	}
	s, err := runtime.NewSession(m, runtime.Options{Threads: a.threads, Context: o.ctx})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	account, err := s.Plan(shapes)
	return &account, err
}

func (in *inspection) addFile(info *dskfile.Info) {
	in.Format, in.Bytes, in.Version, in.HeaderBytes = "dsk", info.FileBytes, info.Version, info.HeaderBytes
	in.Hash = fmt.Sprintf("%x", info.Hash)
	in.Sections = info.Sections
	for _, c := range info.Chunks {
		in.Chunks = append(in.Chunks, fmt.Sprintf("%x", c))
	}
}

// firstBytes returns the start of a file, "" if there is none to read.
func firstBytes(path string) string {
	// Opening a pipe would wait for a writer.
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 16)
	n, _ := io.ReadFull(f, head)
	return string(head[:n])
}

// isDsk looks at the first bytes, then at the name.
func isDsk(path string) bool {
	return strings.HasPrefix(firstBytes(path), dskfile.Magic) || strings.HasSuffix(path, ".dsk")
}

func (a *app) printInspection(in *inspection) {
	m := in.Meta
	a.print("%s: %s, %s", in.File, in.Format, megabytes(in.Bytes))
	if in.BitsPerW > 0 {
		a.print("  %d parameters, %.3f bits per weight, %.2fx smaller than f32", m.Parameters, in.BitsPerW, in.RatioVsF32)
	}
	a.print("  name %s, architecture %s, task %s, licence %s", orNone(m.Name), orNone(m.Architecture), orNone(string(m.Task)), orNone(m.License))
	for _, f := range m.Source.Files {
		a.print("  source %s %d bytes sha256 %s", f.Name, f.Bytes, f.SHA256)
	}
	for _, s := range m.Steps {
		a.print("  step %s (dsk %s)%s", s.Verb, s.Version, options(s.Options))
	}
	if m.LM != nil {
		a.print("  vocabulary %d, context %d", m.LM.VocabSize, m.LM.ContextLength)
	}
	for _, v := range in.Inputs {
		a.print("  input  %s %s", v.Name, v.Type)
	}
	for _, v := range in.States {
		a.print("  state  %s %s", v.Name, v.Type)
	}
	for _, v := range in.Outputs {
		a.print("  output %s %s", v.Name, v.Type)
	}
	a.print("  %d nodes: %s", in.Nodes, counts(in.Operators))
	a.print("  %d tensors, %s: %s", in.TensorCount, megabytes(in.TensorBytes), counts(in.BytesByType))
	if len(in.Assets) > 0 {
		a.print("  assets: %s", counts(in.Assets))
	}
	a.printProof(in.Proof)
	a.printMemory(in.Memory)
	a.printLists(in)
}

// printProof prints what quantizing cost, as the file tells.
func (a *app) printProof(p *quant.Proof) {
	if p == nil {
		return
	}
	a.print("  quantized with calibration %s", p.Calibration)
	if r := p.Evaluation; r != nil {
		a.print("  against the model before, on %s (%d samples):", r.Data, r.Samples)
		for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
			a.print("    %-16s %-10.6g %s", name, r.Metrics[name], r.Sure(name))
		}
	} else {
		a.print("  its quality was not measured")
	}
}

// printMemory prints what a run takes, if it was asked for.
func (a *app) printMemory(m *runtime.Account) {
	if m == nil {
		return
	}
	var inputs []string
	for _, name := range slices.Sorted(maps.Keys(m.Inputs)) {
		inputs = append(inputs, name+" "+strings.ReplaceAll(fmt.Sprint(m.Inputs[name]), " ", ","))
	}
	a.print("  memory for %s", strings.Join(inputs, ", "))
	a.print("    weights             %12s", megabytes(m.Weights))
	a.print("    caches              %12s", megabytes(m.Caches))
	a.print("    intermediate values %12s (%s one beside the other)", megabytes(m.Arena), megabytes(m.Values))
	a.print("    together            %12s", megabytes(m.Total))
}

// printLists prints the tensors and nodes that were asked for.
func (a *app) printLists(in *inspection) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, t := range in.Tensors {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%v\t%d", t.Name, t.DType, t.Layout, t.Shape, t.Bytes)
		if in.Proof != nil {
			if p, ok := in.Proof.Tensors[t.Name]; ok {
				fmt.Fprintf(w, "\tSQNR %s\tof the product %s", decibels(p.SQNR), decibels(p.Weighted))
			}
		}
		fmt.Fprintln(w)
	}
	for _, n := range in.Graph {
		fmt.Fprintf(w, "  %s\t%s\t%v -> %v\t%s\n", n.Op, n.Name, n.Inputs, n.Outputs, options(n.Attrs))
	}
	w.Flush()
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// counts lists a map by falling count.
func counts[N int | int64](m map[string]N) string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		if m[names[i]] != m[names[j]] {
			return m[names[i]] > m[names[j]]
		}
		return names[i] < names[j]
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, m[name])
	}
	return strings.Join(names, ", ")
}

func options(m map[string]string) string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	s := ""
	for _, name := range names {
		s += fmt.Sprintf(" %s=%s", name, m[name])
	}
	return s
}
