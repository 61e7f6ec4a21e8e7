package runtime

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators that run subgraphs. A subgraph runs in a scope of its own that sees the
// values around it; its nodes are bound anew each time, since shapes may change from turn to turn.

var _ = register("", operands(1, map[string]Binder{
	"If":   bindIf,
	"Scan": bindScan,
}))

var _ = register("", dense(map[string]Binder{"Loop": bindLoop}))

// subgraph returns an attribute's graph and checks how many inputs and (at least) outputs it has.
func (b *Bind) subgraph(name string, inputs, outputs int) (*model.Graph, error) {
	g := b.Node.Attrs[name].Graph
	switch {
	case g == nil:
		return nil, b.errorf("no graph %s", name)
	case len(g.Inputs) != inputs || len(g.Outputs) < outputs:
		return nil, b.errorf("graph %s has %d inputs and %d outputs, want %d and %d",
			name, len(g.Inputs), len(g.Outputs), inputs, outputs)
	}
	return g, nil
}

// flag reads a BOOL of one element.
func flag(t *tensor.Tensor) (bool, error) {
	if t.DType != tensor.BOOL || t.Len() != 1 {
		return false, fmt.Errorf("condition %v is not one BOOL", t)
	}
	return t.Data[0] != 0, nil
}

// bindIf runs then_branch or else_branch as the condition, input 0, says.
func bindIf(b *Bind) (Run, error) {
	then, err := b.subgraph("then_branch", 0, len(b.Out))
	if err != nil {
		return nil, err
	}
	other, err := b.subgraph("else_branch", 0, len(b.Out))
	if err != nil {
		return nil, err
	}
	return func() error {
		yes, err := flag(b.In[0])
		if err != nil {
			return err
		}
		g := other
		if yes {
			g = then
		}
		out, err := b.runGraph(g, nil)
		if err != nil {
			return err
		}
		for i := range b.Out {
			b.SetOut(i, out[i])
		}
		return nil
	}, nil
}

// bindLoop runs body while a condition holds. Inputs: the largest number of turns (none if absent), the first
// condition (true if absent), the carried values. The body takes the turn's number, the condition and the
// carried values, and yields the next condition, the carried values and one element of each stacked output.
func bindLoop(b *Bind) (Run, error) {
	carried := max(0, len(b.In)-2)
	g, err := b.subgraph("body", 2+carried, 1+len(b.Out))
	if err != nil {
		return nil, err
	}
	for i := range carried {
		if !b.Has(2 + i) {
			return nil, b.errorf("input %d is missing", 2+i)
		}
	}
	return func() error {
		turns, again := int64(math.MaxInt64), true
		if b.Has(0) {
			if b.In[0].Len() != 1 || b.In[0].DType != tensor.I64 {
				return fmt.Errorf("trip count %v is not one I64", b.In[0])
			}
			turns = loadInt(b.In[0], 0)
		}
		if b.Has(1) {
			if again, err = flag(b.In[1]); err != nil {
				return err
			}
		}
		values := append([]*tensor.Tensor(nil), b.In[min(2, len(b.In)):]...)
		stacks := make([][]*tensor.Tensor, max(0, len(g.Outputs)-1-carried))
		held, checked := 0, smallBytes
		for turn := int64(0); turn < turns && again; turn++ {
			in := append([]*tensor.Tensor{tensor.FromSlice([]int64{turn}), tensor.FromSlice([]bool{again})}, values...)
			out, err := b.runGraph(g, in)
			if err != nil {
				return err
			}
			if again, err = flag(out[0]); err != nil {
				return err
			}
			values = out[1 : 1+carried]
			for i, t := range out[1+carried:] {
				stacks[i] = append(stacks[i], t)
				held += len(t.Data)
			}
			// Stacking takes as much again. A loop without an end must not end the program.
			if held > checked {
				checked = 2 * held
				if err := room(held, "stacking a loop's outputs"); err != nil {
					return err
				}
			}
		}
		for i, t := range values {
			b.SetOut(i, t)
		}
		for i, s := range stacks {
			t, err := stack(s, 0, false, g.Outputs[1+carried+i].Type)
			if err != nil {
				return err
			}
			b.SetOut(carried+i, t)
		}
		return nil
	}, nil
}

