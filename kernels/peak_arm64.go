//go:build !purego

package kernels

import "math"

// The peak loops do rounds rounds, at least one, with peakAccumulators accumulators of 16 bytes, and store those at acc.

//go:noescape
func peakSMLALNEON(acc *byte, rounds int)

//go:noescape
func peakSDOTDotProd(acc *byte, rounds int)

//go:noescape
func peakSMMLAI8MM(acc *byte, rounds int)

//go:noescape
func peakFMLANEON(acc *byte, rounds int)

// readBytesNEON xors n bytes, a positive multiple of 1024, into x.
//
//go:noescape
func readBytesNEON(b *byte, n int, x *[8]uint64)

const peakAccumulators = 24

func peaksSIMD() []Peak {
	var peaks []Peak
	add := func(has bool, name, isa, typ string, macsPerLane int, loop func(acc *byte, rounds int)) {
		if !has {
			return
		}
		const lanes = peakAccumulators * 4
		peaks = append(peaks, Peak{name, isa, typ, lanes * macsPerLane, func(rounds int) int {
			var acc [peakAccumulators * 16]byte
			loop(&acc[0], rounds)
			n := 0
			for i := range lanes {
				v := getFloat32(acc[i*4:])
				if typ == "int8" {
					n += int(math.Float32bits(v))
				} else {
					n += int(v)
				}
			}
			return n
		}})
	}
	add(true, "smull+smlal+sadalp", "neon", "int8", 4, peakSMLALNEON)
	add(true, "fmla 4s", "neon", "f32", 1, peakFMLANEON)
	add(hasDotProd, "sdot", "neon-dotprod", "int8", 4, peakSDOTDotProd)
	add(hasI8MM, "smmla", "neon-i8mm", "int8", 8, peakSMMLAI8MM)
	return peaks
}

func readBytesSIMD(b []byte) (x uint64, done int) {
	n := len(b) &^ 1023
	if n == 0 {
		return 0, 0
	}
	var words [8]uint64
	readBytesNEON(&b[0], n, &words)
	for _, w := range words {
		x ^= w
	}
	return x, n
}
