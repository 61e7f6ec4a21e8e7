package bench

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
)

// KernelOptions are the settings of MeasureKernels.
type KernelOptions struct {
	Threads  []int          // of the kernels that share their work, and of the limits
	Budget   time.Duration  // of one kernel of one implementation with one number of threads
	Filter   *regexp.Regexp // on KernelResult.Name; nil = all
	Progress func(done, total int64)
}

// KernelReport is the outcome of MeasureKernels.
type KernelReport struct {
	Selected string         `json:"selected_kernels"` // the dispatcher's pick
	Weights  string         `json:"weights"`          // where they come from: "synthetic"
	Results  []KernelResult `json:"results"`
	Hardware *Hardware      `json:"hardware"` // measured before and after the kernels: the better of both
}

// KernelResult is the best of several timings of one kernel. Either GMACs or GBytesPerSecond is set, and Limit is in the same
// unit.
type KernelResult struct {
	Kernel          string  `json:"kernel"` // the routine of package kernels
	ISA             string  `json:"isa"`
	Format          string  `json:"format"` // of the weights, or of the operand
	Kind            string  `json:"kind"`   // gemm, gemv, conv, attention, elementwise, reduce, norm, convert
	M               int     `json:"m"`      // rows
	N               int     `json:"n"`      // outputs of a row; fewer for slow implementations, whose rate does not depend on it
	K               int     `json:"k"`      // terms of an output
	Threads         int     `json:"threads"`
	Source          string  `json:"source"` // of the data: l1, l2, l3 or memory
	GMACs           float64 `json:"gmacs,omitempty"`
	GBytesPerSecond float64 `json:"gbytes_per_second,omitempty"` // of a gemv: of weights; else of all operands
	Limit           float64 `json:"limit"`
	LimitOf         string  `json:"limit_of"` // the test of Hardware that it is
	FractionOfLimit float64 `json:"fraction_of_limit"`
	Spread          float64 `json:"spread"` // 1 - median/best of the rates
	Picked          bool    `json:"picked"`
	Duel            *Duel   `json:"duel,omitempty"` // of a pick that seemed slower than another implementation
}

// Duel compares the pick with another implementation: both in turn on the same data.
type Duel struct {
	ISA    string  `json:"isa"`    // of the other
	Speed  float64 `json:"speed"`  // of the pick, that of the other being 1: the median of the rounds
	Spread float64 `json:"spread"` // of the middle half of the rounds, as a share of the median
}

// lost reports whether the pick is slower beyond what the rounds differ by.
func (d *Duel) lost() bool { return d.Speed < 1-max(noise, d.Spread) }

// Name is what KernelOptions.Filter looks at: gemm/MatMul/D4/512x4096x4096/l2/avx2/1.
func (r *KernelResult) Name() string {
	return fmt.Sprintf("%s/%s/%s/%dx%dx%d/%s/%s/%d", r.Kind, r.Kernel, r.Format, r.M, r.N, r.K, r.Source, r.ISA, r.Threads)
}

func (r *KernelResult) rate() float64 { return r.GMACs + r.GBytesPerSecond }

// kernelRun is one line of the report in the making.
type kernelRun struct {
	*kernelCase
	KernelResult
	timing timing
}

// MeasureKernels times every kernel with every implementation that this machine can run, and the limits of the machine.
// It selects implementations meanwhile, so nothing else may use package kernels.
func MeasureKernels(ctx context.Context, o KernelOptions) (*KernelReport, error) {
	m, err := newMachine(o.Threads)
	if err != nil {
		return nil, err
	}
	defer m.close()
	report := &KernelReport{Selected: kernels.Selected(), Weights: "synthetic"}
	defer kernels.Reset()

	runs := m.runs(&o, report.Selected)
	if len(runs) == 0 {
		return nil, &fault.Usage{What: fmt.Sprintf("no kernel matches %q", o.Filter)}
	}
	size := min(m.size, cachedBytes)
	for i := range runs {
		if runs[i].Source == "memory" {
			size = m.size
		}
	}
	m.fillSynthetic(size)
	limits := HardwareOptions{Threads: o.Threads, Total: 24 * o.Budget}
	if report.Hardware, err = m.measure(ctx, &limits); err != nil {
		return nil, err
	}
	for i := range turns * len(runs) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(int64(i), int64(turns*len(runs)))
		}
		r, budget := &runs[i%len(runs)], o.Budget/turns
		if r.ISA == "generic" {
			if i >= len(runs) {
				continue
			}
			budget = o.Budget / 2
		}
		if err := m.time(r, budget); err != nil {
			return nil, err
		}
	}
	if err := m.duels(ctx, runs, o.Budget/turns); err != nil {
		return nil, err
	}
	after, err := m.measure(ctx, &limits)
	if err != nil {
		return nil, err
	}
	report.Hardware.better(after)
	for i := range runs {
		runs[i].finish(report.Hardware, kernels.List())
		report.Results = append(report.Results, runs[i].KernelResult)
	}
	return report, nil
}

