package kernels

// transposeStrip is the number of source columns that are done at once: the lines written stay in the
// first-level cache even where ldd is a power of two.
const transposeStrip = 16

// Transpose is dst[c*ldd+r] = src[r*lds+c] for r < rows and c < cols. dst must not overlap src.
func Transpose(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	if ldd < rows && cols > 1 || lds < cols && rows > 1 || len(dst) < (cols-1)*ldd+rows || len(src) < (rows-1)*lds+cols {
		panic("kernels: Transpose: dst or src is too short")
	}
	if rows == 2 && ldd == 2 {
		interleave(dst, src[:cols], src[lds:lds+cols])
		return
	}
	r, c := transposeSIMD(dst, ldd, src, lds, rows, cols)
	if c < cols {
		transposeGeneric(dst[c*ldd:], ldd, src[c:], lds, rows, cols-c)
	}
	if r < rows && c > 0 {
		transposeGeneric(dst[r:], ldd, src[r*lds:], lds, rows-r, c)
	}
}

// transposeGeneric goes by 4 x 4 elements in registers.
func transposeGeneric(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	for c0 := 0; c0 < cols; c0 += transposeStrip {
		c1 := min(c0+transposeStrip, cols)
		r := 0
		for ; r+4 <= rows; r += 4 {
			c := c0
			for ; c+4 <= c1; c += 4 {
				a0 := (*[4]float32)(src[r*lds+c:])
				a1 := (*[4]float32)(src[(r+1)*lds+c:])
				a2 := (*[4]float32)(src[(r+2)*lds+c:])
				a3 := (*[4]float32)(src[(r+3)*lds+c:])
				*(*[4]float32)(dst[c*ldd+r:]) = [4]float32{a0[0], a1[0], a2[0], a3[0]}
				*(*[4]float32)(dst[(c+1)*ldd+r:]) = [4]float32{a0[1], a1[1], a2[1], a3[1]}
				*(*[4]float32)(dst[(c+2)*ldd+r:]) = [4]float32{a0[2], a1[2], a2[2], a3[2]}
				*(*[4]float32)(dst[(c+3)*ldd+r:]) = [4]float32{a0[3], a1[3], a2[3], a3[3]}
			}
			for ; c < c1; c++ {
				for i := r; i < r+4; i++ {
					dst[c*ldd+i] = src[i*lds+c]
				}
			}
		}
		for ; r < rows; r++ {
			for c := c0; c < c1; c++ {
				dst[c*ldd+r] = src[r*lds+c]
			}
		}
	}
}

// interleave is dst[2i], dst[2i+1] = a[i], b[i].
func interleave(dst, a, b []float32) {
	for i := interleaveSIMD(dst, a, b); i < len(a); i++ {
		d := (*[2]float32)(dst[2*i:])
		d[0], d[1] = a[i], b[i]
	}
}
