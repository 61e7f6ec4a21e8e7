package kernels

// gemmStripGeneric computes a strip of up to stripCols columns,
//
//	dst[i*ldd+c] = sum_k x[i*ldx+k] b[k,c]        (added to dst if accumulate is set)
//
// for i in [0, rows) and c in [0, cols), where b[k,c] is b0[k*ldb+c] for c < 16 and
// b1[k*ldb+c-16] beyond. All 16 columns of a b that is used can be read.
func gemmStripGeneric(dst []float32, ldd int, x []float32, ldx, rows int, b0, b1 []float32, ldb, cols, k int, accumulate bool) {
	gemmPanelGeneric(dst, ldd, x, ldx, rows, b0, ldb, min(cols, PanelRows), k, accumulate)
	if cols > PanelRows {
		gemmPanelGeneric(dst[PanelRows:], ldd, x, ldx, rows, b1, ldb, cols-PanelRows, k, accumulate)
	}
}

// gemmPanelGeneric is one panel of a strip, in tiles of 2 rows x 4 columns: what fits the registers.
func gemmPanelGeneric(dst []float32, ldd int, x []float32, ldx, rows int, b []float32, ldb, cols, k int, accumulate bool) {
	var tile [8]float32
	if rows == 1 {
		for c := 0; c < cols; c += 8 {
			n := min(8, cols-c)
			clear(tile[:])
			if accumulate {
				copy(tile[:n], dst[c:])
			}
			rowGeneric(&tile, x[:k], b[c:], ldb)
			copy(dst[c:c+n], tile[:])
		}
		return
	}
	for i := 0; i < rows; i += 2 {
		x0 := x[i*ldx : i*ldx+k]
		x1 := x0
		m := min(2, rows-i)
		if m == 2 {
			x1 = x[(i+1)*ldx : (i+1)*ldx+k]
		}
		for c := 0; c < cols; c += 4 {
			n := min(4, cols-c)
			clear(tile[:])
			if accumulate {
				for r := range m {
					copy(tile[r*4:r*4+n], dst[(i+r)*ldd+c:])
				}
			}
			tileGeneric(&tile, x0, x1, b[c:], ldb)
			for r := range m {
				copy(dst[(i+r)*ldd+c:(i+r)*ldd+c+n], tile[r*4:])
			}
		}
	}
}

// tileGeneric adds x0 and x1 times four columns of b to the two rows of t.
func tileGeneric(t *[8]float32, x0, x1, b []float32, ldb int) {
	s00, s01, s02, s03 := t[0], t[1], t[2], t[3]
	s10, s11, s12, s13 := t[4], t[5], t[6], t[7]
	x1 = x1[:len(x0)]
	for k, v0 := range x0 {
		v1 := x1[k]
		w := (*[4]float32)(b[k*ldb:])
		s00 += v0 * w[0]
		s01 += v0 * w[1]
		s02 += v0 * w[2]
		s03 += v0 * w[3]
		s10 += v1 * w[0]
		s11 += v1 * w[1]
		s12 += v1 * w[2]
		s13 += v1 * w[3]
	}
	*t = [8]float32{s00, s01, s02, s03, s10, s11, s12, s13}
}

// rowGeneric adds x times eight columns of b to t.
func rowGeneric(t *[8]float32, x, b []float32, ldb int) {
	s0, s1, s2, s3, s4, s5, s6, s7 := t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]
	for k, v := range x {
		w := (*[8]float32)(b[k*ldb:])
		s0 += v * w[0]
		s1 += v * w[1]
		s2 += v * w[2]
		s3 += v * w[3]
		s4 += v * w[4]
		s5 += v * w[5]
		s6 += v * w[6]
		s7 += v * w[7]
	}
	*t = [8]float32{s0, s1, s2, s3, s4, s5, s6, s7}
}
