package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
)

// HardwareOptions are the settings of MeasureHardware.
type HardwareOptions struct {
	Threads  []int         // every test is done with each of these numbers of threads
	Total    time.Duration // of all tests, about
	Progress func(done, total int64)
}

// Hardware is what a machine can do at most.
type Hardware struct {
	Features    []string `json:"cpu_features"`
	Caches      []Cache  `json:"caches"`
	BufferBytes int      `json:"buffer_bytes"` // of the tests of the memory
	Results     []Limit  `json:"results"`
}

// Limit is the best of several timings of one test. Exactly one of the rates is set; they are those of all threads
// together, but for the clock.
type Limit struct {
	Test            string  `json:"test"` // "clock", "peak_int8", "read_l2", "copy_memory", ...
	ISA             string  `json:"isa,omitempty"`
	Instruction     string  `json:"instruction,omitempty"`
	Threads         int     `json:"threads"`
	BytesPerThread  int     `json:"bytes_per_thread,omitempty"` // the memory that a thread walks through
	GHz             float64 `json:"ghz,omitempty"`
	GMACs           float64 `json:"gmacs,omitempty"`             // 1e9 multiply-adds a second
	GBytesPerSecond float64 `json:"gbytes_per_second,omitempty"` // 1e9 bytes; a copy counts what it reads and what it writes
	Spread          float64 `json:"spread"`                      // 1 - median/best of the rates
}

const (
	// patternBytes is the period of the contents of the buffer, so that copies of whole periods change nothing.
	patternBytes = 1 << 16
	// streamChunks is the number of parts of the buffer that are walked one after another.
	streamChunks = 64
	// shortSample is the least time of one timing: long beside waking a thread, short beside a slice of the scheduler.
	shortSample = time.Millisecond
)

// timing is the outcome of several timings of the same work.
type timing struct {
	seconds float64 // the least
	spread  float64 // 1 - least/median
}

// rate is how often the work is done a second.
func (t timing) rate() float64 { return 1 / t.seconds }

// better is the better of two timings of the same work.
func (t timing) better(u timing) timing {
	if u.seconds < t.seconds {
		return u
	}
	return t
}

// sampleTime times fn(n), which does some work n times, for about budget. n grows until no timing is short: one that
// was long by chance must not keep it small.
func sampleTime(budget time.Duration, fn func(n int)) timing {
	n := 1
	fn(n)
	var samples []float64
	for start := time.Now(); ; {
		begin := time.Now()
		fn(n)
		took := time.Since(begin)
		if took < shortSample/2 && n < 1<<40 {
			n *= int(min(max(shortSample/max(took, 1), 2), 100))
			samples = samples[:0]
			continue
		}
		samples = append(samples, took.Seconds()/float64(n))
		if spent := time.Since(start); spent >= budget && (len(samples) >= 3 || spent >= 3*budget) {
			return newTiming(samples)
		}
	}
}

func newTiming(samples []float64) timing {
	sort.Float64s(samples)
	n := len(samples)
	median := (samples[(n-1)/2] + samples[n/2]) / 2
	return timing{seconds: samples[0], spread: 1 - samples[0]/median}
}

// machine is what the tests share.
type machine struct {
	caches []Cache
	size   int    // of the buffer if it is for tests of the memory
	buffer []byte // see fillSynthetic
	at     int    // where in the buffer the walk through it goes on
	pools  map[int]*kernels.Pool
}

func newMachine(threads []int) (*machine, error) {
	if len(threads) == 0 {
		return nil, &fault.Usage{What: "at least one number of threads is needed"}
	}
	m := &machine{caches: caches(cacheFolder), pools: map[int]*kernels.Pool{}}
	for _, t := range threads {
		if t < 1 {
			return nil, &fault.Usage{What: fmt.Sprintf("%d threads are not possible", t)}
		}
		if m.pools[t] == nil {
			m.pools[t] = kernels.NewPool(t)
		}
	}
	m.size = streamBytes(m.caches, freeMemory(memoryFile, controlGroup))
	return m, nil
}

