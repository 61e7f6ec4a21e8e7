package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/x448/float16"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The functions of this file return the names of values that are made of initializers. The nodes that make them stand before all others, so
// that subgraphs can read them too, and each value is made once.

// constant adds a node of the prologue and returns its output's name, which is new and like base.
func (e *exporter) constant(base, op string, attrs model.Attrs, inputs ...string) string {
	out := e.name(base)
	e.constantAs(out, op, attrs, inputs...)
	return out
}

func (e *exporter) constantAs(out, op string, attrs model.Attrs, inputs ...string) {
	if attrs == nil {
		attrs = model.Attrs{}
	}
	n := &model.Node{Op: op, Name: out, Inputs: inputs, Outputs: []string{out}, Attrs: attrs}
	e.need(opsetOf(n, e.typeOf))
	e.prologue = append(e.prologue, n)
}

// operand returns the value of the given float type that stands for an operand; values that are no initializers stay.
func (e *exporter) operand(name string, dt tensor.DType) string {
	t := e.g.Init[name]
	if name == "" || t == nil {
		return name
	}
	return e.cast(e.asIs(name, t), stored(t), dt)
}

// cast returns a constant in another float type.
func (e *exporter) cast(name string, from, to tensor.DType) string {
	if from == to || !from.IsFloat() || !to.IsFloat() {
		return name
	}
	key := name + " as " + to.String()
	if e.weights[key] == "" {
		e.weights[key] = e.constant(name+".wide", "Cast", model.Attrs{"to": model.IntAttr(model.ElemCode(to))}, name)
	}
	return e.weights[key]
}

// stored is the element type that a weight has when it is read.
func stored(t *tensor.Tensor) tensor.DType {
	if t.DType.IsQuantized() {
		return tensor.F32
	}
	return t.DType
}

// small reports whether a weight is written as codes and scales.
func (e *exporter) small(t *tensor.Tensor) bool {
	return t.DType.IsQuantized() && e.o.Weights == WeightsQDQ && (t.DType != tensor.D8 || t.Levels.Shift <= math.MaxInt8-(kernels.MaxLevel-kernels.LevelZero))
}

// rowsOf returns the elements of a weight in rows, of float32 if it is quantized.
func rowsOf(t *tensor.Tensor) *tensor.Tensor {
	if t.DType.IsQuantized() {
		return dequantized(t)
	}
	return tensor.Unpack(t)
}

// asIs returns an initializer with the elements and axes that the graph gives it, under its own name.
func (e *exporter) asIs(name string, t *tensor.Tensor) string {
	if e.weights[name] != "" {
		return name
	}
	e.weights[name] = name
	if e.small(t) {
		e.fromBlocks(name, name, t)
	} else {
		e.add(name, rowsOf(t))
	}
	return name
}

// fromBlocks makes the value out of quantized weights, with the axes that they have.
func (e *exporter) fromBlocks(out, name string, t *tensor.Tensor) {
	codes, scales := e.blocks(name, t, false)
	if len(t.Shape) == 2 {
		e.constantAs(out, "DequantizeLinear", blockAttrs(1), codes, scales)
		return
	}
	shape := make([]int64, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = int64(d)
	}
	shapeName := e.name(out + ".shape")
	e.add(shapeName, tensor.FromSlice(shape, len(shape)))
	matrix := e.constant(out+".rows", "DequantizeLinear", blockAttrs(1), codes, scales)
	e.constantAs(out, "Reshape", nil, matrix, shapeName)
}

func blockAttrs(axis int) model.Attrs {
	return model.Attrs{"axis": model.IntAttr(int64(axis)), "block_size": model.IntAttr(kernels.GroupLen)}
}

// blocks adds codes and scales of quantized weights, seen as a matrix [N,K] or, turned, [K,N]: weight = code * scale, with the
// code (level - kernels.LevelZero) and the scale of its group, for which the product of group's and row's is rounded to float32 as
// kernels.DequantizeRow rounds it. So are the weights the same numbers.
func (e *exporter) blocks(name string, t *tensor.Tensor, turned bool) (codes, scales string) {
	key := fmt.Sprint(name, " in blocks ", turned)
	if e.weights[key] != "" {
		return e.weights[key], e.weights[key+" scale"]
	}
	n, k := tensor.Matrix(t.Shape)
	fill := func(dt tensor.DType, cols int, put func(q *tensor.Tensor, dst []byte, row int)) *tensor.Tensor {
		all := tensor.Deferred(dt, []int{n, cols}, tensor.RowMajor, nil, func(dst []byte) error {
			q, err := t.Loaded()
			if err != nil {
				return err
			}
			size := cols * dt.Size()
			for r := range n {
				put(q, dst[r*size:][:size], r)
			}
			return nil
		})
		if turned {
			return permuted(all, 1, 0)
		}
		return all
	}
	codes, scales = e.name(name+".codes"), e.name(name+".scale")
	e.add(codes, fill(tensor.I8, k, func(q *tensor.Tensor, dst []byte, row int) {
		kernels.BlockCodes(dst, q.Data, t.DType.Format(), t.Levels, row, k)
	}))
	e.add(scales, fill(tensor.F32, kernels.Groups(k), func(q *tensor.Tensor, dst []byte, row int) {
		kernels.BlockScales(dst, q.Data, t.DType.Format(), row, k)
	}))
	e.weights[key], e.weights[key+" scale"] = codes, scales
	return codes, scales
}

