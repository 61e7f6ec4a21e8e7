package quant

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Earlier is a quantization that was done before: Result was made of Source.
type Earlier struct{ Source, Result *model.Model }

// ApplyLike quantizes a model as one was quantized that it differs from in some of its weights, such as what another training made of the
// same layers: weights that are equal in both are taken over as they were encoded, those that differ are encoded anew in the width that
// they had. So an update of a board ships what was trained, while Apply, which quantizes each layer for the errors of those before it, would
// change them all. Of o, the strategy, the budgets and Work are not used; calibration data, gates and evaluation are.
// Models that differ in more than their weights' values are a *fault.Usage.
func ApplyLike(ctx context.Context, m *model.Model, e Earlier, o Options) (*model.Model, *Report, error) {
	o.Work = nil
	m, e = e.cutAlike(m)
	q := &quantizer{o: o, m: m}
	q.findCandidates()
	q.findBiases()
	changed, err := e.changes(m)
	if err != nil {
		return nil, nil, err
	}
	all := q.candidates
	var anew []*candidate
	for _, c := range all {
		// A bias that took up the error of its weights is of one piece with them.
		if changed[c.name] || c.bias != "" && changed[c.bias] {
			anew = append(anew, c)
		}
	}
	plain := m.Clone()
	q.narrow(plain.Graph)
	out := m.Clone()
	out.Graph = e.Result.Graph.Clone()
	for _, c := range all {
		if out.Graph.Init[c.name] == nil {
			return nil, nil, differs("weight %s is not in the quantized model any more", c.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		if out.Graph.Init[name] == nil {
			return nil, nil, differs("weight %s is not in the quantized model any more", name)
		}
		out.Graph.Init[name] = plain.Graph.Init[name]
	}
	if len(anew) > 0 {
		q.candidates = anew
		if err := q.calibrate(ctx); err != nil {
			return nil, nil, err
		}
		for i, c := range anew {
			q.o.progress("quantize", i, len(anew))
			if err := q.encodeLike(out.Graph, plain.Graph, c, e.Result.Graph.Init[c.name].DType); err != nil {
				return nil, nil, err
			}
		}
		q.o.progress("quantize", len(anew), len(anew))
	}
	if err := e.keep(all, anew); err != nil {
		return nil, nil, err
	}
	q.candidates = all
	out.Meta.Steps = append(out.Meta.Steps, model.Step{Verb: "quantize", Version: o.Version, Options: map[string]string{
		"strategy": "like an earlier file", "calibration": q.calibrationName(), "weights_kept": strconv.Itoa(len(all) - len(anew)), "weights_made": strconv.Itoa(len(anew))}})
	r, err := q.report(ctx, out)
	if r != nil {
		r.Strategy = Like
	}
	return out, r, err
}

// Like is the strategy of ApplyLike, in its report.
const Like Strategy = "like"

func differs(format string, args ...any) error {
	return &fault.Usage{What: "--like: " + fmt.Sprintf(format, args...) + "; quantize it without --like"}
}

// cutAlike cuts the tables of m and of the source where the result's were cut.
func (e Earlier) cutAlike(m *model.Model) (*model.Model, Earlier) {
	if m.Meta.LM == nil || e.Source.Meta.LM == nil {
		return m, e
	}
	for _, name := range vocabularies(e.Source) {
		var edges []int
		for part := range e.Result.Graph.Init {
			if at, ok := strings.CutPrefix(part, name+".rows"); ok {
				if edge, err := strconv.Atoi(at); err == nil && edge > 0 && edge < e.Source.Graph.Init[name].Shape[0] {
					edges = append(edges, edge)
				}
			}
		}
		if e.Result.Graph.Init[name] != nil || len(edges) == 0 || !slices.Contains(vocabularies(m), name) || !tensor.SameShape(m.Graph.Init[name].Shape, e.Source.Graph.Init[name].Shape) {
			continue
		}
		slices.Sort(edges)
		source := e.Source.Clone()
		m, e.Source = m.Clone(), source
		model.CutRows(m.Graph, name, edges)
		model.CutRows(source.Graph, name, edges)
	}
	return m, e
}

// changes lists the constants of m whose values are not those of the source.
func (e *Earlier) changes(m *model.Model) (map[string]bool, error) {
	a, b, r := m.Graph.Clone(), e.Source.Graph.Clone(), e.Result.Meta
	steps := len(e.Source.Meta.Steps)
	switch {
	case len(r.Steps) <= steps || r.Steps[steps].Verb != "quantize" || !reflect.DeepEqual(r.Source, e.Source.Meta.Source):
		return nil, differs("the quantized model was not made of the one that --like-source names")
	case !reflect.DeepEqual(a.Nodes, b.Nodes) || !reflect.DeepEqual(a.Inputs, b.Inputs) || !reflect.DeepEqual(a.Outputs, b.Outputs) || len(a.Init) != len(b.Init):
		return nil, differs("the two models differ in more than the values of their weights")
	}
	result := e.Result.Graph.Clone()
	for _, n := range result.Nodes {
		delete(n.Attrs, "act_bits")
	}
	if !reflect.DeepEqual(result.Nodes, b.Nodes) {
		return nil, differs("its activations were quantized once for all, with weights scaled to match, which is made for a whole model only")
	}
	changed := map[string]bool{}
	for name, t := range a.Init {
		s := b.Init[name]
		if s == nil || s.DType != t.DType || s.Layout != t.Layout || !tensor.SameShape(s.Shape, t.Shape) {
			return nil, differs("weight %s has another shape or type in the two models", name)
		}
		x, err := t.Loaded()
		if err != nil {
			return nil, err
		}
		y, err := s.Loaded()
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(x.Data, y.Data) || !slices.Equal(x.Items, y.Items) {
			changed[name] = true
		}
	}
	return changed, nil
}

// encodeLike places a candidate in the width that it had; its bias is the model's own, or moved with it.
func (q *quantizer) encodeLike(out, plain *model.Graph, c *candidate, had tensor.DType) error {
	out.Init[c.name] = plain.Init[c.name]
	if c.bias != "" {
		out.Init[c.bias] = plain.Init[c.bias]
	}
	bits, ok := widthOf(had, c.t.DType)
	if !ok {
		return differs("weight %s is stored as %v, which is made for a whole model only", c.name, had)
	}
	c.choice = option{bits: bits}
	if c.why = "as wide as before, encoded anew"; bits == 0 {
		c.choice.bytes = int64(c.t.Bytes())
		return nil
	}
	c.choice.bytes = c.size(bits)
	if err := q.measureError(c, &c.choice); err != nil {
		return err
	}
	q.place(out, c, bits)
	return nil
}

// widthOf is the width behind a stored type; 0 if it is the source's own.
func widthOf(had, source tensor.DType) (bits int, ok bool) {
	if had == source {
		return 0, true
	}
	for _, bits := range []int{halfBits, 8, 4, 3, 2} {
		if dtypeOf(bits) == had {
			return bits, true
		}
	}
	return 0, false
}

// keep tells what the other candidates are, from the result's own record.
func (e *Earlier) keep(all, anew []*candidate) error {
	proof, err := ReadProof(e.Result)
	if err != nil {
		return err
	}
	relative := func(db *float64) float64 {
		if db == nil {
			return 0
		}
		return math.Pow(10, -*db/10)
	}
	for _, c := range all {
		if slices.Contains(anew, c) {
			continue
		}
		t := e.Result.Graph.Init[c.name]
		if t == nil {
			return differs("weight %s is not in the quantized model any more", c.name)
		}
		bits, _ := widthOf(t.DType, c.t.DType)
		c.choice = option{bits: bits, bytes: int64(t.Bytes())}
		c.why, c.basis = "kept: its weights are those of before", ""
		if proof != nil {
			p := proof.Tensors[c.name]
			c.choice.plain, c.choice.err = relative(p.SQNR), relative(p.Weighted)
		}
	}
	return nil
}