// fillSynthetic makes a buffer of size bytes and fills the buffer with bytes that are sound weights of every kind: as levels, codes and scales of blocks,
// and as floats of 16 and 32 bits, which are all normal numbers below 1.
func (m *machine) fillSynthetic(size int) {
	m.buffer = make([]byte, size)
	var pattern [patternBytes]byte
	r := rand.New(rand.NewPCG(1, 1))
	for i := range pattern {
		pattern[i] = byte(0x20 + r.UintN(0x20))
	}
	most := 0
	for t := range m.pools {
		most = max(most, t)
	}
	m.pools[most].Run(kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(len(m.buffer), patternBytes, part, parts)
		for ; lo < hi; lo += patternBytes {
			copy(m.buffer[lo:hi], pattern[:])
		}
	}))
}

func (m *machine) close() {
	for _, p := range m.pools {
		p.Close()
	}
}

// next returns the number of the part of the buffer that was walked least recently, out of all that are size bytes long.
func (m *machine) next(size int) int {
	parts := len(m.buffer) / size
	i := (m.at + size - 1) / size
	if i >= parts {
		i = 0
	}
	m.at = (i + 1) * size
	return i
}

// level is a place that data comes from.
type level struct {
	name           string
	bytesPerThread int // a working set that lies there, 0 for the memory
}

// levels returns the places for a number of threads: half of a thread's share of each cache, but of a third level no more
// than what the second lacks, as large ones are shared with others.
func levels(list []Cache, threads int) []level {
	var out []level
	for i, c := range list {
		n := c.Bytes / 2 / min(threads, max(c.Threads, 1))
		if i >= 2 {
			n = min(n, 4*list[i-1].Bytes)
		}
		n = n / 1024 * 1024
		if i > 0 && n <= out[len(out)-1].bytesPerThread {
			continue
		}
		out = append(out, level{fmt.Sprintf("l%d", c.Level), n})
	}
	return append(out, level{name: "memory"})
}

// levelOf returns the place where a working set of a product with some threads lies.
func levelOf(list []Cache, bytes, threads int) string {
	for i, c := range list {
		share := bytes
		if c.Threads < threads {
			share = bytes / threads * max(c.Threads, 1)
		}
		room := c.Bytes * 7 / 8
		if i >= 2 {
			room = c.Bytes / 2
		}
		if share <= room {
			return fmt.Sprintf("l%d", c.Level)
		}
	}
	return "memory"
}

// MeasureHardware measures the limits of this machine.
func MeasureHardware(ctx context.Context, o HardwareOptions) (*Hardware, error) {
	m, err := newMachine(o.Threads)
	if err != nil {
		return nil, err
	}
	defer m.close()
	m.fillSynthetic(m.size)
	return m.measure(ctx, &o)
}

// probe is one test of the machine with one number of threads.
type probe struct {
	Limit
	perRound float64               // GHz, GMACs or GBytes of a round of one thread, in 1e9
	round    func(part, n int)     // n rounds by one thread
	all      func(p *kernels.Pool) // instead of round: a round of all threads
}

func (m *machine) measure(ctx context.Context, o *HardwareOptions) (*Hardware, error) {
	h := &Hardware{Features: kernels.Features(), Caches: m.caches, BufferBytes: len(m.buffer)}
	probes := m.probes(o.Threads)
	budget := o.Total / time.Duration(len(probes))
	for i := range probes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(int64(i), int64(len(probes)))
		}
		h.Results = append(h.Results, probes[i].run(m.pools[probes[i].Threads], budget))
	}
	return h, nil
}

func (p *probe) run(pool *kernels.Pool, budget time.Duration) Limit {
	var rounds int
	task := kernels.TaskFunc(func(part, _ int) { p.round(part, rounds) })
	t := sampleTime(budget, func(n int) {
		if p.all != nil {
			for range n {
				p.all(pool)
			}
			return
		}
		rounds = n
		pool.Run(task)
	})
	l := p.Limit
	l.Spread = t.spread
	rate := t.rate() * p.perRound
	switch {
	case l.Test == "clock":
		l.GHz = rate
	case l.ISA != "":
		l.GMACs = rate * float64(l.Threads)
	case p.all != nil:
		l.GBytesPerSecond = rate
	default:
		l.GBytesPerSecond = rate * float64(l.Threads)
	}
	return l
}

