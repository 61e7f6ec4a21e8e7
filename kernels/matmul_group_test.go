package kernels

import (
	"fmt"
	"math/rand"
	"testing"
)

// TestMatMulGroup: products together have the bits that they have one by one, and do not allocate.
func TestMatMulGroup(t *testing.T) {
	pool := NewPool(3)
	defer pool.Close()
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(31))
		for _, k := range []int{33, 256} {
			for _, rows := range []int{1, 2, 8, 9, 30} {
				for _, p := range []*Pool{nil, pool} {
					ldx := k + rows%2
					x := randActs(rows*ldx, r)
					var products []*MatMul
					var dst, want [][]float32
					for i, n := range []int{640, 17, 200, 33} {
						w := randPanels(formats[i%len(formats)], n, k, r)
						act := Activation{Kind: []ActKind{ActNone, ActRelu}[i%2]}
						want = append(want, product(t, p, w, nil, act, x, ldx, rows))
						products = append(products, NewMatMul(p, w, nil, act))
						dst = append(dst, make([]float32, rows*n))
					}
					g := NewMatMulGroup(products)
					scratch := make([]byte, g.ScratchBytes(rows))
					what := fmt.Sprintf("%d rows of %d", rows, k)
					if n := testing.AllocsPerRun(2, func() { g.Run(dst, x, ldx, rows, scratch) }); n > 0 {
						t.Errorf("%s: %v allocations", what, n)
					}
					for i := range dst {
						if at := sameBits(dst[i], want[i]); at >= 0 {
							t.Fatalf("%s: output %d of product %d is %v, want %v", what, at, i, dst[i][at], want[i][at])
						}
					}
				}
			}
		}
	})
}
