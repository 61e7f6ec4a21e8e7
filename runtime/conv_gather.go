package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// gatherConv computes a convolution as a matrix product: the receptive field of an output, in (window,
// channel) order, is a row; rows times filters gives [outputs][M], which is turned into [M][outputs] where the output
// wants that. An input that has its channels first is turned before, so that a row consists of long contiguous runs.
//
// Either each thread computes tiles of rows by itself (tiled), or, when there are too few rows for
// that, all threads share one product and split it by filters (shared).
type gatherConv struct {
	*conv
	k      int  // length of a row
	coded  bool // rows are gathered from quantized activations: every group lies in one pixel
	inRows bool // pixels are rows as they lie: nothing is gathered
	pixel  int  // bytes of a pixel's channels in turned, and of those of one group
	slice  int
	images int // computed at once: a chunk
	rows   int // of a chunk
	tile   int // rows of a tile; all rows of the chunk if shared
	shared bool

	turned   *tensor.Tensor // the chunk's input, channels last and quantized if coded; nil if rows come from x
	floats   *tensor.Tensor // per part: pixels that are to be quantized
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
	pointwise := c.geo.isPointwise()
	g.coded = constant && !pointwise && w.DType.IsQuantized() && !floatActs(b) && c.cg%kernels.GroupLen == 0 &&
		(c.groups == 1 || c.mg%kernels.PanelRows == 0)
	g.pixel, g.slice = c.c*4, c.cg*4
	if g.coded {
		g.pixel, g.slice = c.c/kernels.GroupLen*kernels.ActBytes, c.cg/kernels.GroupLen*kernels.ActBytes
		g.floats = b.Scratch(parts * turnPixels * c.c * 4)
	}
	if err := g.bindProducts(b, parts); err != nil {
		return nil, err
	}
	g.inRows = pointwise && c.xLast
	if !pointwise && (g.coded || !c.xLast) {
		g.turned = b.Scratch(g.images * c.geo.inSize * g.pixel)
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
			p := &rowProduct{n: g.mg, k: g.k, act: act, wide: floatActs(b)}
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
	g.perPart = (g.tile*g.rowBytes()+63)&^63 + (g.tile*g.mg*4+63)&^63 + (product+63)&^63
	return nil
}

// rowBytes is the size of a gathered row.
func (g *gatherConv) rowBytes() int { return g.geo.winSize * g.slice }

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
		turn = b.split(g.images*blocks, 1, turnPixels*g.c, func(part, lo, hi int) {
			for u := lo; u < hi && u/blocks < g.count; u++ {
				p := u % blocks * turnPixels
				g.turn(part, u/blocks, p, min(turnPixels, g.geo.inSize-p))
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

// turn writes n pixels of an image of the chunk, from pixel p on, with the channels last.
func (g *gatherConv) turn(part, image, p, n int) {
	at := image*g.geo.inSize + p
	if g.xLast {
		rows := g.x.F32()[(g.first*g.geo.inSize+at)*g.c:]
		for i := range n {
			kernels.QuantizeRow(g.turned.Data[(at+i)*g.pixel:][:g.pixel], rows[i*g.c:(i+1)*g.c])
		}
		return
	}
	x := g.x.F32()[(g.first+image)*g.c*g.geo.inSize+p:]
	if !g.coded {
		kernels.Transpose(g.turned.F32()[at*g.c:], g.c, x, g.geo.inSize, g.c, n)
		return
	}
	rows := g.floats.F32()[part*turnPixels*g.c:][:n*g.c]
	kernels.Transpose(rows, g.c, x, g.geo.inSize, g.c, n)
	for i := range n {
		kernels.QuantizeRow(g.turned.Data[(at+i)*g.pixel:][:g.pixel], rows[i*g.c:(i+1)*g.c])
	}
}

// part returns a thread's memory: gathered rows, their products, the products' own scratch.
func (g *gatherConv) part(i int) (rows []byte, prod []float32, scratch []byte) {
	mem := g.scratch.Data[i*g.perPart : (i+1)*g.perPart]
	a := (g.tile*g.rowBytes() + 63) &^ 63
	c := a + (g.tile*g.mg*4+63)&^63
	return mem[:g.tile*g.rowBytes()], viewF32(mem[a : a+g.tile*g.mg*4]), mem[c:]
}

// rowsInto computes rows [r0, r1) of the chunk for a group. Where the output has its channels last the product writes
// there, else to prod.
func (g *gatherConv) rowsInto(p *rowProduct, group, r0, r1 int, rows []byte, prod []float32, scratch []byte) {
	n := r1 - r0
	dst, ldd := prod, g.mg
	if g.yLast {
		dst, ldd = g.y.F32()[(g.first*g.geo.outSize+r0)*g.m+group*g.mg:], g.m
	}
	switch {
	case g.coded:
		p.runQuantized(dst, ldd, rows, n, scratch)
	case g.inRows:
		p.run(dst, ldd, g.x.F32()[(g.first*g.geo.inSize+r0)*g.c+group*g.cg:], g.c, n, scratch)
	default:
		p.run(dst, ldd, viewF32(rows), g.k, n, scratch)
	}
}

// finishRows adds Z and activates rows [r0, r1) and filters [m0, m1) of a group, in an output with channels last.
func (g *gatherConv) finishRows(group, r0, r1, m0, m1 int) {
	if g.z == nil {
		return
	}
	if m1-m0 == g.m {
		at := (g.first*g.geo.outSize + r0) * g.m
		g.finish(g.y.F32()[at:at+(r1-r0)*g.m], at)
		return
	}
	for r := r0; r < r1; r++ {
		at := (g.first*g.geo.outSize+r)*g.m + group*g.mg
		g.finish(g.y.F32()[at+m0:at+m1], at+m0)
	}
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
				if !g.inRows {
					g.gather(rows, i, r0, r1)
				}
				g.rowsInto(g.products[part][i], i, r0, r1, rows, prod, scratch)
				if g.yLast {
					g.finishRows(i, r0, r1, 0, g.mg)
				} else {
					g.scatter(prod, i, r0, r1, 0, g.mg)
				}
			}
		}
	}))
}

