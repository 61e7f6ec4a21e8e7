package runtime

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

func TestResizeKnownRows(t *testing.T) {
	x := tensor.FromSlice([]float32{1, 2, 3, 4}, 1, 4)
	for _, c := range []struct {
		mode, coordinate, nearest string
		want                      []float32
	}{
		{"nearest", "asymmetric", "floor", []float32{1, 1, 2, 2, 3, 3, 4, 4}},
		{"nearest", "half_pixel", "round_prefer_floor", []float32{1, 1, 2, 2, 3, 3, 4, 4}},
		{"linear", "half_pixel", "", []float32{1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4}},
		{"linear", "asymmetric", "", []float32{1, 1.5, 2, 2.5, 3, 3.5, 4, 4}},
		{"linear", "align_corners", "", []float32{1, 10. / 7, 13. / 7, 16. / 7, 19. / 7, 22. / 7, 25. / 7, 4}},
		{"nearest", "half_pixel", "", []float32{2, 4}},
		{"linear", "half_pixel", "", []float32{1.5, 3.5}},
		{"linear", "align_corners", "", []float32{1, 4}},
	} {
		out := emptyF32(1, len(c.want))
		attrs := model.Attrs{"mode": model.StringAttr(c.mode), "coordinate_transformation_mode": model.StringAttr(c.coordinate)}
		if c.nearest != "" {
			attrs["nearest_mode"] = model.StringAttr(c.nearest)
		} else if c.mode == "nearest" {
			attrs["nearest_mode"] = model.StringAttr("ceil")
		}
		(&testOp{op: "Resize", attrs: attrs, in: []*tensor.Tensor{x, nil, nil, ints(1, len(c.want))},
			constant: []int{3}, out: []*tensor.Tensor{out}}).run(t)
		want := make([]float64, len(c.want))
		for i, v := range c.want {
			want[i] = float64(v)
		}
		nearF32(t, fmt.Sprint(c), out.F32(), want, 1e-6)
	}
}

// TestResizeKeepsConstants holds whatever the weights are: they add up to 1.
func TestResizeKeepsConstants(t *testing.T) {
	x := tensor.New(tensor.F32, 1, 2, 7, 9)
	fillSlice(x.F32(), 3)
	for _, mode := range []string{"linear", "cubic"} {
		for _, coordinate := range []string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"} {
			for flags := range 4 {
				for _, size := range [][]int{{3, 4}, {14, 5}, {1, 20}} {
					out := emptyF32(1, 2, size[0], size[1])
					attrs := model.Attrs{"mode": model.StringAttr(mode), "coordinate_transformation_mode": model.StringAttr(coordinate),
						"antialias": model.IntAttr(int64(flags & 1)), "exclude_outside": model.IntAttr(int64(flags >> 1))}
					(&testOp{op: "Resize", attrs: attrs, in: []*tensor.Tensor{x, nil, nil, ints(1, 2, size[0], size[1])},
						constant: []int{3}, out: []*tensor.Tensor{out}, threads: 2}).run(t)
					for i, v := range out.F32() {
						if math.Abs(float64(v)-3) > 1e-5 {
							t.Fatalf("%s %s flags %d %v: element %d is %v", mode, coordinate, flags, size, i, v)
						}
					}
				}
			}
		}
	}
}

// TestGridSampleIdentity samples with the grid of the identity transform.
func TestGridSampleIdentity(t *testing.T) {
	x := randF32(1, 2, 3, 5, 6)
	theta := tensor.FromSlice([]float32{1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0}, 2, 2, 3)
	for _, mode := range []string{"nearest", "linear", "cubic"} {
		for _, padding := range []string{"zeros", "border", "reflection"} {
			for align := range int64(2) {
				grid, out := emptyF32(2, 5, 6, 2), emptyF32(2, 3, 5, 6)
				attrs := model.Attrs{"mode": model.StringAttr(mode), "padding_mode": model.StringAttr(padding), "align_corners": model.IntAttr(align)}
				(&testOp{op: "AffineGrid", attrs: attrs, in: []*tensor.Tensor{theta, ints(2, 3, 5, 6)}, out: []*tensor.Tensor{grid}}).run(t)
				(&testOp{op: "GridSample", attrs: attrs, in: []*tensor.Tensor{x, grid}, out: []*tensor.Tensor{out}, threads: 2}).run(t)
				want := make([]float64, x.Len())
				for i, v := range x.F32() {
					want[i] = float64(v)
				}
				nearF32(t, fmt.Sprint(mode, padding, align), out.F32(), want, 2e-6)
			}
		}
	}
}

func TestQuantizeEdges(t *testing.T) {
	nan := float32(math.NaN())
	x := tensor.FromSlice([]float32{0.5, 1.5, 2.5, -0.5, 1e9, -1e9, nan, 3.4}, 8)
	scale, zero := tensor.FromSlice([]float32{1}, 1), tensor.FromSlice([]uint8{10}, 1)
	out := &tensor.Tensor{DType: tensor.U8, Shape: []int{8}}
	(&testOp{op: "QuantizeLinear", in: []*tensor.Tensor{x, scale, zero}, out: []*tensor.Tensor{out}}).run(t)
	if want := []byte{10, 12, 12, 10, 255, 0, 10, 13}; !slices.Equal(out.Data, want) {
		t.Errorf("got %v, want %v", out.Data, want)
	}
}

// TestQuantizeAxes holds one scale for each index of an axis, and for each block, against the definition.
func TestQuantizeAxes(t *testing.T) {
	x := randF32(2, 3, 6, 4)
	for axis := range 3 {
		for _, block := range []int{0, 2} {
			shape := []int{x.Shape[axis]}
			if block > 0 {
				shape = slices.Clone(x.Shape)
				shape[axis] = (shape[axis] + block - 1) / block
			}
			scale := randF32(3, shape...)
			for i, v := range scale.F32() {
				scale.F32()[i] = 0.01 + float32(math.Abs(float64(v)))/50
			}
			attrs := model.Attrs{"axis": model.IntAttr(int64(axis)), "block_size": model.IntAttr(int64(block))}
			q, back := &tensor.Tensor{DType: tensor.I8, Shape: x.Shape}, emptyF32(x.Shape...)
			zero := tensor.New(tensor.I8, shape...)
			(&testOp{op: "QuantizeLinear", attrs: attrs, in: []*tensor.Tensor{x, scale, zero}, out: []*tensor.Tensor{q}}).run(t)
			(&testOp{op: "DequantizeLinear", attrs: attrs, in: []*tensor.Tensor{q, scale, zero}, out: []*tensor.Tensor{back}, constant: []int{1, 2}}).run(t)
			st, i := strides(scale.Shape), 0
			each(x.Shape, func(idx []int) {
				k := idx[axis]
				if block > 0 {
					k = 0
					for a, s := range st {
						if a == axis {
							k += idx[a] / block * s
						} else {
							k += idx[a] * s
						}
					}
				}
				s := float64(scale.F32()[k])
				level := min(max(math.RoundToEven(float64(x.F32()[i]/scale.F32()[k])), -128), 127)
				if got := float64(back.F32()[i]); math.Abs(got-level*s) > 1e-6 {
					t.Fatalf("axis %d, blocks of %d: element %v is %v, want %v", axis, block, idx, got, level*s)
				}
				i++
			})
		}
	}
}
