package runtime

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{
	"LSTM": widened(bindLSTM),
	"GRU":  widened(bindGRU),
	"RNN":  widened(bindRNN),
}))

// recurrent is what LSTM, GRU and RNN share: X[seq, batch, input] goes through a cell in one or both directions,
//
//	Y[seq, dir, batch, hidden], Y_h[dir, batch, hidden], Y_c likewise (LSTM)
//
// with W[dir, gates*hidden, input], R[dir, gates*hidden, hidden], B[dir, 2*gates*hidden]. Layout 1 has the batch
// first everywhere. The products with W are made for all steps at once.
type recurrent struct {
	b                        *Bind
	seq, batch, input        int
	hidden, gates, dirs      int
	batchFirst, backwardOnly bool
	clip                     float32 // 0: none
	x, w, r, bias            *tensor.Tensor
	lengths                  *tensor.Tensor
	initial                  [2]*tensor.Tensor // of h and c
	last                     [2]*tensor.Tensor // Y_h and Y_c
	y                        *tensor.Tensor
	acts                     []gateFunc // per direction, those of the cell
	perDir                   int        // functions of a direction

	inputs    []*rowProduct   // per direction
	recurrent [][]*rowProduct // per direction: products with pieces of R
	pieces    []int           // gates in each piece

	fromX, fromH, bias2 *tensor.Tensor    // gate inputs: from X for all steps, from H for one; summed biases
	state               [2]*tensor.Tensor // h and c
	scratch             *tensor.Tensor
	cell                cell
}

// cell computes the new state of one sequence from the gates' inputs: x holds gates*hidden values from X with
// biases, and rec those from the state; h and c are updated.
type cell interface {
	step(r *recurrent, dir int, x, rec, h, c []float32)
}

// newRecurrent checks the operands. pieces are the gates that each product with R yields.
func newRecurrent(b *Bind, gates int, pieces []int, functions []string, cellState bool) (*recurrent, error) {
	if len(b.In) < 3 || !b.Has(0) || !b.Has(1) || !b.Has(2) {
		return nil, b.errorf("X, W and R are needed")
	}
	if err := needF32(b, 0, 1, 2, 3, 5, 6, 7); err != nil {
		return nil, err
	}
	r := &recurrent{b: b, gates: gates, pieces: pieces, x: b.In[0], w: b.In[1], r: b.In[2]}
	n := b.Node
	switch n.Str("direction", "forward") {
	case "forward":
		r.dirs = 1
	case "reverse":
		r.dirs, r.backwardOnly = 1, true
	case "bidirectional":
		r.dirs = 2
	default:
		return nil, b.errorf("unknown direction %q", n.Str("direction", ""))
	}
	if len(r.x.Shape) != 3 || len(r.r.Shape) != 3 {
		return nil, b.errorf("X of shape %v with R of shape %v", r.x.Shape, r.r.Shape)
	}
	r.batchFirst = n.Int("layout", 0) != 0
	r.seq, r.batch, r.input = r.x.Shape[0], r.x.Shape[1], r.x.Shape[2]
	if r.batchFirst {
		r.seq, r.batch = r.batch, r.seq
	}
	r.hidden = r.r.Shape[2]
	if h := n.Int("hidden_size", int64(r.hidden)); h != int64(r.hidden) {
		return nil, b.errorf("hidden_size %d, but R has shape %v", h, r.r.Shape)
	}
	if r.clip = n.Float("clip", 0); r.clip < 0 {
		return nil, b.errorf("clip %v", r.clip)
	}
	if err := needShape(b, "W", r.w, r.dirs, gates*r.hidden, r.input); err != nil {
		return nil, err
	}
	if err := needShape(b, "R", r.r, r.dirs, gates*r.hidden, r.hidden); err != nil {
		return nil, err
	}
	if b.Has(3) {
		r.bias = b.In[3]
		if err := needShape(b, "B", r.bias, r.dirs, 2*gates*r.hidden); err != nil {
			return nil, err
		}
	}
	if b.Has(4) {
		r.lengths = b.In[4]
		if r.lengths.DType != tensor.I32 {
			return nil, b.unsupportedType(r.lengths.DType)
		}
		if err := needShape(b, "sequence_lens", r.lengths, r.batch); err != nil {
			return nil, err
		}
	}
	if err := r.bindStates(cellState); err != nil {
		return nil, err
	}
	var err error
	r.perDir = len(functions)
	if r.acts, err = gateFunctions(b, functions, r.dirs); err != nil {
		return nil, err
	}
	return r, r.bindProducts()
}

