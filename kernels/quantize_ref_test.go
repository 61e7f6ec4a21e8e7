package kernels

import (
	"bytes"
	"hash/crc32"
	"math"
	"math/rand"
	"testing"
)

var formats = []Format{D8, D4, D3, D2}

// randMatrix returns n x k values, Gaussian with a different size per row.
func randMatrix(n, k int, seed int64) []float32 {
	r := rand.New(rand.NewSource(seed))
	m := make([]float32, n*k)
	for i := range n {
		size := math.Exp(r.NormFloat64())
		for j := range k {
			m[i*k+j] = float32(r.NormFloat64() * size)
		}
	}
	return m
}

// relError returns |a-b|^2 / |a|^2.
func relError(a, b []float32) float64 {
	var e, s float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		e += d * d
		s += float64(a[i]) * float64(a[i])
	}
	return e / s
}

// roundTrip quantizes and dequantizes an n x k matrix.
func roundTrip(t testing.TB, f Format, lv *Levels, src []float32, n, k int, importance []float32) ([]byte, []float32) {
	t.Helper()
	data := make([]byte, f.Bytes(n, k))
	if err := Quantize(data, f, lv, src, n, k, importance, nil); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, n*k)
	for i := range n {
		DequantizeRow(got[i*k:(i+1)*k], data, f, lv, i, k)
	}
	return data, got
}

func TestQuantizeError(t *testing.T) {
	limit := map[Format]float64{D8: 1.1e-4, D4: 0.0056, D3: 0.0240, D2: 0.100}
	for _, f := range formats {
		for _, size := range [][2]int{{64, 256}, {16, 1024}, {33, 100}, {1, 32}, {5, 7}, {17, 33}} {
			n, k := size[0], size[1]
			src := randMatrix(n, k, 3)
			_, got := roundTrip(t, f, DefaultLevels(f), src, n, k, nil)
			rel := relError(src, got)
			t.Logf("%v %dx%d: relative squared error %.6f", f, n, k, rel)
			if max := limit[f] * (1 + 8/math.Sqrt(float64(n*k))); rel > max {
				t.Errorf("%v %dx%d: relative squared error %.6f, want at most %.6f", f, n, k, rel, max)
			}
		}
	}
}

// TestQuantizeAgainstAbsmax compares with the plain scheme: one float16-like scale per group that
// puts the largest magnitude on the last of the equally spaced levels -(2^(b-1)-1) .. 2^(b-1)-1.
func TestQuantizeAgainstAbsmax(t *testing.T) {
	const n, k = 64, 512
	src := randMatrix(n, k, 5)
	for _, f := range []Format{D4, D3, D2} {
		half := float32(int(1)<<(f.Bits()-1) - 1)
		plain := make([]float32, n*k)
		for g := 0; g < n*k; g += GroupLen {
			var amax float32
			for _, x := range src[g : g+GroupLen] {
				amax = max(amax, x, -x)
			}
			for i, x := range src[g : g+GroupLen] {
				plain[g+i] = float32(math.Round(float64(x/amax*half))) / half * amax
			}
		}
		_, got := roundTrip(t, f, DefaultLevels(f), src, n, k, nil)
		_, linear := roundTrip(t, f, LinearLevels(f), src, n, k, nil)
		a, b, c := relError(src, plain), relError(src, linear), relError(src, got)
		t.Logf("%v: absmax %.5f, linear levels with search %.5f, default levels %.5f", f, a, b, c)
		if !(c < b && b < a) {
			t.Errorf("%v: errors do not fall: absmax %.5f, linear %.5f, default %.5f", f, a, b, c)
		}
	}
}

func TestQuantizeImportance(t *testing.T) {
	const n, k = 16, 256
	src := randMatrix(n, k, 6)
	imp := make([]float32, k)
	for i := range imp {
		imp[i] = 0.05
		if i%4 == 0 {
			imp[i] = 2
		}
	}
	weighted := func(got []float32) (e float64) {
		for i := range got {
			d := float64(src[i]) - float64(got[i])
			e += float64(imp[i%k]) * d * d
		}
		return e
	}
	for _, f := range formats {
		_, flat := roundTrip(t, f, DefaultLevels(f), src, n, k, nil)
		_, tuned := roundTrip(t, f, DefaultLevels(f), src, n, k, imp)
		if a, b := weighted(flat), weighted(tuned); b >= a {
			t.Errorf("%v: weighted error %g with importance, %g without", f, b, a)
		}
	}
}

