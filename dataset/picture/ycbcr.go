package picture

import "image"

// fromYCbCr converts a decoded JPEG as libjpeg does by default, so that pixels agree with
// PIL's to the rounding of the inverse DCT: chroma is interpolated (3/4 of the nearer sample, 1/4 of
// the farther), where package image repeats it, and converted with the JFIF coefficients.
func fromYCbCr(src *image.YCbCr) *RGB {
	b := src.Bounds()
	w, h := b.Dx(), b.Dy()
	out := &RGB{W: w, H: h, Pix: make([]byte, 3*w*h)}
	cbRow, crRow := make([]byte, w+1), make([]byte, w+1)
	up := newUpsampler(src)
	for y := range h {
		up.row(cbRow, src.Cb, y)
		up.row(crRow, src.Cr, y)
		luma := src.Y[src.YOffset(b.Min.X, b.Min.Y+y):][:w]
		dst := out.Pix[3*w*y:][:3*w]
		for x, l := range luma {
			dst[3*x], dst[3*x+1], dst[3*x+2] = ycc(int32(l), int32(cbRow[x])-128, int32(crRow[x])-128)
		}
	}
	return out
}

// The JFIF conversion in 16-bit fixed point.
const (
	fixCrR = 91881  // 1.40200
	fixCbB = 116130 // 1.77200
	fixCrG = 46802  // 0.71414
	fixCbG = 22554  // 0.34414
	half16 = 1 << 15
)

func ycc(y, cb, cr int32) (r, g, b byte) {
	return clamp8(y + (fixCrR*cr+half16)>>16),
		clamp8(y + (-fixCbG*cb-fixCrG*cr+half16)>>16),
		clamp8(y + (fixCbB*cb+half16)>>16)
}

func clamp8(v int32) byte { return byte(max(0, min(255, v))) }

// upsampler widens chroma rows to the luma's size.
type upsampler struct {
	src    *image.YCbCr
	hx, vy int // subsampling factors
	cw, ch int // chroma size
	sum    []int32
}

func newUpsampler(src *image.YCbCr) *upsampler {
	u := &upsampler{src: src, hx: 1, vy: 1}
	switch src.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		u.hx = 2
	case image.YCbCrSubsampleRatio420:
		u.hx, u.vy = 2, 2
	case image.YCbCrSubsampleRatio440:
		u.vy = 2
	case image.YCbCrSubsampleRatio411:
		u.hx = 4
	case image.YCbCrSubsampleRatio410:
		u.hx, u.vy = 4, 2
	}
	b := src.Bounds()
	u.cw, u.ch = (b.Dx()+u.hx-1)/u.hx, (b.Dy()+u.vy-1)/u.vy
	u.sum = make([]int32, u.cw)
	return u
}

// row writes the chroma values of luma row y.
func (u *upsampler) row(dst []byte, plane []byte, y int) {
	stride := u.src.CStride
	line := plane[y/u.vy*stride:][:u.cw]
	if u.hx != 2 || u.cw <= 2 {
		for x := range dst[:len(dst)-1] {
			dst[x] = line[min(x/u.hx, u.cw-1)]
		}
		return
	}
	if u.vy == 1 {
		for i, v := range line {
			u.sum[i] = int32(v)
		}
		u.spread(dst, 1, 2, 2)
		return
	}
	other := max(0, min(u.ch-1, y/2+2*(y%2)-1))
	far := plane[other*stride:][:u.cw]
	for i, v := range line {
		u.sum[i] = 3*int32(v) + int32(far[i])
	}
	u.spread(dst, 8, 7, 4)
}

// spread doubles u.sum horizontally with weights 3/4 and 1/4; ends repeat. The biases of even and odd
// pixels are libjpeg's: they keep the rounding unbiased.
func (u *upsampler) spread(dst []byte, even, odd int32, shift int) {
	last := u.cw - 1
	for i, s := range u.sum {
		left, right := u.sum[max(i-1, 0)], u.sum[min(i+1, last)]
		dst[min(2*i, len(dst)-1)] = byte((3*s + left + even) >> shift)
		dst[min(2*i+1, len(dst)-1)] = byte((3*s + right + odd) >> shift)
	}
}
