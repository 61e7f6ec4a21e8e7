package gguf

import "github.com/dsk-toolkit/dsk/tensor"

// element is a type of ggml: how many elements make a block, its bytes, and how it is read.
type element struct {
	name         string
	block, bytes int
	// plain is the element type of those that are numbers as they stand; decode makes float32 of a block of the others. Types
	// with neither are not read.
	plain  tensor.DType
	decode func(dst []float32, b []byte)
}

// elements gives ggml's types by their numbers in files.
var elements = map[uint32]element{
	0:  {"F32", 1, 4, tensor.F32, nil},
	1:  {"F16", 1, 2, tensor.F16, nil},
	2:  {"Q4_0", 32, 18, 0, decodeQ4},
	3:  {"Q4_1", 32, 20, 0, decodeQ4Min},
	6:  {"Q5_0", 32, 22, 0, decodeQ5},
	7:  {"Q5_1", 32, 24, 0, decodeQ5Min},
	8:  {"Q8_0", 32, 34, 0, decodeQ8},
	9:  {"Q8_1", 32, 36, 0, nil},
	10: {"Q2_K", 256, 84, 0, decodeQ2K},
	11: {"Q3_K", 256, 110, 0, decodeQ3K},
	12: {"Q4_K", 256, 144, 0, decodeQ4K},
	13: {"Q5_K", 256, 176, 0, decodeQ5K},
	14: {"Q6_K", 256, 210, 0, decodeQ6K},
	15: {"Q8_K", 256, 292, 0, nil},
	16: {"IQ2_XXS", 256, 66, 0, decodeIQ2XXS},
	17: {"IQ2_XS", 256, 74, 0, decodeIQ2XS},
	18: {"IQ3_XXS", 256, 98, 0, decodeIQ3XXS},
	19: {"IQ1_S", 256, 50, 0, decodeIQ1S},
	20: {"IQ4_NL", 32, 18, 0, decodeIQ4NL},
	21: {"IQ3_S", 256, 110, 0, decodeIQ3S},
	22: {"IQ2_S", 256, 82, 0, decodeIQ2S},
	23: {"IQ4_XS", 256, 136, 0, decodeIQ4XS},
	24: {"I8", 1, 1, 0, nil},
	25: {"I16", 1, 2, 0, nil},
	26: {"I32", 1, 4, 0, nil},
	27: {"I64", 1, 8, 0, nil},
	28: {"F64", 1, 8, 0, nil},
	29: {"IQ1_M", 256, 56, 0, decodeIQ1M},
	30: {"BF16", 1, 2, tensor.BF16, nil},
	34: {"TQ1_0", 256, 54, 0, decodeTQ1},
	35: {"TQ2_0", 256, 66, 0, decodeTQ2},
	39: {"MXFP4", 32, 17, 0, decodeMXFP4},
}

// elementsByName gives the same types by name.
var elementsByName = func() map[string]element {
	m := map[string]element{}
	for _, e := range elements {
		m[e.name] = e
	}
	return m
}()
