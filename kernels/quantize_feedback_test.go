package kernels

import (
	"bytes"
	"math"
	"math/rand"
	"testing"
)

// correlated returns the second moment of inputs x_j = 0.9 x_{j-1} + noise, of a size that differs from
// column to column, as a k x k matrix.
func correlated(k int, seed int64) []float64 {
	r := rand.New(rand.NewSource(seed))
	size := make([]float64, k)
	for j := range size {
		size[j] = math.Exp(r.NormFloat64() / 2)
	}
	h := make([]float64, k*k)
	for i := range k {
		for j := range k {
			h[i*k+j] = size[i] * size[j] * math.Pow(0.9, math.Abs(float64(i-j)))
		}
	}
	return h
}

// quadratic returns x h x^T.
func quadratic(h, x []float64) (s float64) {
	for i, a := range x {
		for j, b := range x {
			s += a * h[i*len(x)+j] * b
		}
	}
	return s
}

// productError returns sum_r e_r H e_r^T / sum_r w_r H w_r^T of a matrix and its quantized form.
func productError(h []float64, w, q []float32, n, k int) float64 {
	var lost, total float64
	x := make([]float64, k)
	for r := range n {
		for j := range k {
			x[j] = float64(w[r*k+j])
		}
		total += quadratic(h, x)
		for j := range k {
			x[j] -= float64(q[r*k+j])
		}
		lost += quadratic(h, x)
	}
	return lost / total
}

func decompose(t testing.TB, h []float64, k int, damping float64) *Feedback {
	t.Helper()
	fb, err := NewFeedback(append([]float64(nil), h...), k, damping)
	if err != nil {
		t.Fatal(err)
	}
	return fb
}

func quantizeFeedback(t testing.TB, f Format, src []float32, n, k int, fb *Feedback, pool *Pool) ([]byte, []float32) {
	t.Helper()
	data := make([]byte, f.Bytes(n, k))
	if err := QuantizeFeedback(data, f, DefaultLevels(f), src, n, k, fb, pool); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, n*k)
	for i := range n {
		DequantizeRow(got[i*k:(i+1)*k], data, f, DefaultLevels(f), i, k)
	}
	return data, got
}

func TestFeedbackLowersProductError(t *testing.T) {
	for _, f := range formats {
		for _, size := range [][2]int{{48, 128}, {17, 100}, {16, 32}, {64, 7}} {
			n, k := size[0], size[1]
			h, src := correlated(k, 7), randMatrix(n, k, 11)
			diag := make([]float32, k)
			for j := range diag {
				diag[j] = float32(h[j*k+j])
			}
			_, plain := roundTrip(t, f, DefaultLevels(f), src, n, k, diag)
			_, got := quantizeFeedback(t, f, src, n, k, decompose(t, h, k, 0.01), nil)
			before, after := productError(h, src, plain, n, k), productError(h, src, got, n, k)
			t.Logf("%v %dx%d: product error %.3g -> %.3g", f, n, k, before, after)
			if after > before*0.7 {
				t.Errorf("%v %dx%d: product error %.3g, without feedback %.3g", f, n, k, after, before)
			}
		}
	}
}

// TestFeedbackOfWhiteInputs: nothing to feed back, so nothing may get worse.
func TestFeedbackOfWhiteInputs(t *testing.T) {
	const n, k = 32, 96
	h := make([]float64, k*k)
	for j := range k {
		h[j*k+j] = 3
	}
	src := randMatrix(n, k, 2)
	for _, f := range formats {
		_, plain := roundTrip(t, f, DefaultLevels(f), src, n, k, nil)
		_, got := quantizeFeedback(t, f, src, n, k, decompose(t, h, k, 0), nil)
		if a, b := relError(src, got), relError(src, plain); a > b*1.001 {
			t.Errorf("%v: relative error %.6g, without feedback %.6g", f, a, b)
		}
	}
}

// TestFeedbackAgainstInverse compares the wanted values with those of the published form, which updates the
// weights by rows of the Cholesky factor of the inverse, here by eliminating columns from the inverse itself.
func TestFeedbackAgainstInverse(t *testing.T) {
	const k, damping = 12, 0.02
	h := correlated(k, 5)
	fb := decompose(t, h, k, damping)
	damped := append([]float64(nil), h...)
	var mean float64
	for j := range k {
		mean += h[j*k+j] / k
	}
	for j := range k {
		damped[j*k+j] += damping * mean
	}
	inverse := invert(damped, k)
	r := rand.New(rand.NewSource(1))
	want, e := make([]float64, k), make([]float32, k)
	w := make([]float64, k)
	for j := range k {
		w[j] = r.NormFloat64()
		want[j] = w[j]
	}
	for j := range k {
		got := w[j]
		for i := range j {
			got += float64(e[i]) * float64(fb.m[i*k+j])
		}
		if math.Abs(got-want[j]) > 1e-5 {
			t.Fatalf("column %d wants %v, by the inverse %v", j, got, want[j])
		}
		q := math.Round(want[j]*2) / 2
		e[j] = float32(w[j] - q)
		// Fix column j at q, move the later ones to where they make up for it, and drop j from the inverse.
		step := (want[j] - q) / inverse[j*k+j]
		for i := j + 1; i < k; i++ {
			want[i] -= step * inverse[j*k+i]
		}
		for a := j + 1; a < k; a++ {
			for b := j + 1; b < k; b++ {
				inverse[a*k+b] -= inverse[a*k+j] * inverse[j*k+b] / inverse[j*k+j]
			}
		}
	}
	x := make([]float64, k)
	for j := range x {
		x[j] = float64(e[j])
	}
	if got, want := fb.Cost(e, make([]float32, 2*k))*mean, quadratic(damped, x); math.Abs(got-want) > 1e-4*want {
		t.Errorf("cost %v, want %v", got, want)
	}
}

