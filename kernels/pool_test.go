package kernels

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPoolRunsEveryPart(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		p := NewPool(threads)
		counts := make([]atomic.Int32, threads)
		task := TaskFunc(func(part, parts int) {
			if parts != threads {
				t.Errorf("parts = %d, want %d", parts, threads)
			}
			counts[part].Add(1)
		})
		const rounds = 500
		for i := range rounds {
			if i%100 == 99 {
				time.Sleep(2 * spinTime) // let the workers fall asleep
			}
			p.Run(task)
		}
		for i := range counts {
			if n := counts[i].Load(); n != rounds {
				t.Errorf("threads %d: part %d ran %d times, want %d", threads, i, n, rounds)
			}
		}
		p.Close()
		p.Close()
		done := false
		p.Run(TaskFunc(func(part, parts int) { done = part == 0 && parts == 1 }))
		if !done {
			t.Errorf("threads %d: Run after Close is not one part", threads)
		}
	}
}

func TestPoolNestedAndConcurrent(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	var n atomic.Int32
	inner := TaskFunc(func(part, parts int) {
		if part == 0 {
			n.Add(1)
		}
	})
	outer := TaskFunc(func(part, parts int) {
		if part == 0 {
			n.Add(100)
		}
		p.Run(inner)
	})
	p.Run(outer)
	if n.Load() != 103 {
		t.Errorf("nested: %d, want 103", n.Load())
	}
	n.Store(0)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				p.Run(inner)
			}
		})
	}
	wg.Wait()
	if n.Load() != 800 {
		t.Errorf("concurrent: %d, want 800", n.Load())
	}
}

func TestPoolPanic(t *testing.T) {
	p := NewPool(4)
	defer p.Close()
	for part := range 4 {
		task := TaskFunc(func(i, _ int) {
			if i == part {
				panic(part)
			}
		})
		func() {
			defer func() {
				if v := recover(); v != part {
					t.Errorf("recovered %v, want %d", v, part)
				}
			}()
			p.Run(task)
		}()
		var n atomic.Int32
		p.Run(TaskFunc(func(int, int) { n.Add(1) }))
		if n.Load() != 4 {
			t.Errorf("after a panic in part %d: %d parts ran", part, n.Load())
		}
	}
}

func TestPoolAllocates(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	var n atomic.Int32
	var task Task = TaskFunc(func(int, int) { n.Add(1) })
	if a := testing.AllocsPerRun(100, func() { p.Run(task) }); a != 0 {
		t.Errorf("Run allocates %v times", a)
	}
}

func TestSpan(t *testing.T) {
	for _, total := range []int{0, 1, 15, 16, 17, 100} {
		for parts := 1; parts < 5; parts++ {
			next := 0
			for part := range parts {
				lo, hi := Span(total, 16, part, parts)
				if lo != next || hi < lo || lo%16 != 0 && lo != total {
					t.Errorf("Span(%d,16,%d,%d) = %d,%d after %d", total, part, parts, lo, hi, next)
				}
				next = hi
			}
			if next != total {
				t.Errorf("Span(%d,16,..,%d) ends at %d", total, parts, next)
			}
		}
	}
}

func BenchmarkPoolRun(b *testing.B) {
	p := NewPool(2)
	defer p.Close()
	var task Task = TaskFunc(func(int, int) {})
	for b.Loop() {
		p.Run(task)
	}
}
