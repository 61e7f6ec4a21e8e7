package gguf

import (
	"encoding/binary"
	"math"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
)

// The encoders below append one block or element: what ggml's reference quantizers make of the same weights.

func encodeF32(dst []byte, x []float32) []byte {
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(x[0]))
}

func encodeF16(dst []byte, x []float32) []byte {
	return binary.LittleEndian.AppendUint16(dst, kernels.F32ToF16(x[0]))
}

// encodeQ8 is Q8_0: d = max|x| / 127.
func encodeQ8(dst []byte, x []float32) []byte {
	largest := float32(0)
	for _, v := range x {
		largest = max(largest, float32(math.Abs(float64(v))))
	}
	d := largest / 127
	inverse := float32(0)
	if d != 0 {
		inverse = 1 / d
	}
	dst = binary.LittleEndian.AppendUint16(dst, kernels.F32ToF16(d))
	for _, v := range x {
		dst = append(dst, byte(int8(math.Round(float64(float32(v*inverse))))))
	}
	return dst
}

// encodeQ4 is Q4_0: d = x/-8 for the x of the largest magnitude, whose code is 0.
func encodeQ4(dst []byte, x []float32) []byte {
	largest, at := float32(0), float32(0)
	for _, v := range x {
		if a := float32(math.Abs(float64(v))); a > largest {
			largest, at = a, v
		}
	}
	d := at / -8
	inverse := float32(0)
	if d != 0 {
		inverse = 1 / d
	}
	dst = binary.LittleEndian.AppendUint16(dst, kernels.F32ToF16(d))
	code := func(v float32) byte { return byte(min(15, int8(float32(v*inverse)+8.5))) }
	n := len(x) / 2
	for i := range n {
		dst = append(dst, code(x[i])|code(x[n+i])<<4)
	}
	return dst
}

// target is an element type that files are written in.
type target struct {
	name     string
	number   uint32 // of the type
	fileType uint32 // general.file_type
	encode   func(dst []byte, x []float32) []byte
}

var (
	targetF32 = target{"F32", 0, 0, encodeF32}
	targetF16 = target{"F16", 1, 1, encodeF16}
	targets   = []target{targetF32, targetF16, {"Q8_0", 8, 7, encodeQ8}, {"Q4_0", 2, 2, encodeQ4}}
)

// encodeRow appends a row of weights. A value that the type cannot hold is an error.
func (t target) encodeRow(dst []byte, x []float32, where string) ([]byte, error) {
	if t.name != "F32" {
		for _, v := range x {
			if limit := float32(65504); !(v <= limit && v >= -limit) {
				return nil, &fault.Unsupported{Kind: "weight", Items: []fault.Item{{Where: where, What: "a value above float16's largest", Hint: "write F32"}}}
			}
		}
	}
	block := elements[t.number].block
	for ; len(x) > 0; x = x[block:] {
		dst = t.encode(dst, x[:block])
	}
	return dst, nil
}
