package dskfile

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// packable is a model whose data region can be packed: matrices that fill neither panels nor groups, and plain tensors.
func packable(t testing.TB) *model.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	init := map[string]*tensor.Tensor{}
	for _, dt := range []tensor.DType{tensor.D8, tensor.D4, tensor.D3, tensor.D2} {
		const n, k = 58, 75
		w := make([]float32, n*k)
		for i := range w {
			w[i] = float32(rng.NormFloat64())
		}
		lv := kernels.DefaultLevels(dt.Format())
		x, err := tensor.Of(dt, []int{n, 3, 25}, tensor.Panel16, make([]byte, dt.Format().Bytes(n, k)))
		if err != nil {
			t.Fatal(err)
		}
		x.Levels = lv
		if err := kernels.Quantize(x.Data, dt.Format(), lv, w, n, k, nil, nil); err != nil {
			t.Fatal(err)
		}
		init["w."+dt.String()] = x
	}
	for _, dt := range []tensor.DType{tensor.F16, tensor.I64, tensor.F32, tensor.BOOL} {
		x := tensor.New(dt, 3, 7)
		for i := range x.Data {
			x.Data[i] = byte(rng.IntN(2))
		}
		init["m."+dt.String()] = x
		init["v."+dt.String()] = x.Reshaped(21)
	}
	init["none"] = tensor.New(tensor.F32, 0)
	half := tensor.Deferred(tensor.F16, []int{17, 5}, tensor.Panel16, nil, func(dst []byte) error {
		for k := range 5 {
			for r := range 17 {
				dst[2*(r/16*16*5+k*16+r%16)] = byte(1 + r + k)
			}
		}
		return nil
	})
	init["half"] = half
	return &model.Model{Graph: &model.Graph{Name: "g", Init: init}, Packed: true}
}

func TestPackedRoundTrip(t *testing.T) {
	m := packable(t)
	b := fileOf(t, m)
	size, err := Size(m)
	if err != nil || size != int64(len(b)) {
		t.Errorf("Size says %d (%v), the file has %d bytes", size, err, len(b))
	}
	plain := *m
	plain.Packed = false
	if p := fileOf(t, &plain); len(b) >= len(p)*9/10 {
		t.Errorf("packed %d bytes, not packed %d", len(b), len(p))
	}
	f, got := openModel(t, b)
	if diff := cmp.Diff(m, got, sameModel); diff != "" {
		t.Error(diff)
	}
	if again := fileOf(t, got); !bytes.Equal(again, b) {
		t.Error("write(read(x)) differs from x")
	}
	if !f.Info().Packed() {
		t.Error("not packed")
	}
	if err := f.verifyData(context.Background(), nil); err != nil {
		t.Error(err)
	}
	if err := f.verifyForm(); err != nil {
		t.Error(err)
	}
	if int64(len(b)) != align(f.Info().HeaderBytes, LineBytes)+f.Info().DataBytes() {
		t.Error("the file has more than its header and its stream")
	}
}

// TestPackedEntropy: codes that follow each other in no order take what their frequencies say, and 2 % more.
func TestPackedEntropy(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	c, tr := newEncoder(), newTree(4)
	const n = 20000
	var want []uint8
	for range n {
		v := uint8(0)
		for range 4 { // the entropy of a bit that is 1 in a quarter of all cases is 0.8113
			v <<= 1
			if rng.IntN(4) == 0 {
				v |= 1
			}
		}
		want = append(want, v)
		c.symbol(tr, v)
	}
	stream := c.finish()
	if got, ideal := float64(8*len(stream)), 4*0.8113*n; got > 1.02*ideal {
		t.Errorf("%.0f bits, ideally %.0f", got, ideal)
	}
	d, tr := newDecoder(stream), newTree(4)
	for i, v := range want {
		if got := d.symbol(tr, 0); got != v {
			t.Fatalf("symbol %d is %d, want %d", i, got, v)
		}
	}
	if !d.ended() {
		t.Error("the stream goes on")
	}
}

// TestPackedDirty: what packing would lose is stored as it is.
func TestPackedDirty(t *testing.T) {
	m := packable(t)
	w := m.Graph.Init["w.D4"]
	w.Data[len(w.Data)-1] = 1 // of the last row of the last panel, which the matrix does not have
	f, got := openModel(t, fileOf(t, m))
	if f.Info().Packed() || got.Packed {
		t.Error("packed although its padding is not zero")
	}
	if !bytes.Equal(got.Graph.Init["w.D4"].Data, w.Data) {
		t.Error("other bytes")
	}
}

// TestPackedDamage cuts and flips the stream of a file whose header is right: it opens or is refused as broken.
func TestPackedDamage(t *testing.T) {
	b := fileOf(t, packable(t))
	f, _ := openModel(t, b)
	at := int(f.Info().HeaderBytes)
	for i := at; i < len(b); i += 37 {
		b[i] ^= 0x20
		file, err := OpenBytes(b)
		if err != nil {
			wantFormat(t, "a flipped bit", err)
		} else if file.Verify(context.Background(), nil) == nil {
			t.Errorf("byte %d: damage passes", i)
		}
		b[i] ^= 0x20
	}
	for _, region := range []uint64{0, 64, 1 << 40, 1<<63 + 64} {
		c := bytes.Clone(b)
		le.PutUint64(c[atRegionBytes:], region)
		reseal(c)
		_, err := OpenBytes(c)
		wantFormat(t, "another region", err)
	}
}
