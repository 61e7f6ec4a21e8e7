package kernels

import "unsafe"

// MatMulGroup is several products of the same rows: Q, K and V of attention, the gate and the other half of an MLP. Few rows of quantized
// products are quantized once for all of them, and threads share all of their panels at once, which leaves each enough to do. Make it once, with
// NewMatMulGroup; it is not for concurrent use, and neither is one of its products meanwhile.
type MatMulGroup struct {
	products []*MatMul
	panels   int // of all
}

// NewMatMulGroup makes a group of products with the same K and the same pool.
func NewMatMulGroup(products []*MatMul) *MatMulGroup {
	g := &MatMulGroup{products: products}
	for _, m := range products {
		if m.w.K != products[0].w.K || m.pool != products[0].pool {
			panic("kernels: NewMatMulGroup: products of different rows")
		}
		g.panels += m.panels
	}
	return g
}

// ScratchBytes returns the scratch that Run needs for up to rows rows.
func (g *MatMulGroup) ScratchBytes(rows int) int {
	n := 0
	for _, m := range g.products {
		n = max(n, m.ScratchBytes(rows))
	}
	return n
}

// Run is Run of each product, with dst[i] of product i as one row of N() after another. The results are the same bit for bit.
func (g *MatMulGroup) Run(dst [][]float32, x []float32, ldx, rows int, scratch []byte) {
	first := g.products[0]
	together := first.w.K > 0 && rows > 0
	work := 0
	for _, m := range g.products {
		together = together && m.format != 0 && m.tileCount(rows) == 0 && m.w.N > 0
		work += rows * m.w.N * m.w.K
	}
	if !together {
		for i, m := range g.products {
			m.Run(dst[i], m.w.N, x, ldx, rows, scratch)
		}
		return
	}
	for i, m := range g.products {
		if len(dst[i]) < rows*m.w.N {
			panic("kernels: MatMulGroup.Run: dst is too short")
		}
	}
	if ldx < first.w.K && rows > 1 || len(x) < (rows-1)*ldx+first.w.K || len(scratch) < g.ScratchBytes(rows) {
		panic("kernels: MatMulGroup.Run: x or scratch is too short")
	}
	scratch = scratch[-uintptr(unsafe.Pointer(&scratch[0]))%LineBytes:]
	acts, parts := actBlocks(scratch, rows*first.groups), scratch[first.actsBytes(rows):]
	size := 0
	for i, m := range g.products {
		m.dst, m.ldd, m.x, m.ldx, m.rows, m.tiles = dst[i], m.w.N, x, ldx, rows, 0
		m.acts, m.parts = acts, parts
		size = max(size, m.partBytes(rows))
	}
	threads := first.threads()
	if work < serialWork {
		threads = 1
	}
	for _, m := range g.products {
		m.size = size
	}
	if rows >= threads && rows*first.w.K >= quantizeWork {
		first.run(taskQuantize, threads)
	} else {
		first.run(taskQuantize, 1)
	}
	if threads == 1 {
		g.Do(0, 1)
	} else {
		first.pool.Run(g)
	}
	for _, m := range g.products {
		m.dst, m.x, m.acts, m.parts = nil, nil, nil, nil
	}
}

// Do does one part of the products that run; it is for the pool.
func (g *MatMulGroup) Do(part, parts int) {
	lo, hi := Span(g.panels, 2, part, parts)
	for _, m := range g.products {
		if from, to := max(lo, 0), min(hi, m.panels); from < to {
			m.block(0, m.rows, from, to, m.parts[part*m.size:][:m.size])
		}
		lo, hi = lo-m.panels, hi-m.panels
	}
}
