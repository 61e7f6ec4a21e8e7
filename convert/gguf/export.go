package gguf

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// ExportOptions say how to write a file.
type ExportOptions struct {
	// Weights is the element type of matrices: f32, f16 (the default, ""), q8_0 or q4_0; case does not matter. Vectors are F32, and
	// matrices whose rows are no whole blocks F16.
	Weights string
	// Force allows an existing file to be replaced.
	Force bool
}

// Save writes a language model as a GGUF file that llama.cpp reads. Quantized weights are written as what they stand for. What the
// file says is read back and must give the graph of m, or nothing is left: so a model that llama.cpp's description of its
// architecture does not cover is a *fault.Unsupported, not a file that computes something else.
func Save(ctx context.Context, path string, m *model.Model, o ExportOptions) (err error) {
	if _, err := os.Lstat(path); err == nil && !o.Force {
		return &fault.Usage{What: fmt.Sprintf("%s exists; --force replaces it", path)}
	}
	e, err := newExport(model.JoinRows(m), o.Weights)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".dsk-*.gguf")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	w := bufio.NewWriterSize(tmp, 1<<20)
	err = e.write(ctx, w)
	for _, step := range []func() error{w.Flush, func() error { return tmp.Chmod(0o644) }, tmp.Sync, tmp.Close} {
		if stepErr := step(); err == nil {
			err = stepErr
		}
	}
	if err != nil {
		return err
	}
	if err := e.verify(ctx, tmp.Name()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// verify reads a written file's header back and compares the graphs.
func (e *export) verify(ctx context.Context, path string) error {
	back, r, err := Import(ctx, path, safetensors.Options{})
	if err != nil {
		return fmt.Errorf("the written file cannot be read back: %w", err)
	}
	diff := e.difference(back)
	if err := r.Close(); err != nil {
		return err
	}
	if diff != "" {
		return unsupported("GGUF "+e.arch.name, diff, "llama.cpp's form of the architecture has no place for it")
	}
	return nil
}

// export is a file on its way out.
type export struct {
	m       *model.Model
	arch    *architecture
	weights target
	entries []Entry
	tensors []outTensor
	used    map[string]bool // initializers
}

// outTensor is a tensor to be written: rows of initializers, one after the other.
type outTensor struct {
	name  string
	shape []int
	as    target
	parts []*tensor.Tensor
	row   func(r int) int // which row of the parts, put together, row r is; nil: itself
}

func newExport(m *model.Model, weights string) (*export, error) {
	if m.Meta.LM == nil || m.Meta.Task != model.TaskLM {
		return nil, &fault.Usage{What: "only language models are written as GGUF"}
	}
	e := &export{m: m, weights: targetF16, used: map[string]bool{}}
	if weights != "" {
		found := false
		for _, t := range targets {
			if strings.EqualFold(t.name, weights) {
				e.weights, found = t, true
			}
		}
		if !found {
			return nil, &fault.Usage{What: fmt.Sprintf("unknown type of weights %q: it is one of f32, f16, q8_0, q4_0", weights)}
		}
	}
	var err error
	if e.arch, err = architectureOf(m.Meta.Architecture); err != nil {
		return nil, err
	}
	if err := e.addTensors(); err != nil {
		return nil, err
	}
	if err := e.addMetadata(); err != nil {
		return nil, err
	}
	return e, e.addTokenizer()
}

func (e *export) set(key string, value any) { e.entries = append(e.entries, Entry{key, value}) }

// write writes the header and then the elements, one tensor at a time.
func (e *export) write(ctx context.Context, w io.Writer) error {
	const alignment = 32
	var head bytes.Buffer
	head.WriteString(Magic)
	put(&head, uint32(3), uint64(len(e.tensors)), uint64(len(e.entries)))
	for _, entry := range e.entries {
		put(&head, entry.Key)
		putValue(&head, entry.Value)
	}
	offset := 0
	for _, t := range e.tensors {
		put(&head, t.name, uint32(len(t.shape)))
		for i := len(t.shape) - 1; i >= 0; i-- {
			put(&head, uint64(t.shape[i]))
		}
		put(&head, t.as.number, uint64(offset))
		offset += (t.bytes() + alignment - 1) / alignment * alignment
	}
	head.Write(make([]byte, (alignment-head.Len()%alignment)%alignment))
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	for _, t := range e.tensors {
		if err := t.write(ctx, w); err != nil {
			return fmt.Errorf("tensor %s: %w", t.name, err)
		}
		if _, err := w.Write(make([]byte, (alignment-t.bytes()%alignment)%alignment)); err != nil {
			return err
		}
	}
	return nil
}

func (t *outTensor) bytes() int {
	n := 1
	for _, d := range t.shape {
		n *= d
	}
	e := elements[t.as.number]
	return n / e.block * e.bytes
}

// write writes the rows. Unless they are in another order, one part after the other is in memory.
func (t *outTensor) write(ctx context.Context, w io.Writer) error {
	var buf []byte
	var loaded *tensor.Tensor
	at, first := -1, 0 // the part that is loaded and its first row
	total := 0
	for _, p := range t.parts {
		n, _ := matrixOf(p.Shape)
		total += n
	}
	for r := range total {
		if r%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		want := r
		if t.row != nil {
			want = t.row(r)
		}
		for at < 0 || want < first || want >= first+loaded.Shape[0] {
			if at >= 0 && want >= first {
				first += loaded.Shape[0]
				at++
			} else {
				at, first = 0, 0
			}
			p, err := t.parts[at].Loaded()
			if err != nil {
				return err
			}
			n, k := matrixOf(p.Shape)
			loaded = &tensor.Tensor{DType: p.DType, Shape: []int{n, k}, Layout: p.Layout, Data: p.Data, Levels: p.Levels}
		}
		row := make([]float32, loaded.Shape[1])
		readRow(row, loaded, want-first)
		var err error
		if buf, err = t.as.encodeRow(buf[:0], row, t.name); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// matrixOf sees a tensor as rows: a vector's are its elements, so that they can be put in another order.
func matrixOf(shape []int) (n, k int) {
	if len(shape) == 0 {
		return 1, 1
	}
	n = 1
	for _, d := range shape[:len(shape)-1] {
		n *= d
	}
	k = shape[len(shape)-1]
	if len(shape) == 1 {
		n, k = k, 1
	}
	return n, k
}

// readRow makes float32 of row r of a loaded matrix.
func readRow(dst []float32, t *tensor.Tensor, r int) {
	k := t.Shape[1]
	if t.DType.IsQuantized() {
		kernels.DequantizeRow(dst, t.Data, t.DType.Format(), t.Levels, r, k)
		return
	}
	first, step := r*k, 1
	if t.Layout == tensor.Panel16 {
		first, step = r/kernels.PanelRows*k*kernels.PanelRows+r%kernels.PanelRows, kernels.PanelRows
	}
	switch t.DType {
	case tensor.F32:
		src := t.F32()
		for i := range dst {
			dst[i] = src[first+i*step]
		}
	default:
		src := tensor.View[uint16](t)
		for i := range dst {
			if h := src[first+i*step]; t.DType == tensor.F16 {
				dst[i] = kernels.F16ToF32(h)
			} else {
				dst[i] = bf16(h)
			}
		}
	}
}

// put appends numbers and strings in the file's form.
func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		if s, ok := v.(string); ok {
			put(b, uint64(len(s)))
			b.WriteString(s)
			continue
		}
		if err := binary.Write(b, binary.LittleEndian, v); err != nil {
			panic("gguf: " + err.Error()) // a type that the format does not have
		}
	}
}

// putValue appends a metadata value with its type.
func putValue(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case uint32:
		put(b, uint32(typeU32), v)
	case float32:
		put(b, uint32(typeF32), v)
	case bool:
		put(b, uint32(typeBool), v)
	case string:
		put(b, uint32(typeString), v)
	case []int32:
		put(b, uint32(typeArray), uint32(typeI32), uint64(len(v)), v)
	case []float32:
		put(b, uint32(typeArray), uint32(typeF32), uint64(len(v)), v)
	case []string:
		put(b, uint32(typeArray), uint32(typeString), uint64(len(v)))
		for _, s := range v {
			put(b, s)
		}
	default:
		panic(fmt.Sprintf("gguf: a metadata value of type %T", value))
	}
}