// cachedBytes is the size of the buffer that all kernels have room in but those that read from memory: of the largest matrix.
const cachedBytes = side * side * 4

// runs lists the lines of the report: for each case and number of threads the implementations, slowest first.
func (m *machine) runs(o *KernelOptions, selected string) []kernelRun {
	var runs []kernelRun
	cases := m.cases()
	for i := range cases {
		c := &cases[i]
		threads := o.Threads
		if !c.pooled {
			threads = []int{1}
		}
		for _, t := range threads {
			source := c.source
			if source == "" {
				source = levelOf(m.caches, c.set, t)
			}
			for _, isa := range kernels.List() {
				r := kernelRun{kernelCase: c, KernelResult: KernelResult{Kernel: c.kernel, ISA: isa, Format: c.format, Kind: c.kind,
					M: c.m, N: c.n, K: c.k, Threads: t, Source: source, Picked: isa == selected}}
				if o.Filter == nil || o.Filter.MatchString(r.Name()) {
					runs = append(runs, r)
				}
			}
		}
	}
	return runs
}

const (
	// turns is the number of times that all kernels are timed, one after another: what else runs comes and goes by the second. The
	// generic ones take part in the first turn only.
	turns = 5
	// slowCall is the time that one call of a kernel may take; slower ones get fewer outputs. Nobody waits for more of
	// the generic implementation than it takes to see that it is slow.
	slowCall        = 150 * time.Millisecond
	slowCallGeneric = 30 * time.Millisecond
)

// time times a run once more.
func (m *machine) time(r *kernelRun, budget time.Duration) error {
	if err := kernels.Select(r.ISA); err != nil {
		return err
	}
	pool := m.pools[r.Threads]
	if !r.pooled {
		pool = nil
	}
	if r.splits && r.timing.seconds == 0 {
		r.N = m.outputs(r, pool)
	}
	fn := r.start(pool, r.N)
	t := sampleTime(budget, func(n int) {
		for range n {
			fn()
		}
	})
	if r.timing.seconds > 0 {
		t = t.better(r.timing)
	}
	r.timing = t
	return nil
}

// outputs returns the number of outputs that a run is timed with: the case's, halved until a call is not slow.
func (m *machine) outputs(r *kernelRun, pool *kernels.Pool) int {
	n := min(r.N, 2*kernels.PanelRows*r.Threads)
	fn := r.start(pool, n)
	most, took := slowCall, time.Hour
	if r.ISA == "generic" {
		most = slowCallGeneric
	}
	for range 3 {
		start := time.Now()
		fn()
		if took = min(took, time.Since(start)); took*time.Duration(r.N/n) <= most {
			break
		}
	}
	all := r.N
	for all > n && took*time.Duration(all/n) > most {
		all = all / 2 / (2 * kernels.PanelRows) * (2 * kernels.PanelRows)
	}
	return max(all, n)
}

// noise is the share by which two timings of the same work may differ.
const noise = 0.05

// group tells which lines are the same work by different implementations.
func (r *kernelRun) group() string {
	return fmt.Sprint(r.label(), "/", r.Threads)
}

// duels lets the picks that seem slower than other implementations meet each of them, and keeps the duel that went worst: on a
// busy machine the difference may have come from what else ran, or from where the data happened to lie.
func (m *machine) duels(ctx context.Context, runs []kernelRun, budget time.Duration) error {
	for lo := 0; lo < len(runs); {
		hi := lo + 1
		for hi < len(runs) && runs[hi].group() == runs[lo].group() {
			hi++
		}
		if i := slices.IndexFunc(runs[lo:hi], func(r kernelRun) bool { return r.Picked }); i >= 0 {
			pick := &runs[lo+i]
			for i := range runs[lo:hi] {
				if other := &runs[lo+i]; pick.perSecond() < other.perSecond()*(1-noise) {
					if err := ctx.Err(); err != nil {
						return err
					}
					d, err := m.duel(pick, other, budget)
					if err != nil {
						return err
					}
					if pick.Duel == nil || d.Speed < pick.Duel.Speed {
						pick.Duel = d
					}
				}
			}
		}
		lo = hi
	}
	return nil
}

