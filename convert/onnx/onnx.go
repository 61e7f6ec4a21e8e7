// Package onnx imports ONNX models of operator sets 1 to 27. It owns the decoding of
// the protobuf messages (with weights as views of the mapped file) and the translation
// of every older form of an operator to opset 27's, the only one that the rest of dsk knows.
package onnx

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Options say how to import.
type Options struct {
	// InputShapes fixes inputs' shapes by name; a named dimension is then fixed wherever it occurs.
	InputShapes map[string][]int
	// NoFuse leaves the operators as the source has them: nothing is fused or packed.
	NoFuse bool
	// Partial leaves out the outputs that hang on something unsupported, instead of failing.
	Partial bool
	// AnyOperator keeps what is not supported in the graph, for looking at. Such a graph has
	// types only as far as they are known, and is neither rewritten nor fit to run.
	AnyOperator bool
	// Eval computes nodes of constants for model.Rewrite; nil leaves most of them.
	Eval func(n *model.Node, in []*tensor.Tensor) ([]*tensor.Tensor, error)
	// Supports tells what the runtime can do; nil stands for all that the graph language has.
	Supports func(domain, op string) bool
	// Labels are the classes' names, stored as the asset model.AssetLabels. Without them the names are used that the
	// model's metadata or a ZipMap gives.
	Labels []string
	// Preprocess is stored as the asset model.AssetPreprocess.
	Preprocess json.RawMessage
	// Verify is a folder of test data, which is loaded into Report.TestSets.
	Verify string
}

// Report is the account of an import.
type Report struct {
	IRVersion   int64          `json:"ir_version"`
	Opset       int            `json:"opset"`
	Producer    string         `json:"producer,omitempty"`
	SourceNodes int            `json:"source_nodes"`
	Operators   map[string]int `json:"operators"` // of the source's nodes, those of subgraphs too
	Nodes       int            `json:"nodes"`     // of the result
	Parameters  int64          `json:"parameters"`
	// Rewrites counts what simplified and fused the graph.
	Rewrites []model.RewriteCount `json:"rewrites,omitempty"`
	// Dropped lists the outputs that Partial left out. Unsupported says why, or what
	// AnyOperator let pass.
	Dropped     []string     `json:"dropped,omitempty"`
	Unsupported []fault.Item `json:"unsupported,omitempty"`
	Warnings    []string     `json:"warnings,omitempty"`
	TestSets    []TestSet    `json:"-"`

	labels  []string // of classes, as the source names them
	mapping *tensor.Mapping
	src     sources
}

// Close unmaps the source's files. The model's weights are views of them, so it comes
// last, after the model was written or is no longer needed.
func (r *Report) Close() error {
	errs := []error{r.src.close()}
	if r.mapping != nil {
		errs = append(errs, r.mapping.Close())
	}
	return errors.Join(errs...)
}

// Import reads the model at path. Errors: *fault.Format for a broken file,
// *fault.Unsupported listing everything that dsk cannot do with it, *fault.Usage for
// options that do not fit the model.
func Import(ctx context.Context, path string, o Options) (*model.Model, *Report, error) {
	path, err := ResolveModel(path)
	if err != nil {
		return nil, nil, err
	}
	mapping, err := tensor.Map(path)
	if err != nil {
		return nil, nil, err
	}
	r := &Report{mapping: mapping, src: sources{dir: filepath.Dir(path)}}
	m, err := r.build(ctx, mapping.Data, o)
	if err == nil {
		err = r.describe(m, path, o)
	}
	if err != nil {
		r.Close()
		return nil, nil, fault.InFile(err, path)
	}
	return m, r, nil
}

// build makes a model of a ModelProto's bytes.
func (r *Report) build(ctx context.Context, data []byte, o Options) (*model.Model, error) {
	p, err := decodeModel(data)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g, err := r.lower(p, o)
	if err != nil {
		return nil, err
	}
	if !o.AnyOperator || len(r.Unsupported) == 0 {
		if err := r.finish(ctx, g, o); err != nil {
			return nil, err
		}
	}
	eachNode(g, func(*model.Node) { r.Nodes++ })
	m := &model.Model{Graph: g, Assets: map[string][]byte{}}
	m.Meta.Architecture = "onnx"
	m.Meta.Parameters = r.Parameters
	m.Meta.Task = guessTask(g)
	for _, e := range p.metadata {
		if k := strings.ToLower(e.key); k == "license" || k == "licence" {
			m.Meta.License = e.value
		}
	}
	return m, nil
}

