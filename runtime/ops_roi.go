package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", operands(3, map[string]Binder{
	"RoiAlign": widened(bindRoiAlign),
	"Col2Im":   bindCol2Im,
}))

// maxRoiSamples bounds the samples of one bin; regions of an image need a few.
const maxRoiSamples = 1 << 16

// bindRoiAlign pools regions of an image, [x1, y1, x2, y2] of image batch_indices each, into bins: the mean or maximum of
// samples between the pixels (He et al., "Mask R-CNN", 2017).
func bindRoiAlign(b *Bind) (Run, error) {
	x, rois, out := b.In[0], b.In[1], b.Out[0]
	if err := needF32(b, 0, 1); err != nil {
		return nil, err
	}
	if len(x.Shape) != 4 || len(rois.Shape) != 2 || rois.Shape[1] != 4 || b.In[2].Len() != rois.Shape[0] || out.Shape[0] != rois.Shape[0] {
		return nil, b.errorf("operands %v, %v, %v are not images, regions and their images' numbers", x, rois, b.In[2])
	}
	images, err := b.indices(2)
	if err != nil {
		return nil, err
	}
	scale, ratio := float64(b.Node.Float("spatial_scale", 1)), int(b.Node.Int("sampling_ratio", 0))
	maximum := b.Node.Str("mode", "avg") == "max"
	half := b.Node.Str("coordinate_transformation_mode", "half_pixel") == "half_pixel"
	r := roiAlign{c: x.Shape[1], h: x.Shape[2], w: x.Shape[3], oh: out.Shape[2], ow: out.Shape[3], maximum: maximum}
	if r.oh < 1 || r.ow < 1 || ratio < 0 {
		return nil, b.errorf("%d x %d bins, sampling ratio %d", r.oh, r.ow, ratio)
	}
	return func() error {
		if err := images.check(x.Shape[0]); err != nil {
			return err
		}
		if len(x.Data) == 0 {
			clear(out.Data)
			return nil
		}
		for i := range rois.Shape[0] {
			box := rois.F32()[4*i : 4*i+4]
			offset := 0.0
			if half {
				offset = 0.5
			}
			x1, y1 := float64(box[0])*scale-offset, float64(box[1])*scale-offset
			w, h := float64(box[2])*scale-offset-x1, float64(box[3])*scale-offset-y1
			if !half { // regions have at least one pixel
				w, h = max(w, 1), max(h, 1)
			}
			bw, bh := w/float64(r.ow), h/float64(r.oh)
			nw, nh := ratio, ratio
			if ratio == 0 {
				if !(math.Abs(bw) < maxRoiSamples && math.Abs(bh) < maxRoiSamples) {
					return b.errorf("region %d is %v", i, box)
				}
				nw, nh = int(math.Ceil(bw)), int(math.Ceil(bh))
			}
			if nw > maxRoiSamples || nh > maxRoiSamples || nw*nh > maxRoiSamples {
				return b.errorf("region %d needs %d x %d samples a bin", i, nw, nh)
			}
			image := x.F32()[images.at(i, x.Shape[0])*r.c*r.h*r.w:]
			r.region(out.F32()[i*r.c*r.oh*r.ow:], image, [2]float64{y1, x1}, [2]float64{bh, bw}, [2]int{nh, nw})
		}
		return nil
	}, nil
}

type roiAlign struct {
	c, h, w, oh, ow int
	maximum         bool
}

// region fills the bins of one region, which starts at start and has bins of the size bin with samples n, all (y, x).
func (r *roiAlign) region(dst, image []float32, start, bin [2]float64, n [2]int) {
	count := float32(max(1, n[0]*n[1]))
	for py := range r.oh {
		for px := range r.ow {
			for c := range r.c {
				plane := image[c*r.h*r.w:][:r.h*r.w]
				var sum, top float32
				first := true
				for sy := range n[0] {
					y := start[0] + (float64(py)+(float64(sy)+.5)/float64(n[0]))*bin[0]
					for sx := range n[1] {
						x := start[1] + (float64(px)+(float64(sx)+.5)/float64(n[1]))*bin[1]
						value, largest := r.sample(plane, y, x)
						sum += value
						if first || largest > top {
							first, top = false, largest
						}
					}
				}
				at := (c*r.oh+py)*r.ow + px
				if dst[at] = sum / count; r.maximum {
					dst[at] = top
				}
			}
		}
	}
}