func TestQuantizeEdges(t *testing.T) {
	const n, k = 20, 70
	src := randMatrix(n, k, 7)
	for j := range k {
		src[2*k+j] = 0         // a zero row
		src[3*k+j] *= 0x1p-149 // vanishing
		src[4*k+j] = 3e38 * float32(math.Tanh(float64(src[4*k+j])))
		src[5*k+j] = 1e-30 * src[5*k+j]
		if j < 64 {
			src[6*k+j] = 0 // zero groups, then a partial one
		}
		src[7*k+j] = -0.25
		src[8*k+j] = 0
	}
	src[8*k+40] = 3
	for _, f := range formats {
		_, got := roundTrip(t, f, DefaultLevels(f), src, n, k, nil)
		for i := range n {
			a, b := src[i*k:(i+1)*k], got[i*k:(i+1)*k]
			for j := range b {
				if b[j]-b[j] != 0 || a[j] == 0 && i != 8 && b[j] != 0 && (i == 2 || i == 6) {
					t.Fatalf("%v: row %d column %d: %v became %v", f, i, j, a[j], b[j])
				}
			}
			if i == 2 || i == 3 {
				continue
			}
			// The default table of D2 has no level for 0, which row 8 mostly wants.
			if rel := relError(a, b); rel > 0.2 && (f != D2 || rel > 0.4) {
				t.Errorf("%v: row %d: relative squared error %v", f, i, rel)
			}
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	const n, k = 3, 40
	inf := float32(math.Inf(1))
	for _, bad := range []float32{inf, -inf, float32(math.NaN())} {
		src := randMatrix(n, k, 8)
		src[k+5] = bad
		if err := Quantize(make([]byte, D4.Bytes(n, k)), D4, DefaultLevels(D4), src, n, k, nil, nil); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
	src := randMatrix(n, k, 8)
	for _, bad := range []float32{inf, float32(math.NaN()), -1, 0} {
		imp := make([]float32, k)
		imp[3] = bad
		if err := Quantize(make([]byte, D4.Bytes(n, k)), D4, DefaultLevels(D4), src, n, k, imp, nil); err == nil {
			t.Errorf("importance %v is accepted", bad)
		}
	}
	lv := DefaultLevels(D4)
	lv.Shift = 100
	if err := Quantize(make([]byte, D4.Bytes(n, k)), D4, lv, src, n, k, nil, nil); err == nil {
		t.Error("a level above 127 is accepted")
	}
}

// TestQuantizeSame holds the bytes: the same on every machine and for every number of threads.
func TestQuantizeSame(t *testing.T) {
	const n, k = 50, 130
	src := make([]float32, n*k)
	state := uint32(1)
	for i := range src {
		s := int32(0)
		for range 4 {
			state = state*1664525 + 1013904223
			s += int32(state >> 16)
		}
		src[i] = float32(s-2*65535) / (1 << 20)
	}
	want := map[Format]uint32{D8: 0xa81abeca, D4: 0x5bd1f11f, D3: 0xf7f973e4, D2: 0x408bc5be}
	pool := NewPool(3)
	defer pool.Close()
	for _, f := range formats {
		data, _ := roundTrip(t, f, DefaultLevels(f), src, n, k, nil)
		if sum := crc32.ChecksumIEEE(data); sum != want[f] {
			t.Errorf("%v: checksum %#08x, want %#08x", f, sum, want[f])
		}
		other := make([]byte, len(data))
		if err := Quantize(other, f, DefaultLevels(f), src, n, k, nil, pool); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, other) {
			t.Errorf("%v: bytes depend on the number of threads", f)
		}
	}
}

func BenchmarkQuantize(b *testing.B) {
	const n, k = 64, 1024
	src := randMatrix(n, k, 9)
	for _, f := range formats {
		b.Run(f.String(), func(b *testing.B) {
			data := make([]byte, f.Bytes(n, k))
			b.SetBytes(n * k)
			for b.Loop() {
				if err := Quantize(data, f, DefaultLevels(f), src, n, k, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
