package runtime

import (
	"slices"
	"unsafe"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// strided copies elements from one strided view to another: what Transpose, Slice,
// Expand, Concat, Split, Tile and Pad are.
type strided struct {
	size     int // bytes of an element
	dims     []int
	src, dst []int // strides in elements
	srcAt    int   // offset of the first element
	dstAt    int
	blocked  bool // the inner loop does two axes: a matrix transpose
	band     int  // rows of such a matrix that are done together
	bands    int  // of them that a matrix has, else 1
	units    int  // bands of all matrices, or rows: what the pool shares out
}

// newStrided prepares a copy of dims elements. Strides may be negative, those of src zero.
func newStrided(size int, dims, src, dst []int, srcAt, dstAt int) *strided {
	c := &strided{size: size, srcAt: srcAt, dstAt: dstAt}
	for i, d := range dims {
		if d == 1 {
			continue
		}
		n := len(c.dims)
		if n > 0 && c.src[n-1] == src[i]*d && c.dst[n-1] == dst[i]*d {
			c.dims[n-1] *= d
			c.src[n-1], c.dst[n-1] = src[i], dst[i]
			continue
		}
		c.dims, c.src, c.dst = append(c.dims, d), append(c.src, src[i]), append(c.dst, dst[i])
	}
	if len(c.dims) == 0 {
		c.dims, c.src, c.dst = []int{1}, []int{1}, []int{1}
		if slices.Contains(dims, 0) {
			c.dims[0] = 0
		}
	}
	n := len(c.dims)
	// A transpose whose source neighbours lie on another axis than the last: move that axis next to it.
	if n >= 2 && c.dst[n-1] == 1 && c.src[n-1] != 1 {
		for a := n - 2; a >= 0; a-- {
			if c.src[a] == 1 && c.dims[a] > 1 && c.dims[n-1] > 1 {
				c.moveAxis(a, n-2)
				c.blocked = true
				break
			}
		}
	}
	c.bands = 1
	outer := n - 1
	if c.blocked {
		outer = n - 2
		c.band = max(tile, tile*tile/c.dims[n-1]/tile*tile)
		c.bands = (c.dims[n-2] + c.band - 1) / c.band
	}
	c.units = product(c.dims[:outer]) * c.bands
	return c
}

func (c *strided) moveAxis(from, to int) {
	for _, s := range []*[]int{&c.dims, &c.src, &c.dst} {
		v := (*s)[from]
		*s = slices.Insert(slices.Delete(*s, from, from+1), to, v)
	}
}

// bindStrided makes the function that copies in to out, over the pool if that is worth it.
func (b *Bind) bindStrided(c *strided, out, in *tensor.Tensor) func() {
	cost := c.dims[len(c.dims)-1] * c.size / 16
	if c.blocked {
		cost = c.dims[len(c.dims)-1] * c.band
	}
	return b.split(c.units, 1, max(1, cost), func(_, lo, hi int) { c.copyUnits(out.Data, in.Data, lo, hi) })
}

// copyUnits copies units [lo, hi).
func (c *strided) copyUnits(dst, src []byte, lo, hi int) {
	if len(dst) == 0 || product(c.dims) == 0 {
		return
	}
	switch c.size {
	case 1:
		copyUnits(c, dst, src, lo, hi, transposeBand)
	case 2:
		copyUnits(c, as[uint16](dst), as[uint16](src), lo, hi, transposeBand)
	case 4:
		copyUnits(c, viewF32(dst), viewF32(src), lo, hi, transposeBandF32)
	default:
		copyUnits(c, as[uint64](dst), as[uint64](src), lo, hi, transposeBand)
	}
}

// as views bytes as larger elements.
func as[T uint16 | uint32 | uint64](b []byte) []T {
	t := tensor.Tensor{Data: b}
	return tensor.View[T](&t)
}

// bandCopy copies rows [r0, r1) of a matrix; see transposeBand.
type bandCopy[T any] func(dst, src []T, d, s, r0, r1, cols, dstep, sstep int)

func copyUnits[T uint8 | uint16 | float32 | uint64](c *strided, dst, src []T, lo, hi int, matrix bandCopy[T]) {
	n := len(c.dims)
	outer := n - 1
	if c.blocked {
		outer = n - 2
	}
	var idx [maxRank]int
	s, d := c.srcAt, c.dstAt
	for r, a := lo/c.bands, outer-1; a >= 0; a-- {
		idx[a] = r % c.dims[a]
		r /= c.dims[a]
		s += idx[a] * c.src[a]
		d += idx[a] * c.dst[a]
	}
	for u := lo; u < hi; u++ {
		if c.blocked {
			band := u % c.bands
			r0 := band * c.band
			matrix(dst, src, d, s, r0, min(r0+c.band, c.dims[n-2]), c.dims[n-1], c.dst[n-2], c.src[n-1])
			if band < c.bands-1 {
				continue
			}
		} else {
			copyRow(dst, src, d, s, c.dims[n-1], c.dst[n-1], c.src[n-1])
		}
		for a := outer - 1; a >= 0; a-- {
			idx[a]++
			s += c.src[a]
			d += c.dst[a]
			if idx[a] < c.dims[a] {
				break
			}
			s -= c.src[a] * c.dims[a]
			d -= c.dst[a] * c.dims[a]
			idx[a] = 0
		}
	}
}

func copyRow[T uint8 | uint16 | float32 | uint64](dst, src []T, d, s, n, dstep, sstep int) {
	switch {
	case dstep == 1 && sstep == 1:
		if n <= 4 {
			for i := range n {
				dst[d+i] = src[s+i]
			}
			return
		}
		copy(dst[d:d+n], src[s:s+n])
	case dstep == 1 && sstep == 0:
		fillSlice(dst[d:d+n], src[s])
	default:
		for range n {
			dst[d] = src[s]
			d += dstep
			s += sstep
		}
	}
}

// fillSlice sets every element to v.
func fillSlice[T any](dst []T, v T) {
	for i := range dst {
		dst[i] = v
	}
}

// tile is the side of the squares in which matrices are transposed, so that the lines which
// they read stay in the first-level cache.
const tile = 16

// transposeBand copies rows [r0, r1) of a matrix whose source is contiguous along rows and whose
// destination is contiguous along cols.
func transposeBand[T uint8 | uint16 | float32 | uint64](dst, src []T, d, s, r0, r1, cols, dstep, sstep int) {
	if cols == 3 && dstep == 3 {
		interleave(dst[d+r0*3:d+r1*3], src[s+r0:s+r1], src[s+sstep+r0:s+sstep+r1], src[s+2*sstep+r0:s+2*sstep+r1])
		return
	}
	for c0 := 0; c0 < cols; c0 += tile {
		c1 := min(c0+tile, cols)
		for r := r0; r < r1; r++ {
			out := dst[d+r*dstep+c0 : d+r*dstep+c1]
			at := s + r + c0*sstep
			for i := range out {
				out[i] = src[at]
				at += sstep
			}
		}
	}
}

// interleave puts the elements of three planes, those of a picture, side by side.
func interleave[T uint8 | uint16 | float32 | uint64](dst, r, g, b []T) {
	g, b = g[:len(r)], b[:len(r)]
	for i, v := range r {
		pixel := dst[3*i : 3*i+3]
		pixel[0], pixel[1], pixel[2] = v, g[i], b[i]
	}
}

// transposeBandF32 is transposeBand for elements of four bytes: what they mean does not matter to a copy.
func transposeBandF32(dst, src []float32, d, s, r0, r1, cols, dstep, sstep int) {
	if dstep < cols || sstep < r1-r0 {
		transposeBand(dst, src, d, s, r0, r1, cols, dstep, sstep)
		return
	}
	kernels.Transpose(dst[d+r0*dstep:], dstep, src[s+r0:], sstep, cols, r1-r0)
}

// setFrom fills dst with the element of size bytes at value.
func setFrom(dst, value []byte, size int) {
	switch size {
	case 1:
		fillSlice(dst, value[0])
	case 2:
		fillSlice(as[uint16](dst), loadAs[uint16](value))
	case 4:
		fillSlice(as[uint32](dst), loadAs[uint32](value))
	default:
		fillSlice(as[uint64](dst), loadAs[uint64](value))
	}
}

// loadAs reads one element, at any alignment.
func loadAs[T uint16 | uint32 | uint64](b []byte) T {
	var v T
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), b)
	return v
}
