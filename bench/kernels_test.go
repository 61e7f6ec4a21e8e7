package bench

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }

func TestNewTiming(t *testing.T) {
	for _, c := range []struct {
		samples         []float64
		seconds, spread float64
	}{
		{[]float64{2}, 2, 0},
		{[]float64{4, 2}, 2, 1.0 / 3},
		{[]float64{5, 2, 4}, 2, 0.5},
	} {
		if got := newTiming(c.samples); got.seconds != c.seconds || !near(got.spread+1, c.spread+1) {
			t.Errorf("%v: %+v", c.samples, got)
		}
	}
}

func TestSampleTime(t *testing.T) {
	calls := 0
	got := sampleTime(5*time.Millisecond, func(n int) {
		calls++
		time.Sleep(time.Duration(n) * 100 * time.Microsecond)
	})
	if calls < 2 || got.seconds < 100e-6 {
		t.Errorf("%d calls, %+v", calls, got)
	}
}

// The buffer must hold sound weights whatever they are taken for.
func TestSyntheticWeights(t *testing.T) {
	m := machine{pools: map[int]*kernels.Pool{1: kernels.NewPool(1)}}
	m.fillSynthetic(streamAlign)
	if !slices.Equal(m.buffer[:patternBytes], m.buffer[len(m.buffer)-patternBytes:]) {
		t.Error("the buffer does not repeat its pattern")
	}
	for kind := kernels.KindF32; kind <= kernels.KindD2; kind++ {
		dst := make([]float32, 32)
		w := kernels.Weights{Kind: kind, N: 32, K: 64, Data: m.buffer}
		if f := kind.Format(); f != 0 {
			w.Levels = kernels.DefaultLevels(f)
			kernels.DequantizeRow(dst, m.buffer, f, w.Levels, 5, len(dst))
		} else {
			w.K = 32
			kernels.PanelRowF32(dst, w, 5)
		}
		for i, v := range dst {
			if v != v || math.Abs(float64(v)) > 1e6 {
				t.Errorf("%s: weight %d is %v", formatName(kind), i, v)
			}
		}
	}
}