// lower turns a decoded model into a graph of opset 27 that has yet to be inferred.
func (r *Report) lower(p *protoModel, o Options) (*model.Graph, error) {
	im := &importer{
		opts: o, src: &r.src, funcs: map[funcKey]*protoFunction{}, graph: &model.Graph{Init: map[string]*tensor.Tensor{}},
		taken: map[string]int{}, types: map[string]model.Type{}, vals: map[string]*tensor.Tensor{},
		syms: map[string][]model.Dim{}, bad: map[string]bool{}, statistics: map[string]bool{}, tables: map[string]bool{},
	}
	for _, f := range p.functions {
		im.funcs[funcKey{f.domain, f.name, f.overload}] = f
	}
	if len(p.opsets) == 0 {
		p.opsets[""] = 1 // as before IR version 3
	}
	if _, ok := p.opsets[""]; !ok {
		p.opsets[""] = model.Opset
	}
	r.IRVersion, r.Opset, r.Producer = p.irVersion, p.opsets[""], strings.TrimSpace(p.producer)
	r.Operators = map[string]int{}
	r.SourceNodes = p.graph.count(r.Operators)
	if r.Opset > model.Opset {
		im.unsupported(fault.Item{What: "operator set", Opset: r.Opset, Hint: "export with opset 27 or older"})
	}
	if err := im.top(p.graph, p.opsets, p.irVersion); err != nil {
		return nil, err
	}
	if err := r.gaps(im); err != nil {
		return nil, err
	}
	prune(im.graph)
	r.Warnings = append(r.Warnings, im.warnings...)
	r.Parameters = im.parameters
	if r.labels = im.labels; r.labels == nil {
		r.labels = labelsOf(p.metadata)
	}
	return im.graph, nil
}

// count adds up the graph's nodes by operator.
func (g *protoGraph) count(ops map[string]int) int {
	n := len(g.nodes)
	for _, p := range g.nodes {
		name := p.op
		if p.domain != "" {
			name = p.domain + "." + name
		}
		ops[name]++
		for _, a := range p.attrs {
			if a.g != nil {
				n += a.g.count(ops)
			}
		}
	}
	return n
}

// gaps fails if something is not supported or, with Partial, cuts off what hangs on it.
func (r *Report) gaps(im *importer) error {
	if len(im.items) == 0 {
		return nil
	}
	im.items = append(im.items, missing(im.graph, im.opts.Supports)...)
	gaps := &fault.Unsupported{Kind: "operator", Items: collapse(im.items)}
	if im.opts.AnyOperator {
		r.Unsupported = gaps.Items
		im.graph.Types = im.types
		return nil
	}
	if !im.opts.Partial {
		return gaps
	}
	var outputs []model.Value
	for _, o := range im.graph.Outputs {
		if im.bad[o.Name] {
			r.Dropped = append(r.Dropped, o.Name)
			continue
		}
		outputs = append(outputs, o)
	}
	if len(outputs) == 0 {
		return gaps
	}
	im.graph.Outputs = outputs
	r.Unsupported = gaps.Items
	return nil
}

// missing lists the nodes whose operators the runtime lacks.
func missing(g *model.Graph, supports func(domain, op string) bool) []fault.Item {
	var items []fault.Item
	if supports == nil {
		return nil
	}
	eachNode(g, func(n *model.Node) {
		if supports(n.Domain, n.Op) {
			return
		}
		it := fault.Item{Where: "node " + n.String(), What: n.Op, Opset: model.Opset}
		if n.Domain != "" {
			it.What = n.Domain + "." + n.Op
		}
		if t := g.Types[n.In(0)]; t.DType != tensor.Invalid {
			it.DType = t.DType.String()
		}
		items = append(items, it)
	})
	return items
}

