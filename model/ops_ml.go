package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// DomainML is the domain of the operators of classical machine learning.
const DomainML = "ai.onnx.ml"

var _ = registerOps(DomainML, map[string]InferFunc{
	"ArrayFeatureExtractor": inferArrayFeatures, "Binarizer": inferUnary, "LabelEncoder": inferLabelEncoder,
	"Scaler": inferToF32, "Normalizer": inferToF32, "Imputer": inferUnary, "OneHotEncoder": inferOneHotEncoder,
	"FeatureVectorizer": inferFeatureVectorizer, "LinearRegressor": inferRegressor, "LinearClassifier": inferClassifier,
	"TreeEnsembleRegressor": inferRegressor, "TreeEnsembleClassifier": inferClassifier, "TreeEnsemble": inferTreeEnsemble,
})

func inferToF32(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	c.set(0, tensor.F32, cloneDims(c.In[0].Shape))
	return nil
}

// inferArrayFeatures: X [..., C], indices -> [..., n]; a vector is a row.
func inferArrayFeatures(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	s := cloneDims(c.In[0].Shape)
	if s == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	n := Unknown
	if c.In[1].Shape != nil {
		n = product(c.In[1].Shape)
	}
	switch len(s) {
	case 0:
		return fmt.Errorf("input 0 is a scalar")
	case 1:
		s = []Dim{Known(1), n}
	default:
		s[len(s)-1] = n
	}
	c.set(0, c.In[0].DType, s)
	return nil
}

// inferLabelEncoder: the attributes that hold the values tell the type.
func inferLabelEncoder(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	var dt tensor.DType
	switch n := c.Node; {
	case n.Attrs["values_tensor"].Tensor != nil:
		dt = n.Attrs["values_tensor"].Tensor.DType
	case n.Has("values_strings"), n.Attrs["values_tensor"].Kind == AttrStrings:
		dt = tensor.STRING
	case n.Has("values_int64s"):
		dt = tensor.I64
	case n.Has("values_floats"):
		dt = tensor.F32
	case n.Has("classes_strings"): // version 1: strings to their numbers, or back
		if dt = tensor.STRING; c.In[0].DType == tensor.STRING {
			dt = tensor.I64
		}
	default:
		return fmt.Errorf("has no values")
	}
	c.set(0, dt, cloneDims(c.In[0].Shape))
	return nil
}

func inferOneHotEncoder(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	n := max(len(c.Node.Ints("cats_int64s")), len(c.Node.Attrs["cats_strings"].Strs))
	s := cloneDims(c.In[0].Shape)
	if s != nil {
		s = append(s, Known(n))
	}
	c.set(0, tensor.F32, s)
	return nil
}

// inferFeatureVectorizer: matrices of N rows each, side by side.
func inferFeatureVectorizer(c *Inference) error {
	if err := c.need(1, len(c.In)); err != nil {
		return err
	}
	rows, columns := Unknown, Known(0)
	for i, t := range c.In {
		var err error
		switch s := t.Shape; {
		case s == nil:
			columns = Unknown
		case len(s) == 1:
			columns = addDim(columns, Known(1))
			rows, err = unify(rows, s[0])
		case len(s) == 2:
			columns = addDim(columns, s[1])
			rows, err = unify(rows, s[0])
		default:
			return fmt.Errorf("input %d is %v, want a vector or a matrix", i, t)
		}
		if err != nil {
			return fmt.Errorf("input %d is %v: %w", i, t, err)
		}
	}
	c.set(0, tensor.F32, []Dim{rows, columns})
	return nil
}

// examples is the number of rows of X, input 0: [N, C], or [C] for one.
func (c *Inference) examples() (Dim, error) {
	if err := c.need(1, 1); err != nil {
		return Dim{}, err
	}
	switch s := c.In[0].Shape; {
	case s == nil:
		return Unknown, nil
	case len(s) == 1:
		return Known(1), nil
	case len(s) == 2:
		return s[0], nil
	}
	return Dim{}, fmt.Errorf("input 0 is %v, want a vector or a matrix", c.In[0])
}

// inferRegressor: X -> [N, targets].
func inferRegressor(c *Inference) error {
	n, err := c.examples()
	if err != nil {
		return err
	}
	name := "n_targets"
	if c.Node.Op == "LinearRegressor" {
		name = "targets"
	}
	targets := c.Node.Int(name, 1)
	if targets < 1 || targets > 1<<31 {
		return fmt.Errorf("%d targets", targets)
	}
	c.set(0, tensor.F32, []Dim{n, Known(int(targets))})
	return nil
}

// Labels returns how many classes a classifier of DomainML has, and their type.
func Labels(n *Node) (int, tensor.DType) {
	if s := n.Attrs["classlabels_strings"].Strs; len(s) > 0 {
		return len(s), tensor.STRING
	}
	return max(len(n.Ints("classlabels_int64s")), len(n.Ints("classlabels_ints"))), tensor.I64
}

// inferClassifier: X -> labels [N], scores [N, classes].
func inferClassifier(c *Inference) error {
	n, err := c.examples()
	if err != nil {
		return err
	}
	classes, dt := Labels(c.Node)
	if classes == 0 {
		return fmt.Errorf("has no class labels")
	}
	c.set(0, dt, []Dim{n})
	if classes == 1 {
		classes = 2 // a class and its opposite
	}
	c.set(1, tensor.F32, []Dim{n, Known(classes)})
	return nil
}

func inferTreeEnsemble(c *Inference) error {
	n, err := c.examples()
	if err != nil {
		return err
	}
	targets := c.Node.Int("n_targets", 1)
	if targets < 1 || targets > 1<<31 {
		return fmt.Errorf("%d targets", targets)
	}
	c.set(0, c.In[0].DType, []Dim{n, Known(int(targets))})
	return nil
}