// duelRounds is odd, so that there is a median, and such that quarters are whole.
const duelRounds = 13

// duel times two implementations of the same work in turn.
func (m *machine) duel(pick, other *kernelRun, budget time.Duration) (*Duel, error) {
	pool := m.pools[pick.Threads]
	if !pick.pooled {
		pool = nil
	}
	fn := pick.start(pool, min(pick.N, other.N))
	calls := 1
	sample := func(isa string) (time.Duration, error) {
		if err := kernels.Select(isa); err != nil {
			return 0, err
		}
		start := time.Now()
		for range calls {
			fn()
		}
		return max(time.Since(start), 1), nil
	}
	for {
		took, err := sample(pick.ISA)
		if err != nil {
			return nil, err
		}
		if took >= max(shortSample, budget/(2*duelRounds)) {
			break
		}
		calls *= 2
	}
	ratios := make([]float64, duelRounds)
	for i := range ratios {
		order := [2]string{pick.ISA, other.ISA}
		if i%2 == 1 {
			order[0], order[1] = order[1], order[0]
		}
		took := map[string]time.Duration{}
		for _, isa := range order {
			var err error
			if took[isa], err = sample(isa); err != nil {
				return nil, err
			}
		}
		ratios[i] = float64(took[other.ISA]) / float64(took[pick.ISA])
	}
	return newDuel(other.ISA, ratios), nil
}

func newDuel(isa string, ratios []float64) *Duel {
	slices.Sort(ratios)
	n := len(ratios) - 1
	median := ratios[n/2]
	return &Duel{ISA: isa, Speed: median, Spread: (ratios[n*3/4] - ratios[n/4]) / median}
}

// perSecond is the rate in the unit of the case, in 1e9.
func (r *kernelRun) perSecond() float64 {
	work := r.bytes
	if r.macs {
		work = float64(r.M) * float64(r.K)
	}
	if r.splits || r.macs {
		work *= float64(r.N)
	}
	return work / 1e9 * r.timing.rate()
}

// finish sets the figures, by the timing and the limits.
func (r *kernelRun) finish(h *Hardware, list []string) {
	r.Spread = r.timing.spread
	peak, hasPeak := h.peak(r.peak, r.ISA, list, r.Threads)
	if r.macs {
		r.GMACs = r.perSecond()
		if hasPeak {
			r.Limit, r.LimitOf = peak.GMACs, peak.Test
		}
	} else {
		r.GBytesPerSecond = r.perSecond()
		if l, ok := h.find(r.traffic+"_"+r.Source, "", r.Threads); ok {
			r.Limit, r.LimitOf = l.GBytesPerSecond, l.Test
		}
		if hasPeak && r.macsPerByte > 0 && peak.GMACs/r.macsPerByte < r.Limit {
			r.Limit, r.LimitOf = peak.GMACs/r.macsPerByte, peak.Test
		}
	}
	if r.Limit > 0 {
		r.FractionOfLimit = r.rate() / r.Limit
	}
}

// Assert returns a *fault.Gate that lists every case where the pick is not the fastest implementation: where a duel shows it, or
// without one where the rates differ beyond the noise of timings.
func (r *KernelReport) Assert() error {
	type key struct {
		kernel, format, kind, source string
		m, k, threads                int
	}
	of := func(l *KernelResult) key { return key{l.Kernel, l.Format, l.Kind, l.Source, l.M, l.K, l.Threads} }
	best := map[key]*KernelResult{}
	for i := range r.Results {
		l := &r.Results[i]
		if b := best[of(l)]; b == nil || l.rate() > b.rate() {
			best[of(l)] = l
		}
	}
	var slow []string
	for i := range r.Results {
		l := &r.Results[i]
		switch b := best[of(l)]; {
		case !l.Picked:
		case l.Duel != nil && l.Duel.lost():
			slow = append(slow, fmt.Sprintf("%s runs at %.3g of the speed of %s, spread %.2g", l.Name(), l.Duel.Speed, l.Duel.ISA, l.Duel.Spread))
		case l.Duel == nil && l.rate() < b.rate()*(1-noise):
			slow = append(slow, fmt.Sprintf("%s reaches %.3g, %s %.3g", l.Name(), l.rate(), b.ISA, b.rate()))
		}
	}
	if len(slow) == 0 {
		return nil
	}
	return &fault.Gate{What: fmt.Sprintf("the picked kernel is not the fastest in %d cases:\n  %s", len(slow), strings.Join(slow, "\n  "))}
}
