package kernels

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// evenCase returns rows of very different sizes, one of zeros and one with an outlier.
func evenCase(r *rand.Rand, n, k int) []float32 {
	src := make([]float32, n*k)
	for i := range src {
		src[i] = float32(r.NormFloat64() * (1 + float64(i/k%3)))
	}
	clear(src[k : 2*k])
	src[2*k+1] = 400
	return src
}

// entropy is the codes' mean information in bits, without padding.
func entropy(data []byte, n, k int) float64 {
	var counts [128]float64
	for r := range n {
		panel := data[r/PanelRows*D8.PanelBytes(k):]
		for i := range k {
			counts[D8.code(panel[CodesOffset(k)+i/GroupLen*D8.GroupBytes():], r%PanelRows, i%GroupLen)]++
		}
	}
	var bits float64
	for _, c := range counts {
		if c > 0 {
			bits -= c / float64(n*k) * math.Log2(c/float64(n*k))
		}
	}
	return bits
}

func TestQuantizeEven(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, size := range [][2]int{{1, 1}, {16, 32}, {37, 70}, {130, 33}} {
		n, k := max(size[0], 3), size[1]+1
		src := evenCase(r, n, k)
		for _, step := range []float64{0.1, 0.5, 2} {
			dst := make([]byte, D8.Bytes(n, k))
			if err := QuantizeEven(dst, step, src, n, k, nil, nil, nil); err != nil {
				t.Fatal(err)
			}
			pool := NewPool(3)
			again := make([]byte, len(dst))
			if err := QuantizeEven(again, step, src, n, k, nil, nil, pool); err != nil || !bytes.Equal(dst, again) {
				t.Errorf("%d x %d: other bytes with threads (%v)", n, k, err)
			}
			pool.Close()
			row := make([]float32, k)
			for i := range n {
				DequantizeRow(row, dst, D8, DefaultLevels(D8), i, k)
				reach := step
				if i == 2 {
					reach = max(step, 400./63) // the outlier's group
				}
				for j, v := range row {
					// A level is rounded at most to its neighbour towards zero; row scales are rounded up by an eighth.
					if d := math.Abs(float64(v - src[i*k+j])); d > 1.5*1.125*reach+1e-6 {
						t.Errorf("%d x %d, step %g: weight [%d,%d] = %g became %g", n, k, step, i, j, src[i*k+j], v)
					}
				}
			}
		}
	}
}

// At equal entropy, coarse even steps lose less than the levels of D4, D3 and D2, whose groups' scales take a quarter of a bit more.
func TestEvenStepsAreBetterAtEqualBits(t *testing.T) {
	const n, k = 64, 256
	r := rand.New(rand.NewPCG(5, 6))
	src := make([]float32, n*k)
	for i := range src {
		src[i] = float32(r.NormFloat64())
	}
	lost := func(f Format, data []byte) float64 {
		var sum float64
		row := make([]float32, k)
		for i := range n {
			DequantizeRow(row, data, f, DefaultLevels(f), i, k)
			for j, v := range row {
				d := float64(src[i*k+j] - v)
				sum += d * d / (n * k)
			}
		}
		return sum
	}
	for _, c := range []struct {
		f    Format
		bits float64 // of a code and its part of the scales
		step float64
	}{{D4, 4.05, 0.25}, {D3, 3.05, 0.485}, {D2, 2.12, 0.98}} {
		table := make([]byte, c.f.Bytes(n, k))
		if err := Quantize(table, c.f, DefaultLevels(c.f), src, n, k, nil, nil); err != nil {
			t.Fatal(err)
		}
		even := make([]byte, D8.Bytes(n, k))
		if err := QuantizeEven(even, c.step, src, n, k, nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		a, b, bits := lost(c.f, table), lost(D8, even), entropy(even, n, k)
		t.Logf("%v: %.5f; steps of %g: %.5f in %.3f bits", c.f, a, c.step, b, bits)
		if bits > c.bits || b > 1.05*a {
			t.Errorf("%v loses %.5f in %.2f bits, steps of %g %.5f in %.3f", c.f, a, c.bits, c.step, b, bits)
		}
	}
}

func TestQuantizeEvenRefuses(t *testing.T) {
	dst := make([]byte, D8.Bytes(1, 2))
	for _, step := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if QuantizeEven(dst, step, []float32{1, 2}, 1, 2, nil, nil, nil) == nil {
			t.Errorf("a step of %v is taken", step)
		}
	}
	if QuantizeEven(dst, 1, []float32{1, float32(math.NaN())}, 1, 2, nil, nil, nil) == nil {
		t.Error("NaN is taken")
	}
}
