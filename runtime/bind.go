package runtime

import (
	"errors"
	"math"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Bind is what an operator's binder works on: one node with the shape of every
// operand known. It is made once per plan, or once per run for nodes whose shapes
// depend on data. The tensors stay the same from bind to run; only their Data
// is set in between, so a Run reads Data when it runs and never keeps it.
type Bind struct {
	Node *model.Node
	In   []*tensor.Tensor // nil for an absent optional input
	// Out has a shape, except that Shape is nil for an output whose shape depends on
	// data: the Run then sets Shape and Data itself (Bind.SetOut).
	Out  []*tensor.Tensor // nil for an absent optional output
	Pool *kernels.Pool

	constant []bool       // per input: Data is set now and never changes
	alias    []int        // per output: input whose bytes it shares, or -1
	inPlace  []int        // per output: input that it may overwrite if nobody reads that later, or -1
	state    []bool       // per input: it is a session's state
	cache    []*cacheRows // per input: how a cache is kept that does not lie as the graph says, or nil
	scratch  []*tensor.Tensor
	linear   *linearStep // the product of a dsk.Linear; or nil
	scope    *scope      // where a subgraph finds the values that it captures
}

// errNeedsValue is returned by a binder that must know the value of an operand which is
// only known when the graph runs. The plan then binds that node anew at each run.
var errNeedsValue = errors.New("an operand's value is needed to bind the operator")

// Run computes a node's outputs from its inputs, without allocating unless shapes depend on data.
type Run func() error

// Binder checks a node's operands and returns its Run. All tables, packing and choice of
// kernels happen here.
type Binder func(b *Bind) (Run, error)

type opKey struct{ domain, op string }

var binders = map[opKey]Binder{}

// register is called by the ops_*.go files, one table each.
func register(domain string, table map[string]Binder) struct{} {
	for op, fn := range table {
		k := opKey{domain, op}
		if _, dup := binders[k]; dup {
			panic("runtime: operator registered twice: " + op)
		}
		binders[k] = fn
	}
	return struct{}{}
}

// Supports reports whether the runtime can execute an operator.
func Supports(domain, op string) bool { _, ok := binders[opKey{domain, op}]; return ok }

// IsConst reports whether input i is present and its Data is known at bind time.
func (b *Bind) IsConst(i int) bool { return i < len(b.In) && b.In[i] != nil && b.constant[i] }

// Has reports whether optional input i is present.
func (b *Bind) Has(i int) bool { return i < len(b.In) && b.In[i] != nil }

// IsState reports whether input i is a session's state, which may be updated where it lies.
func (b *Bind) IsState(i int) bool { return b.Has(i) && b.state[i] }

// HasOut reports whether optional output i is wanted.
func (b *Bind) HasOut(i int) bool { return i < len(b.Out) && b.Out[i] != nil }

// Alias declares that output out is a view of input in: same bytes, so nothing needs to run.
// A binder whose outputs are all aliases returns a nil Run.
func (b *Bind) Alias(out, in int) { b.alias[out] = in }

// InPlace allows output out (of as many bytes) to lie where input in lies, if in is
// not used afterwards and is no constant. The Run must be correct either way.
func (b *Bind) InPlace(out, in int) { b.inPlace[out] = in }

// maxScratch is more than any machine has.
const maxScratch = math.MaxInt / 8

// Scratch asks for n bytes (64-byte aligned, contents undefined) that are the Run's own
// while it runs. Their Data is set before the Run.
func (b *Bind) Scratch(n int) *tensor.Tensor {
	if n < 0 || n > maxScratch {
		n = maxScratch // the product of large sizes overflowed: the session refuses this
	}
	t := &tensor.Tensor{DType: tensor.U8, Shape: []int{n}}
	b.scratch = append(b.scratch, t)
	return t
}

// SetOut gives output i, whose shape depends on data, its value. It is called by a Run;
// t must not be changed afterwards. Where the plan has given the output memory, t is copied.
func (b *Bind) SetOut(i int, t *tensor.Tensor) {
	if !b.HasOut(i) {
		return
	}
	o := b.Out[i]
	o.Items = t.Items
	if o.Data != nil && o.DType == t.DType && tensor.SameShape(o.Shape, t.Shape) {
		copy(o.Data, t.Data)
		return
	}
	// A nil Shape would say that the output is not set; a scalar's may be nil.
	o.DType, o.Shape, o.Data = t.DType, append([]int{}, t.Shape...), t.Data
}

// runGraph executes a subgraph with the given values for its inputs and returns its
// outputs, which are the caller's to keep.
func (b *Bind) runGraph(g *model.Graph, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return b.scope.run(g, in, b.Pool)
}

// unsupportedType is the error of a binder that has no kernel for an element type.
func (b *Bind) unsupportedType(dt tensor.DType) error {
	return &fault.Unsupported{Kind: "operator", Items: []fault.Item{{Where: b.Node.Name, What: b.Node.Op, DType: dt.String()}}}
}
