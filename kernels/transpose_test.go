package kernels

import "testing"

func TestTranspose(t *testing.T) {
	for _, rows := range []int{0, 1, 2, 3, 4, 7, 8, 9, 16, 31, 64} {
		for _, cols := range []int{0, 1, 4, 5, 8, 15, 16, 17, 24, 33, 64} {
			lds, ldd := cols+3, rows+5*(rows&1)
			src, dst := make([]float32, max(rows-1, 0)*lds+cols), make([]float32, max(cols-1, 0)*ldd+rows)
			for i := range src {
				src[i] = float32(i + 1)
			}
			Transpose(dst, ldd, src, lds, rows, cols)
			if rows == 0 || cols == 0 {
				continue
			}
			for i, v := range dst {
				c, r := i/ldd, i%ldd
				want := float32(0)
				if c < cols && r < rows {
					want = src[r*lds+c]
				}
				if v != want {
					t.Fatalf("%d x %d: element %d,%d is %v, want %v", rows, cols, c, r, v, want)
				}
			}
		}
	}
}

func BenchmarkTranspose(b *testing.B) {
	src, dst := make([]float32, 64*256), make([]float32, 256*3136)
	for b.Loop() {
		Transpose(dst, 3136, src, 256, 64, 256)
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/(64*256), "ns/element")
}
