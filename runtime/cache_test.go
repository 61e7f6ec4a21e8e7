package runtime_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/runtime"
)

// TestCacheTypes: a session that keeps keys and values in fewer bytes gives nearly the same logits, at once, one by one,
// after a rewind and for any number of threads, and does not allocate.
func TestCacheTypes(t *testing.T) {
	m := gutenberg(t)
	ctx := context.Background()
	tokens := []int32{81, 2487, 913, 392, 536, 3911, 339, 804, 282}
	exact := newLM(t, m, 1)
	want, err := exact.All(ctx, tokens)
	if err != nil {
		t.Fatal(err)
	}
	full := exact.Session().Memory().StateBytes
	for _, c := range []struct {
		cache      runtime.CacheType
		tol, share float64
	}{{runtime.CacheF32, 0, 1}, {runtime.CacheF16, 5e-3, 0.5}, {runtime.CacheBF16, 0.1, 0.5}, {runtime.CacheI8, 0.1, 0.25 + 1.0/32}} {
		open := func(threads int) *runtime.LM {
			lm, err := runtime.NewLM(m, runtime.Options{Threads: threads, Cache: c.cache})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(lm.Close)
			return lm
		}
		whole, two, single := open(1), open(2), open(1)
		if share := float64(whole.Session().Memory().StateBytes) / float64(full); share > c.share {
			t.Errorf("%s: the caches take %.3f of those in f32, want %.3f", c.cache, share, c.share)
		}
		got, err := whole.All(ctx, tokens)
		if err != nil {
			t.Fatal(err)
		}
		other, err := two.All(ctx, tokens)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if got[i] != other[i] {
				t.Fatalf("%s: logit %d is %g with 1 thread, %g with 2", c.cache, i, got[i], other[i])
			}
			if math.Abs(float64(got[i]-w)) > c.tol {
				t.Fatalf("%s: logit %d is %g, want %g", c.cache, i, got[i], w)
			}
		}
		for range 2 {
			single.Rewind(0)
			for i, id := range tokens {
				logits, err := single.Next(ctx, []int32{id})
				if err != nil {
					t.Fatal(err)
				}
				for j, v := range logits {
					if w := got[i*whole.VocabSize()+j]; math.Abs(float64(v-w)) > max(c.tol, 1e-4) {
						t.Fatalf("%s, position %d, logit %d: %g one by one, %g at once", c.cache, i, j, v, w)
					}
				}
			}
		}
		one := []int32{81}
		step := func() {
			single.Rewind(5)
			if _, err := single.Next(ctx, one); err != nil {
				t.Fatal(err)
			}
		}
		step()
		if n := testing.AllocsPerRun(5, step); n != 0 {
			t.Errorf("%s: %v allocations a token", c.cache, n)
		}
	}
	var usage *fault.Usage
	if _, err := runtime.NewLM(m, runtime.Options{Cache: "f8"}); !errors.As(err, &usage) {
		t.Errorf("cache type f8: %v", err)
	}
}
