package runtime

import (
	"math"
	"slices"
	"sort"

	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators whose output's shape depends on their data: their Run makes the output.

var _ = register("", operands(1, map[string]Binder{
	"NonZero": bindNonZero,
	"Unique":  bindUnique,
}))

var _ = register("", operands(2, map[string]Binder{
	"Compress":          bindCompress,
	"NonMaxSuppression": bindNonMaxSuppression,
}))

// bindNonZero lists the indices of all elements but zeros, as columns of an I64 matrix.
func bindNonZero(b *Bind) (Run, error) {
	in := b.In[0]
	var nonzero func(i int) bool
	switch dt := in.DType; {
	case dt.IsFloat():
		load := loaderOf(dt)
		nonzero = func(i int) bool { return load(in, i) != 0 }
	case dt.IsInteger() || dt == tensor.BOOL:
		nonzero = func(i int) bool { return loadInt(in, i) != 0 }
	default:
		return nil, b.unsupportedType(dt)
	}
	st := strides(in.Shape)
	return func() error {
		var found []int
		for i := range in.Len() {
			if nonzero(i) {
				found = append(found, i)
			}
		}
		out := tensor.New(tensor.I64, len(in.Shape), len(found))
		v := out.I64()
		for a, s := range st {
			for j, i := range found {
				v[a*len(found)+j] = int64(i / s % in.Shape[a])
			}
		}
		b.SetOut(0, out)
		return nil
	}, nil
}

// bindCompress keeps the slices along an axis (of the flattened tensor without one) for which the condition holds.
func bindCompress(b *Bind) (Run, error) {
	in, cond := b.In[0], b.In[1]
	shape, axis := []int{in.Len()}, 0
	if b.Node.Has("axis") {
		a, err := b.axis("axis", 0, len(in.Shape))
		if err != nil {
			return nil, err
		}
		shape, axis = in.Shape, a
	}
	if cond.DType != tensor.BOOL || cond.Len() > shape[axis] {
		return nil, b.errorf("condition %v for an axis of %d", cond, shape[axis])
	}
	l := newLanes(shape, axis)
	bytes := l.inner * in.DType.Size()
	return func() error {
		var keep []int
		for i, c := range cond.Data {
			if c != 0 {
				keep = append(keep, i)
			}
		}
		s := slices.Clone(shape)
		s[axis] = len(keep)
		out := tensor.New(in.DType, s...)
		for o := range l.outer {
			for j, i := range keep {
				copy(out.Data[(o*len(keep)+j)*bytes:][:bytes], in.Data[(o*l.n+i)*bytes:])
			}
		}
		b.SetOut(0, out)
		return nil
	}, nil
}

// bindUnique finds the different slices along an axis (elements without one). Outputs: the slices,
// sorted or in the order of first occurrence; the index of each one's first occurrence; for each
// input slice its number among the outputs; how often each occurs.
func bindUnique(b *Bind) (Run, error) {
	in := b.In[0]
	shape, axis := []int{in.Len()}, 0
	if b.Node.Has("axis") {
		a, err := b.axis("axis", 0, len(in.Shape))
		if err != nil {
			return nil, err
		}
		shape, axis = in.Shape, a
	}
	l := newLanes(shape, axis)
	sorted := b.Node.Int("sorted", 1) != 0
	load := loaderOf(in.DType)
	if in.DType == tensor.BOOL {
		load = func(t *tensor.Tensor, i int) float64 { return float64(t.Data[i]) }
	}
	if load == nil {
		return nil, b.unsupportedType(in.DType)
	}
	compare := func(i, j int) int { // elements at offsets i and j
		if in.DType == tensor.I64 {
			x := in.I64()
			return compareOrdered(x[i], x[j])
		}
		if in.DType == tensor.U64 {
			x := tensor.View[uint64](in)
			return compareOrdered(x[i], x[j])
		}
		return compareOrdered(load(in, i), load(in, j))
	}
	slice := func(x, y int) int {
		for o := range l.outer {
			for c := range l.inner {
				base := o*l.n*l.inner + c
				if r := compare(base+x*l.inner, base+y*l.inner); r != 0 {
					return r
				}
			}
		}
		return 0
	}
	return func() error {
		order := make([]int, l.n)
		for i := range order {
			order[i] = i
		}
		sort.SliceStable(order, func(i, j int) bool { return slice(order[i], order[j]) < 0 })
		var first, count []int64 // per group, in sorted order
		group := make([]int, l.n)
		for i, x := range order {
			if i == 0 || slice(order[i-1], x) != 0 {
				first, count = append(first, int64(x)), append(count, 0)
			}
			group[x] = len(first) - 1
			count[len(count)-1]++
		}
		rank := make([]int, len(first)) // output order -> group
		for i := range rank {
			rank[i] = i
		}
		if !sorted {
			sort.Slice(rank, func(i, j int) bool { return first[rank[i]] < first[rank[j]] })
		}
		place := make([]int64, len(first))
		size := in.DType.Size()
		s := slices.Clone(shape)
		s[axis] = len(first)
		y := tensor.New(in.DType, s...)
		firsts, counts := make([]int64, len(first)), make([]int64, len(first))
		for i, g := range rank {
			place[g] = int64(i)
			firsts[i], counts[i] = first[g], count[g]
			for o := range l.outer {
				d, f := (o*len(first)+i)*l.inner*size, (o*l.n+int(first[g]))*l.inner*size
				copy(y.Data[d:d+l.inner*size], in.Data[f:])
			}
		}
		inverse := make([]int64, l.n)
		for i, g := range group {
			inverse[i] = place[g]
		}
		b.SetOut(0, y)
		b.SetOut(1, tensor.FromSlice(firsts, len(firsts)))
		b.SetOut(2, tensor.FromSlice(inverse, len(inverse)))
		b.SetOut(3, tensor.FromSlice(counts, len(counts)))
		return nil
	}, nil
}

// compareOrdered is cmp.Compare with NaNs last, as NumPy sorts.
func compareOrdered[T int64 | uint64 | float64](x, y T) int {
	switch {
	case x == y || x != x && y != y:
		return 0
	case x < y || y != y:
		return -1
	}
	return 1
}

// bindNonMaxSuppression picks boxes by score, dropping those that overlap one already picked of the
// same class by more than iou_threshold. Inputs: boxes [B, N, 4], scores [B, C, N],
// max_output_boxes_per_class (default 0), iou_threshold (0), score_threshold (none). Output: I64 rows (batch, class, box).
func bindNonMaxSuppression(b *Bind) (Run, error) {
	boxes, scores := b.In[0], b.In[1]
	bs, ss := boxes.Shape, scores.Shape
	if boxes.DType != tensor.F32 || scores.DType != tensor.F32 || len(bs) != 3 || len(ss) != 3 ||
		bs[2] != 4 || bs[0] != ss[0] || bs[1] != ss[2] {
		return nil, b.errorf("boxes %v with scores %v", boxes, scores)
	}
	if b.Has(2) && !b.In[2].DType.IsInteger() {
		return nil, b.errorf("limit %v is not an integer", b.In[2])
	}
	center := b.Node.Int("center_point_box", 0) != 0
	scalar := func(i int, def float32) float32 {
		if b.Has(i) && b.In[i].DType == tensor.F32 && len(b.In[i].Data) >= 4 {
			return b.In[i].F32()[0]
		}
		return def
	}
	return func() error {
		limit := 0
		if b.Has(2) && len(b.In[2].Data) > 0 {
			limit = int(max(0, loadInt(b.In[2], 0)))
		}
		iou, least := scalar(3, 0), scalar(4, float32(math.Inf(-1)))
		var rows []int64
		for i := range bs[0] {
			corners := boxCorners(boxes.F32()[i*bs[1]*4:][:bs[1]*4], center)
			for c := range ss[1] {
				score := scores.F32()[(i*ss[1]+c)*ss[2]:][:ss[2]]
				for _, x := range suppress(corners, score, limit, iou, least) {
					rows = append(rows, int64(i), int64(c), int64(x))
				}
			}
		}
		b.SetOut(0, tensor.FromSlice(rows, len(rows)/3, 3))
		return nil
	}, nil
}

// boxCorners turns boxes, (y, x, y, x) of opposite corners or (x, y, width, height) of the
// centre, into (low, low, high, high) of either axis.
func boxCorners(boxes []float32, center bool) [][4]float32 {
	out := make([][4]float32, len(boxes)/4)
	for i := range out {
		v := boxes[i*4:]
		if center {
			out[i] = [4]float32{v[1] - v[3]/2, v[0] - v[2]/2, v[1] + v[3]/2, v[0] + v[2]/2}
		} else {
			out[i] = [4]float32{min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3])}
		}
	}
	return out
}

// suppress returns up to limit boxes by falling score, all scores above least.
func suppress(boxes [][4]float32, score []float32, limit int, iou, least float32) []int {
	var order []int
	for i, s := range score {
		if s > least {
			order = append(order, i)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return score[order[i]] > score[order[j]] })
	var picked []int
next:
	for _, x := range order {
		if len(picked) >= limit {
			break
		}
		for _, y := range picked {
			if overlap(boxes[x], boxes[y]) > iou {
				continue next
			}
		}
		picked = append(picked, x)
	}
	return picked
}

// overlap returns the area that two boxes share over the area that they cover.
func overlap(a, c [4]float32) float32 {
	h := min(a[2], c[2]) - max(a[0], c[0])
	w := min(a[3], c[3]) - max(a[1], c[1])
	if h <= 0 || w <= 0 {
		return 0
	}
	shared := h * w
	return shared / (float32((a[2]-a[0])*(a[3]-a[1])) + float32((c[2]-c[0])*(c[3]-c[1])) - shared)
}
