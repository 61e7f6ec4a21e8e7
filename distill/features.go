package distill

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/dsk-toolkit/dsk/kernels"
)

// relation compares how alike the samples of a batch are to a student and to its teacher (Tung and Mori, "Similarity-preserving
// knowledge distillation", 2019). With Q the features [n, d] of a batch of n samples, G = Q Q^T with rows scaled to length 1,
//
//	loss = |G_teacher - G_student|^2 / n^2
//
// The features may be of any two widths, and of any place in the graphs.
type relation struct {
	n            int
	want, have   []float32 // G of the teacher and of the student, [n, n]
	grad, length []float32
}

func newRelation(n int) *relation {
	return &relation{n: n, want: make([]float32, n*n), have: make([]float32, n*n), grad: make([]float32, n*n), length: make([]float32, n)}
}

// gram writes the rows of Q Q^T, scaled to length 1, to dst and the lengths that they had to r.length.
func (r *relation) gram(dst, q []float32) {
	d := len(q) / r.n
	general := blas32.General{Rows: r.n, Cols: d, Data: q, Stride: d}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, general, general, 0, blas32.General{Rows: r.n, Cols: r.n, Data: dst, Stride: r.n})
	for i := range r.n {
		row := dst[i*r.n : (i+1)*r.n]
		r.length[i] = float32(math.Sqrt(float64(kernels.Dot(row, row)))) + smallest
		kernels.Scale(row, row, 1/r.length[i])
	}
}

// gradient writes weight times the derivative of the loss by the student's features to grad and returns weight times the loss.
func (r *relation) gradient(grad, student, teacher []float32, weight float64) float64 {
	n := r.n
	r.gram(r.want, teacher)
	r.gram(r.have, student)
	var sum float64
	factor := float32(2 * weight / float64(n*n))
	for i := range n {
		h, w, g := r.have[i*n:(i+1)*n], r.want[i*n:(i+1)*n], r.grad[i*n:(i+1)*n]
		for j := range g {
			d := h[j] - w[j]
			sum += float64(d) * float64(d)
			g[j] = factor * d
		}
		// By the row before it was scaled: (g - h (g.h)) / length.
		kernels.Axpy(g, h, -kernels.Dot(g, h))
		kernels.Scale(g, g, 1/r.length[i])
	}
	// G depends on Q through both factors.
	for i := range n {
		for j := range i {
			s := r.grad[i*n+j] + r.grad[j*n+i]
			r.grad[i*n+j], r.grad[j*n+i] = s, s
		}
		r.grad[i*n+i] *= 2
	}
	d := len(student) / n
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, blas32.General{Rows: n, Cols: n, Data: r.grad, Stride: n},
		blas32.General{Rows: n, Cols: d, Data: student, Stride: d}, 0, blas32.General{Rows: n, Cols: d, Data: grad, Stride: d})
	return weight * sum / float64(n*n)
}
