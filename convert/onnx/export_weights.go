package onnx

import (
	"math"
	"slices"

	"github.com/x448/float16"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// asIs sees to it that an initializer exists under a name, e.weights[name], with the elements and axes that the graph gives it. It returns the
// nodes that make it, once.
func (e *exporter) asIs(name string, t *tensor.Tensor) ([]*model.Node, error) {
	if e.weights[name] != "" {
		return nil, nil
	}
	e.weights[name] = name
	if !t.DType.IsQuantized() {
		e.add(name, tensor.Unpack(t))
		return nil, nil
	}
	if !e.small(t) {
		e.add(name, dequantized(t))
		return nil, nil
	}
	return e.fromBlocks(name, name, t)
}

// fromBlocks returns the nodes that make the value out of quantized weights, with the axes that they have.
func (e *exporter) fromBlocks(out, name string, t *tensor.Tensor) ([]*model.Node, error) {
	codes, scales, err := e.blocks(name, t, false)
	if err != nil {
		return nil, err
	}
	matrix := out
	if len(t.Shape) != 2 {
		matrix = e.name(out + ".rows")
	}
	e.need(21)
	nodes := []*model.Node{{Op: "DequantizeLinear", Name: matrix, Inputs: []string{codes, scales}, Outputs: []string{matrix}, Attrs: blockAttrs(1)}}
	if matrix == out {
		return nodes, nil
	}
	shape := make([]int64, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = int64(d)
	}
	shapeName := e.name(out + ".shape")
	e.add(shapeName, tensor.FromSlice(shape, len(shape)))
	return append(nodes, &model.Node{Op: "Reshape", Name: out, Inputs: []string{matrix, shapeName}, Outputs: []string{out}, Attrs: model.Attrs{}}), nil
}

func blockAttrs(axis int) model.Attrs {
	return model.Attrs{"axis": model.IntAttr(int64(axis)), "block_size": model.IntAttr(kernels.GroupLen)}
}

// blocks adds codes and scales of quantized weights, seen as a matrix [N,K] or, turned, [K,N]: weight = code * scale, with the
// code (level - kernels.LevelZero) and the scale of its group, for which the product of group's and row's is rounded to float32 as
// kernels.DequantizeRow rounds it. So are the weights the same numbers.
func (e *exporter) blocks(name string, t *tensor.Tensor, turned bool) (codes, scales string, err error) {
	suffix := ".rows"
	if turned {
		suffix = ".columns"
	}
	key := name + suffix
	if e.weights[key] != "" {
		return e.weights[key], e.weights[key+".scale"], nil
	}
	n, k := tensor.Matrix(t.Shape)
	groups := kernels.Groups(k)
	codes, scales = e.name(name+".codes"), e.name(name+".scale")
	fill := func(dt tensor.DType, cols int, put func(q *tensor.Tensor, dst []byte, row int)) *tensor.Tensor {
		shape := []int{n, cols}
		wide := tensor.Deferred(dt, shape, tensor.RowMajor, nil, func(dst []byte) error {
			q, err := t.Loaded()
			if err != nil {
				return err
			}
			row := cols * dt.Size()
			for r := range n {
				put(q, dst[r*row:][:row], r)
			}
			return nil
		})
		return wide
	}
	c := fill(tensor.I8, k, func(q *tensor.Tensor, dst []byte, row int) {
		kernels.BlockCodes(dst, q.Data, t.DType.Format(), t.Levels, row, k)
	})
	s := fill(tensor.F32, groups, func(q *tensor.Tensor, dst []byte, row int) {
		kernels.BlockScales(dst, q.Data, t.DType.Format(), row, k)
	})
	if turned {
		if c, err = tensor.Permuted(c, 1, 0); err != nil {
			return "", "", err
		}
		if s, err = tensor.Permuted(s, 1, 0); err != nil {
			return "", "", err
		}
	}
	e.add(codes, c)
	e.add(scales, s)
	e.weights[key], e.weights[key+".scale"] = codes, scales
	return codes, scales, nil
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

// matrix returns the value [K,N] that MatMul reads for the weight [N,K] of n, in the element type dt, and what makes it; "" after a gap.
func (e *exporter) matrix(n *model.Node, dt tensor.DType) (string, []*model.Node, error) {
	name := n.In(1)
	t := e.g.Init[name]
	if t == nil {
		w, nodes := e.transposed(name, 1, 0)
		w, cast := e.cast(w, e.typeOf(name).DType, dt)
		return w, append(nodes, cast...), nil
	}
	key := name + " as a factor"
	if e.weights[key] != "" {
		w, cast := e.cast(e.weights[key], e.stored(t), dt)
		return w, cast, nil
	}
	if len(t.Shape) != 2 {
		e.gap(n, "its weight is no matrix")
		return "", nil, nil
	}
	var w string
	var nodes []*model.Node
	var err error
	switch {
	case e.plain[name] && !e.small(t):
		if nodes, err = e.asIs(name, t); err != nil {
			return "", nil, err
		}
		var turn []*model.Node
		w, turn = e.transposed(e.weights[name], 1, 0)
		nodes = append(nodes, turn...)
	case e.small(t):
		codes, scales := "", ""
		if codes, scales, err = e.blocks(name, t, !e.plain[name]); err != nil {
			return "", nil, err
		}
		e.need(21)
		axis := 0
		if e.plain[name] {
			axis = 1
		}
		w = e.name(name + ".value")
		nodes = []*model.Node{{Op: "DequantizeLinear", Name: w, Inputs: []string{codes, scales}, Outputs: []string{w}, Attrs: blockAttrs(axis)}}
		if e.plain[name] {
			var turn []*model.Node
			w, turn = e.transposed(w, 1, 0)
			nodes = append(nodes, turn...)
		}
	default:
		src := tensor.Unpack(t)
		if t.DType.IsQuantized() {
			src = dequantized(t)
		}
		if src, err = tensor.Permuted(src, 1, 0); err != nil {
			return "", nil, err
		}
		w = e.name(name + ".factor")
		e.add(w, src)
	}
	e.weights[key] = w
	w, cast := e.cast(w, e.stored(t), dt)
	return w, append(nodes, cast...), nil
}

// small reports whether a weight is written as codes and scales.
func (e *exporter) small(t *tensor.Tensor) bool {
	return t.DType.IsQuantized() && e.o.Weights == WeightsQDQ && (t.DType != tensor.D8 || t.Levels.Shift <= math.MaxInt8-(kernels.MaxLevel-kernels.LevelZero))
}

// stored is the element type that a weight has when it is read.
func (e *exporter) stored(t *tensor.Tensor) tensor.DType {
	if t.DType.IsQuantized() {
		return tensor.F32
	}
	return t.DType
}

// kernel returns the value [M,C/group,...] that Conv reads for the weight [M,...,C/group] of n, and what makes it; "" after a gap.
func (e *exporter) kernel(n *model.Node, dt tensor.DType) (string, []*model.Node, error) {
	name := n.In(1)
	rank := len(e.typeOf(name).Shape)
	if rank < 3 {
		e.gap(n, "its weight has fewer than three axes")
		return "", nil, nil
	}
	perm := []int{0, rank - 1}
	for a := 1; a < rank-1; a++ {
		perm = append(perm, a)
	}
	turn := func(from string) (string, []*model.Node) {
		var p []int64
		for _, a := range perm {
			p = append(p, int64(a))
		}
		return e.transposed(from, p...)
	}
	t := e.g.Init[name]
	if t == nil {
		w, nodes := turn(name)
		w, cast := e.cast(w, e.typeOf(name).DType, dt)
		return w, append(nodes, cast...), nil
	}
	key := name + " as a kernel"
	var nodes []*model.Node
	if e.weights[key] == "" {
		var w string
		var err error
		switch {
		case e.small(t):
			rows := e.name(name + ".value")
			if nodes, err = e.fromBlocks(rows, name, t); err != nil {
				return "", nil, err
			}
			var turned []*model.Node
			w, turned = turn(rows)
			nodes = append(nodes, turned...)
		default:
			src := tensor.Unpack(t)
			if t.DType.IsQuantized() {
				src = dequantized(t)
			}
			if src, err = tensor.Permuted(src, perm...); err != nil {
				return "", nil, err
			}
			w = e.name(name + ".kernel")
			e.add(w, src)
		}
		e.weights[key] = w
	}
	w, cast := e.cast(e.weights[key], e.stored(t), dt)
	return w, append(nodes, cast...), nil
}

// narrow rounds a number to F16 or BF16.
func narrow(v float32, dt tensor.DType) uint16 {
	if dt == tensor.F16 {
		return float16.Fromfloat32(v).Bits()
	}
	b := math.Float32bits(v)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
