package model

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/tensor"
)

// IntValue makes the Dim that stands for a known integer in Inference.Sym and OutSym.
// A Dim proper is never negative; a negative value is kept as the name "=-3".
func IntValue(v int64) Dim {
	if v >= 0 {
		return Dim{N: int(v)}
	}
	return Dim{N: -1, Sym: "=" + strconv.FormatInt(v, 10)}
}

// Value returns the integer that d stands for in Inference.Sym, and whether it is known.
func (d Dim) Value() (int64, bool) {
	if d.N >= 0 {
		return int64(d.N), true
	}
	if s, ok := strings.CutPrefix(d.Sym, "="); ok {
		v, err := strconv.ParseInt(s, 10, 64)
		return v, err == nil
	}
	return 0, false
}

// maxSym bounds the names that arithmetic on dimensions makes.
const maxSym = 40

// symExpr names the result of an operator on a and b, or is Unknown.
func symExpr(a Dim, op string, b Dim) Dim {
	part := func(d Dim) string {
		if v, ok := d.Value(); ok {
			return strconv.FormatInt(v, 10)
		}
		if strings.ContainsAny(d.Sym, "+-*/") {
			return "(" + d.Sym + ")"
		}
		return d.Sym
	}
	x, y := part(a), part(b)
	if x == "" || y == "" || len(x)+len(y) >= maxSym {
		return Unknown
	}
	return Sym(x + op + y)
}

func addDim(a, b Dim) Dim {
	x, okA := a.Value()
	y, okB := b.Value()
	switch {
	case okA && okB:
		return IntValue(x + y)
	case okA && x == 0:
		return b
	case okB && y == 0:
		return a
	}
	return symExpr(a, "+", b)
}

func subDim(a, b Dim) Dim {
	x, okA := a.Value()
	y, okB := b.Value()
	switch {
	case okA && okB:
		return IntValue(x - y)
	case okB && y == 0:
		return a
	case a.Sym != "" && a == b:
		return Known(0)
	}
	return symExpr(a, "-", b)
}

func mulDim(a, b Dim) Dim {
	x, okA := a.Value()
	y, okB := b.Value()
	switch {
	case okA && okB:
		return IntValue(x * y)
	case okA && x == 0, okB && y == 0:
		return Known(0)
	case okA && x == 1:
		return b
	case okB && y == 1:
		return a
	}
	return symExpr(a, "*", b)
}

// divDim is integer division towards zero.
func divDim(a, b Dim) Dim {
	x, okA := a.Value()
	y, okB := b.Value()
	switch {
	case okB && y == 0:
		return Unknown
	case okA && okB:
		return IntValue(x / y)
	case okB && y == 1:
		return a
	}
	return symExpr(a, "/", b)
}

// unify returns what is known of two dimensions that must be equal.
func unify(a, b Dim) (Dim, error) {
	switch {
	case a.IsKnown() && b.IsKnown():
		if a.N != b.N {
			return Dim{}, fmt.Errorf("%d and %d differ", a.N, b.N)
		}
		return a, nil
	case a.IsKnown():
		return a, nil
	case b.IsKnown():
		return b, nil
	case a.Sym != "":
		return a, nil
	}
	return b, nil
}

// product returns the product of dimensions.
func product(dims []Dim) Dim {
	p := Known(1)
	for _, d := range dims {
		p = mulDim(p, d)
	}
	return p
}

// unknowns returns a shape of n unknown dimensions.
func unknowns(n int) []Dim {
	out := make([]Dim, n)
	for i := range out {
		out[i] = Unknown
	}
	return out
}

// cloneDims copies a shape and keeps nil, the unknown rank.
func cloneDims(s []Dim) []Dim {
	if s == nil {
		return nil
	}
	return append([]Dim{}, s...)
}

// broadcast is ONNX's multidirectional (NumPy) broadcasting; an unknown rank gives an unknown rank.
func broadcast(a, b []Dim) ([]Dim, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	if len(a) < len(b) {
		a, b = b, a
	}
	out := cloneDims(a)
	off := len(a) - len(b)
	for i, y := range b {
		x := a[off+i]
		switch {
		case x == y:
		case x.IsKnown() && y.IsKnown():
			if x.N == 1 {
				out[off+i] = y
			} else if y.N != 1 {
				return nil, fmt.Errorf("cannot broadcast %s with %s: dimensions %d and %d differ",
					shapeString(a), shapeString(b), x.N, y.N)
			}
		case x.IsKnown():
			if x.N == 1 {
				out[off+i] = y
			}
		case y.IsKnown():
			if y.N != 1 {
				out[off+i] = y
			}
		default:
			out[off+i] = Unknown
		}
	}
	return out, nil
}

