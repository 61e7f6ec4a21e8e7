//go:build !purego

package kernels

import (
	"math/rand"
	"slices"
	"testing"

	"golang.org/x/sys/cpu"
)

// TestFeaturesRun fails if the processor has an instruction set whose implementation
// is not on offer or does not run.
func TestFeaturesRun(t *testing.T) {
	t.Cleanup(Reset)
	want := []string{"neon"}
	if cpu.ARM64.HasASIMDDP {
		want = append(want, "neon-dotprod")
	}
	if cpu.ARM64.HasI8MM {
		want = append(want, "neon-i8mm")
	}
	r := rand.New(rand.NewSource(1))
	for i, name := range want {
		if !slices.Contains(List(), name) {
			t.Errorf("the processor can run %s, but only %v are offered", name, List())
			continue
		}
		if err := Select(name); err != nil {
			t.Error(err)
			continue
		}
		if !useNEON || useDotProd != (i > 0) || useI8MM != (i > 1) {
			t.Errorf("%s uses NEON %v, SDOT %v, SMMLA %v", name, useNEON, useDotProd, useI8MM)
		}
		for _, rows := range []int{1, 8} {
			w := randPanels(D4, 64, 64, r)
			m := NewMatMul(nil, w, nil, Activation{})
			m.dst, m.ldd, m.rows = make([]float32, rows*w.N), w.N, rows
			scratch := make([]byte, m.ScratchBytes(rows))
			acts := make([]actBlock, rows*m.groups)
			if !quantizeHalvesSIMD(acts[:1], &m.dst[0], &m.dst[0], 0, 0) {
				t.Errorf("%s: activations are quantized in plain Go", name)
			}
			if rows < gemmMinRows && !m.gemvSIMD(m.dst, acts, rows, 0, m.panels, scratch) ||
				rows >= gemmMinRows && m.tileCount(rows) == 0 {
				t.Errorf("%s: a product of %d rows runs in plain Go", name, rows)
			}
		}
	}
}
