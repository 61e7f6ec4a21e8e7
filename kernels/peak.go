package kernels

import "encoding/binary"

// Peak is a loop of one multiply-add instruction on registers alone: what its Run reaches is the limit of
// every product that is computed with that instruction.
type Peak struct {
	Name string // the instruction
	ISA  string // the implementation that it is a limit of: a name as in List
	Type string // of the operands: "int8", "bf16" or "f32"
	MACs int    // multiply-adds of a round
	run  func(rounds int) int
}

// Run does rounds rounds, at most 1<<16 of them, and returns how many multiply-adds they were by what the
// accumulators hold: all factors are 1.
func (p *Peak) Run(rounds int) int {
	if rounds <= 0 {
		return 0
	}
	if rounds > 1<<16 {
		panic("kernels: Peak.Run: too many rounds for the accumulators")
	}
	return p.run(rounds)
}

// Peaks returns the loops that this machine can run, whatever implementation is selected.
func Peaks() []Peak {
	return append([]Peak{
		{"Go int32 multiply-add", "generic", "int8", 8, peakInt8Generic},
		{"Go float32 multiply-add", "generic", "f32", 8, peakF32Generic},
	}, peaksSIMD()...)
}

// one keeps the compiler from knowing the factors.
var one = [8]int8{1, 1, 1, 1, 1, 1, 1, 1}

func peakInt8Generic(rounds int) int {
	a, b := one, one
	var s0, s1, s2, s3, s4, s5, s6, s7 int32
	for range rounds {
		s0 += int32(a[0]) * int32(b[0])
		s1 += int32(a[1]) * int32(b[1])
		s2 += int32(a[2]) * int32(b[2])
		s3 += int32(a[3]) * int32(b[3])
		s4 += int32(a[4]) * int32(b[4])
		s5 += int32(a[5]) * int32(b[5])
		s6 += int32(a[6]) * int32(b[6])
		s7 += int32(a[7]) * int32(b[7])
	}
	return int(s0) + int(s1) + int(s2) + int(s3) + int(s4) + int(s5) + int(s6) + int(s7)
}

func peakF32Generic(rounds int) int {
	var a [8]float32
	for i, v := range one {
		a[i] = float32(v)
	}
	b := a[0]
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	for range rounds {
		s0 += a[0] * b
		s1 += a[1] * b
		s2 += a[2] * b
		s3 += a[3] * b
		s4 += a[4] * b
		s5 += a[5] * b
		s6 += a[6] * b
		s7 += a[7] * b
	}
	return int(s0) + int(s1) + int(s2) + int(s3) + int(s4) + int(s5) + int(s6) + int(s7)
}

// ClockChainLen is the number of operations of a round of ClockChain.
const ClockChainLen = 16

// ClockChain does rounds rounds of ClockChainLen integer operations, each of which needs the result of the one
// before and takes one clock on every processor of interest: their rate is the clock's. (Sums of a register and a constant
// would not do: some processors fold them when they rename registers.)
func ClockChain(rounds int) uint64 {
	x, y, z := uint64(one[0]), uint64(one[1])+6, uint64(one[2])+10
	for range rounds {
		x = (x + y) ^ z
		x = (x + y) ^ z
		x = (x + y) ^ z
		x = (x + y) ^ z
		x = (x + y) ^ z
		x = (x + y) ^ z
		x = (x + y) ^ z
		x = (x + y) ^ z
	}
	return x
}

// ReadBytes reads b once, from its start to its end, as fast as the machine's loads go, and returns the exclusive or of its
// little-endian 64-bit words, the last one filled up with zeros.
func ReadBytes(b []byte) uint64 {
	x, done := readBytesSIMD(b)
	return x ^ readBytesGeneric(b[done:])
}

func readBytesGeneric(b []byte) uint64 {
	var x0, x1, x2, x3 uint64
	for len(b) >= 32 {
		x0 ^= binary.LittleEndian.Uint64(b)
		x1 ^= binary.LittleEndian.Uint64(b[8:])
		x2 ^= binary.LittleEndian.Uint64(b[16:])
		x3 ^= binary.LittleEndian.Uint64(b[24:])
		b = b[32:]
	}
	for ; len(b) >= 8; b = b[8:] {
		x0 ^= binary.LittleEndian.Uint64(b)
	}
	for i, v := range b {
		x0 ^= uint64(v) << (8 * i)
	}
	return x0 ^ x1 ^ x2 ^ x3
}
