package kernels

import "testing"

// TestProductExtremes has the largest levels and activations, of equal and of changing sign, and the lowest
// offset that a table can ask for: no sum on the way may leave its lane.
func TestProductExtremes(t *testing.T) {
	const n, k = 32, 64
	eachKernel(t, func(t *testing.T) {
		for _, f := range formats {
			for _, lv := range extremeLevels(f) {
				if err := lv.Check(f); err != nil {
					t.Fatal(err)
				}
				w := Weights{Kind: quantized(f), N: n, K: k, Data: make([]byte, f.Bytes(n, k)), Levels: lv}
				for p := range Panels(n) {
					panel := w.Data[p*f.PanelBytes(k):][:f.PanelBytes(k)]
					for i := range PanelRows {
						putFloat32(panel[i*4:], 1)
					}
					for i := range Groups(k) * PanelRows {
						panel[ScalesOffset+i] = uint8(1 | i%2*TableBit)
					}
					for i := range panel[CodesOffset(k):] {
						panel[CodesOffset(k)+i] = 0xff // the last code; of D8 the largest level
						if f == D8 {
							panel[CodesOffset(k)+i] = uint8(MaxLevel - int(lv.Shift))
						}
					}
				}
				row := make([]float32, k)
				for _, rows := range []int{1, 4, 7} {
					for sign := range 3 {
						x := make([]float32, rows*k)
						for i := range x {
							x[i] = []float32{127, -127, float32(127 - i%2*254)}[sign]
						}
						got := product(t, nil, w, nil, Activation{}, x, k, rows)
						for i, v := range got {
							DequantizeRow(row, w.Data, f, lv, i%n, k)
							var want float32
							for c, v := range row {
								want += v * x[i/n*k+c]
							}
							if v != want {
								t.Fatalf("%v, shift %d, %d rows, sign %d: output %d is %v, want %v", f, lv.Shift, rows, sign, i, v, want)
							}
						}
					}
				}
			}
		}
	})
}

// extremeLevels returns tables whose last code is the largest level, without and with the largest shifts.
func extremeLevels(f Format) []*Levels {
	if f == D8 {
		return []*Levels{{}, {Shift: MaxLevel}}
	}
	high, low, up := &Levels{}, &Levels{Shift: -MaxLevel}, &Levels{Shift: MaxLevel}
	for c := range 1 << f.Bits() {
		high.Code[c], low.Code[c] = MaxLevel, MaxLevel
	}
	return []*Levels{high, low, up}
}
