package kernels

import (
	"math/rand"
	"testing"
)

// TestMatMulFloat demands the bits of the float product with dequantized weights.
func TestMatMulFloat(t *testing.T) {
	pool := NewPool(3)
	defer pool.Close()
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(5))
		for _, f := range formats {
			for _, size := range [][2]int{{1, 1}, {16, 32}, {37, 65}, {40, 300}, {300, 40}, {33, 513}} {
				n, k := size[0], size[1]
				w := randPanels(f, n, k, r)
				values := make([]float32, n*k)
				for i := range n {
					DequantizeRow(values[i*k:][:k], w.Data, f, w.Levels, i, k)
				}
				floats := Weights{Kind: KindF32, N: n, K: k, Data: make([]byte, Panels(n)*PanelRows*k*4)}
				PackPanel16(floatsOf(floats.Data), values, n, k, k, 1)
				bias, act := randActs(n, r), Activation{Kind: ActRelu}
				for _, rows := range []int{1, 2, 7, 130, gemmRows + 1} {
					x := randActs(rows*k, r)
					for _, p := range []*Pool{nil, pool} {
						run := func(m *MatMul) []float32 {
							dst := make([]float32, rows*n)
							m.Run(dst, n, x, k, rows, make([]byte, m.ScratchBytes(rows)))
							return dst
						}
						want, got := run(NewMatMul(p, floats, bias, act)), run(NewMatMulFloat(p, w, bias, act))
						if i := sameBits(got, want); i >= 0 {
							t.Fatalf("%v %d x %d, %d rows: output %d is %v, want %v", f, n, k, rows, i, got[i], want[i])
						}
					}
				}
			}
		}
	})
}

func TestMatMulFloatDoesNotAllocate(t *testing.T) {
	w := randPanels(D4, 100, 320, rand.New(rand.NewSource(1)))
	m := NewMatMulFloat(nil, w, nil, Activation{})
	if m.IsQuantized() {
		t.Error("a product of floats says that it takes quantized activations")
	}
	x, dst, scratch := make([]float32, 5*320), make([]float32, 5*100), make([]byte, m.ScratchBytes(5))
	if n := testing.AllocsPerRun(5, func() { m.Run(dst, 100, x, 320, 5, scratch) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatMulFloat(b *testing.B) {
	w := randPanels(D4, 1024, 1024, rand.New(rand.NewSource(1)))
	m := NewMatMulFloat(nil, w, nil, Activation{})
	x, dst, scratch := make([]float32, 1024), make([]float32, 1024), make([]byte, m.ScratchBytes(1))
	for b.Loop() {
		m.Run(dst, 1024, x, 1024, 1, scratch)
	}
}
