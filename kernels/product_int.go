package kernels

import "unsafe"

// IntProduct is a product of bytes with int8 weights whose quantization is known only when it runs, as after ONNX's
// DynamicQuantizeLinear. For row i of x, quantized with q, and output n, with exact integer sums,
//
//	sum[i,n] = sum_k w[n,k] (x[i,k] - q.Zero)
//	v = float32(sum) * (q.Scale*scale[n]) + bias[n]
//
// rounded after each operation, dst is act(v), or the byte nearest to act(v)*(1/Y.Scale) + Y.Zero, halves to even. Every
// implementation gives the same bits. It may be used by several goroutines at a time.
type IntProduct struct {
	n, k        int
	out         levelOutput
	w           levelPanels
	start       []int32 // zeros
	negative    []int32 // -sum_k w[n,k]
	scale, bias []float32
}

// NewIntProduct binds weights w[n][k] with a scale for each row and an optional bias. y is nil for an output of floats.
func NewIntProduct(n, k int, w []int8, scale, bias []float32, y *Quantized, act Activation) *IntProduct {
	if n < 1 || k < 1 || len(w) != n*k || len(scale) != n || bias != nil && len(bias) != n {
		panic("kernels: NewIntProduct: weights, scales or bias do not fit")
	}
	size := (Panels(n) + 1) * PanelRows // tiles of two panels read on
	p := &IntProduct{n: n, k: k, out: newLevelOutput(act, y), w: packLevels(w, n, 1, k),
		start: make([]int32, size), negative: make([]int32, size), scale: make([]float32, size), bias: make([]float32, size)}
	copy(p.scale, scale)
	copy(p.bias, bias)
	for r := range n {
		p.negative[r] = -p.w.columns[r]
	}
	return p
}

// Panels is the number of panels of outputs.
func (p *IntProduct) Panels() int { return Panels(p.n) }

// stride is the bytes of a row of x that kernels read.
func (p *IntProduct) stride() int { return p.w.steps * LineBytes }

// tail is the number of rows at the end of x from which kernels may read on beyond it: they are copied.
func (p *IntProduct) tail() int {
	if p.k == p.stride() {
		return 0
	}
	return (p.stride()-p.k-1)/p.k + 1
}

// ScratchBytes is the memory that Run needs, on a line of 64 bytes.
func (p *IntProduct) ScratchBytes() int { return levelSumBytes + p.tail()*p.stride() }

// Run computes rows [lo, hi) of x[rows][k] for the outputs of panels [p0, p1). q has the quantization of all rows, or one for
// each row. dst[rows][n] holds bytes, or the bytes of float32. It must not overlap x.
func (p *IntProduct) Run(dst, x []byte, q []Quantized, rows, lo, hi, p0, p1 int, scratch []byte) {
	e := outputBytes(p.out.y)
	if lo < 0 || hi > rows || p0 < 0 || p1 > p.Panels() || len(x) < rows*p.k || len(dst) < rows*p.n*e ||
		len(q) != 1 && len(q) != rows || len(scratch) < p.ScratchBytes() {
		panic("kernels: IntProduct.Run: dst, x, q or scratch is too short")
	}
	if lo >= hi || p0 >= p1 {
		return
	}
	t := levelTile{ldd: p.n * e, k: p.w.k, segments: 1, steps: p.w.steps, sums: unsafe.Pointer(&scratch[0]), ldq: int(unsafe.Sizeof(Quantized{}))}
	if len(q) == 1 {
		t.ldq = 0
	}
	whole := max(min(hi, rows-p.tail()), lo)
	copied := scratch[levelSumBytes:]
	for i := whole; i < hi; i++ {
		row := copied[(i-whole)*p.stride():][:p.stride()]
		copy(row, x[i*p.k:(i+1)*p.k])
		clear(row[p.k:])
	}
	last := min(p1*PanelRows, p.n)
	for c := p0 * PanelRows; c < last; c += stripCols {
		cols := min(last-c, stripCols)
		p.w.strip(&t, c/PanelRows, cols)
		t.start, t.negative = unsafe.Pointer(&p.start[c]), unsafe.Pointer(&p.negative[c])
		t.mult, t.bias = unsafe.Pointer(&p.scale[c]), unsafe.Pointer(&p.bias[c])
		at := func(i int) {
			t.dst = unsafe.Pointer(&dst[(i*p.n+c)*e])
			t.q = unsafe.Pointer(&q[i*t.ldq/int(unsafe.Sizeof(Quantized{}))])
		}
		if lo < whole {
			at(lo)
			t.x, t.ldx, t.room = unsafe.Pointer(&x[lo*p.k]), p.k, len(x)-lo*p.k
			t.run(whole-lo, cols, &p.out)
		}
		if whole < hi {
			at(whole)
			t.x, t.ldx, t.room = unsafe.Pointer(&copied[0]), p.stride(), len(copied)
			t.run(hi-whole, cols, &p.out)
		}
	}
}
