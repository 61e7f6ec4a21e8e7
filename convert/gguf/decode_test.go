package gguf

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"
)

// halves are the places of float16 numbers in a block: bit 14 of theirs is cleared, so that they are finite and small.
var halves = map[string][]int{
	"Q4_0": {0}, "Q4_1": {0, 2}, "Q5_0": {0}, "Q5_1": {0, 2}, "Q8_0": {0}, "Q2_K": {80, 82}, "Q3_K": {108}, "Q4_K": {0, 2},
	"Q5_K": {0, 2}, "Q6_K": {208}, "IQ2_XXS": {0}, "IQ2_XS": {0}, "IQ2_S": {0}, "IQ3_XXS": {0}, "IQ3_S": {0}, "IQ1_S": {0},
	"IQ1_M": {54}, "IQ4_NL": {0}, "IQ4_XS": {0}, "TQ1_0": {52}, "TQ2_0": {64}, "MXFP4": {},
}

// randomBlocks makes n blocks of a type out of a linear congruential sequence.
func randomBlocks(e element, n int) []byte {
	x := uint32(len(e.name)*7919 + e.bytes)
	out := make([]byte, n*e.bytes)
	for i := range out {
		x = x*1664525 + 1013904223
		out[i] = byte(x >> 24)
	}
	for b := range n {
		for _, h := range halves[e.name] {
			out[b*e.bytes+h+1] &= 0xBF
		}
	}
	return out
}

// TestDecode holds every type against the SHA-256 of what ggml 0.9's own dequantize_row_* makes of the same blocks.
func TestDecode(t *testing.T) {
	want := map[string]string{
		"Q4_0":    "37f854722953d6517fd464773286c345",
		"Q4_1":    "8d91bcbe25e819282461cf1c176f0739",
		"Q5_0":    "6503aeb4a3e842e3d113bcab4732a1d9",
		"Q5_1":    "56e987720563b66d89a53b7aea394f05",
		"Q8_0":    "e4e2818154eebe57ded2dfb12eb95332",
		"Q2_K":    "c52c1b50158116586a30acf97055c128",
		"Q3_K":    "286ee47c1ccdf1b14b589946887baac4",
		"Q4_K":    "809c7e8d3cf3406cfe96e4c017aec11e",
		"Q5_K":    "3fc917dfe7d0ed1ad457f784668d6a7e",
		"Q6_K":    "c837c5ba77e9f74060cd3519793a269f",
		"IQ2_XXS": "d487d232d75768a256800d860d740997",
		"IQ2_XS":  "14b63924d597148034e0632eac71e84f",
		"IQ2_S":   "6905503dc57a51d32d7bae89465ebf19",
		"IQ3_XXS": "afcbfd84220309e2bd66b7b1bb0a6583",
		"IQ3_S":   "2c2d8b34992aeb817f8888fd9b03dedd",
		"IQ1_S":   "6655701dead947643d5b00de0f413cc5",
		"IQ1_M":   "188bb37d912990ac3c26a8880c5cafc4",
		"IQ4_NL":  "35bd4094206c32256b2d72ef3e3292c8",
		"IQ4_XS":  "ce0164c5417dccfecbd8d2afa395e1df",
		"TQ1_0":   "ed03766165712e2f3d85d2626c8489ac",
		"TQ2_0":   "905ab3f2d5cc636c14ee6af45bd002e8",
		"MXFP4":   "b7c0968fd1267b07f0b31199c539817b",
	}
	for _, e := range elements {
		if e.decode == nil {
			continue
		}
		const n = 64
		data := randomBlocks(e, n)
		dst := make([]float32, e.block)
		sum := sha256.New()
		for b := range n {
			e.decode(dst, data[b*e.bytes:(b+1)*e.bytes])
			for _, v := range dst {
				sum.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
			}
		}
		if got := hex.EncodeToString(sum.Sum(nil))[:32]; got != want[e.name] {
			t.Errorf("%s: the decoded weights differ from ggml's (%s)", e.name, got)
		}
	}
	if len(want) != len(halves) {
		t.Errorf("%d types have sums, %d are listed", len(want), len(halves))
	}
}
