package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// becomesLinear reports whether a node is a product of a value with a matrix in the
// place where a weight stands.
func (r *rewriter) becomesLinear(n *Node) bool {
	if n.Domain != "" || n.Op != "MatMul" && n.Op != "Gemm" || n.Op == "Gemm" && n.Int("transA", 0) != 0 {
		return false
	}
	x, w := r.typeOf(n.In(0)), r.typeOf(n.In(1))
	return real(x.DType) && x.Shape != nil && len(w.Shape) == 2
}

// matrix is a constant matrix as linear reads it: through a widening Cast and a Transpose.
type matrix struct {
	name string // of the initializer
	t    *tensor.Tensor
	swap bool // the initializer is the transposed of what the node sees
}

// matrixOf finds the matrix behind a value of type dt.
func (r *rewriter) matrixOf(name string, dt tensor.DType) (matrix, bool) {
	m := matrix{}
	cast := false
	for range 3 {
		if t := r.constant(name); t != nil {
			m.name, m.t = name, t
			return m, len(t.Shape) == 2 && (t.DType == dt || cast && real(t.DType))
		}
		n := r.maker[name]
		if n == nil || n.Domain != "" || r.kept[name] {
			return m, false
		}
		switch {
		case n.Op == "Transpose" && len(r.typeOf(name).Shape) == 2:
			if p := n.Ints("perm"); p != nil && p[0] == 0 {
				return m, false
			}
			m.swap = !m.swap
		case n.Op == "Cast" && n.Int("to", 0) == ElemCode(tensor.F32):
			cast = true
		default:
			return m, false
		}
		name = n.In(0)
	}
	return m, false
}

// linear makes dsk.Linear of MatMul and Gemm with a constant matrix, and of a following Add of a
// constant vector.
func (r *rewriter) linear() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		done, err := false, error(nil)
		switch {
		case n.Is("", "MatMul") && r.becomesLinear(n):
			done, err = r.matMulLinear(n)
		case n.Is("", "Gemm") && r.becomesLinear(n):
			done, err = r.gemmLinear(n)
		}
		if done {
			count++
		}
		return err
	})
	return count, err
}

// linearWeight adds the matrix [N,K] that Linear reads for a node that sees m as [K,N] or,
// with rows, as [N,K]. It is multiplied by alpha.
func (r *rewriter) linearWeight(m matrix, rows bool, alpha float64) (string, error) {
	turned := rows == m.swap
	if !turned && alpha == 1 {
		return m.name, nil
	}
	key := fmt.Sprintf("linear %s %v %g", m.name, turned, alpha)
	return r.addInit(m.name+".linear", key, func() (*tensor.Tensor, error) {
		t := m.t
		if turned {
			var err error
			if t, err = tensor.Permuted(t, 1, 0); err != nil {
				return nil, err
			}
		}
		if alpha != 1 {
			t = scaled(t, []float64{alpha}, func(int) int { return 0 })
		}
		return t, nil
	})
}

func (r *rewriter) matMulLinear(n *Node) (bool, error) {
	m, ok := r.matrixOf(n.In(1), r.typeOf(n.In(0)).DType)
	if !ok {
		return false, nil
	}
	w, err := r.linearWeight(m, false, 1)
	if err != nil {
		return false, err
	}
	lin := &Node{Domain: DomainDsk, Op: "Linear", Name: n.Name, Inputs: []string{n.In(0), w}, Outputs: n.Outputs, Attrs: Attrs{}}
	r.replace([]*Node{n}, lin)
	return true, nil
}

func (r *rewriter) gemmLinear(n *Node) (bool, error) {
	dt := r.typeOf(n.In(0)).DType
	m, ok := r.matrixOf(n.In(1), dt)
	alpha, beta := float64(n.Float("alpha", 1)), float64(n.Float("beta", 1))
	if !ok || alpha != 1 && m.t.DType != dt {
		return false, nil
	}
	w, err := r.linearWeight(m, n.Int("transB", 0) != 0, alpha)
	if err != nil {
		return false, err
	}
	lin := &Node{Domain: DomainDsk, Op: "Linear", Name: n.Name, Inputs: []string{n.In(0), w}, Outputs: n.Outputs, Attrs: Attrs{}}
	c := n.In(2)
	if c == "" || beta == 0 {
		r.replace([]*Node{n}, lin)
		return true, nil
	}
	out := r.typeOf(n.Outputs[0])
	if bias, ok := r.biasOf(c, out.Shape[1], beta); ok {
		lin.Inputs = append(lin.Inputs, bias)
		r.replace([]*Node{n}, lin)
		return true, nil
	}
	// Anything else is added after the product.
	with := []*Node{lin}
	if beta != 1 {
		b := r.addFloats(n.Outputs[0]+".beta", dt, []float64{beta})
		name := r.unique(n.Outputs[0] + ".c")
		r.g.Types[name] = r.typeOf(c)
		with = append(with, &Node{Op: "Mul", Name: n.Name, Inputs: []string{c, b}, Outputs: []string{name}, Attrs: Attrs{}})
		c = name
	}
	product := r.unique(n.Outputs[0] + ".product")
	r.g.Types[product] = out
	lin.Outputs = []string{product}
	with = append(with, &Node{Op: "Add", Name: n.Name, Inputs: []string{product, c}, Outputs: n.Outputs, Attrs: Attrs{}})
	r.replace([]*Node{n}, with...)
	return true, nil
}

// biasOf returns the name of a vector of n elements that equals beta times the constant c where
// that broadcasts along all axes but the last.
func (r *rewriter) biasOf(c string, n Dim, beta float64) (string, bool) {
	t := r.constant(c)
	if t == nil || !real(t.DType) || !n.IsKnown() || t.Len() != n.N && t.Len() != 1 {
		return "", false
	}
	if len(t.Shape) > 0 && t.Shape[len(t.Shape)-1] != t.Len() {
		return "", false
	}
	if len(t.Shape) == 1 && t.Len() == n.N && beta == 1 {
		return c, true
	}
	v, ok := floatsOf(t)
	if !ok {
		return "", false
	}
	out := make([]float64, n.N)
	for i := range out {
		out[i] = float64(v[min(i, len(v)-1)] * beta)
	}
	name, err := r.addInit(c+".bias", fmt.Sprintf("bias %s %d %g", c, n.N, beta), func() (*tensor.Tensor, error) {
		return newFloats(t.DType, out, n.N), nil
	})
	return name, err == nil
}
