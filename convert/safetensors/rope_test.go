package safetensors

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
)

func TestElementary(t *testing.T) {
	for i := range 20000 {
		x := math.Exp(float64(i)/800 - 12)
		if got, want := ln(x), math.Log(x); math.Abs(got-want) > 2e-15*max(1, math.Abs(want)) {
			t.Fatalf("ln(%v) = %v, want %v", x, got, want)
		}
		y := float64(i)/500 - 20
		if got, want := exp(y), math.Exp(y); math.Abs(got-want) > 4e-16*want {
			t.Fatalf("exp(%v) = %v, want %v", y, got, want)
		}
		a := float64(i) * 53.1234567
		c, s := cosSin(a)
		if math.Abs(c-math.Cos(a)) > 4e-16 || math.Abs(s-math.Sin(a)) > 4e-16 {
			t.Fatalf("cos, sin(%v) = %v, %v, want %v, %v", a, c, s, math.Cos(a), math.Sin(a))
		}
	}
	if got := pow(10000, -0.5); math.Abs(got-0.01) > 1e-17 {
		t.Errorf("pow(10000, -0.5) = %v", got)
	}
}

// ropeOf reads a config and returns the rope and its tables.
func ropeOf(t *testing.T, text string, headDim, context int) (*rope, *model.Graph) {
	t.Helper()
	c, err := readConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, n := readRope(c, "rope", headDim, context, 10000, 1)
	if err := c.err(); err != nil {
		t.Fatal(err)
	}
	b := newBuilder(c, &checkpoint{})
	b.lmInputs()
	b.rotate("y", "x", r, 2)
	if r.positions != n {
		t.Errorf("%d positions, context %d", r.positions, n)
	}
	return r, b.graph
}

// TestRopeTables holds the tables to their definition in package math, and to a hash that every
// architecture must reach.
func TestRopeTables(t *testing.T) {
	for _, c := range []struct {
		text    string
		context int
		scale   float64
		periods func(i int, f float64) float64
		hash    string
		headDim int
		outcome int
		theta   float64
	}{
		{text: `{}`, headDim: 16, context: 300, outcome: 300, scale: 1, theta: 10000, periods: func(_ int, f float64) float64 { return f },
			hash: "71b65858cda68916"},
		{text: `{"rope_theta":500000,"rope_scaling":{"type":"linear","factor":2.5}}`, headDim: 12, context: 128, outcome: 128, scale: 1, theta: 500000,
			periods: func(_ int, f float64) float64 { return f / 2.5 }, hash: "e3c9494d6b354ca5"},
		{text: `{"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}}`,
			headDim: 16, context: 512, outcome: 512, scale: 1, theta: 10000, hash: "fb074d9d342c2926", periods: func(_ int, f float64) float64 {
				w := 2 * math.Pi / f
				if w < 16 {
					return f
				} else if w > 64 {
					return f / 8
				}
				s := (64/w - 1) / 3
				return (1-s)*f/8 + s*f
			}},
		{text: `{"rope_scaling":{"rope_type":"yarn","factor":4,"original_max_position_embeddings":16}}`, headDim: 16, context: 64, outcome: 64,
			scale: 0.1*math.Log(4) + 1, theta: 10000, hash: "ebac0afcbf2ab649", periods: func(i int, f float64) float64 {
				// low = floor(16 ln(16/(64 pi)) / (2 ln 10000)) < 0, high = ceil(16 ln(16/(2 pi)) / (2 ln 10000)) = 1
				ramp := min(float64(i), 1)
				return f/4*ramp + f*(1-ramp)
			}},
	} {
		r, g := ropeOf(t, c.text, c.headDim, c.context)
		if r.positions != c.outcome || !r.byPosition {
			t.Fatalf("%s: %d positions", c.text, r.positions)
		}
		cos, sin := g.Init["rope.cos"], g.Init["rope.sin"]
		half := c.headDim / 2
		for p := range c.outcome {
			for i := range half {
				f := c.periods(i, math.Pow(c.theta, -float64(2*i)/float64(c.headDim)))
				wantC, wantS := c.scale*math.Cos(float64(p)*f), c.scale*math.Sin(float64(p)*f)
				gotC, gotS := cos.F32()[p*half+i], sin.F32()[p*half+i]
				if math.Abs(float64(gotC)-wantC) > 1e-7 || math.Abs(float64(gotS)-wantS) > 1e-7 {
					t.Fatalf("%s: position %d, pair %d: %v %v, want %v %v", c.text, p, i, gotC, gotS, wantC, wantS)
				}
			}
		}
		sum := sha256.Sum256(append(append([]byte(nil), cos.Data...), sin.Data...))
		if got := hex.EncodeToString(sum[:8]); got != c.hash {
			t.Errorf("%s: hash %s, want %s", c.text, got, c.hash)
		}
	}
}

func TestRopeInGraph(t *testing.T) {
	r, g := ropeOf(t, `{"rope_scaling":{"type":"dynamic","factor":2}}`, 8, 16)
	if r.positions != 32 || r.byPosition || g.Init["rope.cos"] != nil {
		t.Errorf("dynamic: %+v", r)
	}
	r, g = ropeOf(t, `{"rope_scaling":{"type":"yarn","factor":32,"attention_factor":1.5}}`, 128, 32768)
	if r.positions != 1<<20 || r.byPosition || g.Init["rope.frequency"] == nil || r.cos != "rope.cos_scaled" {
		t.Errorf("long: %d positions, cos %s", r.positions, r.cos)
	}
}

func TestRopeYarnVariants(t *testing.T) {
	r, _ := ropeOf(t, `{"rope_scaling":{"type":"yarn","factor":40,"mscale":1,"mscale_all_dim":0.5}}`, 8, 16)
	want := (0.1*math.Log(40) + 1) / (0.05*math.Log(40) + 1)
	if math.Abs(r.scale-want) > 1e-15 {
		t.Errorf("scale %v, want %v", r.scale, want)
	}
	r, _ = ropeOf(t, `{"rope_scaling":{"type":"yarn","factor":4,"truncate":false,"beta_fast":2,"beta_slow":null}}`, 16, 64)
	at := func(rot float64) float64 { return 16 * math.Log(64/(rot*2*math.Pi)) / (2 * math.Log(10000)) }
	for i, got := range r.frequency {
		f := math.Pow(10000, -float64(i)/8)
		ramp := min(max((float64(i)-at(2))/(at(1)-at(2)), 0), 1)
		if want := f/4*ramp + f*(1-ramp); math.Abs(got-want) > 1e-15 {
			t.Errorf("frequency %d is %v, want %v", i, got, want)
		}
	}
}
