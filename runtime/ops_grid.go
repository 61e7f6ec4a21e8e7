package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", operands(2, map[string]Binder{
	"GridSample": bindGridSample,
	"AffineGrid": widened(bindAffineGrid),
}))

// grid samples along one spatial axis.
type gridAxis struct {
	length  int
	align   bool
	padding string // zeros, border, reflection
}

// gridTap is an input index along an axis, -1 for padding with zero, and its weight.
type gridTap struct {
	index  int
	weight float32
}

// bounds are the coordinates of the input's edges: the centres of its corner elements, or their outsides.
func (g gridAxis) bounds() (low, high float64) {
	if g.align {
		return 0, float64(g.length - 1)
	}
	return -0.5, float64(g.length) - 0.5
}

// coordinate maps [-1, 1] to the input's indices.
func (g gridAxis) coordinate(v float64) float64 {
	if g.align {
		return (v + 1) / 2 * float64(g.length-1)
	}
	return ((v+1)*float64(g.length) - 1) / 2
}

// inside brings a coordinate beyond the edges back, as the padding mode says; zeros leaves it.
func (g gridAxis) inside(x float64) float64 {
	low, high := g.bounds()
	if x >= low && x <= high {
		return x
	}
	switch g.padding {
	case "border":
		return min(max(x, 0), float64(g.length-1))
	case "reflection":
		return reflect(x, low, high)
	}
	return x
}

// reflect folds x into [low, high].
func reflect(x, low, high float64) float64 {
	span := high - low
	if !(span > 0) || math.IsNaN(x) || math.IsInf(x, 0) {
		return low
	}
	d := math.Mod(math.Abs(x-low), 2*span)
	return low + min(d, 2*span-d)
}

// tap returns where index i reads.
func (g gridAxis) tap(i float64, weight float64) gridTap {
	if i < 0 || i > float64(g.length-1) {
		switch g.padding {
		case "border":
			i = min(max(i, 0), float64(g.length-1))
		case "reflection":
			low, high := g.bounds()
			i = min(max(math.Trunc(reflect(i, low, high)), 0), float64(g.length-1))
		default:
			return gridTap{-1, 0}
		}
	}
	if math.IsNaN(i) {
		return gridTap{-1, 0}
	}
	return gridTap{int(i), float32(weight)}
}

// taps fills out with the taps of the normalized coordinate v and returns how many they are.
func (g gridAxis) taps(mode string, v float64, out *[4]gridTap) int {
	x := g.coordinate(v)
	if mode == "nearest" {
		out[0] = g.tap(g.inside(math.RoundToEven(x)), 1)
		return 1
	}
	x = g.inside(x)
	base := math.Floor(x)
	f, first, n := filter{a: -0.75}, 0, 2
	if mode == "cubic" {
		f.cubic, first, n = true, -1, 4
	}
	for i := range n {
		at := base + float64(first+i)
		out[i] = g.tap(at, f.weightAt(at-x))
	}
	return n
}

// bindGridSample reads input 0, [N, C, spatial...], at the places that input 1, [N, out...,
// axes], gives in [-1, 1] with the last axis's coordinate first.
func bindGridSample(b *Bind) (Run, error) {
	if b.In[0].DType.IsFloat() {
		return widened(gridSample)(b)
	}
	return throughF32(b, gridSample)
}

func gridSample(b *Bind) (Run, error) {
	x, grid, out := b.In[0], b.In[1], b.Out[0]
	rank := len(x.Shape) - 2
	if rank < 1 || rank > 3 || len(grid.Shape) != rank+2 || grid.Shape[rank+1] != rank || grid.Shape[0] != x.Shape[0] ||
		grid.DType != tensor.F32 {
		return nil, b.errorf("grid %v for %v", grid, x)
	}
	mode := b.Node.Str("mode", "linear")
	switch mode {
	case "bilinear":
		mode = "linear"
	case "bicubic":
		mode = "cubic"
	case "linear", "cubic", "nearest":
	default:
		return nil, b.errorf("mode %q", mode)
	}
	axes := make([]gridAxis, rank)
	for a := range axes {
		axes[a] = gridAxis{x.Shape[2+a], b.Node.Int("align_corners", 0) != 0, b.Node.Str("padding_mode", "zeros")}
		if axes[a].length == 0 {
			return nil, b.errorf("input %v is empty", x)
		}
	}
	st := strides(x.Shape)
	channels, block, points := x.Shape[1], st[1], product(out.Shape[2:])
	return simple(b.split(x.Shape[0]*points, 1, 16*channels, func(_, lo, hi int) {
		src, dst, places := x.F32(), out.F32(), grid.F32()
		var offset [64]int
		var weight [64]float32
		var taps [4]gridTap
		for p := lo; p < hi; p++ {
			n := 1
			offset[0], weight[0] = p/points*st[0], 1
			for a := range axes {
				k := axes[a].taps(mode, float64(places[p*rank+rank-1-a]), &taps)
				// Every tap so far is repeated for each tap of this axis; those on zeros are left out.
				m := 0
				var nextOffset [64]int
				var nextWeight [64]float32
				for i := range n {
					for _, t := range taps[:k] {
						if t.index >= 0 {
							nextOffset[m], nextWeight[m] = offset[i]+t.index*st[2+a], weight[i]*t.weight
							m++
						}
					}
				}
				n, offset, weight = m, nextOffset, nextWeight
			}
			to := (p/points*channels)*points + p%points
			for c := range channels {
				var sum float32
				for i, off := range offset[:n] {
					sum += float32(weight[i] * src[off+c*block])
				}
				dst[to+c*points] = sum
			}
		}
	})), nil
}

// bindAffineGrid binds the grid that GridSample reads for a transform theta, [N, d, d+1]: theta times
// the homogeneous coordinates of each output element. Input 1 is the output's size, [N, C, spatial...].
func bindAffineGrid(b *Bind) (Run, error) {
	theta, out := b.In[0], b.Out[0]
	rank := len(out.Shape) - 2
	if theta.DType != tensor.F32 || len(theta.Shape) != 3 || theta.Shape[0] != out.Shape[0] || theta.Shape[1] != rank || theta.Shape[2] != rank+1 {
		return nil, b.errorf("transform %v for a grid %v", theta, out)
	}
	align := b.Node.Int("align_corners", 0) != 0
	coordinate := func(i, n int) float32 {
		switch {
		case !align:
			return (2*float32(i)+1)/float32(n) - 1
		case n == 1:
			return 0
		}
		return 2*float32(i)/float32(n-1) - 1
	}
	spatial := out.Shape[1 : rank+1]
	points := product(spatial)
	return simple(b.split(out.Shape[0]*points, 16, 4*rank*rank, func(_, lo, hi int) {
		dst := out.F32()
		for p := lo; p < hi; p++ {
			m := theta.F32()[p/points*rank*(rank+1):]
			q := p % points
			var at [maxRank]float32
			for a := rank - 1; a >= 0; a-- { // the last axis's coordinate comes first
				at[rank-1-a] = coordinate(q%spatial[a], spatial[a])
				q /= spatial[a]
			}
			for i := range rank {
				sum := m[i*(rank+1)+rank]
				for j := range rank {
					sum += float32(m[i*(rank+1)+j] * at[j])
				}
				dst[p*rank+i] = sum
			}
		}
	})), nil
}
