package kernels

// Window is the geometry of a two-dimensional sliding window over a plane of H x W
// elements that gives OH x OW: output (y, x) reads rows y*StrideH-PadTop+i*DilationH
// for i < KH and columns likewise; what lies outside the plane counts as 0.
type Window struct {
	H, W, OH, OW         int
	KH, KW               int
	StrideH, StrideW     int
	DilationH, DilationW int
	PadTop, PadLeft      int
}

// inside returns the outputs [lo, hi) along one axis whose tap reads inside the plane: those o with
// 0 <= o*stride+offset < size, out of n.
func inside(offset, stride, size, n int) (lo, hi int) {
	if offset < 0 {
		lo = (-offset + stride - 1) / stride
	}
	if size > offset {
		hi = (size-offset-1)/stride + 1
	}
	lo, hi = min(lo, n), min(hi, n)
	return lo, max(lo, hi)
}

// DepthwiseConv2D computes one channel plane,
//
//	dst[y,x] = bias + sum_ij w[i*KW+j] src[y*StrideH-PadTop+i*DilationH, x*StrideW-PadLeft+j*DilationW]
//
// The sum starts with the bias and runs over i, then j, for every output alike, wherever it lies.
func DepthwiseConv2D(dst, src, w []float32, bias float32, g *Window) {
	dst, src, w = dst[:g.OH*g.OW], src[:g.H*g.W], w[:g.KH*g.KW]
	if len(dst) == 0 || depthwiseSIMD(dst, src, w, bias, g) {
		return
	}
	depthwiseGeneric(dst, src, w, bias, g)
}

func depthwiseGeneric(dst, src, w []float32, bias float32, g *Window) {
	for y := range g.OH {
		row := dst[y*g.OW : (y+1)*g.OW]
		for x := range row {
			row[x] = bias
		}
		for i := range g.KH {
			sy := y*g.StrideH - g.PadTop + i*g.DilationH
			if sy < 0 || sy >= g.H {
				continue
			}
			line := src[sy*g.W : (sy+1)*g.W]
			for j := range g.KW {
				offset := j*g.DilationW - g.PadLeft
				lo, hi := inside(offset, g.StrideW, g.W, g.OW)
				if lo < hi {
					axpyStrided(row[lo:hi], line[lo*g.StrideW+offset:], w[i*g.KW+j], g.StrideW)
				}
			}
		}
	}
}

// axpyStrided is dst[i] += a x[i*stride].
func axpyStrided(dst, x []float32, a float32, stride int) {
	if stride == 1 {
		Axpy(dst, x, a)
		return
	}
	for i := range dst {
		dst[i] += a * x[i*stride]
	}
}
