package safetensors

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// maxRandomLayers caps the layers of a model that has no tensors to count.
const maxRandomLayers = 1024

// Random makes the model that a config.json, or the folder that it lies in, describes, with random weights: its speed is that of
// the real model, and it says nothing. Matrices are BF16, or blocks of the format if that is not 0; they are made when
// they are asked for, the same ones each time. Errors are those of Import.
func Random(ctx context.Context, path string, format kernels.Format) (*model.Model, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "config.json")
	}
	data, err := readFile(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return nil, err
	}
	c, err := readConfig(data)
	if err != nil {
		return nil, fault.InFile(err, path)
	}
	arch, err := findArchitecture(c)
	if err != nil {
		return nil, fault.InFile(err, path)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Report{Architecture: arch.name, weights: &checkpoint{random: true, tensors: map[string]weight{}, unused: map[string]bool{}}}
	m, err := r.lower(newBuilder(c, r.weights), arch, path, path)
	if err != nil {
		return nil, err
	}
	m.Meta.Name = arch.name + " with random weights"
	if format != 0 {
		for name, t := range m.Graph.Init {
			if t.IsDeferred() && t.Layout == tensor.Panel16 {
				m.Graph.Init[name] = randomBlocks(name, t.Shape, format)
			}
		}
	}
	return m, nil
}

// source returns a generator that depends on the name and the row only.
func source(name string, row int) *rand.PCG {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.NewPCG(h.Sum64(), uint64(row))
}

// randomWeight is a tensor of BF16 with magnitudes of 1/64 to 1/32.
func randomWeight(name string, shape []int) weight {
	w := weight{Entry: Entry{Name: name, Type: "BF16", DType: tensor.BF16, Shape: shape}, file: &weightFile{mapping: &tensor.Mapping{}}}
	row := 2
	if len(shape) > 0 {
		row *= shape[len(shape)-1]
	}
	w.read = func(dst []byte, first int) error {
		for r := 0; r*row < len(dst); r++ {
			g := source(name, first+r)
			for out := dst[r*row : min(len(dst), (r+1)*row)]; len(out) > 0; {
				// Sign and low bits of the mantissa at random, the exponent of 2^-6.
				v := g.Uint64()&0x807f_807f_807f_807f | 0x3c80_3c80_3c80_3c80
				var b [8]byte
				binary.LittleEndian.PutUint64(b[:], v)
				out = out[copy(out, b[:]):]
			}
		}
		return nil
	}
	return w
}

// randomBlocks is a matrix in a block format, of weights of about the size that keeps the outputs that of the inputs.
func randomBlocks(name string, shape []int, format kernels.Format) *tensor.Tensor {
	dt, levels := tensor.QuantizedDType(format), kernels.DefaultLevels(format)
	n, k := tensor.Matrix(shape)
	return tensor.Deferred(dt, shape, tensor.Panel16, levels, func(dst []byte) error {
		size, codes := format.PanelBytes(k), kernels.CodesOffset(k)
		if len(dst) != kernels.Panels(n)*size {
			return errors.New("the blocks have another size")
		}
		for p := range kernels.Panels(n) {
			panel, g := dst[p*size:(p+1)*size], source(name, p)
			for r := range kernels.PanelRows {
				// Levels spread by about 40 around zero, group scales are 64 to 127.
				scale := float32(1 / (40 * 96 * math.Sqrt(float64(k))))
				binary.LittleEndian.PutUint32(panel[4*r:], math.Float32bits(scale))
			}
			for i := kernels.ScalesOffset; i < kernels.ScalesOffset+kernels.Groups(k)*kernels.PanelRows; i++ {
				panel[i] = byte(64 + g.Uint64()%64)
			}
			mask := uint64(math.MaxUint64)
			if format == kernels.D8 {
				mask = 0x7f7f_7f7f_7f7f_7f7f // its codes are levels
			}
			for i := codes; i+8 <= size; i += 8 {
				binary.LittleEndian.PutUint64(panel[i:], g.Uint64()&mask)
			}
		}
		return nil
	})
}
