package kernels

import (
	goruntime "runtime"
	"sync/atomic"
	"time"
)

// Task is work that a Pool splits: Do(i, n) does part i of n. Parts must be independent,
// and the result must not depend on n.
type Task interface{ Do(part, parts int) }

// TaskFunc makes a Task of a function. Make it once, when an operator is bound:
// a closure built in the steady state would be an allocation.
type TaskFunc func(part, parts int)

// Do calls f.
func (f TaskFunc) Do(part, parts int) { f(part, parts) }

// Span returns the half-open range of part i of n when total items are split in units of unit.
func Span(total, unit, part, parts int) (lo, hi int) {
	units := (total + unit - 1) / unit
	lo = units * part / parts * unit
	hi = units * (part + 1) / parts * unit
	return min(lo, total), min(hi, total)
}

// spinTime is how long a worker without work, or a caller whose workers are still busy, looks
// at a counter before it sleeps. It covers the gap between two operators of a
// small model (waking a sleeper costs as much as such an operator) and is too short to heat an
// idle machine.
const spinTime = 40 * time.Microsecond

// Pool is a set of workers; see NewPool.
type Pool struct {
	threads int
	spin    bool // there is a processor for every thread
	workers []worker
	claims  []claim
	closed  atomic.Bool

	// What workers poll, what they count down and what only the caller writes lie
	// on lines of their own.
	_       [LineBytes]byte
	round   atomic.Uint32 // counts Runs; a worker that sees it change looks for work
	_       [LineBytes]byte
	pending atomic.Int32 // parts of the round that have not ended
	caller  sleeper
	_       [LineBytes]byte
	busy    atomic.Bool
	task    Task // of this round; read only by those who hold a claim in it
	failure atomic.Pointer[failure]
}

// worker is one goroutine of a pool.
type worker struct {
	sleeper
	_ [LineBytes]byte
}

// claim is the last round in which a part was taken. Whoever moves it from the round
// before to this one does the part, so a thread that comes late finds nothing left instead of
// keeping the others waiting.
type claim struct {
	round atomic.Uint32
	_     [LineBytes - 4]byte
}

// failure is what a worker's part panicked with.
type failure struct{ value any }

// sleeper lets one goroutine sleep until another wakes it.
type sleeper struct {
	asleep atomic.Bool
	signal chan struct{} // capacity 1
}

// await returns when done is true: it spins for a while if spin is set, then sleeps. Whoever
// makes done true must call wake afterwards.
func (s *sleeper) await(spin bool, done func() bool) {
	if done() {
		return
	}
	if spin {
		for start := time.Now(); time.Since(start) < spinTime; {
			for range 32 {
				if done() {
					return
				}
			}
		}
	}
	for !done() {
		s.asleep.Store(true)
		// Either this goroutine takes the mark back or the waker has taken it and will signal.
		if done() && s.asleep.CompareAndSwap(true, false) {
			return
		}
		<-s.signal
	}
}

// wake ends the sleep of s, if it sleeps.
func (s *sleeper) wake() {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		s.signal <- struct{}{}
	}
}

// NewPool returns a pool of the given number of threads, the calling one included; less than
// one means one for each processor that Go may use. Close ends its goroutines.
func NewPool(threads int) *Pool {
	if threads < 1 {
		threads = goruntime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, spin: threads <= goruntime.GOMAXPROCS(0)}
	p.caller.signal = make(chan struct{}, 1)
	p.claims = make([]claim, threads)
	p.workers = make([]worker, threads-1)
	for i := range p.workers {
		p.workers[i].signal = make(chan struct{}, 1)
		go p.work(i)
	}
	return p
}

// Threads returns the number of parts that Run makes.
func (p *Pool) Threads() int { return p.threads }

// Run does all parts of t and returns when every part has ended. Thread i prefers part i, so
// that weights stay in its core's cache from one Run to the next; a thread that is done takes
// parts that nobody has begun, so a worker that has no processor just now delays no one. It
// allocates nothing. If a part panics, Run panics with that value once the
// other parts have ended. A Run inside a task, or beside another Run, is done by its
// caller alone as one part.
func (p *Pool) Run(t Task) {
	if p.threads == 1 || !p.busy.CompareAndSwap(false, true) {
		t.Do(0, 1)
		return
	}
	p.task = t
	p.pending.Store(int32(p.threads))
	round := p.round.Add(1)
	p.wakeAll()
	p.take(round, 0)
	p.caller.await(p.spin, p.idle)
	p.task = nil
	f := p.failure.Swap(nil)
	p.busy.Store(false)
	if f != nil {
		panic(f.value)
	}
}

func (p *Pool) idle() bool { return p.pending.Load() == 0 }

func (p *Pool) wakeAll() {
	for i := range p.workers {
		p.workers[i].wake()
	}
}

// take does the parts of a round that nobody has begun, from part first on.
func (p *Pool) take(round uint32, first int) {
	for i := range p.threads {
		part := (first + i) % p.threads
		if p.claims[part].round.CompareAndSwap(round-1, round) {
			p.part(part)
		}
	}
}

// part does one part and reports its end. Its claim keeps the round, and so the task, alive.
func (p *Pool) part(part int) {
	defer func() {
		if v := recover(); v != nil {
			p.failure.CompareAndSwap(nil, &failure{v})
		}
		if p.pending.Add(-1) == 0 {
			p.caller.wake()
		}
	}()
	p.task.Do(part, p.threads)
}

// Close ends the workers. It must not be called during a Run; a Run after it is done by
// its caller alone.
func (p *Pool) Close() {
	if p.threads == 1 || p.closed.Load() {
		return
	}
	if !p.busy.CompareAndSwap(false, true) {
		panic("kernels: Pool.Close during Run")
	}
	p.closed.Store(true) // and busy for ever: Run finds no workers
	p.round.Add(1)
	p.wakeAll()
}

// work is the loop of worker i.
func (p *Pool) work(i int) {
	var seen uint32
	called := func() bool { return p.round.Load() != seen }
	for {
		p.workers[i].await(p.spin, called)
		seen = p.round.Load()
		if p.closed.Load() {
			return
		}
		p.take(seen, i+1)
	}
}
