//go:build amd64 && !purego

package kernels

import (
	"math"

	"golang.org/x/sys/cpu"
)

// The peak loops do rounds rounds, at least one, with 12 accumulators of their registers' width, and store those at acc.

//go:noescape
func peakVPDPBUSDAVX512(acc *byte, rounds int)

//go:noescape
func peakVPDPBUSDAVXVNNI(acc *byte, rounds int)

//go:noescape
func peakVPMADDUBSWAVX2(acc *byte, rounds int)

//go:noescape
func peakVDPBF16PSAVX512(acc *byte, rounds int)

//go:noescape
func peakVFMADDAVX512(acc *byte, rounds int)

//go:noescape
func peakVFMADDAVX2(acc *byte, rounds int)

// The read loops xor n bytes, a positive multiple of 1024, into x.

//go:noescape
func readBytesAVX512(b *byte, n int, x *[8]uint64)

//go:noescape
func readBytesAVX2(b *byte, n int, x *[8]uint64)

const peakAccumulators = 12

func peaksSIMD() []Peak {
	var peaks []Peak
	add := func(has bool, name, isa, typ string, bytes, macsPerLane int, loop func(acc *byte, rounds int)) {
		if !has {
			return
		}
		lanes := peakAccumulators * bytes / 4
		peaks = append(peaks, Peak{name, isa, typ, lanes * macsPerLane, func(rounds int) int {
			var acc [peakAccumulators * LineBytes]byte
			loop(&acc[0], rounds)
			n := 0
			for _, v := range floatsOf(acc[:])[:lanes] {
				if typ == "int8" {
					n += int(math.Float32bits(v))
				} else {
					n += int(v)
				}
			}
			return n
		}})
	}
	bf16 := hasAVX512 && cpu.X86.HasAVX512BF16
	add(hasAVX2, "vpmaddubsw+vpmaddwd+vpaddd ymm", "avx2", "int8", 32, 4, peakVPMADDUBSWAVX2)
	add(hasAVX2, "vfmadd231ps ymm", "avx2", "f32", 32, 1, peakVFMADDAVX2)
	add(hasVNNI, "vpdpbusd ymm (vex)", "avxvnni", "int8", 32, 4, peakVPDPBUSDAVXVNNI)
	add(hasAVX512, "vpdpbusd zmm", "avx512vnni", "int8", 64, 4, peakVPDPBUSDAVX512)
	add(bf16, "vdpbf16ps zmm", "avx512vnni", "bf16", 64, 2, peakVDPBF16PSAVX512)
	add(hasAVX512, "vfmadd231ps zmm", "avx512vnni", "f32", 64, 1, peakVFMADDAVX512)
	return peaks
}

func readBytesSIMD(b []byte) (x uint64, done int) {
	n := len(b) &^ 1023
	if n == 0 || !hasAVX2 {
		return 0, 0
	}
	var words [8]uint64
	if hasAVX512 {
		readBytesAVX512(&b[0], n, &words)
	} else {
		readBytesAVX2(&b[0], n, &words)
	}
	for _, w := range words {
		x ^= w
	}
	return x, n
}
