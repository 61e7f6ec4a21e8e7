package kernels

import (
	"math"
	"testing"
)

// ulps is the distance of got from want in units in the last place of want as float32.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	unit := float64(math.Nextafter32(float32(math.Abs(float64(w))), float32(math.Inf(1)))) - math.Abs(float64(w))
	return math.Abs(float64(got)-want) / unit
}

func TestExpAccuracy(t *testing.T) {
	worst := 0.0
	for x := float32(-103); x < 88.7; x += 0.0037 {
		v := expGeneric(x)
		if u := ulps(v, math.Exp(float64(x))); u > worst {
			worst = u
		}
	}
	if worst > 2 {
		t.Errorf("expGeneric is %.2f units off", worst)
	}
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{{0, 1}, {-inf, 0}, {inf, inf}, {200, inf}, {-200, 0}, {1e30, inf}} {
		if v := expGeneric(c.x); v != c.want {
			t.Errorf("exp(%v) = %v, want %v", c.x, v, c.want)
		}
	}
	if v := expGeneric(float32(math.NaN())); v == v {
		t.Errorf("exp(NaN) = %v", v)
	}
}

// TestActivateAccuracy compares with the formulas of ActKind in float64.
func TestActivateAccuracy(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	formulas := map[ActKind]func(x float64, a Activation) float64{
		ActNone: func(x float64, _ Activation) float64 { return x },
		ActRelu: func(x float64, _ Activation) float64 { return max(x, 0) },
		ActLeakyRelu: func(x float64, a Activation) float64 {
			if x < 0 {
				return x * float64(a.Alpha)
			}
			return x
		},
		ActClip:      func(x float64, a Activation) float64 { return min(max(x, float64(a.Alpha)), float64(a.Beta)) },
		ActSigmoid:   func(x float64, _ Activation) float64 { return sigmoid(x) },
		ActTanh:      func(x float64, _ Activation) float64 { return math.Tanh(x) },
		ActSwish:     func(x float64, _ Activation) float64 { return x * sigmoid(x) },
		ActHardSwish: func(x float64, _ Activation) float64 { return x * max(0, min(1, x/6+0.5)) },
		ActGelu:      func(x float64, _ Activation) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) },
		ActGeluTanh: func(x float64, _ Activation) float64 {
			return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		},
	}
	const tol = 6e-7 // absolute below 1, relative above
	for _, a := range activations {
		for x := float32(-20); x < 20; x += 0.0013 {
			v := []float32{x}
			Activate(v, v, a)
			if want := formulas[a.Kind](float64(x), a); !near(float64(v[0]), want, math.Abs(want), tol) {
				t.Fatalf("%+v at %v: %v, want %v", a, x, v[0], want)
			}
		}
	}
	// Near 0 tanh must keep its relative accuracy.
	for x := float32(1e-6); x < 0.7; x *= 1.01 {
		if u := ulps(tanhGeneric(x), math.Tanh(float64(x))); u > 3 {
			t.Fatalf("tanh(%v) is %.1f units off", x, u)
		}
	}
}

func TestErfAccuracy(t *testing.T) {
	for x := float32(-6); x < 6; x += 0.0007 {
		v := []float32{x}
		Erf(v, v)
		if want := math.Erf(float64(x)); !near(float64(v[0])/want, 1, 1, 3e-7) && x != 0 {
			t.Fatalf("erf(%v) = %v, want %v", x, v[0], want)
		}
	}
}