// permuted is tensor.Permuted of a row-major tensor whose axes were counted.
func permuted(t *tensor.Tensor, perm ...int) *tensor.Tensor {
	out, err := tensor.Permuted(t, perm...)
	if err != nil {
		panic("onnx: " + err.Error())
	}
	return out
}

// dequantized returns the float32 numbers that quantized weights stand for.
func dequantized(t *tensor.Tensor) *tensor.Tensor {
	n, k := tensor.Matrix(t.Shape)
	return tensor.Computed(slices.Clone(t.Shape), func(dst []float32) error {
		q, err := t.Loaded()
		if err != nil {
			return err
		}
		for r := range n {
			kernels.DequantizeRow(dst[r*k:], q.Data, t.DType.Format(), t.Levels, r, k)
		}
		return nil
	})
}

// matrix returns the value [K,N] that MatMul reads for a weight [N,K]. A weight that other nodes read as it is, such as the table of
// a vocabulary, lies in the file once.
func (e *exporter) matrix(name string, t *tensor.Tensor) string {
	key := name + " as a factor"
	if e.weights[key] != "" {
		return e.weights[key]
	}
	shared := e.plain[name]
	var w string
	switch {
	case e.small(t):
		codes, scales := e.blocks(name, t, !shared)
		axis := 0
		if shared {
			axis = 1
		}
		w = e.constant(name+".value", "DequantizeLinear", blockAttrs(axis), codes, scales)
	case shared:
		w = e.asIs(name, t)
	default:
		w = e.name(name + ".factor")
		e.add(w, permuted(rowsOf(t), 1, 0))
	}
	if shared {
		w = e.constant(name+".factor", "Transpose", model.Attrs{"perm": model.IntsAttr(1, 0)}, w)
	}
	e.weights[key] = w
	return w
}

// kernelOrder is the order of axes that makes a weight of Conv, [M,C/group,...], of one with its channels last.
func kernelOrder(rank int) []int {
	perm := []int{0, rank - 1}
	for a := 1; a < rank-1; a++ {
		perm = append(perm, a)
	}
	return perm
}

func permAttr(perm []int) model.Attrs {
	p := make([]int64, len(perm))
	for i, a := range perm {
		p[i] = int64(a)
	}
	return model.Attrs{"perm": model.IntsAttr(p...)}
}

// kernel returns the value [M,C/group,...] that Conv reads for a weight [M,...,C/group].
func (e *exporter) kernel(name string, t *tensor.Tensor) string {
	key := name + " as a kernel"
	if e.weights[key] != "" {
		return e.weights[key]
	}
	perm := kernelOrder(len(t.Shape))
	var w string
	if e.small(t) {
		rows := e.name(name + ".value")
		e.fromBlocks(rows, name, t)
		w = e.constant(name+".kernel", "Transpose", permAttr(perm), rows)
	} else {
		w = e.name(name + ".kernel")
		e.add(w, permuted(rowsOf(t), perm...))
	}
	e.weights[key] = w
	return w
}

// scalar returns an initializer of one number of F64, F32, F16 or BF16.
func (e *exporter) scalar(v float32, dt tensor.DType) string {
	key := fmt.Sprint("scalar ", v, dt)
	if e.weights[key] == "" {
		t := tensor.New(dt)
		switch dt {
		case tensor.F64:
			tensor.View[float64](t)[0] = float64(v)
		case tensor.F32:
			t.F32()[0] = v
		case tensor.F16:
			tensor.View[uint16](t)[0] = float16.Fromfloat32(v).Bits()
		default:
			b := math.Float32bits(v)
			tensor.View[uint16](t)[0] = uint16((b + 0x7fff + b>>16&1) >> 16)
		}
		e.weights[key] = e.name(fmt.Sprintf("constant.%g", v))
		e.add(e.weights[key], t)
	}
	return e.weights[key]
}

// ints returns an initializer of I64 numbers.
func (e *exporter) ints(v ...int64) string {
	return e.integers(fmt.Sprint("ints ", v), v, len(v))
}

// integer returns an initializer of one I64 without axes.
func (e *exporter) integer(v int64) string {
	return e.integers(fmt.Sprint("integer ", v), []int64{v})
}

func (e *exporter) integers(key string, v []int64, shape ...int) string {
	if e.weights[key] == "" {
		e.weights[key] = e.name(fmt.Sprintf("ints.%d", v[0]))
		e.add(e.weights[key], tensor.FromSlice(slices.Clone(v), append([]int{}, shape...)...))
	}
	return e.weights[key]
}
