package kernels

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A peak loop must do the multiply-adds that its rate is computed from.
func TestPeaksCount(t *testing.T) {
	for _, p := range Peaks() {
		if !slices.Contains([]string{"int8", "bf16", "f32"}, p.Type) {
			t.Errorf("%s: type %q", p.Name, p.Type)
		}
		for _, rounds := range []int{0, 1, 2, 1000, 1 << 16} {
			if got := p.Run(rounds); got != rounds*p.MACs {
				t.Errorf("%s (%s): %d rounds were %d multiply-adds, not %d", p.Name, p.ISA, rounds, got, rounds*p.MACs)
			}
		}
	}
}

// Whoever looks for the limit of an implementation without a loop of its own ends at the generic ones.
func TestPeaksGeneric(t *testing.T) {
	for _, typ := range []string{"int8", "f32"} {
		if !slices.ContainsFunc(Peaks(), func(p Peak) bool { return p.ISA == "generic" && p.Type == typ }) {
			t.Errorf("no generic %s peak", typ)
		}
	}
}

func TestReadBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 7, 8, 9, 31, 32, 511, 512, 513, 1024 + 37, 3 << 10, 64 << 10} {
		b := make([]byte, n+1)[1:]
		var want uint64
		for i := range b {
			b[i] = byte(r.Uint32())
			want ^= uint64(b[i]) << (i % 8 * 8)
		}
		if got := ReadBytes(b); got != want {
			t.Errorf("%d bytes: %#x, want %#x", n, got, want)
		}
		if got := readBytesGeneric(b); got != want {
			t.Errorf("%d bytes, generic: %#x, want %#x", n, got, want)
		}
	}
}

func TestClockChain(t *testing.T) {
	x, y, z := uint64(1), uint64(7), uint64(11)
	for range 3 * ClockChainLen / 2 {
		x = (x + y) ^ z
	}
	if got := ClockChain(3); got != x {
		t.Errorf("3 rounds give %d, want %d", got, x)
	}
}

func BenchmarkPeaks(b *testing.B) {
	for _, p := range Peaks() {
		b.Run(p.ISA+"/"+p.Type, func(b *testing.B) {
			for b.Loop() {
				p.Run(1 << 14)
			}
			b.ReportMetric(float64(p.MACs)*(1<<14)*float64(b.N)/b.Elapsed().Seconds()/1e9, "gmacs")
		})
	}
	b.Run("clock", func(b *testing.B) {
		for b.Loop() {
			ClockChain(1 << 14)
		}
		b.ReportMetric(ClockChainLen*(1<<14)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GHz")
	})
}