// bindStates checks the initial and last states and Y.
func (r *recurrent) bindStates(cellState bool) error {
	b := r.b
	shape := []int{r.dirs, r.batch, r.hidden}
	whole := []int{r.seq, r.dirs, r.batch, r.hidden}
	if r.batchFirst {
		shape, whole = []int{r.batch, r.dirs, r.hidden}, []int{r.batch, r.seq, r.dirs, r.hidden}
	}
	states := 1
	if cellState {
		states = 2
	}
	for i := range states {
		if b.Has(5 + i) {
			r.initial[i] = b.In[5+i]
			if err := needShape(b, "an initial state", r.initial[i], shape...); err != nil {
				return err
			}
		}
		if b.HasOut(1 + i) {
			r.last[i] = b.Out[1+i]
			if err := needShape(b, "a last state", r.last[i], shape...); err != nil {
				return err
			}
			if r.last[i].DType != tensor.F32 {
				return b.unsupportedType(r.last[i].DType)
			}
		}
		r.state[i] = b.Scratch(r.batch * r.hidden * 4)
	}
	if b.HasOut(0) {
		r.y = b.Out[0]
		return needShape(b, "Y", r.y, whole...)
	}
	return nil
}

// bindProducts makes the products with W and with R's pieces for each direction.
func (r *recurrent) bindProducts() error {
	b, g := r.b, r.gates*r.hidden
	rows := r.seq * r.batch
	most := 0
	for d := range r.dirs {
		p, err := r.product(1, r.w, d*g, g, r.input)
		if err != nil {
			return err
		}
		r.inputs = append(r.inputs, p)
		most = max(most, p.scratchBytes(rows))
		var parts []*rowProduct
		at := d * g
		for _, n := range r.pieces {
			p, err := r.product(2, r.r, at, n*r.hidden, r.hidden)
			if err != nil {
				return err
			}
			parts = append(parts, p)
			most = max(most, p.scratchBytes(r.batch))
			at += n * r.hidden
		}
		r.recurrent = append(r.recurrent, parts)
	}
	r.fromX, r.fromH = b.Scratch(rows*g*4), b.Scratch(r.batch*g*4)
	r.bias2 = b.Scratch(g * 4)
	r.scratch = b.Scratch(most)
	return nil
}

// product binds n rows of the weights in an input, from row first of all directions' on.
func (r *recurrent) product(in int, w *tensor.Tensor, first, n, k int) (*rowProduct, error) {
	p := &rowProduct{n: n, k: k}
	if !r.b.IsConst(in) {
		p.w = &tensor.Tensor{DType: tensor.F32, Shape: []int{n, k}}
		return p, nil
	}
	part := &tensor.Tensor{DType: tensor.F32, Shape: []int{n, k}, Data: w.Data[first*k*4 : (first+n)*k*4]}
	panels, err := weightPanels(r.b, part, n, k, k, 1)
	if err != nil {
		return nil, err
	}
	p.fix(r.b.Pool, panels, false)
	return p, nil
}

// refresh points the products at weights that were computed in this run.
func (r *recurrent) refresh() {
	g := r.gates * r.hidden
	for d, p := range r.inputs {
		if p.w != nil {
			p.w.Data = r.w.Data[d*g*r.input*4 : (d+1)*g*r.input*4]
		}
		at := d * g
		for _, p := range r.recurrent[d] {
			if p.w != nil {
				p.w.Data = r.r.Data[at*r.hidden*4 : (at+p.n)*r.hidden*4]
			}
			at += p.n
		}
	}
}

