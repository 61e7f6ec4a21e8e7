package quant

import (
	"context"
	"testing"
)

// Each even width is a third of a bit wider than the one below it, and loses less.
func TestEvenWidths(t *testing.T) {
	q := digitsQuantizer(t)
	q.o.TargetBytes = 30000
	if err := q.measureOptions(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, c := range q.candidates {
		if len(c.options) != len(q.widths()) {
			t.Fatalf("%s has %d options", c.name, len(c.options))
		}
		for i, o := range c.options[2 : len(c.options)-1] {
			below := c.options[i+3]
			bits := 8 * float64(o.bytes-below.bytes) / float64(c.n*c.k)
			// What few weights take depends on what the coder happens to know.
			if c.n*c.k > 2000 && (bits < 0.1 || bits > 0.6) {
				t.Errorf("%s: %s takes %.2f bits a weight more than %s", c.name, widthName(o.bits), bits, widthName(below.bits))
			}
			if o.err >= below.err {
				t.Errorf("%s: %s loses %.3g, %s %.3g", c.name, widthName(o.bits), o.err, widthName(below.bits), below.err)
			}
		}
	}
}

// Files come near the target. In a model as small as this, one tensor's next step is a percent.
func TestTargetIsFilled(t *testing.T) {
	ctx := context.Background()
	for _, target := range []int64{36000, 28000} {
		q := digitsQuantizer(t)
		o := q.o
		o.TargetBytes = target
		_, r, err := Apply(ctx, q.m, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("target %d: %d bytes", target, r.Bytes)
		if r.Bytes > target || r.Bytes < target-target*3/200 {
			t.Errorf("target %d: %d bytes", target, r.Bytes)
		}
	}
}