// The walk comes by every part of the buffer before it is back at one, whatever the sizes of the parts.
func TestNext(t *testing.T) {
	m := machine{buffer: make([]byte, 100)}
	var got []int
	for _, size := range []int{25, 25, 25, 25, 25, 10, 10, 30, 30, 10, 40, 40} {
		got = append(got, m.next(size))
	}
	if want := []int{0, 1, 2, 3, 0, 3, 4, 2, 0, 3, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHardwarePeak(t *testing.T) {
	h := Hardware{Results: []Limit{
		{Test: "peak_int8", ISA: "generic", Threads: 1, GMACs: 2},
		{Test: "peak_int8", ISA: "avx2", Threads: 1, GMACs: 100},
		{Test: "peak_int8", ISA: "avx512vnni", Threads: 1, GMACs: 400},
		{Test: "peak_int8", ISA: "avx512vnni", Threads: 2, GMACs: 800},
	}}
	list := []string{"generic", "avx2", "other", "avx512vnni"}
	for _, c := range []struct {
		typ, isa string
		threads  int
		want     float64
	}{
		{"int8", "generic", 1, 2}, {"int8", "other", 1, 100}, {"int8", "avx512vnni", 1, 400},
		{"int8", "avx512vnni", 2, 800}, {"int8", "other", 2, 0}, {"f32", "avx2", 1, 0}, {"int8", "unknown", 1, 0},
	} {
		if l, ok := h.peak(c.typ, c.isa, list, c.threads); l.GMACs != c.want || ok != (c.want > 0) {
			t.Errorf("%+v: %v, %v", c, l.GMACs, ok)
		}
	}
	h.better(&Hardware{Results: []Limit{{GMACs: 1}, {GMACs: 150}, {GMACs: 300}, {GMACs: 801}}})
	if h.Results[0].GMACs != 2 || h.Results[1].GMACs != 150 || h.Results[2].GMACs != 400 || h.Results[3].GMACs != 801 {
		t.Errorf("the better of two: %+v", h.Results)
	}
}

func TestKernelFigures(t *testing.T) {
	h := Hardware{Results: []Limit{
		{Test: "peak_int8", ISA: "avx2", Threads: 1, GMACs: 100},
		{Test: "read_memory", Threads: 1, GBytesPerSecond: 20},
		{Test: "read_l2", Threads: 1, GBytesPerSecond: 90},
	}}
	gemv := kernelCase{macsPerByte: 2, bytes: 2048, splits: true, peak: "int8", traffic: "read"}
	for _, c := range []struct {
		name    string
		run     kernelRun
		rate    float64
		limit   float64
		limitOf string
	}{
		{"gemm", kernelRun{kernelCase: &kernelCase{macs: true, splits: true, peak: "int8"}, KernelResult: KernelResult{M: 10, N: 1000, K: 1e5}}, 50, 100, "peak_int8"},
		{"gemv from memory", kernelRun{kernelCase: &gemv, KernelResult: KernelResult{Source: "memory", M: 1, N: 1e5, K: 4096}}, 10.24, 20, "read_memory"},
		{"gemv bound by arithmetic", kernelRun{kernelCase: &gemv, KernelResult: KernelResult{Source: "l2", M: 1, N: 1e5, K: 4096}}, 10.24, 50, "peak_int8"},
		{"without a limit", kernelRun{kernelCase: &kernelCase{bytes: 1e9, traffic: "copy"}, KernelResult: KernelResult{Source: "l1", N: 7}}, 50, 0, ""},
	} {
		r := c.run
		r.ISA, r.Threads, r.timing = "avx2", 1, timing{seconds: 0.02}
		r.finish(&h, []string{"generic", "avx2"})
		if !near(r.rate(), c.rate) || r.Limit != c.limit || r.LimitOf != c.limitOf || c.limit > 0 && !near(r.FractionOfLimit, c.rate/c.limit) {
			t.Errorf("%s: %+v", c.name, r.KernelResult)
		}
	}
}

func TestAssert(t *testing.T) {
	line := func(isa string, threads int, rate float64) KernelResult {
		return KernelResult{Kernel: "MatMul", Kind: "gemm", Format: "D4", ISA: isa, Threads: threads, GMACs: rate, Picked: isa == "best"}
	}
	good := KernelReport{Results: []KernelResult{line("generic", 1, 1), line("best", 1, 96), line("other", 1, 100), line("best", 2, 200)}}
	if err := good.Assert(); err != nil {
		t.Errorf("within the noise: %v", err)
	}
	bad := KernelReport{Results: []KernelResult{line("other", 1, 100), line("best", 1, 94)}}
	err := bad.Assert()
	var gate *fault.Gate
	if !errors.As(err, &gate) || !strings.Contains(err.Error(), "gemm/MatMul/D4") || !strings.Contains(err.Error(), "other") {
		t.Errorf("a slow pick: %v", err)
	}
}

// A duel decides, if there was one, and only beyond its spread.
func TestAssertDuels(t *testing.T) {
	for _, c := range []struct {
		duel Duel
		slow bool
	}{
		{Duel{"other", 0.99, 0.01}, false},
		{Duel{"other", 0.9, 0.02}, true},
		{Duel{"other", 0.9, 0.15}, false},
	} {
		pick := KernelResult{ISA: "best", GMACs: 80, Picked: true, Duel: &c.duel}
		r := KernelReport{Results: []KernelResult{{ISA: "other", GMACs: 100}, pick}}
		if err := r.Assert(); (err != nil) != c.slow {
			t.Errorf("%+v: %v", c.duel, err)
		}
	}
	ratios := []float64{0.5, 1, 0.9, 0.8, 1.1, 0.9, 0.9, 0.9, 3, 0.9, 0.9, 0.9, 0.9}
	if d := newDuel("other", ratios); d.Speed != 0.9 || d.Spread > 1e-9 {
		t.Errorf("one slow round counts: %+v", d)
	}
}

// A duel runs both implementations on the pick's data.
func TestDuel(t *testing.T) {
	defer kernels.Reset()
	m := machine{pools: map[int]*kernels.Pool{1: kernels.NewPool(1)}}
	ran := map[string]int{}
	c := kernelCase{start: func(*kernels.Pool, int) func() {
		return func() {
			ran[kernels.Selected()]++
			time.Sleep(100 * time.Microsecond)
		}
	}}
	list := kernels.List()
	a := kernelRun{kernelCase: &c, KernelResult: KernelResult{ISA: list[len(list)-1], Threads: 1}}
	b := kernelRun{kernelCase: &c, KernelResult: KernelResult{ISA: list[0], Threads: 1}}
	d, err := m.duel(&a, &b, time.Millisecond)
	if err != nil || d.ISA != list[0] || d.Speed <= 0 || ran[list[0]] < duelRounds {
		t.Errorf("%+v, %v, runs %v", d, err, ran)
	}
}

// Every kind of work is there, for all formats and implementations, and every line has a name of its own.
func TestRuns(t *testing.T) {
	m := machine{caches: []Cache{{Level: 1, Bytes: 32 << 10, Threads: 1}, {Level: 2, Bytes: 1 << 20, Threads: 1}}, size: 64 << 20}
	isas := kernels.List()
	selected := isas[len(isas)-1]
	names := map[string]bool{}
	kinds := map[string]bool{}
	picked := 0
	for _, r := range m.runs(&KernelOptions{Threads: []int{1, 2}}, selected) {
		if names[r.Name()] {
			t.Errorf("%s is listed twice", r.Name())
		}
		names[r.Name()] = true
		kinds[r.Kind+" "+r.Format] = true
		if r.Picked {
			picked++
		}
	}
	for _, format := range []string{"D8", "D4", "D3", "D2", "F32", "F16", "BF16"} {
		for _, kind := range []string{"gemm", "gemv"} {
			if !kinds[kind+" "+format] {
				t.Errorf("no %s of %s", kind, format)
			}
		}
	}
	if picked*len(isas) != len(names) {
		t.Errorf("%d of %d lines are of the selected of %d implementations", picked, len(names), len(isas))
	}
	some := m.runs(&KernelOptions{Threads: []int{1, 2}, Filter: regexp.MustCompile(`^gemm/MatMul/D4/512x.*/generic/1$`)}, selected)
	if len(some) != 1 || some[0].N != side {
		t.Errorf("filtered: %d lines", len(some))
	}
}

// Every kernel runs in every implementation, once and with few outputs.
func TestCasesRun(t *testing.T) {
	m := machine{caches: caches("absent"), size: 64 << 20, pools: map[int]*kernels.Pool{1: kernels.NewPool(1)}}
	m.fillSynthetic(m.size)
	defer kernels.Reset()
	for _, isa := range kernels.List() {
		if err := kernels.Select(isa); err != nil {
			t.Fatal(err)
		}
		for _, c := range m.cases() {
			n := c.n
			if c.splits {
				n = min(n, 2*kernels.PanelRows)
			}
			if c.m < 512 {
				c.start(nil, n)()
			}
		}
	}
}