// probes lists all tests, those of one kind for all numbers of threads side by side.
func (m *machine) probes(threads []int) []probe {
	var list []probe
	for _, t := range threads {
		const rounds = 1 << 12
		list = append(list, probe{Limit: Limit{Test: "clock", Threads: t}, perRound: rounds * kernels.ClockChainLen / 1e9,
			round: func(_, n int) {
				for range n {
					kernels.ClockChain(rounds)
				}
			}})
	}
	for _, p := range kernels.Peaks() {
		for _, t := range threads {
			const rounds = 1 << 12
			list = append(list, probe{Limit: Limit{Test: "peak_" + p.Type, ISA: p.ISA, Instruction: p.Name, Threads: t},
				perRound: float64(rounds*p.MACs) / 1e9,
				round: func(_, n int) {
					for range n {
						p.Run(rounds)
					}
				}})
		}
	}
	for _, name := range []string{"read", "copy"} {
		for _, place := range levels(m.caches, 1) {
			for _, t := range threads {
				for _, l := range levels(m.caches, t) {
					if l.name == place.name && (l.bytesPerThread > 0 || len(m.buffer) == m.size) {
						list = append(list, m.bandwidth(name, l, t))
					}
				}
			}
		}
	}
	return list
}

// bandwidth is the test of reading or copying at one place.
func (m *machine) bandwidth(name string, l level, threads int) probe {
	p := probe{Limit: Limit{Test: name + "_" + l.name, Threads: threads, BytesPerThread: l.bytesPerThread}}
	if size := l.bytesPerThread; size > 0 {
		// Each thread's part of the buffer; the parts overlap only if the buffer is too small for all.
		part := func(i int) []byte {
			at := min(i*(size+patternBytes)/patternBytes*patternBytes, len(m.buffer)-size)
			return m.buffer[max(at, 0):][:min(size, len(m.buffer))]
		}
		p.perRound = float64(len(part(0))) / 1e9
		p.round = func(i, n int) {
			b := part(i)
			if name == "copy" {
				for range n {
					copy(b[len(b)/2:], b[:len(b)/2])
				}
				return
			}
			for range n {
				kernels.ReadBytes(b)
			}
		}
		return p
	}
	size := len(m.buffer) / streamChunks
	p.BytesPerThread = len(m.buffer) / threads
	p.perRound = float64(size) / 1e9
	if name == "copy" {
		p.perRound *= 2
	}
	var from, to []byte
	task := kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(size, kernels.LineBytes, part, parts)
		if name == "copy" {
			copy(to[lo:hi], from[lo:hi])
		} else {
			kernels.ReadBytes(from[lo:hi])
		}
	})
	p.all = func(pool *kernels.Pool) {
		i := m.next(size)
		from = m.buffer[i*size:][:size]
		to = m.buffer[(i+streamChunks/2)%streamChunks*size:][:size]
		pool.Run(task)
	}
	return p
}

// better replaces the limits by those of a second measurement that are higher.
func (h *Hardware) better(other *Hardware) {
	for i := range h.Results {
		a, b := &h.Results[i], &other.Results[i]
		if b.GHz+b.GMACs+b.GBytesPerSecond > a.GHz+a.GMACs+a.GBytesPerSecond {
			*a = *b
		}
	}
}

// find returns the result of a test.
func (h *Hardware) find(test, isa string, threads int) (Limit, bool) {
	for _, l := range h.Results {
		if l.Test == test && l.ISA == isa && l.Threads == threads {
			return l, true
		}
	}
	return Limit{}, false
}

// peak returns the peak of an implementation for operands of a type; where it has no instruction of its own, that of the
// next lower one in list, which has the slowest first.
func (h *Hardware) peak(typ, isa string, list []string, threads int) (Limit, bool) {
	found := false
	for i := len(list) - 1; i >= 0; i-- {
		if found = found || list[i] == isa; !found {
			continue
		}
		if l, ok := h.find("peak_"+typ, list[i], threads); ok {
			return l, true
		}
	}
	return Limit{}, false
}
