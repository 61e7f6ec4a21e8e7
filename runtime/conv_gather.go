package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// gatherConv computes a convolution as a matrix product: the receptive field of an output, in (window,
// channel) order, is a row; rows times filters gives [outputs][M], which is turned into [M][outputs].
// The input is first turned channels-last, so that a row consists of long contiguous runs.
//
// Either each thread computes tiles of rows by itself (tiled), or, when there are too few rows for
// that, all threads share one product and split it by filters (shared).
type gatherConv struct {
	*conv
	k      int // length of a row
	images int // computed at once: a chunk
	rows   int // of a chunk
	tile   int // rows of a tile; all rows of the chunk if shared
	shared bool

	turned   *tensor.Tensor // the chunk's input, channels last; nil if the convolution is pointwise
	scratch  *tensor.Tensor
	perPart  int             // bytes of scratch
	products [][]*rowProduct // [part][group]
	w        *tensor.Tensor  // channels last
	constant bool

	first, count int // images of the chunk that is computed now
}

const (
	// chunkRows is the number of rows below which images are computed together.
	chunkRows = 512
	// tileRows is the largest tile: enough rows to repay the unpacking of weights.
	tileRows = 64
	// tileBytes bounds a tile's rows, which should stay in the second-level cache.
	tileBytes = 1 << 20
	// sharedBytes bounds the rows of a shared product.
	sharedBytes = 8 << 20
	// turnPixels is the unit in which the input is turned.
	turnPixels = 64
)

// bindGathered binds the matrix form. It also serves dense convolutions in three dimensions and groups.
func (c *conv) bindGathered(b *Bind, w *tensor.Tensor, constant bool) (func(), error) {
	g := &gatherConv{conv: c, k: c.cg * c.geo.winSize, w: w, constant: constant}
	out := max(c.geo.outSize, 1)
	g.images = min(max(1, chunkRows/out), max(c.batch, 1))
	chunks := (c.batch + g.images - 1) / g.images
	if chunks > 0 {
		g.images = (c.batch + chunks - 1) / chunks
	}
	g.rows = g.images * out
	parts := b.parts()
	g.shared = parts > 1 && g.rows < tileRows*parts && g.rows*g.k*4 <= sharedBytes
	if g.shared {
		g.tile = g.rows
	} else {
		most := min(tileRows, max(16, tileBytes/max(g.k*4, 1)))
		tiles := (g.rows + most - 1) / most
		tiles = (tiles + parts - 1) / parts * parts
		g.tile = (g.rows + tiles - 1) / tiles
	}
	if err := g.bindProducts(b, parts); err != nil {
		return nil, err
	}
	if !c.geo.isPointwise() {
		g.turned = b.Scratch(g.images * c.geo.inSize * c.c * 4)
	}
	if g.shared {
		g.scratch = b.Scratch(g.perPart)
		return g.runShared(b), nil
	}
	g.scratch = b.Scratch(g.perPart * parts)
	return g.runTiled(b), nil
}

// bindProducts makes a product per group, for every thread that computes tiles.
func (g *gatherConv) bindProducts(b *Bind, parts int) error {
	act := g.act
	if g.z != nil {
		act = kernels.Activation{}
	}
	pool := b.Pool
	if g.shared {
		parts = 1
	} else {
		pool = nil
	}
	var weights []kernels.Weights
	if g.constant {
		var err error
		if weights, err = g.groupWeights(b); err != nil {
			return err
		}
	} else if g.w.DType != tensor.F32 || g.w.Layout != tensor.RowMajor {
		return b.errorf("weights that are computed must be F32 in row-major layout, not %v", g.w)
	}
	g.products = make([][]*rowProduct, parts)
	product := 0
	for part := range g.products {
		g.products[part] = make([]*rowProduct, g.groups)
		for i := range g.products[part] {
			p := &rowProduct{n: g.mg, k: g.k, act: act}
			if g.bias != nil {
				p.bias = &tensor.Tensor{DType: tensor.F32, Shape: []int{g.mg}}
			}
			if g.constant {
				if b.IsConst(2) {
					p.bias.Data = g.bias.Data[i*g.mg*4 : (i+1)*g.mg*4]
				}
				p.fix(pool, weights[i], b.IsConst(2))
			} else {
				p.w = &tensor.Tensor{DType: tensor.F32, Shape: []int{g.mg, g.k}}
			}
			g.products[part][i] = p
			product = max(product, p.scratchBytes(g.tile))
		}
	}
	g.perPart = (g.tile*g.k*4+63)&^63 + (g.tile*g.mg*4+63)&^63 + (product+63)&^63
	return nil
}

