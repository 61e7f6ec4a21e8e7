package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Sequences and optional values have element types of their own (tensor.SequenceOf, tensor.OptionalOf) and the shape of a
// scalar. Of what they hold only the element type is known.

var _ = registerOps("", map[string]InferFunc{
	"SequenceEmpty": inferSequenceEmpty, "SequenceConstruct": inferSequenceConstruct, "SequenceInsert": inferSequenceEdit,
	"SequenceErase": inferSequenceEdit, "SequenceAt": inferSequenceAt, "SequenceLength": inferSequenceLength,
	"SplitToSequence": inferSplitToSequence, "ConcatFromSequence": inferConcatFromSequence, "SequenceMap": inferSequenceMap,
	"Optional": inferOptional, "OptionalGetElement": inferOptionalGet, "OptionalHasElement": inferOptionalHas,
})

func inferSequenceEmpty(c *Inference) error {
	if err := c.need(0, 0); err != nil {
		return err
	}
	dt, err := ElemType(c.Node.Int("dtype", 1))
	if err != nil {
		return err
	}
	c.set(0, tensor.SequenceOf(dt), Dims())
	return nil
}

func inferSequenceConstruct(c *Inference) error {
	if err := c.need(1, len(c.In)); err != nil {
		return err
	}
	for i, t := range c.In {
		if t.DType.Holds() || t.DType != c.In[0].DType {
			return fmt.Errorf("input %d is %v, input 0 %v", i, t, c.In[0])
		}
	}
	c.set(0, tensor.SequenceOf(c.In[0].DType), Dims())
	return nil
}

// sequence checks that input i is a sequence.
func (c *Inference) sequence(i int) error {
	if !c.In[i].DType.IsSequence() {
		return fmt.Errorf("input %d is %v, want a sequence", i, c.In[i])
	}
	return nil
}

// inferSequenceEdit: SequenceInsert(sequence, tensor, position?), SequenceErase(sequence, position?).
func inferSequenceEdit(c *Inference) error {
	least := 1
	if c.Node.Op == "SequenceInsert" {
		least = 2
	}
	if err := c.need(least, least+1); err != nil {
		return err
	}
	if err := c.sequence(0); err != nil {
		return err
	}
	if least == 2 && c.In[1].DType != c.In[0].DType.Item() {
		return fmt.Errorf("%v does not go into a %v", c.In[1], c.In[0].DType)
	}
	c.set(0, c.In[0].DType, Dims())
	return nil
}

func inferSequenceAt(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if err := c.sequence(0); err != nil {
		return err
	}
	c.set(0, c.In[0].DType.Item(), nil)
	return nil
}

func inferSequenceLength(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if err := c.sequence(0); err != nil {
		return err
	}
	c.set(0, tensor.I64, Dims())
	return nil
}

func inferSplitToSequence(c *Inference) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	if c.In[0].DType.Holds() {
		return fmt.Errorf("input 0 is %v, want a tensor", c.In[0])
	}
	c.set(0, tensor.SequenceOf(c.In[0].DType), Dims())
	return nil
}

func inferConcatFromSequence(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if err := c.sequence(0); err != nil {
		return err
	}
	c.set(0, c.In[0].DType.Item(), nil)
	return nil
}

// inferSequenceMap: a sequence, then sequences or tensors; the body takes an element of each sequence and the tensors.
func inferSequenceMap(c *Inference) error {
	if len(c.In) == 0 {
		return fmt.Errorf("has no inputs")
	}
	if err := c.sequence(0); err != nil {
		return err
	}
	body, err := c.graph("body")
	if err != nil {
		return err
	}
	in := append([]Type(nil), c.In...)
	for i, t := range in {
		if t.DType.IsSequence() {
			in[i] = Type{DType: t.DType.Item()}
		}
	}
	out, err := c.inner(body, in)
	if err != nil {
		return err
	}
	if len(out) != len(c.Out) {
		return fmt.Errorf("the body has %d outputs, the node %d", len(out), len(c.Out))
	}
	for i, t := range out {
		if t.DType.Holds() {
			return fmt.Errorf("output %d of the body is %v, want a tensor", i, t)
		}
		c.set(i, tensor.SequenceOf(t.DType), Dims())
	}
	return nil
}

// inferOptional: without an input the attribute type names the type.
func inferOptional(c *Inference) error {
	if err := c.need(0, 1); err != nil {
		return err
	}
	if c.has(0) {
		if c.In[0].DType.IsOptional() {
			return fmt.Errorf("input 0 is %v already", c.In[0])
		}
		c.set(0, tensor.OptionalOf(c.In[0].DType), Dims())
		return nil
	}
	dt, err := tensor.ParseDType(c.Node.Str("type", ""))
	if err != nil {
		return fmt.Errorf("neither an input nor a type is given")
	}
	c.set(0, tensor.OptionalOf(dt), Dims())
	return nil
}

// inferOptionalGet: what is not optional passes as it is.
func inferOptionalGet(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	switch dt := c.In[0].DType; {
	case !dt.IsOptional():
		c.set(0, dt, cloneDims(c.In[0].Shape))
	case dt.Item().Holds():
		c.set(0, dt.Item(), Dims())
	default:
		c.set(0, dt.Item(), nil)
	}
	return nil
}

func inferOptionalHas(c *Inference) error {
	if err := c.need(0, 1); err != nil {
		return err
	}
	c.set(0, tensor.BOOL, Dims())
	return nil
}
