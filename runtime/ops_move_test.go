package runtime

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var moveTypes = []tensor.DType{tensor.U8, tensor.F16, tensor.F32, tensor.I64}

// counting is a tensor whose elements are told apart by their bytes.
func counting(dt tensor.DType, shape ...int) *tensor.Tensor {
	t := tensor.New(dt, shape...)
	for i := range t.Len() {
		t.Data[i*dt.Size()] = byte(i)
		if dt.Size() > 1 {
			t.Data[i*dt.Size()+1] = byte(i >> 8)
		}
	}
	return t
}

// elementAt returns the bytes of the element at idx.
func elementAt(t *tensor.Tensor, idx []int) []byte {
	off := 0
	for a, s := range strides(t.Shape) {
		off += idx[a] * s
	}
	size := t.DType.Size()
	return t.Data[off*size : (off+1)*size]
}

// each calls f for every index of a shape.
func each(shape []int, f func(idx []int)) {
	idx := make([]int, len(shape))
	for n := product(shape); n > 0; n-- {
		f(idx)
		for a := len(shape) - 1; a >= 0; a-- {
			if idx[a]++; idx[a] < shape[a] {
				break
			}
			idx[a] = 0
		}
	}
}

// sameMove checks that out[idx] is in[from(idx)] everywhere.
func sameMove(t *testing.T, what string, out, in *tensor.Tensor, from func(idx []int) []int) {
	t.Helper()
	each(out.Shape, func(idx []int) {
		if got, want := elementAt(out, idx), elementAt(in, from(idx)); !slices.Equal(got, want) {
			t.Fatalf("%s: element %v is %x, want %x", what, idx, got, want)
		}
	})
}

func randShape(r *rand.Rand, rank, limit int) []int {
	s := make([]int, rank)
	for i := range s {
		s[i] = 1 + r.IntN(limit)
	}
	return s
}

func TestTransposeAnyPermutation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 200 {
		rank := 1 + r.IntN(5)
		limit := 6
		if n%10 == 0 {
			rank, limit = 2+r.IntN(2), 40
		}
		shape, perm := randShape(r, rank, limit), r.Perm(rank)
		dt := moveTypes[n%len(moveTypes)]
		in := counting(dt, shape...)
		attr := model.IntsAttr()
		out := &tensor.Tensor{DType: dt}
		for _, p := range perm {
			attr.Ints = append(attr.Ints, int64(p))
			out.Shape = append(out.Shape, shape[p])
		}
		op := testOp{op: "Transpose", attrs: model.Attrs{"perm": attr}, in: []*tensor.Tensor{in}, out: []*tensor.Tensor{out}, threads: 1 + n%3}
		op.run(t)
		sameMove(t, "Transpose", out, in, func(idx []int) []int {
			from := make([]int, rank)
			for i, p := range perm {
				from[p] = idx[i]
			}
			return from
		})
	}
}

func ints(v ...int) *tensor.Tensor {
	t := tensor.New(tensor.I64, len(v))
	for i, x := range v {
		t.I64()[i] = int64(x)
	}
	return t
}

func TestSliceAnyStep(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for n := range 300 {
		rank := 1 + r.IntN(4)
		shape := randShape(r, rank, 7)
		in := counting(moveTypes[n%len(moveTypes)], shape...)
		out := &tensor.Tensor{DType: in.DType, Shape: make([]int, rank)}
		var starts, ends, axes, steps []int
		for a, d := range shape {
			start, step := r.IntN(d), []int{1, 2, 3, -1, -2}[r.IntN(5)]
			count := 1 + r.IntN(d)
			if step > 0 {
				count = min(count, (d-1-start)/step+1)
			} else {
				count = min(count, start/-step+1)
			}
			end := start + (count-1)*step + 1
			if step < 0 {
				if end = start + (count-1)*step - 1; end < 0 {
					end = -d - 1 // -1 would be the last
				}
			}
			starts, ends, steps = append(starts, start), append(ends, end), append(steps, step)
			axes = append(axes, a-rank*r.IntN(2))
			out.Shape[a] = count
		}
		op := testOp{op: "Slice", in: []*tensor.Tensor{in, ints(starts...), ints(ends...), ints(axes...), ints(steps...)},
			out: []*tensor.Tensor{out}, constant: []int{1, 2, 3, 4}}
		op.run(t)
		sameMove(t, "Slice", out, in, func(idx []int) []int {
			from := make([]int, rank)
			for a := range from {
				from[a] = starts[a] + idx[a]*steps[a]
			}
			return from
		})
	}
}

func TestTileExpandConcatSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for n := range 100 {
		rank := 1 + r.IntN(4)
		shape := randShape(r, rank, 5)
		dt := moveTypes[n%len(moveTypes)]
		in := counting(dt, shape...)

		tiled := &tensor.Tensor{DType: dt}
		repeats := randShape(r, rank, 3)
		for a, d := range shape {
			tiled.Shape = append(tiled.Shape, d*repeats[a])
		}
		(&testOp{op: "Tile", in: []*tensor.Tensor{in, ints(repeats...)}, out: []*tensor.Tensor{tiled}}).run(t)
		sameMove(t, "Tile", tiled, in, func(idx []int) []int {
			from := make([]int, rank)
			for a := range from {
				from[a] = idx[a] % shape[a]
			}
			return from
		})

		small, wide := counting(dt, shape...), &tensor.Tensor{DType: dt, Shape: append([]int{2}, shape...)}
		wide.Shape[1] = 4
		small.Shape = append([]int(nil), shape...)
		small.Shape[0] = 1
		small = counting(dt, small.Shape...)
		(&testOp{op: "Expand", in: []*tensor.Tensor{small, ints(wide.Shape...)}, out: []*tensor.Tensor{wide}}).run(t)
		sameMove(t, "Expand", wide, small, func(idx []int) []int {
			return append([]int{0}, idx[2:]...)
		})

		axis := r.IntN(rank)
		other := counting(dt, shape...)
		joined := &tensor.Tensor{DType: dt, Shape: append([]int(nil), shape...)}
		joined.Shape[axis] *= 2
		attrs := model.Attrs{"axis": model.IntAttr(int64(axis))}
		(&testOp{op: "Concat", attrs: attrs, in: []*tensor.Tensor{in, other}, out: []*tensor.Tensor{joined}, threads: 2}).run(t)
		parts := []*tensor.Tensor{{DType: dt, Shape: shape}, {DType: dt, Shape: shape}}
		sizes := ints(shape[axis], shape[axis])
		(&testOp{op: "Split", attrs: attrs, in: []*tensor.Tensor{joined, sizes}, out: parts, constant: []int{1}}).run(t)
		same := func(idx []int) []int { return idx }
		sameMove(t, "Concat and Split, first", parts[0], in, same)
		sameMove(t, "Concat and Split, second", parts[1], other, same)
	}
}

func TestGatherPanelTables(t *testing.T) {
	const n, k = 37, 70
	src := randF32(5, n, k)
	idx := ints(3, -1, 36, 0, 17)
	for _, dt := range []tensor.DType{tensor.F32, tensor.BF16, tensor.F16} {
		size, err := tensor.ByteSize(dt, []int{n, k}, tensor.Panel16)
		if err != nil {
			t.Fatal(err)
		}
		table := &tensor.Tensor{DType: dt, Shape: []int{n, k}, Layout: tensor.Panel16, Data: tensor.AlignedBytes(size)}
		want := slices.Clone(src.F32())
		if dt == tensor.F32 {
			kernels.PackPanel16(table.F32(), src.F32(), n, k, k, 1)
		} else {
			h := halfOf(dt)
			raw := make([]uint16, n*k)
			for i, v := range want {
				raw[i] = h.to(v)
				want[i] = h.from(raw[i])
			}
			kernels.PackPanel16U16(tensor.View[uint16](table), raw, n, k, k, 1)
		}
		out := emptyF32(5, k)
		(&testOp{op: "Gather", in: []*tensor.Tensor{table, idx}, out: []*tensor.Tensor{out}, threads: 2}).run(t)
		for i, v := range idx.I64() {
			row := int(v+n) % n
			if !slices.Equal(out.F32()[i*k:(i+1)*k], want[row*k:(row+1)*k]) {
				t.Errorf("%v: row %d differs", dt, v)
			}
		}
	}
}

func TestIndexOutOfRange(t *testing.T) {
	data := counting(tensor.F32, 3, 4)
	bad := ints(2, 3)
	for _, c := range []testOp{
		{op: "Gather", in: []*tensor.Tensor{data, bad}, out: []*tensor.Tensor{emptyF32(2, 4)}},
		{op: "GatherElements", in: []*tensor.Tensor{data, bad.Reshaped(1, 2)}, out: []*tensor.Tensor{emptyF32(1, 2)}},
		{op: "GatherND", in: []*tensor.Tensor{data, bad.Reshaped(2, 1)}, out: []*tensor.Tensor{emptyF32(2, 4)}},
		{op: "ScatterND", in: []*tensor.Tensor{data, bad.Reshaped(2, 1), randF32(1, 2, 4)}, out: []*tensor.Tensor{emptyF32(3, 4)}},
		{op: "ScatterElements", in: []*tensor.Tensor{data, bad.Reshaped(1, 2), randF32(1, 1, 2)}, out: []*tensor.Tensor{emptyF32(3, 4)}},
	} {
		_, run, err := c.bind(t)
		if err != nil {
			t.Fatal(c.op, err)
		}
		if err := run(); err == nil {
			t.Errorf("%s: index 3 of an axis of 3 is no error", c.op)
		}
	}
}