// groupWeights returns each group's filters in panels. Where groups begin inside a panel the
// filters are packed anew as floats.
func (g *gatherConv) groupWeights(b *Bind) ([]kernels.Weights, error) {
	if g.groups == 1 {
		w, err := weightPanels(b, g.w, g.m, g.k, g.k, 1)
		return []kernels.Weights{w}, err
	}
	out := make([]kernels.Weights, g.groups)
	if g.mg%kernels.PanelRows == 0 {
		w, err := weightPanels(b, g.w, g.m, g.k, g.k, 1)
		if err != nil {
			return nil, err
		}
		size := len(w.Data) / g.groups
		for i := range out {
			out[i] = w
			out[i].N, out[i].Data = g.mg, w.Data[i*size:(i+1)*size]
		}
		return out, nil
	}
	rows, err := weightFloats(b, g.w, g.m, g.k)
	if err != nil {
		return nil, err
	}
	for i := range out {
		part := tensor.FromSlice(rows[i*g.mg*g.k:(i+1)*g.mg*g.k], g.mg, g.k)
		if out[i], err = weightPanels(b, part, g.mg, g.k, g.k, 1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// refresh points the products at weights and biases that were computed in this run.
func (g *gatherConv) refresh() {
	for _, groups := range g.products {
		for i, p := range groups {
			if p.bias != nil {
				p.bias.Data = g.bias.Data[i*g.mg*4 : (i+1)*g.mg*4]
			}
			if p.w != nil {
				p.w.Data = g.w.Data[i*g.mg*g.k*4 : (i+1)*g.mg*g.k*4]
			}
		}
	}
}

// eachChunk makes the function that turns the input of every chunk and then computes it.
func (g *gatherConv) eachChunk(b *Bind, compute func()) func() {
	turn := func() {}
	if g.turned != nil {
		blocks := (g.geo.inSize + turnPixels - 1) / turnPixels
		turn = b.split(g.images*blocks, 1, turnPixels*g.c, func(_, lo, hi int) {
			x, turned := g.x.F32(), g.turned.F32()
			for u := lo; u < hi && u/blocks < g.count; u++ {
				image, p := u/blocks, u%blocks*turnPixels
				transposeF32(turned[(image*g.geo.inSize+p)*g.c:], g.c,
					x[(g.first+image)*g.c*g.geo.inSize+p:], g.geo.inSize, g.c, min(turnPixels, g.geo.inSize-p))
			}
		})
	}
	return func() {
		g.refresh()
		for g.first = 0; g.first < g.batch; g.first += g.images {
			g.count = min(g.images, g.batch-g.first)
			turn()
			compute()
		}
	}
}

// part returns a thread's memory: gathered rows, their products, the products' own scratch.
func (g *gatherConv) part(i int) (rows, prod []float32, scratch []byte) {
	mem := g.scratch.Data[i*g.perPart : (i+1)*g.perPart]
	a := (g.tile*g.k*4 + 63) &^ 63
	c := a + (g.tile*g.mg*4+63)&^63
	return viewF32(mem[:g.tile*g.k*4]), viewF32(mem[a : a+g.tile*g.mg*4]), mem[c:]
}

func (g *gatherConv) runTiled(b *Bind) func() {
	tiles := (g.rows + g.tile - 1) / g.tile
	return g.eachChunk(b, b.split(tiles, 1, g.tile*max(g.k, 1)*max(g.m, 1), func(part, lo, hi int) {
		rows, prod, scratch := g.part(part)
		for t := lo; t < hi; t++ {
			r0 := t * g.tile
			r1 := min(r0+g.tile, g.count*g.geo.outSize)
			if r0 >= r1 {
				return
			}
			for i := range g.groups {
				g.gather(rows, i, r0, r1)
				g.products[part][i].run(prod, g.mg, rows, g.k, r1-r0, scratch)
				g.scatter(prod, i, r0, r1, 0, g.mg)
			}
		}
	}))
}

func (g *gatherConv) runShared(b *Bind) func() {
	group := 0
	gather := b.split(g.rows, 4, g.k, func(_, lo, hi int) {
		rows, _, _ := g.part(0)
		if hi = min(hi, g.count*g.geo.outSize); lo < hi {
			g.gather(rows[lo*g.k:], group, lo, hi)
		}
	})
	scatter := b.split(g.mg, 16, g.rows, func(_, lo, hi int) {
		_, prod, _ := g.part(0)
		g.scatter(prod, group, 0, g.count*g.geo.outSize, lo, hi)
	})
	return g.eachChunk(b, func() {
		rows, prod, scratch := g.part(0)
		for group = 0; group < g.groups; group++ {
			gather()
			g.products[0][group].run(prod, g.mg, rows, g.k, g.count*g.geo.outSize, scratch)
			scatter()
		}
	})
}

// gather writes rows [r0, r1) of a group to dst.
func (g *gatherConv) gather(dst []float32, group, r0, r1 int) {
	geo := g.geo
	if g.turned == nil {
		x := g.x.F32()
		for r := r0; r < r1; {
			image, p := r/geo.inSize, r%geo.inSize
			n := min(r1-r, geo.inSize-p)
			src := x[((g.first+image)*g.c+group*g.cg)*geo.inSize+p:]
			transposeF32(dst[(r-r0)*g.k:], g.k, src, geo.inSize, g.cg, n)
			r += n
		}
		return
	}
	src := g.turned.F32()
	oh, ow := geo.out[1], geo.out[2]
	for r := r0; r < r1; r++ {
		image, o := r/geo.outSize, r%geo.outSize
		x0 := o%ow*geo.stride[2] - geo.pad[2]
		y0 := o/ow%oh*geo.stride[1] - geo.pad[1]
		z0 := o/(ow*oh)*geo.stride[0] - geo.pad[0]
		row := dst[(r-r0)*g.k : (r-r0+1)*g.k]
		line := geo.kernel[2] * g.cg
		for i := range geo.kernel[0] {
			z := z0 + i*geo.dilation[0]
			for j := range geo.kernel[1] {
				y := y0 + j*geo.dilation[1]
				run := row[:line]
				row = row[line:]
				if z < 0 || z >= geo.in[0] || y < 0 || y >= geo.in[1] {
					clear(run)
					continue
				}
				from := ((image*geo.in[0]+z)*geo.in[1] + y) * geo.in[2] * g.c
				g.gatherLine(run, src[from:from+geo.in[2]*g.c], x0, group*g.cg)
			}
		}
	}
}

// gatherLine copies the window's columns, which begin at x0, from one line of the input.
func (g *gatherConv) gatherLine(dst, line []float32, x0, channel int) {
	kw, width, d := g.geo.kernel[2], g.geo.in[2], g.geo.dilation[2]
	if d == 1 && g.groups == 1 {
		lo := min(max(0, -x0), kw)
		hi := max(min(kw, width-x0), lo)
		clear(dst[:lo*g.c])
		if lo < hi {
			copy(dst[lo*g.c:hi*g.c], line[(x0+lo)*g.c:])
		}
		clear(dst[hi*g.c:])
		return
	}
	for i := range kw {
		run := dst[i*g.cg : (i+1)*g.cg]
		if x := x0 + i*d; x >= 0 && x < width {
			copy(run, line[x*g.c+channel:])
		} else {
			clear(run)
		}
	}
}

// scatter turns the products of rows [r0, r1), filters [lo, hi) of a group, and writes them to the output.
func (g *gatherConv) scatter(prod []float32, group, r0, r1, lo, hi int) {
	size := g.geo.outSize
	y := g.y.F32()
	for r := r0; r < r1; {
		image, p := r/size, r%size
		n := min(r1-r, size-p)
		at := ((g.first+image)*g.m+group*g.mg+lo)*size + p
		transposeF32(y[at:], size, prod[(r-r0)*g.mg+lo:], g.mg, n, hi-lo)
		if g.z != nil {
			for m := range hi - lo {
				g.finish(y[at+m*size:][:n], at+m*size)
			}
		}
		r += n
	}
}
