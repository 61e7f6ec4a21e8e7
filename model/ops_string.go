package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"StringConcat": inferBinary, "StringSplit": inferStringSplit, "StringNormalizer": inferStringNormalizer,
	"RegexFullMatch": inferRegexFullMatch, "TfIdfVectorizer": inferTfIdf,
})

// text checks that input 0 is the only input and a tensor of strings.
func (c *Inference) text() error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if c.In[0].DType != tensor.STRING {
		return fmt.Errorf("input 0 is %v, want strings", c.In[0])
	}
	return nil
}

// inferStringSplit: X -> the parts [X..., most parts], their number [X...].
func inferStringSplit(c *Inference) error {
	if err := c.text(); err != nil {
		return err
	}
	var parts []Dim
	if s := c.In[0].Shape; s != nil {
		parts = append(cloneDims(s), Unknown)
	}
	c.set(0, tensor.STRING, parts)
	c.set(1, tensor.I64, cloneDims(c.In[0].Shape))
	return nil
}

// inferStringNormalizer: a vector or one row of strings, some of which are left out.
func inferStringNormalizer(c *Inference) error {
	if err := c.text(); err != nil {
		return err
	}
	if c.In[0].Shape == nil {
		c.set(0, tensor.STRING, nil)
		return nil
	}
	if n := len(c.In[0].Shape); n != 1 && n != 2 {
		return fmt.Errorf("input 0 is %v, want a vector or one row", c.In[0])
	}
	s := cloneDims(c.In[0].Shape)
	s[len(s)-1] = Unknown
	c.set(0, tensor.STRING, s)
	return nil
}

func inferRegexFullMatch(c *Inference) error {
	if err := c.text(); err != nil {
		return err
	}
	c.set(0, tensor.BOOL, cloneDims(c.In[0].Shape))
	return nil
}

// inferTfIdf: [C] -> [n], [N,C] -> [N,n], n one more than the largest of ngram_indexes.
func inferTfIdf(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	n := int64(0)
	for _, i := range c.Node.Ints("ngram_indexes") {
		n = max(n, i+1)
	}
	if n > 1<<31 {
		return fmt.Errorf("ngram_indexes up to %d", n)
	}
	s := c.In[0].Shape
	switch {
	case s == nil:
		c.set(0, tensor.F32, nil)
	case len(s) == 1:
		c.set(0, tensor.F32, Dims(int(n)))
	case len(s) == 2:
		c.set(0, tensor.F32, []Dim{s[0], Known(int(n))})
	default:
		return fmt.Errorf("input 0 is %v, want a vector or a matrix", c.In[0])
	}
	return nil
}
