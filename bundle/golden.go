package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// Tolerance is how far a replayed output may lie from the recorded one: the root mean square of their difference over that of the
// recorded values. Processors that fuse multiplications and additions round otherwise, and a rounding may move an activation to the
// next of its 255 steps, which is 0.4 % of its range; damage and wrong kernels move everything.
const Tolerance = 0.02

const (
	goldenTokens    = 16   // of a language model's prompt
	goldenGenerated = 8    // tokens that an encoder-decoder writes
	goldenValues    = 4096 // of an output are kept, evenly spread; its hash covers all
	goldenSide      = 64   // of images without a size of their own
)

// Golden is what a model answered where the bundle was made.
type Golden struct {
	Inputs  []GoldenInput  `json:"inputs,omitempty"`
	Tokens  []int32        `json:"tokens,omitempty"` // of a language model, or of the source of an encoder-decoder
	Outputs []GoldenOutput `json:"outputs"`
}

// GoldenInput is an input that Fill makes again from a few numbers.
type GoldenInput struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	// Fill is "uniform", values in [-1, 1), or "tokens", numbers below Below, or "constant", all equal to Below.
	Fill   string `json:"fill"`
	Below  int    `json:"below,omitempty"`
	SHA256 Hash   `json:"sha256"` // of the values, little-endian
}

// GoldenOutput is an output as it was recorded.
type GoldenOutput struct {
	Name   string `json:"name"`
	DType  string `json:"dtype"`
	Shape  []int  `json:"shape"`
	SHA256 Hash   `json:"sha256"`          // of all values, little-endian
	Step   int    `json:"step"`            // every so many values one is kept
	Norm   Number `json:"norm,omitempty"`  // root mean square of the kept values
	Kept   []byte `json:"kept,omitempty"`  // values of F32 as bytes, little-endian
	Names  string `json:"words,omitempty"` // strings, joined by line breaks
}

// Number is a float that JSON may not know, as text.
type Number float64

// MarshalText writes the shortest digits that give the same number.
func (n Number) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", float64(n)), nil }

// UnmarshalText reads what MarshalText writes.
func (n *Number) UnmarshalText(b []byte) error {
	_, err := fmt.Sscan(string(b), (*float64)(n))
	return err
}

// random is a stream of numbers that is the same everywhere: xorshift64* (Vigna 2016).
type random uint64

func (r *random) next() uint32 {
	x := uint64(*r)
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	*r = random(x)
	return uint32((x * 2685821657736338717) >> 32)
}

// tensor makes the input's values.
func (in *GoldenInput) tensor(seed int) (*tensor.Tensor, error) {
	bad := func(format string, args ...any) error {
		return fault.Formatf(GoldenFile+", input "+in.Name, format, args...)
	}
	dtype, err := tensor.ParseDType(in.DType)
	if err != nil {
		return nil, bad("%v", err)
	}
	size, err := tensor.ByteSize(dtype, in.Shape, tensor.RowMajor)
	if err != nil {
		return nil, bad("%v", err)
	}
	if err := tensor.Room(size, "input "+in.Name); err != nil {
		return nil, err
	}
	t := tensor.New(dtype, in.Shape...)
	r := random(seed + 1)
	value := func() float64 { return float64(in.Below) }
	switch {
	case in.Fill == "uniform":
		value = func() float64 { return float64(int32(r.next())) / (1 << 31) }
	case in.Fill == "tokens" && in.Below > 0:
		value = func() float64 { return float64(r.next() % uint32(in.Below)) }
	case in.Fill != "constant":
		return nil, bad("fill %q is not known", in.Fill)
	}
	switch dtype {
	case tensor.F32:
		fill[float32](t, value)
	case tensor.F64:
		fill[float64](t, value)
	case tensor.I64:
		fill[int64](t, value)
	case tensor.I32:
		fill[int32](t, value)
	case tensor.U8, tensor.BOOL, tensor.I8:
		for i := range t.Data {
			t.Data[i] = byte(int(value()))
		}
	default:
		return nil, bad("values of type %s cannot be made up", in.DType)
	}
	return t, nil
}

