package model

import (
	"fmt"
	"strings"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"MatMul": inferMatMul, "Gemm": inferGemm, "Einsum": inferEinsum, "Det": inferDet,
})

var _ = registerOps(DomainDsk, map[string]InferFunc{"Linear": inferLinear})

// matMulShape is the shape of NumPy's matmul.
func matMulShape(a, b Type) ([]Dim, error) {
	x, y := a.Shape, b.Shape
	if x == nil || y == nil {
		return nil, nil
	}
	if len(x) == 0 || len(y) == 0 {
		return nil, fmt.Errorf("cannot multiply %v and %v: a scalar", a, b)
	}
	vecX, vecY := len(x) == 1, len(y) == 1
	if vecX {
		x = []Dim{Known(1), x[0]}
	}
	if vecY {
		y = []Dim{y[0], Known(1)}
	}
	if _, err := unify(x[len(x)-1], y[len(y)-2]); err != nil {
		return nil, fmt.Errorf("cannot multiply %v and %v: inner dimensions %w", a, b, err)
	}
	out, err := broadcast(x[:len(x)-2], y[:len(y)-2])
	if err != nil {
		return nil, fmt.Errorf("cannot multiply %v and %v: %w", a, b, err)
	}
	out = cloneDims(out)
	if !vecX {
		out = append(out, x[len(x)-2])
	}
	if !vecY {
		out = append(out, y[len(y)-1])
	}
	return out, nil
}

func inferMatMul(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if err := c.sameDType(0, 1); err != nil {
		return err
	}
	s, err := matMulShape(c.In[0], c.In[1])
	if err != nil {
		return err
	}
	c.set(0, c.In[0].DType, s)
	return nil
}

func inferGemm(c *Inference) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	if err := c.sameDType(0, 1, 2); err != nil {
		return err
	}
	side := func(i int, attr string) (Dim, Dim, error) {
		if err := c.rank(i, 2); err != nil {
			return Dim{}, Dim{}, err
		}
		s := c.In[i].Shape
		if s == nil {
			return Unknown, Unknown, nil
		}
		if c.Node.Int(attr, 0) != 0 {
			return s[1], s[0], nil
		}
		return s[0], s[1], nil
	}
	m, k, err := side(0, "transA")
	if err != nil {
		return err
	}
	k2, n, err := side(1, "transB")
	if err != nil {
		return err
	}
	if _, err := unify(k, k2); err != nil {
		return fmt.Errorf("cannot multiply %v and %v: inner dimensions %w", c.In[0], c.In[1], err)
	}
	out := []Dim{m, n}
	if c.has(2) && c.In[2].Shape != nil {
		s, err := broadcast(out, c.In[2].Shape)
		if err != nil {
			return err
		}
		for i := range s {
			if len(s) != 2 || s[i].IsKnown() && out[i].IsKnown() && s[i].N != out[i].N {
				return fmt.Errorf("input 2 is %v, which does not broadcast to %s", c.In[2], shapeString(out))
			}
		}
	}
	c.set(0, c.In[0].DType, out)
	return nil
}

func inferLinear(c *Inference) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	if err := c.rank(1, 2); err != nil {
		return err
	}
	x, w := c.In[0].Shape, c.In[1].Shape
	if x == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	if len(x) == 0 {
		return fmt.Errorf("input 0 is a scalar")
	}
	out := cloneDims(x)
	out[len(x)-1] = Unknown
	if w != nil {
		if _, err := unify(x[len(x)-1], w[1]); err != nil {
			return fmt.Errorf("input %v and weight %v: inner dimensions %w", c.In[0], c.In[1], err)
		}
		out[len(x)-1] = w[0]
	}
	if err := c.checkVector(2, out[len(x)-1], "bias"); err != nil {
		return err
	}
	c.set(0, c.In[0].DType, out)
	return nil
}

// checkVector checks that input i, if present, is a vector of n elements.
func (c *Inference) checkVector(i int, n Dim, what string) error {
	if !c.has(i) {
		return nil
	}
	if err := c.rank(i, 1); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if s := c.In[i].Shape; s != nil {
		if _, err := unify(s[0], n); err != nil {
			return fmt.Errorf("%s is %v, want %v elements: %w", what, c.In[i], n, err)
		}
	}
	return nil
}

