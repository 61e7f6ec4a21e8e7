package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
)

// sliding is the geometry of a convolution or a pool over up to three spatial axes, written
// as three: the missing ones come first, with extent 1. Along each axis, output o reads inputs
// o*stride - pad + i*dilation for i < kernel; what lies outside the input is padding.
type sliding struct {
	rank                     int // spatial axes of the operands
	in, out, kernel          [3]int
	stride, dilation         [3]int
	pad, padEnd              [3]int
	inSize, outSize, winSize int // products
}

// newSliding reads kernel_shape (unless kernel is given), strides, dilations, pads and auto_pad for spatial
// extents in and out. It checks that every number is sensible, and that the output has the extent that the
// attributes give: in floor mode always, in ceil mode one more is allowed.
func newSliding(b *Bind, in, out, kernel []int) (*sliding, error) {
	g := &sliding{rank: len(in)}
	if len(in) == 0 || len(in) > 3 || len(out) != len(in) {
		return nil, b.errorf("%d spatial axes in, %d out: 1 to 3 are supported", len(in), len(out))
	}
	if kernel == nil {
		for _, k := range b.Node.Ints("kernel_shape") {
			kernel = append(kernel, int(k))
		}
	}
	if len(kernel) != len(in) {
		return nil, b.errorf("kernel of %d axes for %d spatial axes", len(kernel), len(in))
	}
	if ks := b.Node.Ints("kernel_shape"); ks != nil {
		if len(ks) != len(kernel) {
			return nil, b.errorf("kernel_shape %v for %d spatial axes", ks, len(in))
		}
		for i, k := range ks {
			if int(k) != kernel[i] {
				return nil, b.errorf("kernel_shape is %v, the weights have %v", ks, kernel)
			}
		}
	}
	strides, err := positives(b, "strides", len(in))
	if err != nil {
		return nil, err
	}
	dilations, err := positives(b, "dilations", len(in))
	if err != nil {
		return nil, err
	}
	pads := b.Node.Ints("pads")
	if pads != nil && len(pads) != 2*len(in) {
		return nil, b.errorf("%d pads for %d spatial axes", len(pads), len(in))
	}
	for a := range 3 {
		g.in[a], g.out[a], g.kernel[a], g.stride[a], g.dilation[a] = 1, 1, 1, 1, 1
	}
	first := 3 - len(in)
	for i := range in {
		a := first + i
		if kernel[i] < 1 || kernel[i] > 1<<30 {
			return nil, b.errorf("kernel of extent %d", kernel[i])
		}
		g.in[a], g.out[a], g.kernel[a], g.stride[a], g.dilation[a] = in[i], out[i], kernel[i], strides[i], dilations[i]
		if pads != nil {
			if pads[i] < -1<<30 || pads[i] > 1<<30 || pads[len(in)+i] < -1<<30 || pads[len(in)+i] > 1<<30 {
				return nil, b.errorf("pads %v are out of range", pads)
			}
			g.pad[a], g.padEnd[a] = int(pads[i]), int(pads[len(in)+i])
		}
	}
	if err := g.autoPad(b, first); err != nil {
		return nil, err
	}
	ceil := b.Node.Int("ceil_mode", 0) != 0
	for a := first; a < 3; a++ {
		span := g.in[a] + g.pad[a] + g.padEnd[a] - (g.kernel[a]-1)*g.dilation[a] - 1
		want := 0
		if span >= 0 {
			want = span/g.stride[a] + 1
		}
		if g.out[a] != want && !(ceil && g.out[a] == want+1) {
			return nil, b.errorf("output axis %d has extent %d, want %d", a-first, g.out[a], want)
		}
	}
	g.inSize, g.outSize, g.winSize = product(g.in[:]), product(g.out[:]), product(g.kernel[:])
	return g, nil
}

// positives returns an attribute of one positive number per axis; 1 each if it is absent.
func positives(b *Bind, name string, rank int) ([]int, error) {
	out := make([]int, rank)
	v := b.Node.Ints(name)
	if v != nil && len(v) != rank {
		return nil, b.errorf("%d %s for %d spatial axes", len(v), name, rank)
	}
	for i := range out {
		out[i] = 1
		if v != nil {
			if v[i] < 1 || v[i] > 1<<30 {
				return nil, b.errorf("%s %v are out of range", name, v)
			}
			out[i] = int(v[i])
		}
	}
	return out, nil
}

// autoPad replaces the pads as auto_pad says: SAME gives ceil(in / stride) outputs, with an odd pad's larger
// half at the end (SAME_UPPER) or at the beginning (SAME_LOWER).
func (g *sliding) autoPad(b *Bind, first int) error {
	mode := b.Node.Str("auto_pad", "NOTSET")
	switch mode {
	case "NOTSET", "":
		return nil
	case "VALID", "SAME_UPPER", "SAME_LOWER":
	default:
		return b.errorf("unknown auto_pad %q", mode)
	}
	for a := first; a < 3; a++ {
		g.pad[a], g.padEnd[a] = 0, 0
		if mode == "VALID" {
			continue
		}
		out := (g.in[a] + g.stride[a] - 1) / g.stride[a]
		total := max((out-1)*g.stride[a]+(g.kernel[a]-1)*g.dilation[a]+1-g.in[a], 0)
		g.pad[a] = total / 2
		if mode == "SAME_LOWER" {
			g.pad[a] = total - total/2
		}
		g.padEnd[a] = total - g.pad[a]
	}
	return nil
}

// plane returns the geometry of one 2-D plane; false if the window slides along three axes.
func (g *sliding) plane() (kernels.Window, bool) {
	w := kernels.Window{H: g.in[1], W: g.in[2], OH: g.out[1], OW: g.out[2], KH: g.kernel[1], KW: g.kernel[2],
		StrideH: g.stride[1], StrideW: g.stride[2], DilationH: g.dilation[1], DilationW: g.dilation[2],
		PadTop: g.pad[1], PadLeft: g.pad[2]}
	return w, g.rank < 3
}

// isPointwise reports whether every output reads the input at its own place only.
func (g *sliding) isPointwise() bool {
	return g.winSize == 1 && g.stride == [3]int{1, 1, 1} && g.pad == [3]int{} && g.padEnd == [3]int{}
}
