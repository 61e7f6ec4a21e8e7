package quant

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// evenDevice computes every width at a rate of its own, whatever the shape.
func evenDevice(rates map[int]float64) *Device {
	d := &Device{Name: "test", Source: "a test", Timed: true, Rates: map[int][]Rate{}, Depthwise: 1e9}
	for bits, v := range rates {
		d.Rates[bits] = []Rate{{Rows: 100, Operations: v}}
	}
	return d
}

// TestMaxLatency: on a device where few bits are slow, narrow widths must not be chosen for the sake of bytes, and the limit holds.
func TestMaxLatency(t *testing.T) {
	ctx := context.Background()
	m := digits(t)
	slowNarrow := evenDevice(map[int]float64{2: 1e8, 3: 1e8, 4: 1e8, 8: 1e9, 16: 5e8, 32: 2e8})
	free, r, err := Apply(ctx, m, Options{Strategy: Adaptive, TargetRatio: 3, Device: slowNarrow})
	if err != nil {
		t.Fatal(err)
	}
	unbounded := r.Latency.PredictedMS
	if r.Latency.FloatMS <= 0 || !*r.Latency.Int8Faster || !strings.Contains(r.Latency.Answer, "int8 is faster there") || free == nil {
		t.Errorf("%+v", r.Latency)
	}
	limit := 0.9 * unbounded
	_, r, err = Apply(ctx, m, Options{Strategy: Adaptive, TargetRatio: 3, Device: slowNarrow, MaxLatency: limit})
	if err != nil {
		t.Fatal(err)
	}
	if r.Latency.PredictedMS > limit || r.RatioVsF32 < 3 {
		t.Errorf("%g ms of %g, ratio %g of 3", r.Latency.PredictedMS, limit, r.RatioVsF32)
	}
	_, _, err = Apply(ctx, m, Options{Strategy: Adaptive, Device: slowNarrow, MaxLatency: 1e-6})
	var gate *fault.Gate
	if !errors.As(err, &gate) || !strings.Contains(gate.What, "the best found is") {
		t.Errorf("an impossible latency: %v", err)
	}
	slowInt8 := evenDevice(map[int]float64{2: 1e8, 3: 1e8, 4: 1e8, 8: 1e8, 16: 5e8, 32: 5e8})
	if _, r, err = Apply(ctx, m, Options{Strategy: Uniform, Bits: 8, Device: slowInt8}); err != nil || *r.Latency.Int8Faster {
		t.Errorf("%v, %+v", err, r)
	}
	limits := evenDevice(map[int]float64{2: 1e9, 3: 1e9, 4: 1e9, 8: 1e9, 16: 2e8, 32: 2e8})
	limits.Timed = false
	if _, r, err = Apply(ctx, m, Options{Strategy: Uniform, Bits: 4, Device: limits}); err != nil || r.Latency.Int8Faster != nil || !strings.Contains(r.Latency.Answer, "not known") {
		t.Errorf("%v, %+v", err, r)
	}
}

// TestMaxLatencyAgainstAll compares with all mixes of widths.
func TestMaxLatencyAgainstAll(t *testing.T) {
	q := digitsQuantizer(t)
	if err := q.measureSensitivity(context.Background()); err != nil {
		t.Fatal(err)
	}
	q.candidates = q.candidates[:4]
	q.o.Device = evenDevice(map[int]float64{2: 3e8, 3: 4e8, 4: 9e8, 8: 7e8, 16: 2e8, 32: 2e8})
	p, err := q.newPredictor()
	if err != nil {
		t.Fatal(err)
	}
	at := func(c *candidate) int { return c.choice.bits }
	for _, c := range q.candidates {
		c.choice = c.options[1]
	}
	limit, room := 0.97*p.total(q, at), q.weightBytes()*6/10
	best := -1.
	var try func(i int)
	try = func(i int) {
		if i < len(q.candidates) {
			for _, o := range q.candidates[i].options {
				q.candidates[i].choice = o
				try(i + 1)
			}
			return
		}
		if p.total(q, at) > limit || q.weightBytes() > room {
			return
		}
		loss := 0.
		for _, c := range q.candidates {
			loss += c.sens * c.choice.err
		}
		if best < 0 || loss < best {
			best = loss
		}
	}
	try(0)
	least := -1.
	for mix := range mixes + 1 {
		ok, err := q.spendMixed(p, limit, room, float64(mix)/mixes)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		if p.total(q, at) > limit || q.weightBytes() > room {
			t.Errorf("mix %d breaks a limit", mix)
		}
		loss := 0.
		for _, c := range q.candidates {
			loss += c.sens * c.choice.err
		}
		if least < 0 || loss < least {
			least = loss
		}
	}
	if best < 0 || least < 0 || least > 2*best {
		t.Errorf("the loss found is %g, the least of all mixes %g", least, best)
	}
}

// TestMixedWithoutRate: a width that the device has no rate for is not chosen, even where only bytes count.
func TestMixedWithoutRate(t *testing.T) {
	q := digitsQuantizer(t)
	if err := q.measureSensitivity(context.Background()); err != nil {
		t.Fatal(err)
	}
	q.o.Device = evenDevice(map[int]float64{4: 1e9, 8: 1e9, 16: 2e8, 32: 2e8})
	p, err := q.newPredictor()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range q.candidates {
		c.choice = c.options[2]
	}
	limit, room := 2*p.total(q, func(c *candidate) int { return c.choice.bits }), q.weightBytes()*11/10
	for mix := range mixes + 1 {
		ok, err := q.spendMixed(p, limit, room, float64(mix)/mixes)
		if err != nil || !ok {
			t.Errorf("mix %d: %v, %v", mix, ok, err)
		}
		for _, c := range q.candidates {
			if c.choice.bits < 4 {
				t.Errorf("mix %d: %s has %d bits", mix, c.name, c.choice.bits)
			}
		}
	}
}
