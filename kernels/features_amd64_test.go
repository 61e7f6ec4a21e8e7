//go:build amd64 && !purego

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
	var want []string
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		want = append(want, "avx2")
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasAVXVNNI {
		want = append(want, "avxvnni")
	}
	if cpu.X86.HasAVX512VNNI && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ {
		want = append(want, "avx512vnni")
	}
	if cpu.X86.HasAVX512BF16 && cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16 && tilesAllowed() {
		if Reset(); Selected() == "avx512vnni" && !pairsOf(RowsBF16, 64) {
			t.Error("the processor has tiles of bfloat16, but attention does not use them")
		}
	}
	r := rand.New(rand.NewSource(1))
	for _, name := range want {
		if !slices.Contains(List(), name) {
			t.Errorf("the processor can run %s, but only %v are offered", name, List())
			continue
		}
		if err := Select(name); err != nil {
			t.Error(err)
			continue
		}
		for _, rows := range []int{1, gemmFrom()} {
			w := randPanels(D4, 64, 64, r)
			m := NewMatMul(nil, w, nil, Activation{})
			m.dst, m.ldd, m.rows = make([]float32, rows*w.N), w.N, rows
			scratch := make([]byte, m.ScratchBytes(rows))
			acts := make([]actBlock, rows*m.groups)
			if !quantizeHalvesSIMD(acts[:1], &m.dst[0], &m.dst[0], 0, 0) {
				t.Errorf("%s: activations are quantized in plain Go", name)
			}
			if rows < gemmFrom() && !m.gemvSIMD(m.dst, acts, rows, 0, m.panels, scratch) ||
				rows >= gemmFrom() && m.tileCount(rows) == 0 {
				t.Errorf("%s: a product of %d rows runs in plain Go", name, rows)
			}
		}
	}
}