// finish infers types, and folds, fuses and packs as the options say.
func (r *Report) finish(ctx context.Context, g *model.Graph, o Options) error {
	if err := g.Infer(); err != nil {
		return formatError(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	r.Rewrites, err = model.Rewrite(g, model.RewriteOptions{Eval: o.Eval, NoFuse: o.NoFuse})
	if err != nil {
		return formatError(err)
	}
	if items := missing(g, o.Supports); len(items) > 0 {
		return &fault.Unsupported{Kind: "operator", Items: collapse(items)}
	}
	alignWeights(g)
	return nil
}

// formatError makes an error about a graph that contradicts itself one of form.
func formatError(err error) error {
	var format *fault.Format
	var unsupported *fault.Unsupported
	if errors.As(err, &format) || errors.As(err, &unsupported) {
		return err
	}
	return &fault.Format{Offset: -1, Why: err.Error(), Next: "the model contradicts itself; export it again and check it with onnx.checker"}
}

// alignWeights defers weights that lie misaligned in the source: they are copied when, and
// if, they are loaded.
func alignWeights(g *model.Graph) {
	for name, t := range g.Init {
		if t.Layout == tensor.RowMajor && misaligned(t) {
			data := t.Data
			g.Init[name] = tensor.Deferred(t.DType, t.Shape, t.Layout, nil, func(dst []byte) error {
				copy(dst, data)
				return nil
			})
		}
	}
}

// describe adds what is known from outside of the graph: files, assets, test data.
func (r *Report) describe(m *model.Model, path string, o Options) error {
	m.Meta.Name = modelName(path)
	m.Meta.Source.Format = "onnx"
	add := func(name string, f *tensor.Mapping) {
		f.Advise(tensor.AdviceSequential, 0, len(f.Data))
		sum := sha256.Sum256(f.Data)
		f.Advise(tensor.AdviceNormal, 0, len(f.Data))
		m.Meta.Source.Files = append(m.Meta.Source.Files, model.SourceFile{
			Name: filepath.Base(name), Bytes: int64(len(f.Data)), SHA256: hex.EncodeToString(sum[:]),
		})
	}
	add(path, r.mapping)
	for _, location := range r.src.order {
		add(location, r.src.opened[location])
	}
	if len(o.Labels) > 0 {
		r.labels = o.Labels
	}
	if len(r.labels) > 0 {
		m.Assets[model.AssetLabels] = []byte(strings.Join(r.labels, "\n") + "\n")
	}
	if len(o.Preprocess) > 0 {
		if !json.Valid(o.Preprocess) {
			return &fault.Usage{What: "the pre-processing is not valid JSON"}
		}
		m.Assets[model.AssetPreprocess] = append([]byte(nil), o.Preprocess...)
	}
	if o.Verify != "" {
		var err error
		r.TestSets, err = LoadTestSets(o.Verify)
		return err
	}
	return nil
}

// modelName is the file's name without suffix, or its folder's where the file's says nothing.
func modelName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if name == "model" {
		if dir := filepath.Base(filepath.Dir(path)); dir != "." && dir != ".." && dir != string(filepath.Separator) {
			return dir
		}
	}
	return name
}

// guessTask calls a graph a classifier if it makes one vector of scores of one image.
func guessTask(g *model.Graph) model.Task {
	if len(g.Inputs) != 1 || len(g.Outputs) != 1 {
		return model.TaskGraph
	}
	in, out := g.Inputs[0].Type, g.Outputs[0].Type
	if !in.DType.IsFloat() || !out.DType.IsFloat() || len(in.Shape) != 4 || in.Shape[1].N != 1 && in.Shape[1].N != 3 {
		return model.TaskGraph
	}
	switch s := out.Shape; {
	case len(s) == 2, len(s) == 4 && s[2].N == 1 && s[3].N == 1:
		return model.TaskClassify
	}
	return model.TaskGraph
}

// eachNode calls fn for every node, those of subgraphs too.
func eachNode(g *model.Graph, fn func(*model.Node)) {
	for _, n := range g.Nodes {
		fn(n)
		for _, s := range n.Subgraphs() {
			eachNode(s, fn)
		}
	}
}

// prune removes the top graph's nodes and constants that no output needs.
func prune(g *model.Graph) {
	needed := map[string]bool{}
	for _, o := range g.Outputs {
		needed[o.Name] = true
	}
	var kept []*model.Node
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		live := false
		for _, o := range n.Outputs {
			live = live || o != "" && needed[o]
		}
		if !live {
			continue
		}
		kept = append(kept, n)
		for _, in := range n.Inputs {
			needed[in] = true
		}
		for _, s := range n.Subgraphs() {
			for _, name := range s.Captures() {
				needed[name] = true
			}
		}
	}
	g.Nodes = g.Nodes[:0]
	for i := len(kept) - 1; i >= 0; i-- {
		g.Nodes = append(g.Nodes, kept[i])
	}
	for name := range g.Init {
		if !needed[name] {
			delete(g.Init, name)
		}
	}
}