// EinsumTerms splits an Einsum equation into its inputs' and its output's labels. Every
// label is a letter; an ellipsis stands as one '.'. Where the equation has no arrow, the
// output is the ellipsis and then the labels that occur once, in alphabetical order.
func EinsumTerms(equation string) (in []string, out string, err error) {
	eq := strings.ReplaceAll(strings.ReplaceAll(equation, " ", ""), "...", ".")
	left, out, explicit := strings.Cut(eq, "->")
	in = strings.Split(left, ",")
	count := map[rune]int{}
	for _, t := range append(append([]string{}, in...), out) {
		for _, r := range t {
			if r != '.' && !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
				return nil, "", fmt.Errorf("equation %q: unexpected %q", equation, r)
			}
		}
		if strings.Count(t, ".") > 1 {
			return nil, "", fmt.Errorf("equation %q: two ellipses in one term", equation)
		}
	}
	for _, t := range in {
		for _, r := range t {
			count[r]++
		}
	}
	if !explicit {
		if count['.'] > 0 {
			out = "."
		}
		for r := 'A'; r <= 'z'; r++ {
			if count[r] == 1 {
				out += string(r)
			}
		}
	}
	seen := map[rune]bool{}
	for _, r := range out {
		if count[r] == 0 && r != '.' || seen[r] {
			return nil, "", fmt.Errorf("equation %q: output label %q", equation, r)
		}
		seen[r] = true
	}
	return in, out, nil
}

func inferEinsum(c *Inference) error {
	if err := c.need(1, -1); err != nil {
		return err
	}
	eq := c.Node.Str("equation", "")
	in, out, err := EinsumTerms(eq)
	if err != nil {
		return err
	}
	if len(in) != len(c.In) {
		return fmt.Errorf("equation %q has %d terms for %d inputs", eq, len(in), len(c.In))
	}
	dims := map[rune]Dim{}
	var dots []Dim // what the ellipses broadcast to
	dotsKnown := true
	for i, term := range in {
		if !c.has(i) {
			return fmt.Errorf("input %d is missing", i)
		}
		if err := c.sameDType(0, i); err != nil {
			return err
		}
		s := c.In[i].Shape
		if s == nil {
			dotsKnown = dotsKnown && !strings.Contains(term, ".")
			for _, r := range term {
				if _, ok := dims[r]; !ok && r != '.' {
					dims[r] = Unknown
				}
			}
			continue
		}
		extra := len(s) - len(strings.ReplaceAll(term, ".", ""))
		if extra < 0 || extra > 0 && !strings.Contains(term, ".") {
			return fmt.Errorf("term %q of equation %q does not fit %v", term, eq, c.In[i])
		}
		at := 0
		for _, r := range term {
			if r == '.' {
				if dots == nil {
					dots = []Dim{}
				}
				if dots, err = broadcast(dots, s[at:at+extra]); err != nil {
					return err
				}
				at += extra
				continue
			}
			if old, ok := dims[r]; ok && !(old.IsKnown() && old.N == 1) && !(s[at].IsKnown() && s[at].N == 1) {
				u, err := unify(old, s[at])
				if err != nil {
					return fmt.Errorf("equation %q: label %q: %w", eq, r, err)
				}
				dims[r] = u
			} else if !ok || old.N == 1 {
				dims[r] = s[at]
			}
			at++
		}
	}
	shape := []Dim{}
	for _, r := range out {
		switch {
		case r != '.':
			shape = append(shape, dims[r])
		case !dotsKnown:
			c.set(0, c.In[0].DType, nil)
			return nil
		default:
			shape = append(shape, dots...)
		}
	}
	c.set(0, c.In[0].DType, shape)
	return nil
}

func inferDet(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	s := c.In[0].Shape
	if s == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	if len(s) < 2 {
		return fmt.Errorf("input 0 is %v, want at least rank 2", c.In[0])
	}
	if _, err := unify(s[len(s)-1], s[len(s)-2]); err != nil {
		return fmt.Errorf("input 0 is %v, want square matrices", c.In[0])
	}
	c.set(0, c.In[0].DType, cloneDims(s[:len(s)-2]))
	return nil
}

// floatOf is the type of results that are computed from a weight of type dt.
func floatOf(dt tensor.DType) tensor.DType {
	if dt.IsQuantized() {
		return tensor.F32
	}
	return dt
}