func fill[T float32 | float64 | int64 | int32](t *tensor.Tensor, value func() float64) {
	v := tensor.View[T](t)
	for i := range v {
		v[i] = T(value())
	}
}

// newGolden chooses inputs for a model.
func newGolden(m *model.Model) (*Golden, error) {
	g := &Golden{}
	if m.Meta.LM != nil {
		r := random(1)
		for range min(goldenTokens, max(m.Meta.LM.ContextLength, 1)) {
			g.Tokens = append(g.Tokens, int32(r.next()%uint32(max(m.Meta.LM.VocabSize, 1))))
		}
	}
	inputs := m.Graph.Inputs
	switch m.Meta.Task {
	case model.TaskLM:
		return g, nil
	case model.TaskSeq2Seq:
		s, err := runtime.NewSeq2Seq(m, runtime.Options{Threads: 1})
		if err != nil {
			return nil, err
		}
		inputs = s.SourceInputs()
		s.Close()
	}
	for i, v := range inputs {
		in := GoldenInput{Name: v.Name, DType: v.Type.DType.String(), Fill: "uniform"}
		for d, n := range v.Type.Shape {
			switch {
			case n.IsKnown():
				in.Shape = append(in.Shape, n.N)
			case d == 0:
				in.Shape = append(in.Shape, 1)
			case len(v.Type.Shape) == 4 && d >= 2:
				in.Shape = append(in.Shape, goldenSide)
			case m.Meta.Text != nil || m.Meta.LM != nil:
				in.Shape = append(in.Shape, goldenTokens)
			default:
				in.Shape = append(in.Shape, 1)
			}
		}
		if v.Type.DType != tensor.F32 && v.Type.DType != tensor.F64 {
			in.Fill = "constant"
			switch {
			case strings.Contains(v.Name, "mask"):
				in.Below = 1
			case v.Name == "input_ids" && m.Meta.Text != nil:
				in.Fill, in.Below = "tokens", m.Meta.Text.VocabSize
			case v.Name == "input_ids" && m.Meta.LM != nil:
				in.Fill, in.Below = "tokens", m.Meta.LM.VocabSize
			}
		}
		t, err := in.tensor(i)
		if err != nil {
			return nil, err
		}
		in.SHA256 = Sum(t.Data)
		g.Inputs = append(g.Inputs, in)
	}
	return g, nil
}

// ParseGolden reads golden.json.
func ParseGolden(b []byte) (*Golden, error) {
	g := &Golden{}
	if err := json.Unmarshal(b, g); err != nil {
		return nil, fault.Formatf(GoldenFile, "%v", err)
	}
	if len(g.Outputs) == 0 {
		return nil, fault.Formatf(GoldenFile, "no outputs are recorded")
	}
	return g, nil
}

// Replay runs a model on recorded inputs, as often as one likes.
type Replay struct {
	golden *Golden
	lm     *runtime.LM
	seq    *runtime.Seq2Seq
	sess   *runtime.Session
	tok    *tokenizer.Tokenizer
	in     map[string]*tensor.Tensor
	names  []string
}

