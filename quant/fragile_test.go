package quant

import (
	"context"
	"testing"
)

// TestSpareFragile: at 8 bit, calibrated, small matrices may keep 16 bits: within their part of the bytes, and so that the
// divergence falls.
func TestSpareFragile(t *testing.T) {
	ctx := context.Background()
	q := digitsQuantizer(t)
	q.o.Strategy, q.o.Bits = Uniform, 8
	var before int64
	for _, c := range q.candidates {
		c.choice = c.options[1]
		before += c.choice.bytes
	}
	plain, err := q.divergence(ctx, q.encode())
	if err != nil {
		t.Fatal(err)
	}
	if err := q.spareFragile(ctx); err != nil {
		t.Fatal(err)
	}
	for _, c := range q.candidates {
		switch c.choice.bits {
		case halfBits:
			if !q.small(c) {
				t.Errorf("%s is not small", c.name)
			}
		case 8:
		default:
			t.Errorf("%s has %d bits", c.name, c.choice.bits)
		}
	}
	if after := q.weightBytes(); float64(after-before) > smallPart*float64(before) {
		t.Fatalf("%d bytes became %d", before, after)
	}
	got, err := q.divergence(ctx, q.encode())
	if err != nil {
		t.Fatal(err)
	}
	if got > plain {
		t.Errorf("the divergence rose from %g to %g", plain, got)
	}
}

// TestBiasTakesUpMean: what quantizing adds to a product's mean is taken from its bias.
func TestBiasTakesUpMean(t *testing.T) {
	q := digitsQuantizer(t)
	q.findBiases()
	for _, c := range q.candidates {
		b := q.m.Graph.Init[c.bias]
		if b == nil {
			t.Errorf("%s has no bias to move", c.name)
			continue
		}
		c.mean = make([]float64, c.k)
		for i := range c.mean {
			c.mean[i] = float64(i%7) / 7
		}
		moved, err := q.recentred(c, b, 3)
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.quantized(c, 3).Loaded()
		if err != nil {
			t.Fatal(err)
		}
		quantized := &candidate{t: got, n: c.n, k: c.k}
		w, v := make([]float32, c.n*c.k), make([]float32, c.n*c.k)
		c.rows(w, 0, c.n)
		quantized.rows(v, 0, c.n)
		for r := range c.n {
			want, is := float64(b.F32()[r]), float64(moved[r])
			for i, m := range c.mean {
				want += float64(w[r*c.k+i]) * m
				is += float64(v[r*c.k+i]) * m
			}
			if d := want - is; d > 1e-5 || d < -1e-5 {
				t.Fatalf("%s, row %d: the mean is %g, was %g", c.name, r, is, want)
			}
		}
	}
}