func (r *recurrent) run() error {
	if r.lengths != nil {
		for i, n := range tensor.View[int32](r.lengths) {
			if n < 0 || int(n) > r.seq {
				return fmt.Errorf("sequence_lens[%d] is %d of %d steps", i, n, r.seq)
			}
		}
	}
	r.refresh()
	if r.y != nil {
		clear(r.y.Data)
	}
	for d := range r.dirs {
		r.direction(d)
	}
	return nil
}

// direction runs all steps of one direction.
func (r *recurrent) direction(d int) {
	g, h := r.gates*r.hidden, r.hidden
	x, fromX, fromH := r.x.F32(), r.fromX.F32(), r.fromH.F32()
	r.inputs[d].run(fromX, g, x, r.input, r.seq*r.batch, r.scratch.Data)
	if r.bias != nil {
		sum := r.bias2.F32()
		both := r.bias.F32()[2*d*g : 2*(d+1)*g]
		r.sumBias(sum, both[:g], both[g:])
		for i := range r.seq * r.batch {
			kernels.Add(fromX[i*g:(i+1)*g], fromX[i*g:(i+1)*g], sum)
		}
	}
	for i, s := range r.state {
		if s == nil {
			continue
		}
		clear(s.Data)
		for e := 0; r.initial[i] != nil && e < r.batch; e++ {
			copy(s.F32()[e*h:(e+1)*h], r.initial[i].F32()[r.stateAt(d, e):])
		}
	}
	hs := r.state[0].F32()
	var cs []float32
	if r.state[1] != nil {
		cs = r.state[1].F32()
	}
	for step := range r.seq {
		r.recurrent[d][0].run(fromH, g, hs, h, r.batch, r.scratch.Data)
		for e := range r.batch {
			n := r.length(e)
			if step >= n {
				continue
			}
			t := step
			if r.backwardOnly || d == 1 {
				t = n - 1 - step
			}
			row := t*r.batch + e
			if r.batchFirst {
				row = e*r.seq + t
			}
			var c []float32
			if cs != nil {
				c = cs[e*h : (e+1)*h]
			}
			r.cell.step(r, d, fromX[row*g:(row+1)*g], fromH[e*g:(e+1)*g], hs[e*h:(e+1)*h], c)
			if r.y == nil {
				continue
			}
			at := ((t*r.dirs+d)*r.batch + e) * h
			if r.batchFirst {
				at = (row*r.dirs + d) * h
			}
			copy(r.y.F32()[at:at+h], hs[e*h:])
		}
	}
	for i, out := range r.last {
		if out == nil {
			continue
		}
		for e := range r.batch {
			copy(out.F32()[r.stateAt(d, e):][:h], r.state[i].F32()[e*h:])
		}
	}
}

func (r *recurrent) length(e int) int {
	if r.lengths == nil {
		return r.seq
	}
	return int(tensor.View[int32](r.lengths)[e])
}

// stateAt returns where the state of sequence e in direction d begins.
func (r *recurrent) stateAt(d, e int) int {
	if r.batchFirst {
		return (e*r.dirs + d) * r.hidden
	}
	return (d*r.batch + e) * r.hidden
}

// sumBias adds the biases of W and R, except those of R that the cell adds itself.
func (r *recurrent) sumBias(sum, wb, rb []float32) {
	kernels.Add(sum, wb, rb)
	if g, ok := r.cell.(*gruCell); ok && g.linearBeforeReset {
		copy(sum[2*r.hidden:], wb[2*r.hidden:])
	}
}

// gate adds two inputs of a gate, clips and applies function f of a direction; the result is in x.
func (r *recurrent) gate(dir, f int, x, rec []float32) {
	kernels.Add(x, x, rec)
	r.apply(dir, f, x)
}

func (r *recurrent) apply(dir, f int, x []float32) {
	if r.clip > 0 {
		kernels.Activate(x, x, kernels.Activation{Kind: kernels.ActClip, Alpha: -r.clip, Beta: r.clip})
	}
	r.acts[dir*r.perDir+f].apply(x)
}

func (r *recurrent) bind(c cell) (Run, error) {
	r.cell = c
	return r.run, nil
}