// NewReplay prepares a model for the inputs of g.
func NewReplay(m *model.Model, g *Golden, o runtime.Options) (*Replay, error) {
	r := &Replay{golden: g, in: map[string]*tensor.Tensor{}}
	for i := range g.Inputs {
		t, err := g.Inputs[i].tensor(i)
		if err != nil {
			return nil, err
		}
		if Sum(t.Data) != g.Inputs[i].SHA256 {
			return nil, fault.Formatf(GoldenFile+", input "+g.Inputs[i].Name, "the values that were made do not have the recorded hash")
		}
		r.in[g.Inputs[i].Name] = t
	}
	var err error
	switch m.Meta.Task {
	case model.TaskLM:
		for _, id := range g.Tokens {
			if id < 0 || int(id) >= m.Meta.LM.VocabSize {
				return nil, fault.Formatf(GoldenFile, "token %d is not in the vocabulary", id)
			}
		}
		r.names = []string{"logits"}
		r.lm, err = runtime.NewLM(m, o)
	case model.TaskSeq2Seq:
		if b := m.Assets[model.AssetTokenizer]; b != nil {
			if r.tok, err = tokenizer.Parse(b); err != nil {
				return nil, err
			}
		}
		if r.seq, err = runtime.NewSeq2Seq(m, o); err == nil {
			for _, v := range r.seq.SourceOutputs() {
				r.names = append(r.names, v.Name)
			}
		}
	default:
		for _, v := range m.Graph.Outputs {
			r.names = append(r.names, v.Name)
		}
		r.sess, err = runtime.NewSession(m, o)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close ends the session.
func (r *Replay) Close() {
	switch {
	case r.lm != nil:
		r.lm.Close()
	case r.seq != nil:
		r.seq.Close()
	case r.sess != nil:
		r.sess.Close()
	}
}

// Memory is the session's memory after a run; an encoder-decoder's is not known.
func (r *Replay) Memory() runtime.Memory {
	switch {
	case r.lm != nil:
		return r.lm.Session().Memory()
	case r.sess != nil:
		return r.sess.Memory()
	}
	return runtime.Memory{}
}

// Run runs the model once on the recorded inputs. The outputs are valid until the next run.
func (r *Replay) Run(ctx context.Context) ([]*tensor.Tensor, error) {
	switch {
	case r.lm != nil:
		r.lm.Rewind(0)
		logits, err := r.lm.Next(ctx, r.golden.Tokens)
		if err != nil {
			return nil, err
		}
		return []*tensor.Tensor{tensor.FromSlice(logits, len(logits))}, nil
	case r.seq != nil:
		return r.runSeq2Seq(ctx)
	}
	return r.sess.Run(ctx, r.in)
}

// runSeq2Seq returns the encoder's outputs and, with a tokenizer and a first token, what the decoder makes of them.
func (r *Replay) runSeq2Seq(ctx context.Context) ([]*tensor.Tensor, error) {
	out, err := r.seq.Encode(ctx, r.in)
	if err != nil {
		return nil, err
	}
	kept := make([]*tensor.Tensor, 0, len(out)+1)
	for _, t := range out {
		kept = append(kept, t.Clone())
	}
	if r.tok == nil || len(r.seq.Start()) == 0 {
		return kept, nil
	}
	made, err := r.seq.Generate(ctx, r.tok, r.seq.Start(), runtime.GenerateOptions{MaxTokens: goldenGenerated, Sampler: &runtime.Sampler{TopP: 1, RepetitionPenalty: 1}},
		func(string) error { return nil })
	if err != nil {
		return nil, err
	}
	return append(kept, tensor.FromSlice(made.Tokens, len(made.Tokens))), nil
}

// name is what the output of a place is called.
func (r *Replay) name(i int) string {
	if i < len(r.names) {
		return r.names[i]
	}
	return "generated"
}

// Step runs the model's unit of work for a benchmark: a token of a language model, the whole of any other.
func (r *Replay) Step(ctx context.Context) error {
	if r.lm == nil {
		_, err := r.Run(ctx)
		return err
	}
	if r.lm.Past() >= r.lm.Context() {
		r.lm.Rewind(0)
	}
	_, err := r.lm.Next(ctx, r.golden.Tokens[:1])
	return err
}

// Record chooses inputs for a model, runs it on them and returns both with the outputs and the memory that the run took.
func Record(ctx context.Context, m *model.Model, o runtime.Options) (*Golden, runtime.Memory, error) {
	g, err := newGolden(m)
	if err != nil {
		return nil, runtime.Memory{}, err
	}
	r, err := NewReplay(m, g, o)
	if err != nil {
		return nil, runtime.Memory{}, err
	}
	defer r.Close()
	out, err := r.Run(ctx)
	if err != nil {
		return nil, runtime.Memory{}, err
	}
	for i, t := range out {
		g.Outputs = append(g.Outputs, keep(r.name(i), t))
	}
	return g, r.Memory(), nil
}

// keep records an output.
func keep(name string, t *tensor.Tensor) GoldenOutput {
	o := GoldenOutput{Name: name, DType: t.DType.String(), Shape: append([]int{}, t.Shape...), Step: 1}
	if t.Items != nil {
		o.Names = strings.Join(words(t), "\n")
		o.SHA256 = Sum([]byte(o.Names))
		return o
	}
	o.SHA256 = Sum(t.Data)
	if t.DType != tensor.F32 {
		return o
	}
	o.Step = max(1, (t.Len()+goldenValues-1)/goldenValues)
	kept := sample(t, o.Step)
	o.Kept = append([]byte{}, tensor.FromSlice(kept, len(kept)).Data...)
	o.Norm = Number(rms(kept))
	return o
}

// words are the items of a tensor of strings, or of a sequence, as text.
func words(t *tensor.Tensor) []string {
	var list []string
	for i := range t.Items {
		list = append(list, fmt.Sprint(t.Items[i]))
	}
	return list
}

func sample(t *tensor.Tensor, step int) []float32 {
	all := t.F32()
	kept := make([]float32, 0, len(all)/step+1)
	for i := 0; i < len(all); i += step {
		kept = append(kept, all[i])
	}
	return kept
}

func rms(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum / float64(max(len(v), 1)))
}

// Check is the outcome of holding one output to its record.
type Check struct {
	Output    string  `json:"output"`
	Identical bool    `json:"identical"` // bit for bit
	Error     float64 `json:"relative_error"`
	SHA256    Hash    `json:"sha256"` // of what was computed here
	OK        bool    `json:"ok"`
	Why       string  `json:"why,omitempty"`
}

// Selftest replays what was recorded. An output that is too far off is a *fault.Gate, with all checks beside it.
func Selftest(ctx context.Context, m *model.Model, g *Golden, o runtime.Options) ([]Check, error) {
	r, err := NewReplay(m, g, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, err := r.Run(ctx)
	if err != nil {
		return nil, err
	}
	if len(out) != len(g.Outputs) {
		return nil, &fault.Gate{What: fmt.Sprintf("selftest: the model has %d outputs, %d are recorded", len(out), len(g.Outputs))}
	}
	var checks []Check
	for i, t := range out {
		c := hold(&g.Outputs[i], t)
		c.Output = r.name(i)
		checks = append(checks, c)
		if !c.OK && err == nil {
			err = &fault.Gate{What: fmt.Sprintf("selftest: output %s: %s; this machine computes something else than the one that made the bundle", c.Output, c.Why)}
		}
	}
	return checks, err
}

// hold compares an output with its record.
func hold(want *GoldenOutput, t *tensor.Tensor) Check {
	got := keep(want.Name, t)
	c := Check{SHA256: got.SHA256, Identical: got.SHA256 == want.SHA256}
	switch {
	case got.DType != want.DType || !tensor.SameShape(got.Shape, want.Shape):
		c.Why = fmt.Sprintf("it is %s%v, recorded is %s%v", got.DType, got.Shape, want.DType, want.Shape)
		return c
	case c.Identical:
		c.OK = true
		return c
	case t.DType != tensor.F32 || t.Items != nil || want.Step != got.Step || len(want.Kept) != len(got.Kept):
		c.Why = "its values are not those that are recorded"
		return c
	}
	kept := sample(t, want.Step)
	rec, err := tensor.Of(tensor.F32, []int{len(kept)}, tensor.RowMajor, want.Kept)
	if err != nil {
		c.Why = err.Error()
		return c
	}
	diff := make([]float32, len(kept))
	for i, x := range rec.Align().F32() {
		if x != kept[i] && (x == x || kept[i] == kept[i]) {
			diff[i] = x - kept[i]
		}
	}
	c.Error = rms(diff)
	if n := float64(want.Norm); n > 0 {
		c.Error /= n
	}
	if c.OK = c.Error <= Tolerance; !c.OK {
		c.Why = fmt.Sprintf("relative error %.3g, %g is allowed", c.Error, Tolerance)
		if c.Error != c.Error {
			c.Error = math.MaxFloat32 // JSON has no NaN
		}
	}
	return c
}
