package runtime

import (
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// linear is X W^T + b for examples of any number type.
type linear struct {
	b              *Bind
	load           func(*tensor.Tensor, int) float64
	rows, features int
	targets        int
	weights, bias  []float32
}

func newLinear(b *Bind, targets int) (*linear, error) {
	l := &linear{b: b, targets: targets, weights: b.Node.Floats("coefficients"), bias: b.Node.Floats("intercepts"), rows: 1}
	x := b.In[0]
	if l.load = loaderOf(x.DType); l.load == nil || len(x.Shape) < 1 || len(x.Shape) > 2 {
		return nil, b.errorf("%v is no matrix of numbers", x)
	}
	l.features = x.Shape[len(x.Shape)-1]
	if len(x.Shape) == 2 {
		l.rows = x.Shape[0]
	}
	if len(l.weights) != targets*l.features || len(l.bias) != 0 && len(l.bias) != targets {
		return nil, b.errorf("%d coefficients and %d intercepts for %d features and %d targets", len(l.weights), len(l.bias), l.features, targets)
	}
	return l, nil
}

// scores fills dst with the products of a row.
func (l *linear) scores(dst []float64, row int) {
	for t := range dst {
		sum := 0.0
		for i, w := range l.weights[t*l.features : (t+1)*l.features] {
			sum += float64(w) * l.load(l.b.In[0], row*l.features+i)
		}
		if len(l.bias) > 0 {
			sum += float64(l.bias[t])
		}
		dst[t] = sum
	}
}

func bindLinearRegressor(b *Bind) (Run, error) {
	l, err := newLinear(b, int(b.Node.Int("targets", 1)))
	if err != nil {
		return nil, err
	}
	transform, err := b.postTransform()
	if err != nil {
		return nil, err
	}
	return simple(func() {
		scores := make([]float64, l.targets)
		for r := range l.rows {
			l.scores(scores, r)
			transform(scores)
			for t, v := range scores {
				b.Out[0].F32()[r*l.targets+t] = float32(v)
			}
		}
	}), nil
}

func bindLinearClassifier(b *Bind) (Run, error) {
	if !b.Has(0) {
		return nil, b.errorf("input 0 is missing")
	}
	c, err := newClasses(b)
	if err != nil {
		return nil, err
	}
	targets := c.count
	if features := b.In[0].Shape; targets == 2 && len(features) > 0 && len(b.Node.Floats("coefficients")) == features[len(features)-1] {
		targets = 1 // one row tells between two classes
	}
	l, err := newLinear(b, targets)
	if err != nil {
		return nil, err
	}
	return simple(func() {
		scores := make([]float64, targets, max(targets, 2))
		for r := range l.rows {
			l.scores(scores[:targets], r)
			if targets == 1 {
				c.binary(r, scores[0], c.logistic)
			} else {
				c.put(r, scores)
			}
		}
	}), nil
}

// classes is what classifiers share: labels, and what is done to scores in the end.
type classes struct {
	b         *Bind
	count     int
	labels    *tensor.Tensor
	transform func([]float64)
	logistic  bool
}

func newClasses(b *Bind) (*classes, error) {
	c := &classes{b: b, logistic: b.Node.Str("post_transform", "NONE") == "LOGISTIC"}
	var err error
	if c.transform, err = b.postTransform(); err != nil {
		return nil, err
	}
	n, dt := model.Labels(b.Node)
	if c.count = n; n == 0 {
		return nil, b.errorf("no class labels")
	}
	if dt == tensor.STRING {
		c.labels = tensor.FromStrings(b.Node.Attrs["classlabels_strings"].Strs, n)
	} else if v := b.Node.Ints("classlabels_int64s"); len(v) > 0 {
		c.labels = tensor.FromSlice(slices.Clone(v), n)
	} else {
		c.labels = tensor.FromSlice(slices.Clone(b.Node.Ints("classlabels_ints")), n)
	}
	return c, nil
}

// put writes the best label of a row and its transformed scores.
func (c *classes) put(row int, scores []float64) {
	best := 0
	for i, v := range scores {
		if v > scores[best] {
			best = i
		}
	}
	c.label(row, best)
	if c.b.HasOut(1) {
		c.transform(scores)
		for i, v := range scores {
			c.b.Out[1].F32()[row*len(scores)+i] = float32(v)
		}
	}
}

func (c *classes) label(row, k int) {
	if c.b.HasOut(0) {
		copy(c.b.Out[0].Data[row*8:(row+1)*8], c.labels.Data[k*8:(k+1)*8])
	}
}

// binary writes a row of two classes of which only the second, or the only one, has a score. Scores about zero give
// (-v, v), those that are shares give (1-v, v).
func (c *classes) binary(row int, v float64, aboutZero bool) {
	yes := v > 0.5
	if aboutZero {
		yes = v > 0
	}
	if k := c.count - 1; yes {
		c.label(row, k)
	} else {
		c.label(row, 0)
	}
	if !c.b.HasOut(1) {
		return
	}
	pair := []float64{1 - v, v}
	if aboutZero {
		pair[0] = -v
	}
	c.transform(pair)
	c.b.Out[1].F32()[row*2], c.b.Out[1].F32()[row*2+1] = float32(pair[0]), float32(pair[1])
}

// postTransform returns what the attribute post_transform does to the scores of an example.
func (b *Bind) postTransform() (func([]float64), error) {
	names := []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}
	name := b.Node.Str("post_transform", "NONE")
	if b.Node.Op == "TreeEnsemble" {
		k := b.Node.Int("post_transform", 0)
		if k < 0 || k >= int64(len(names)) {
			return nil, b.errorf("post_transform %d", k)
		}
		name = names[k]
	}
	switch name {
	case "NONE":
		return func([]float64) {}, nil
	case "SOFTMAX":
		return func(v []float64) { softmaxScores(v, false) }, nil
	case "SOFTMAX_ZERO":
		return func(v []float64) { softmaxScores(v, true) }, nil
	case "LOGISTIC":
		return func(v []float64) {
			for i, x := range v {
				v[i] = 1 / (1 + math.Exp(-x))
			}
		}, nil
	case "PROBIT":
		return func(v []float64) {
			for i, x := range v {
				v[i] = math.Sqrt2 * math.Erfinv(2*x-1)
			}
		}, nil
	}
	return nil, b.errorf("post_transform %q", name)
}

// softmaxScores is softmax; keepZero leaves scores of zero as they are.
func softmaxScores(v []float64, keepZero bool) {
	if len(v) == 0 {
		return
	}
	top, sum := slices.Max(v), 0.0
	for i, x := range v {
		if keepZero && x == 0 {
			continue
		}
		v[i] = math.Exp(x - top)
		sum += v[i]
	}
	for i := range v {
		v[i] /= sum
	}
}