// shapeString returns "[batch,3,?]".
func shapeString(s []Dim) string {
	if s == nil {
		return "[...]"
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// axisOf turns an axis that may count from the end into 0..rank-1.
func axisOf(axis int64, rank int) (int, error) {
	a := axis
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d is out of range for rank %d", axis, rank)
	}
	return int(a), nil
}

// axesOf does it for several, which must differ; the result is a flag for each dimension.
func axesOf(axes []int64, rank int) ([]bool, error) {
	on := make([]bool, rank)
	for _, a := range axes {
		i, err := axisOf(a, rank)
		if err != nil {
			return nil, err
		}
		if on[i] {
			return nil, fmt.Errorf("axis %d is named twice", a)
		}
		on[i] = true
	}
	return on, nil
}

// need checks that there are between lo and hi inputs (hi < 0: any number), that the first lo
// are present, and that there is room for the outputs that the caller sets.
func (c *Inference) need(lo, hi int) error {
	n := len(c.In)
	if hi >= 0 && n > hi {
		return fmt.Errorf("has %d inputs, takes at most %d", n, hi)
	}
	for i := 0; i < lo; i++ {
		if !c.has(i) {
			return fmt.Errorf("input %d is missing", i)
		}
	}
	if len(c.Out) == 0 {
		return fmt.Errorf("has no outputs")
	}
	return nil
}

// has reports whether input i is present.
func (c *Inference) has(i int) bool { return i < len(c.In) && c.In[i].DType != tensor.Invalid }

// set gives output i a type if the node has that output.
func (c *Inference) set(i int, dt tensor.DType, shape []Dim) {
	if i < len(c.Out) {
		c.Out[i] = Type{dt, shape}
	}
}

// setSym gives output i its partly known value, unless it is long.
func (c *Inference) setSym(i int, v []Dim) {
	if i < len(c.OutSym) && v != nil && len(v) <= smallValue {
		c.OutSym[i] = v
	}
}

// sameDType checks that the present inputs among idx have one element type.
func (c *Inference) sameDType(idx ...int) error {
	first := -1
	for _, i := range idx {
		if !c.has(i) {
			continue
		}
		if first < 0 {
			first = i
		} else if c.In[i].DType != c.In[first].DType {
			return fmt.Errorf("inputs %d (%v) and %d (%v) have different element types",
				first, c.In[first], i, c.In[i])
		}
	}
	return nil
}

// rank checks that input i has rank r, if its rank is known.
func (c *Inference) rank(i, r int) error {
	if c.has(i) && c.In[i].Shape != nil && len(c.In[i].Shape) != r {
		return fmt.Errorf("input %d is %v, want rank %d", i, c.In[i], r)
	}
	return nil
}

// values returns what is known of input i as an integer scalar or vector, or nil. Floats
// count if all are whole numbers.
func (c *Inference) values(i int) []Dim {
	if !c.has(i) {
		return nil
	}
	if i < len(c.Val) && c.Val[i] != nil && len(c.Val[i].Shape) <= 1 {
		if c.Val[i].Len() > smallValue {
			return nil
		}
		if v, ok := intsOf(c.Val[i]); ok {
			out := make([]Dim, len(v))
			for j, x := range v {
				out[j] = IntValue(x)
			}
			return out
		}
		return nil
	}
	if i < len(c.Sym) {
		return c.Sym[i]
	}
	return nil
}

// vector is values, but a vector of known length of which nothing else is known gives Unknowns.
func (c *Inference) vector(i int) []Dim {
	if v := c.values(i); v != nil {
		return v
	}
	if !c.has(i) {
		return nil
	}
	switch s := c.In[i].Shape; {
	case s == nil:
		return nil
	case len(s) == 0:
		return unknowns(1)
	case len(s) == 1 && s[0].IsKnown() && s[0].N <= smallValue:
		return unknowns(s[0].N)
	}
	return nil
}

// ints returns input i as integers if all are known.
func (c *Inference) ints(i int) ([]int64, bool) {
	v := c.values(i)
	if v == nil {
		return nil, false
	}
	out := make([]int64, len(v))
	for j, d := range v {
		x, ok := d.Value()
		if !ok {
			return nil, false
		}
		out[j] = x
	}
	return out, true
}

// floats returns input i, of F32 or F64, as numbers if it is a constant.
func (c *Inference) floats(i int) ([]float64, bool) {
	if !c.has(i) || i >= len(c.Val) || c.Val[i] == nil {
		if v, ok := c.ints(i); ok {
			out := make([]float64, len(v))
			for j, x := range v {
				out[j] = float64(x)
			}
			return out, true
		}
		return nil, false
	}
	if c.Val[i].Len() > smallValue {
		return nil, false
	}
	return floatsOf(c.Val[i])
}

// cutPrefixSym returns n if sum is the expression "start+n".
func cutPrefixSym(sum, start Dim) (Dim, bool) {
	if start.Sym == "" || strings.ContainsAny(start.Sym, "+-*/=") {
		return Dim{}, false
	}
	rest, ok := strings.CutPrefix(sum.Sym, start.Sym+"+")
	if !ok || strings.ContainsAny(rest, "+-*/()") {
		return Dim{}, false
	}
	if n, err := strconv.Atoi(rest); err == nil {
		return Known(n), true
	}
	return Sym(rest), true
}

// rangeLen is the number of elements of Range: max(ceil((limit - start) / delta), 0).
func rangeLen(start, limit, delta float64) (int, error) {
	n := math.Ceil((limit - start) / delta)
	if math.IsNaN(n) || n > math.MaxInt32 {
		return 0, fmt.Errorf("range from %v to %v by %v has no end", start, limit, delta)
	}
	return int(max(n, 0)), nil
}
