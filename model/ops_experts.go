package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Mixtures of experts (Shazeer et al. 2017). A router has chosen some experts for each token; three operators compute those and no others:
// Dispatch puts the tokens' rows in the order of their experts, Experts multiplies each expert's rows with its weights, and
// Combine adds up what came out for each token. Between the last two, rows can go through any operators that work row by row.
var _ = registerOps(DomainDsk, map[string]InferFunc{
	"Dispatch": inferDispatch, "Experts": inferExperts, "Combine": inferCombine,
})

// ExpertWeights is the first input of Experts that is an expert's weights; all inputs behind it are such too.
const ExpertWeights = 3

// maxExperts is more than any model has.
const maxExperts = 1 << 16

// inferDispatch: x [tokens..., K] and the experts [tokens..., k] chosen for each token -> its rows [R, K], those of expert 0 first, then those
// of expert 1, ..., R being tokens x k; ends [num_experts], the number of rows up to each expert's last; and slots
// [tokens..., k], the row of each choice.
func inferDispatch(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	x, chosen := c.In[0].Shape, c.In[1].Shape
	if c.In[1].DType != tensor.I64 {
		return fmt.Errorf("experts are %v, want I64", c.In[1])
	}
	count := c.Node.Int("num_experts", 0)
	if count < 1 || count > maxExperts {
		return fmt.Errorf("num_experts is %d", count)
	}
	rows, width := Known(1), Unknown
	switch {
	case x == nil || chosen == nil:
		rows = Unknown
	case len(x) == 0 || len(x) != len(chosen):
		return fmt.Errorf("rows %v do not fit experts %v", c.In[0], c.In[1])
	default:
		width = x[len(x)-1]
		for i, d := range chosen {
			if i < len(x)-1 {
				if _, err := unify(x[i], d); err != nil {
					return fmt.Errorf("rows %v do not fit experts %v: %w", c.In[0], c.In[1], err)
				}
			}
			rows = mulDim(rows, d)
		}
	}
	c.set(0, c.In[0].DType, []Dim{rows, width})
	if len(c.Out) > 1 {
		c.set(1, tensor.I64, []Dim{Known(int(count))})
	}
	if len(c.Out) > 2 {
		c.set(2, tensor.I64, cloneDims(chosen))
	}
	return nil
}

// inferExperts: rows X [R, K], ends [E], bias B [E, N] or none, and E weights W [N, K] -> Y [R, N]:
//
//	Y[r] = act(X[r] W_e^T + B[e])  for ends[e-1] <= r < ends[e]
func inferExperts(c *Inference) error {
	if err := c.need(2, -1); err != nil {
		return err
	}
	if !c.has(ExpertWeights) {
		return fmt.Errorf("there are no weights of experts")
	}
	experts := len(c.In) - ExpertWeights
	if err := c.rank(0, 2); err != nil {
		return err
	}
	if c.In[1].DType != tensor.I64 {
		return fmt.Errorf("ends are %v, want I64", c.In[1])
	}
	if err := c.checkVector(1, Known(experts), "ends"); err != nil {
		return err
	}
	rows, k, n := Unknown, Unknown, Unknown
	if x := c.In[0].Shape; x != nil {
		rows, k = x[0], x[1]
	}
	for i := ExpertWeights; i < len(c.In); i++ {
		if !c.has(i) {
			return fmt.Errorf("input %d is missing", i)
		}
		if err := c.rank(i, 2); err != nil {
			return err
		}
		w := c.In[i].Shape
		if w == nil {
			continue
		}
		var err error
		if k, err = unify(k, w[1]); err == nil {
			n, err = unify(n, w[0])
		}
		if err != nil {
			return fmt.Errorf("rows %v and weights %v of expert %d: %w", c.In[0], c.In[i], i-ExpertWeights, err)
		}
	}
	if c.has(2) {
		if err := c.rank(2, 2); err != nil {
			return fmt.Errorf("bias: %w", err)
		}
		if b := c.In[2].Shape; b != nil {
			_, err := unify(b[0], Known(experts))
			if err == nil {
				_, err = unify(b[1], n)
			}
			if err != nil {
				return fmt.Errorf("bias is %v, want a row for each of %d experts: %w", c.In[2], experts, err)
			}
		}
	}
	c.set(0, c.In[0].DType, []Dim{rows, n})
	return nil
}

// inferCombine: rows Y [R, N], slots [tokens..., k] and weights [tokens..., k] -> [tokens..., N]: the sum over j of weights[t, j] Y[slots[t, j]].
func inferCombine(c *Inference) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	if err := c.rank(0, 2); err != nil {
		return err
	}
	if err := c.sameDType(0, 2); err != nil {
		return err
	}
	if c.In[1].DType != tensor.I64 {
		return fmt.Errorf("slots are %v, want I64", c.In[1])
	}
	slots, weights := c.In[1].Shape, c.In[2].Shape
	if slots == nil || weights == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	if len(slots) == 0 || len(slots) != len(weights) {
		return fmt.Errorf("slots %v do not fit weights %v", c.In[1], c.In[2])
	}
	out := cloneDims(slots)
	for i := range slots {
		d, err := unify(slots[i], weights[i])
		if err != nil {
			return fmt.Errorf("slots %v do not fit weights %v: %w", c.In[1], c.In[2], err)
		}
		out[i] = d
	}
	out[len(out)-1] = Unknown
	if y := c.In[0].Shape; y != nil {
		out[len(out)-1] = y[1]
	}
	c.set(0, c.In[0].DType, out)
	return nil
}