// invert is Gauss-Jordan elimination without pivots, for positive definite matrices.
func invert(a []float64, k int) []float64 {
	a = append([]float64(nil), a...)
	inv := make([]float64, k*k)
	for i := range k {
		inv[i*k+i] = 1
	}
	for c := range k {
		p := a[c*k+c]
		for j := range k {
			a[c*k+j] /= p
			inv[c*k+j] /= p
		}
		for r := range k {
			if f := a[r*k+c]; r != c {
				for j := range k {
					a[r*k+j] -= f * a[c*k+j]
					inv[r*k+j] -= f * inv[c*k+j]
				}
			}
		}
	}
	return inv
}

func TestFeedbackSameForAnyPool(t *testing.T) {
	const n, k = 100, 72
	fb := decompose(t, correlated(k, 3), k, 0.01)
	src := randMatrix(n, k, 4)
	for _, f := range formats {
		want, _ := quantizeFeedback(t, f, src, n, k, fb, nil)
		for _, threads := range []int{1, 3} {
			pool := NewPool(threads)
			got, _ := quantizeFeedback(t, f, src, n, k, fb, pool)
			pool.Close()
			if !bytes.Equal(got, want) {
				t.Errorf("%v: %d threads make other blocks", f, threads)
			}
		}
	}
}

// TestFeedbackGrownWeights: feedback may ask for more than the row's scale can hold.
func TestFeedbackGrownWeights(t *testing.T) {
	const n, k = 16, 256
	h := make([]float64, k*k)
	for i := range k {
		for j := range k {
			h[i*k+j] = 1
		}
		h[i*k+i] = 1.0001
	}
	src := randMatrix(n, k, 9)
	for r := range n {
		for j := 32; j < k; j++ {
			src[r*k+j] *= 0.01
		}
	}
	_, got := quantizeFeedback(t, D2, src, n, k, decompose(t, h, k, 0.0001), nil)
	_, plain := roundTrip(t, D2, DefaultLevels(D2), src, n, k, nil)
	if a, b := productError(h, src, got, n, k), productError(h, src, plain, n, k); !(a < b) {
		t.Errorf("product error %v, without feedback %v", a, b)
	}
}

func TestFeedbackRefuses(t *testing.T) {
	for name, h := range map[string][]float64{
		"zero":         {0, 0, 0, 0},
		"not finite":   {1, math.NaN(), math.NaN(), 1},
		"infinite":     {math.Inf(1), 0, 0, 1},
		"not definite": {1, 2, 2, 1},
	} {
		if _, err := NewFeedback(h, 2, 0.01); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	fb := decompose(t, []float64{1, 0, 0, 1}, 2, 0)
	bad := []float32{1, float32(math.Inf(1))}
	if err := QuantizeFeedback(make([]byte, D4.Bytes(1, 2)), D4, DefaultLevels(D4), bad, 1, 2, fb, nil); err == nil {
		t.Error("an infinite weight: no error")
	}
}

func BenchmarkQuantizeFeedback(b *testing.B) {
	const n, k = 16, 1024
	src := randMatrix(n, k, 1)
	fb := decompose(b, correlated(k, 1), k, 0.01)
	dst := make([]byte, D4.Bytes(n, k))
	b.SetBytes(n * k)
	for b.Loop() {
		if err := QuantizeFeedback(dst, D4, DefaultLevels(D4), src, n, k, fb, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFeedbackSolve multiplies the solution with the damped moment again.
func TestFeedbackSolve(t *testing.T) {
	const damping = 0.05
	for _, k := range []int{1, 2, 7, 64, 100} {
		h := correlated(k, 3)
		fb := decompose(t, h, k, damping)
		var mean float64
		for j := range k {
			mean += h[j*k+j] / float64(k)
		}
		r := rand.New(rand.NewSource(9))
		want, got := make([]float64, k), make([]float64, k)
		for j := range want {
			want[j] = r.NormFloat64()
		}
		y := append([]float64(nil), want...)
		fb.Solve(y)
		for i, v := range y {
			for j := range got {
				got[j] += v * h[i*k+j]
			}
			got[i] += v * damping * mean
		}
		for j := range want {
			if math.Abs(got[j]-want[j]) > 1e-5 {
				t.Fatalf("k=%d: y H is %v at %d, want %v", k, got[j], j, want[j])
			}
		}
	}
}