// sample reads between pixels: the weighted sum of four and, for max pooling, the largest of the weighted four.
func (r *roiAlign) sample(plane []float32, y, x float64) (value, largest float32) {
	if !(y >= -1 && y <= float64(r.h) && x >= -1 && x <= float64(r.w)) {
		return 0, 0
	}
	y0, y1, fy := between(y, r.h)
	x0, x1, fx := between(x, r.w)
	v := [4]float32{
		float32((1 - fy) * (1 - fx) * float64(plane[y0*r.w+x0])), float32((1 - fy) * fx * float64(plane[y0*r.w+x1])),
		float32(fy * (1 - fx) * float64(plane[y1*r.w+x0])), float32(fy * fx * float64(plane[y1*r.w+x1])),
	}
	return v[0] + v[1] + v[2] + v[3], max(v[0], v[1], v[2], v[3])
}

// between returns the indices around a coordinate on an axis of n, and how far it is from the first.
func between(v float64, n int) (low, high int, f float64) {
	v = max(v, 0)
	if low = int(v); low >= n-1 {
		return n - 1, n - 1, 0
	}
	return low, low + 1, v - float64(low)
}

// bindCol2Im adds the columns of a convolution's blocks back into an image: columns [N, C*prod(block), L].
func bindCol2Im(b *Bind) (Run, error) {
	image, err := b.constInts(1)
	if err != nil {
		return nil, err
	}
	block, err := b.constInts(2)
	if err != nil {
		return nil, err
	}
	in, out := b.In[0], b.Out[0]
	d := len(image)
	load, store := loaderOf(in.DType), storerOf(out.DType)
	if load == nil || store == nil || !in.DType.IsFloat() {
		return nil, b.unsupportedType(in.DType)
	}
	stride, dilation, pads := b.Node.Ints("strides"), b.Node.Ints("dilations"), b.Node.Ints("pads")
	if stride == nil {
		stride = onesOf(d)
	}
	if dilation == nil {
		dilation = onesOf(d)
	}
	if pads == nil {
		pads = make([]int64, 2*d)
	}
	if d == 0 || len(block) != d || len(stride) != d || len(dilation) != d || len(pads) != 2*d || len(in.Shape) != 3 {
		return nil, b.errorf("image %v, block %v, strides %v, dilations %v, pads %v", image, block, stride, dilation, pads)
	}
	steps := make([]int, d) // blocks along each axis
	for i := range d {
		if block[i] < 1 || stride[i] < 1 || dilation[i] < 1 || pads[i] < 0 || pads[d+i] < 0 || max(stride[i], dilation[i], pads[i], pads[d+i]) > math.MaxInt32 {
			return nil, b.errorf("image %v, block %v, strides %v, dilations %v, pads %v", image, block, stride, dilation, pads)
		}
		room := image[i] + int(pads[i]+pads[d+i]) - int(dilation[i])*(block[i]-1) - 1
		if room < 0 {
			return nil, b.errorf("a block of %v does not fit an image of %v", block, image)
		}
		steps[i] = room/int(stride[i]) + 1
	}
	cells, blocks, size := product(block), product(steps), product(image)
	if in.Shape[2] != blocks || in.Shape[1] != out.Shape[1]*cells {
		return nil, b.errorf("columns %v, want %d of %d", in, blocks, out.Shape[1]*cells)
	}
	sums := b.Scratch(8 * size)
	return simple(func() {
		acc := tensor.View[float64](sums)
		for nc := range in.Shape[0] * out.Shape[1] {
			clear(acc)
			for cell := range cells {
				for at := range blocks {
					to, c, l, inside := 0, cell, at, true
					unit := 1
					for i := d - 1; i >= 0; i-- {
						p := l%steps[i]*int(stride[i]) + c%block[i]*int(dilation[i]) - int(pads[i])
						inside = inside && p >= 0 && p < image[i]
						to += p * unit
						c, l, unit = c/block[i], l/steps[i], unit*image[i]
					}
					if inside {
						acc[to] += load(in, (nc*cells+cell)*blocks+at)
					}
				}
			}
			for i, v := range acc {
				store(out, nc*size+i, v)
			}
		}
	}), nil
}

func onesOf(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}