func (g *gatherConv) runShared(b *Bind) func() {
	group := 0
	gather := b.split(g.rows, 4, g.k, func(_, lo, hi int) {
		rows, _, _ := g.part(0)
		if hi = min(hi, g.count*g.geo.outSize); lo < hi {
			g.gather(rows[lo*g.rowBytes():], group, lo, hi)
		}
	})
	scatter := b.split(g.mg, 16, g.rows, func(_, lo, hi int) {
		if g.yLast {
			g.finishRows(group, 0, g.count*g.geo.outSize, lo, hi)
			return
		}
		_, prod, _ := g.part(0)
		g.scatter(prod, group, 0, g.count*g.geo.outSize, lo, hi)
	})
	return g.eachChunk(b, func() {
		rows, prod, scratch := g.part(0)
		for group = 0; group < g.groups; group++ {
			if !g.inRows {
				gather()
			}
			g.rowsInto(g.products[0][group], group, 0, g.count*g.geo.outSize, rows, prod, scratch)
			if !g.yLast || g.z != nil {
				scatter()
			}
		}
	})
}

// gather writes rows [r0, r1) of a group to dst.
func (g *gatherConv) gather(dst []byte, group, r0, r1 int) {
	geo := g.geo
	if g.turned == nil && !g.xLast {
		x, rows := g.x.F32(), viewF32(dst)
		for r := r0; r < r1; {
			image, p := r/geo.inSize, r%geo.inSize
			n := min(r1-r, geo.inSize-p)
			src := x[((g.first+image)*g.c+group*g.cg)*geo.inSize+p:]
			kernels.Transpose(rows[(r-r0)*g.k:], g.k, src, geo.inSize, g.cg, n)
			r += n
		}
		return
	}
	src := g.x.Data
	if g.turned != nil {
		src = g.turned.Data
	} else {
		src = src[g.first*geo.inSize*g.pixel:]
	}
	oh, ow := geo.out[1], geo.out[2]
	line, width := geo.kernel[2]*g.slice, geo.in[2]*g.pixel
	for r := r0; r < r1; r++ {
		image, o := r/geo.outSize, r%geo.outSize
		x0 := o%ow*geo.stride[2] - geo.pad[2]
		y0 := o/ow%oh*geo.stride[1] - geo.pad[1]
		z0 := o/(ow*oh)*geo.stride[0] - geo.pad[0]
		row := dst[(r-r0)*g.rowBytes() : (r-r0+1)*g.rowBytes()]
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
				from := ((image*geo.in[0]+z)*geo.in[1] + y) * width
				g.gatherLine(run, src[from:from+width], x0, group*g.slice)
			}
		}
	}
}

// gatherLine copies the window's columns, which begin at x0, from one line of the input; a group's channels
// begin at byte channel of a pixel. Padding is zero bytes in both forms.
func (g *gatherConv) gatherLine(dst, line []byte, x0, channel int) {
	kw, width, d := g.geo.kernel[2], g.geo.in[2], g.geo.dilation[2]
	if d == 1 && g.groups == 1 {
		lo := min(max(0, -x0), kw)
		hi := max(min(kw, width-x0), lo)
		clear(dst[:lo*g.pixel])
		if lo < hi {
			copy(dst[lo*g.pixel:hi*g.pixel], line[(x0+lo)*g.pixel:])
		}
		clear(dst[hi*g.pixel:])
		return
	}
	for i := range kw {
		run := dst[i*g.slice : (i+1)*g.slice]
		if x := x0 + i*d; x >= 0 && x < width {
			copy(run, line[x*g.pixel+channel:])
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
		kernels.Transpose(y[at:], size, prod[(r-r0)*g.mg+lo:], g.mg, n, hi-lo)
		if g.z != nil {
			for m := range hi - lo {
				g.finish(y[at+m*size:][:n], at+m*size)
			}
		}
		r += n
	}
}