// stack joins tensors of one shape along a new axis, the last first if reverse. Without any, the
// shape is what is known of an element's type.
func stack(parts []*tensor.Tensor, axis int, reverse bool, of model.Type) (*tensor.Tensor, error) {
	var dt tensor.DType
	var shape []int
	if len(parts) > 0 {
		dt, shape = parts[0].DType, parts[0].Shape
	} else {
		dt = of.DType
		for _, d := range of.Shape {
			shape = append(shape, max(0, d.N))
		}
	}
	if axis < 0 {
		axis += len(shape) + 1
	}
	if axis < 0 || axis > len(shape) {
		return nil, fmt.Errorf("axis %d of a stack of %v", axis, shape)
	}
	whole := append(append(append([]int{}, shape[:axis]...), len(parts)), shape[axis:]...)
	out := tensor.New(dt, whole...)
	outer, bytes := product(shape[:axis]), product(shape[axis:])*dt.Size()
	for i, p := range parts {
		if p.DType != dt || !tensor.SameShape(p.Shape, shape) {
			return nil, fmt.Errorf("a stacked output is %v in turn %d, %v%v before", p, i, dt, shape)
		}
		if reverse {
			i = len(parts) - 1 - i
		}
		for o := range outer {
			copy(out.Data[(o*len(parts)+i)*bytes:][:bytes], p.Data[o*bytes:])
		}
	}
	return out, nil
}

// bindScan runs body for each element of the scanned inputs. Inputs: the states, then num_scan_inputs scanned
// tensors. The body takes the states and one element of each, and yields the states and one
// element of each stacked output.
func bindScan(b *Bind) (Run, error) {
	scanned := int(b.Node.Int("num_scan_inputs", 0))
	states := len(b.In) - scanned
	if scanned < 1 || states < 0 || len(b.Out) < states {
		return nil, b.errorf("%d scanned of %d inputs, %d outputs", scanned, len(b.In), len(b.Out))
	}
	g, err := b.subgraph("body", len(b.In), len(b.Out))
	if err != nil {
		return nil, err
	}
	attr := func(name string, i int) int {
		if v := b.Node.Ints(name); i < len(v) {
			return int(v[i])
		}
		return 0
	}
	turns := 0
	walks := make([]lanes, scanned)
	rest := make([][]int, scanned)
	for i := range scanned {
		t := b.In[states+i]
		if t == nil {
			return nil, b.errorf("input %d is missing", states+i)
		}
		axis, err := b.normAxis(attr("scan_input_axes", i), len(t.Shape))
		if err != nil {
			return nil, err
		}
		walks[i] = newLanes(t.Shape, axis)
		rest[i] = append(append([]int{}, t.Shape[:axis]...), t.Shape[axis+1:]...)
		if i > 0 && walks[i].n != turns {
			return nil, b.errorf("scanned inputs of %d and %d elements", turns, walks[i].n)
		}
		turns = walks[i].n
	}
	return func() error {
		values := append([]*tensor.Tensor(nil), b.In[:states]...)
		stacks := make([][]*tensor.Tensor, len(g.Outputs)-states)
		for turn := range turns {
			in := append([]*tensor.Tensor(nil), values...)
			for i, w := range walks {
				x := turn
				if attr("scan_input_directions", i) != 0 {
					x = turns - 1 - turn
				}
				in = append(in, element(b.In[states+i], w, x, rest[i]))
			}
			out, err := b.runGraph(g, in)
			if err != nil {
				return err
			}
			values = out[:states]
			for i, t := range out[states:] {
				stacks[i] = append(stacks[i], t)
			}
		}
		for i, t := range values {
			b.SetOut(i, t)
		}
		for i, s := range stacks {
			t, err := stack(s, attr("scan_output_axes", i), attr("scan_output_directions", i) != 0, g.Outputs[states+i].Type)
			if err != nil {
				return err
			}
			b.SetOut(states+i, t)
		}
		return nil
	}, nil
}

// element copies number x along an axis of t.
func element(t *tensor.Tensor, w lanes, x int, shape []int) *tensor.Tensor {
	out := tensor.New(t.DType, shape...)
	bytes := w.inner * t.DType.Size()
	for o := range w.outer {
		copy(out.Data[o*bytes:(o+1)*bytes], t.Data[(o*w.n+x)*bytes:])
	}
	return out
}
