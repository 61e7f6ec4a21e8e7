package runtime

import (
	"fmt"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators of classical machine learning (ai.onnx.ml). Sums are in float64.

var _ = register(model.DomainML, operands(1, map[string]Binder{
	"Binarizer":         bindBinarizer,
	"LabelEncoder":      bindLabelEncoder,
	"Scaler":            bindScaler,
	"Normalizer":        bindNormalizer,
	"Imputer":           bindImputer,
	"OneHotEncoder":     bindOneHotEncoder,
	"FeatureVectorizer": bindFeatureVectorizer,
	"LinearRegressor":   bindLinearRegressor,
}))

var _ = register(model.DomainML, operands(2, map[string]Binder{"ArrayFeatureExtractor": bindArrayFeatures}))

var _ = register(model.DomainML, dense(map[string]Binder{"LinearClassifier": bindLinearClassifier}))

// codec returns how the elements of input 0 are read, and those of output 0 written.
func (b *Bind) codec() (load func(*tensor.Tensor, int) float64, store func(*tensor.Tensor, int, float64), err error) {
	if load = loaderOf(b.In[0].DType); load == nil {
		return nil, nil, b.unsupportedType(b.In[0].DType)
	}
	if store = storerOf(b.Out[0].DType); store == nil {
		return nil, nil, b.unsupportedType(b.Out[0].DType)
	}
	return load, store, nil
}

// mapML binds y[i] = f(x[i], column of i).
func mapML(b *Bind, f func(x float64, column int) float64) (Run, error) {
	load, store, err := b.codec()
	if err != nil {
		return nil, err
	}
	in, out := b.In[0], b.Out[0]
	columns := 1
	if n := len(in.Shape); n > 0 {
		columns = max(1, in.Shape[n-1])
	}
	return simple(func() {
		for i := range in.Len() {
			store(out, i, f(load(in, i), i%columns))
		}
	}), nil
}

func bindBinarizer(b *Bind) (Run, error) {
	t := float64(b.Node.Float("threshold", 0))
	return mapML(b, func(x float64, _ int) float64 {
		if x > t {
			return 1
		}
		return 0
	})
}

// perColumn returns values for each column of input 0: as many, or one for all, or def without any.
func (b *Bind) perColumn(name string, values []float64, def float64) (func(column int) float64, error) {
	columns := 1
	if n := len(b.In[0].Shape); n > 0 {
		columns = b.In[0].Shape[n-1]
	}
	switch len(values) {
	case 0:
		return func(int) float64 { return def }, nil
	case 1:
		return func(int) float64 { return values[0] }, nil
	case columns:
		return func(c int) float64 { return values[c] }, nil
	}
	return nil, b.errorf("%s has %d values for %d columns", name, len(values), columns)
}

func widen64[T float32 | int64](v []T) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// bindScaler is (x - offset) * scale.
func bindScaler(b *Bind) (Run, error) {
	offset, err := b.perColumn("offset", widen64(b.Node.Floats("offset")), 0)
	if err != nil {
		return nil, err
	}
	scale, err := b.perColumn("scale", widen64(b.Node.Floats("scale")), 1)
	if err != nil {
		return nil, err
	}
	return mapML(b, func(x float64, c int) float64 { return (x - offset(c)) * scale(c) })
}

// bindImputer replaces a value, or NaN.
func bindImputer(b *Bind) (Run, error) {
	values, replaced := widen64(b.Node.Floats("imputed_value_floats")), float64(b.Node.Float("replaced_value_float", 0))
	if !b.In[0].DType.IsFloat() {
		values, replaced = widen64(b.Node.Ints("imputed_value_int64s")), float64(b.Node.Int("replaced_value_int64", 0))
	}
	if len(values) == 0 {
		return nil, b.errorf("no values for %v", b.In[0])
	}
	value, err := b.perColumn("the imputed values", values, 0)
	if err != nil {
		return nil, err
	}
	return mapML(b, func(x float64, c int) float64 {
		if x == replaced || x != x && replaced != replaced {
			return value(c)
		}
		return x
	})
}

// bindNormalizer divides each row by its largest number, the sum of its magnitudes or its length.
func bindNormalizer(b *Bind) (Run, error) {
	load, store, err := b.codec()
	if err != nil {
		return nil, err
	}
	norm := b.Node.Str("norm", "MAX")
	if norm != "MAX" && norm != "L1" && norm != "L2" {
		return nil, b.errorf("norm %q", norm)
	}
	in, out := b.In[0], b.Out[0]
	if len(in.Shape) == 0 {
		return nil, b.errorf("%v has no rows", in)
	}
	n := in.Shape[len(in.Shape)-1]
	return simple(func() {
		for at := 0; at < in.Len(); at += n {
			total := 0.0
			for i := range n {
				switch x := load(in, at+i); norm {
				case "MAX":
					if i == 0 || x > total {
						total = x
					}
				case "L1":
					total += math.Abs(x)
				default:
					total += x * x
				}
			}
			if norm == "L2" {
				total = math.Sqrt(total)
			}
			if total == 0 {
				total = 1
			}
			for i := range n {
				store(out, at+i, load(in, at+i)/total)
			}
		}
	}), nil
}

// categories returns the place of each element of t in a list: of strings or of integers, whichever fits t.
func categories(t *tensor.Tensor, texts []string, ints []int64) (func(i int) int, error) {
	if t.DType == tensor.STRING {
		place := map[uint64]int{}
		for k, s := range texts {
			place[tensor.Intern(s)] = k
		}
		return placeOf(place, func(i int) uint64 { return tensor.View[uint64](t)[i] }), nil
	}
	load := loaderOf(t.DType)
	if load == nil {
		return nil, fmt.Errorf("no categories of %v", t)
	}
	place := map[float64]int{}
	for k, v := range ints {
		place[float64(v)] = k
	}
	return placeOf(place, func(i int) float64 { return load(t, i) }), nil
}

// placeOf looks elements up; -1 is none.
func placeOf[K comparable](place map[K]int, at func(i int) K) func(i int) int {
	return func(i int) int {
		if k, ok := place[at(i)]; ok {
			return k
		}
		return -1
	}
}

func bindOneHotEncoder(b *Bind) (Run, error) {
	place, err := categories(b.In[0], b.Node.Attrs["cats_strings"].Strs, b.Node.Ints("cats_int64s"))
	if err != nil {
		return nil, b.errorf("%w", err)
	}
	zeros := b.Node.Int("zeros", 1) != 0
	out := b.Out[0]
	n := out.Shape[len(out.Shape)-1]
	return func() error {
		clear(out.Data)
		for i := range b.In[0].Len() {
			switch k := place(i); {
			case k >= 0 && k < n:
				out.F32()[i*n+k] = 1
			case !zeros:
				return fmt.Errorf("element %d is none of the categories", i)
			}
		}
		return nil
	}, nil
}

// bindLabelEncoder maps keys to values, and all else to a default.
func bindLabelEncoder(b *Bind) (Run, error) {
	n, out := b.Node, b.Out[0]
	values, err := b.labels("values", out.DType)
	if err != nil {
		return nil, err
	}
	keys, err := b.labels("keys", b.In[0].DType)
	if err != nil {
		return nil, err
	}
	if classes := n.Attrs["classes_strings"].Strs; classes != nil {
		numbers := make([]int64, len(classes))
		for i := range numbers {
			numbers[i] = int64(i)
		}
		texts, count := tensor.FromStrings(classes, len(classes)), tensor.FromSlice(numbers, len(numbers))
		if keys, values = count, texts; b.In[0].DType == tensor.STRING {
			keys, values = texts, count
		}
	}
	if keys == nil || values == nil || keys.Len() != values.Len() || keys.DType != b.In[0].DType || values.DType != out.DType {
		return nil, b.errorf("keys %v and values %v do not map %v to %v", keys, values, b.In[0], out)
	}
	other, err := b.defaultLabel(out.DType)
	if err != nil {
		return nil, err
	}
	inSize, size := keys.DType.Size(), out.DType.Size()
	place := map[string]int{}
	for k := keys.Len() - 1; k >= 0; k-- {
		place[string(keys.Data[k*inSize:(k+1)*inSize])] = k
	}
	return simple(func() {
		for i := range b.In[0].Len() {
			from := other
			if k, ok := place[string(b.In[0].Data[i*inSize:(i+1)*inSize])]; ok {
				from = values.Data[k*size : (k+1)*size]
			}
			copy(out.Data[i*size:(i+1)*size], from)
		}
	}), nil
}

// labels returns the keys or values of a LabelEncoder as a tensor, nil if there are none.
func (b *Bind) labels(which string, dt tensor.DType) (*tensor.Tensor, error) {
	n := b.Node
	if t := n.Attrs[which+"_tensor"].Tensor; t != nil {
		return t.Loaded()
	}
	for _, name := range []string{which + "_tensor", which + "_strings"} {
		if s := n.Attrs[name].Strs; s != nil {
			return tensor.FromStrings(s, len(s)), nil
		}
	}
	if v := n.Ints(which + "_int64s"); v != nil {
		return tensor.FromSlice(slices.Clone(v), len(v)), nil
	}
	if v := n.Floats(which + "_floats"); v != nil {
		return tensor.FromSlice(slices.Clone(v), len(v)), nil
	}
	return nil, nil
}

// defaultLabel returns the bytes of a LabelEncoder's default.
func (b *Bind) defaultLabel(dt tensor.DType) ([]byte, error) {
	n := b.Node
	if a, ok := n.Attrs["default_tensor"]; ok {
		if len(a.Strs) == 1 {
			return tensor.FromStrings(a.Strs, 1).Data, nil
		}
		if a.Tensor == nil || a.Tensor.DType != dt || a.Tensor.Len() != 1 {
			return nil, b.errorf("default %v", a.Tensor)
		}
		t, err := a.Tensor.Loaded()
		if err != nil {
			return nil, err
		}
		return t.Data, nil
	}
	switch dt {
	case tensor.STRING:
		return tensor.FromStrings([]string{n.Str("default_string", "_Unused")}, 1).Data, nil
	case tensor.I64:
		return tensor.FromSlice([]int64{n.Int("default_int64", -1)}, 1).Data, nil
	case tensor.F32:
		return tensor.FromSlice([]float32{n.Float("default_float", float32(math.Copysign(0, -1)))}, 1).Data, nil
	}
	return make([]byte, dt.Size()), nil
}

// bindArrayFeatures picks columns.
func bindArrayFeatures(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	if len(in.Shape) == 0 {
		return nil, b.errorf("input 0 is a scalar")
	}
	idx, err := b.indices(1)
	if err != nil {
		return nil, err
	}
	columns, size, n := in.Shape[len(in.Shape)-1], in.DType.Size(), idx.t.Len()
	if n == 0 {
		return nil, b.errorf("no columns are asked for")
	}
	return func() error {
		if err := idx.check(columns); err != nil {
			return err
		}
		for i := range out.Len() {
			from := (i/n*columns + idx.at(i%n, columns)) * size
			copy(out.Data[i*size:(i+1)*size], in.Data[from:from+size])
		}
		return nil
	}, nil
}

// bindFeatureVectorizer puts matrices side by side as floats.
func bindFeatureVectorizer(b *Bind) (Run, error) {
	out := b.Out[0]
	columns := out.Shape[1]
	type part struct {
		t    *tensor.Tensor
		load func(*tensor.Tensor, int) float64
		at,
		n int
	}
	var parts []part
	at := 0
	for i, t := range b.In {
		if t == nil || len(t.Shape) < 1 || len(t.Shape) > 2 || t.Shape[0] != out.Shape[0] || loaderOf(t.DType) == nil {
			return nil, b.errorf("input %d, %v, is no matrix of %d rows", i, t, out.Shape[0])
		}
		n := product(t.Shape[1:])
		parts = append(parts, part{t, loaderOf(t.DType), at, n})
		at += n
	}
	if at != columns {
		return nil, b.errorf("%d columns, want %d", at, columns)
	}
	return simple(func() {
		for r := range out.Shape[0] {
			for _, p := range parts {
				for i := range p.n {
					out.F32()[r*columns+p.at+i] = float32(p.load(p.t, r*p.n+i))
				}
			}
		}
	}), nil
}
