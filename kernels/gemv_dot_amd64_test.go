//go:build amd64 && !purego

package kernels

import (
	"math/rand"
	"testing"
)

// Processors with AVX-512 VNNI multiply few rows in up to three ways, of which dispatch takes the best one.
func TestGemvWays(t *testing.T) {
	if !hasAVX512 {
		t.Skip("no AVX-512 VNNI here")
	}
	has, tiles := useVBMI, useByteTiles
	defer func() {
		useVBMI, useByteTiles = has, tiles
		Reset()
	}()
	r := rand.New(rand.NewSource(5))
	for _, f := range formats {
		for rows := 1; rows <= gemvRows+1; rows++ {
			for _, size := range [][2]int{{7, 32}, {48, 96}, {80, 160}, {85, 33}, {112, 768}} {
				n, k := size[0], size[1]
				w, x := randPanels(f, n, k, r), randActs(rows*k, r)
				if err := Select("generic"); err != nil {
					t.Fatal(err)
				}
				want := product(t, nil, w, nil, Activation{}, x, k, rows)
				if err := Select("avx512vnni"); err != nil {
					t.Fatal(err)
				}
				for _, way := range [][2]bool{{false, false}, {has, false}, {has, tiles}} {
					useVBMI, useByteTiles = way[0], way[1]
					got := product(t, nil, w, nil, Activation{}, x, k, rows)
					if i := sameBits(got, want); i >= 0 {
						t.Errorf("%v, %d rows of %d x %d, VBMI and AMX %v: output %d is %v, want %v", f, rows, n, k, way, i, got[i], want[i])
					}
				}
			}
		}
	}
}
