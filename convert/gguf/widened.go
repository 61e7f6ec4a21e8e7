package gguf

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// floatType is that of elements which are computed from a file's.
const floatType = tensor.F32

// widened reads a stack of matrices as F32, one matrix at a time: where rows of transformers are columns of the file, block after block would be
// decoded once for each element.
type widened struct {
	t   *translation
	src *Tensor
	e   element

	mu     sync.Mutex
	held   bool
	matrix int
	data   []float32
}

// matrixRows are the rows of one matrix.
type matrixRows struct {
	data []float32
	k    int
}

// rows returns matrix i of the stack, of n rows of k.
func (w *widened) rows(i, n, k int) matrixRows {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.held || w.matrix != i {
		size := n * k / w.e.block * w.e.bytes
		w.data = w.e.floats(w.t.bytes(w.src)[i*size : (i+1)*size])
		w.held, w.matrix = true, i
	}
	return matrixRows{w.data, k}
}

// floats are the elements of whole blocks.
func (e element) floats(src []byte) []float32 {
	out := make([]float32, len(src)/e.bytes*e.block)
	for i := 0; len(src) > 0; src, i = src[e.bytes:], i+e.block {
		switch {
		case e.decode != nil:
			e.decode(out[i:i+e.block], src[:e.bytes])
		case e.plain == tensor.F32:
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(src))
		case e.plain == tensor.F16:
			out[i] = kernels.F16ToF32(binary.LittleEndian.Uint16(src))
		default:
			out[i] = bf16(binary.LittleEndian.Uint16(src))
		}
	}
	return out
}

func (m matrixRows) copyRow(dst []byte, r int) {
	for c, v := range m.data[r*m.k : (r+1)*m.k] {
		binary.LittleEndian.PutUint32(dst[4*c:], math.Float32bits(v))
	}
}

func (m matrixRows) copyColumn(dst []byte, c int) {
	for r := range len(m.data) / m.k {
		binary.LittleEndian.PutUint32(dst[4*r:], math.Float32bits(m.data[r*m.k+c]))
	}
}
