package bench

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/dsk-toolkit/dsk/kernels"
)

// kernelCase is one kernel with one shape.
type kernelCase struct {
	kernel, kind, format string
	m, n, k              int
	source               string  // of the data if set does not tell
	set                  int     // bytes of the working set
	pooled               bool    // spreads its work over a pool
	splits               bool    // may be timed with fewer outputs: start takes a multiple of two panels
	macs                 bool    // the figure is m*n*k multiply-adds a second, else bytes
	bytes                float64 // that a call moves, of one output if splits is set
	macsPerByte          float64 // of products whose figure is bytes
	peak                 string  // type of Hardware's peak that bounds the multiply-adds
	traffic              string  // read or copy: what bounds the bytes
	start                func(pool *kernels.Pool, n int) func()
}

// label names the case whatever number of outputs it is timed with.
func (c *kernelCase) label() string {
	return fmt.Sprint(c.kernel, "/", c.kind, "/", c.format, "/", c.m, "x", c.n, "x", c.k)
}

const (
	// side is that of the square matrices of products.
	side = 4096
	// rowLen is the length of the rows of vector functions: that of the hidden state of a small language model, and three of
	// them fit the first cache of every processor of interest.
	rowLen = 2048
	// cachedOutputs x cachedTerms weights of the quantized formats fit the second cache.
	cachedOutputs, cachedTerms = 512, 1024
	// fewRows is the most rows whose figure is how fast weights are read: what speculative decoding asks for.
	fewRows = 4
)

// cases lists all kernels. Weights are parts of the machine's buffer.
func (m *machine) cases() []kernelCase {
	var list []kernelCase
	for kind := kernels.KindD8; kind <= kernels.KindD2; kind++ {
		list = append(list, m.matMulCases(kind)...)
	}
	for _, kind := range []kernels.Kind{kernels.KindF32, kernels.KindF16, kernels.KindBF16} {
		list = append(list, m.matMulCases(kind)...)
	}
	list = append(list, m.matMul(kernels.KindF32, 1024, 1024, 1024), gemmCase(1024))
	for kind := kernels.KindD8; kind <= kernels.KindD2; kind++ {
		for _, rows := range []int{512, 64} {
			c := m.matMul(kind, rows, side, side)
			c.kernel, c.peak = "MatMulFloat", "f32"
			c.start = m.startMatMul(kernels.NewMatMulFloat, kind, rows, side, false)
			list = append(list, c)
		}
	}
	list = append(list, attentionCase("prefill", kernels.RowsF32, 8, 128, 1024, 64), attentionCase("prefill", kernels.RowsI8, 8, 128, 1024, 64),
		attentionCase("decode", kernels.RowsF32, 8, 1, rowLen, 64), attentionCase("decode", kernels.RowsF16, 8, 1, rowLen, 64), attentionCase("decode", kernels.RowsI8, 8, 1, rowLen, 64))
	list = append(list, depthwiseCase(56, 3, 1), depthwiseCase(112, 3, 2), depthwiseCase(28, 5, 1))
	list = append(list, vectorCases()...)
	return append(list, conversionCases()...)
}

func (m *machine) matMulCases(kind kernels.Kind) []kernelCase {
	return []kernelCase{m.matMul(kind, 512, side, side), m.matMul(kind, 64, side, side), m.matMul(kind, 1, side, side),
		m.matMul(kind, 1, cachedOutputs, cachedTerms), m.gemvMemory(kind, 1), m.gemvMemory(kind, fewRows)}
}

// weightBytes is the size of a matrix of whole panels.
func weightBytes(kind kernels.Kind, n, k int) int {
	switch {
	case kind.Format() != 0:
		return kind.Format().Bytes(n, k)
	case kind == kernels.KindF32:
		return kernels.Panels(n) * kernels.PanelRows * k * 4
	}
	return kernels.Panels(n) * kernels.PanelRows * k * 2
}

func formatName(kind kernels.Kind) string {
	switch kind {
	case kernels.KindF32:
		return "F32"
	case kernels.KindF16:
		return "F16"
	case kernels.KindBF16:
		return "BF16"
	}
	return kind.Format().String()
}

func (m *machine) matMul(kind kernels.Kind, rows, n, k int) kernelCase {
	for n > 2*kernels.PanelRows && weightBytes(kind, n, k) > m.size {
		n /= 2
	}
	bytes := weightBytes(kind, n, k)
	c := kernelCase{kernel: "MatMul", kind: "gemm", format: formatName(kind), m: rows, n: n, k: k, set: bytes,
		pooled: true, splits: true, macs: true, peak: "f32", traffic: "read"}
	if kind.Format() != 0 {
		c.peak = "int8"
	}
	c.bytes = float64(bytes) / float64(n)
	if rows <= fewRows {
		c.kind, c.macs, c.macsPerByte = "gemv", false, float64(rows*k)/c.bytes
	}
	c.start = m.startMatMul(kernels.NewMatMul, kind, rows, k, false)
	return c
}

// gemvMemory multiplies with one part of the buffer after another, so that the weights come from memory.
func (m *machine) gemvMemory(kind kernels.Kind, rows int) kernelCase {
	n := m.size / streamChunks / weightBytes(kind, 2*kernels.PanelRows, side) * 2 * kernels.PanelRows
	if n == 0 {
		n = 2 * kernels.PanelRows
	}
	c := m.matMul(kind, rows, n, side)
	c.source = "memory"
	c.start = m.startMatMul(kernels.NewMatMul, kind, rows, side, true)
	return c
}

type newMatMul func(*kernels.Pool, kernels.Weights, []float32, kernels.Activation) *kernels.MatMul

func (m *machine) startMatMul(create newMatMul, kind kernels.Kind, rows, k int, fromMemory bool) func(*kernels.Pool, int) func() {
	return func(pool *kernels.Pool, n int) func() {
		var lv *kernels.Levels
		if f := kind.Format(); f != 0 {
			lv = kernels.DefaultLevels(f)
		}
		bytes := weightBytes(kind, n, k)
		product := func(data []byte) *kernels.MatMul {
			return create(pool, kernels.Weights{Kind: kind, N: n, K: k, Data: data[:bytes], Levels: lv}, nil, kernels.Activation{})
		}
		first := product(m.buffer)
		x, dst, scratch := normal(rows*k), make([]float32, rows*n), make([]byte, first.ScratchBytes(rows))
		if !fromMemory {
			return func() { first.Run(dst, n, x, k, rows, scratch) }
		}
		// Parts of whole lines that the walk takes one after another.
		size := (bytes + kernels.LineBytes - 1) / kernels.LineBytes * kernels.LineBytes
		products := make([]*kernels.MatMul, len(m.buffer)/size)
		for i := range products {
			products[i] = product(m.buffer[i*size:])
		}
		return func() { products[m.next(size)].Run(dst, n, x, k, rows, scratch) }
	}
}

// normal returns n values of the standard normal distribution.
func normal(n int) []float32 {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func gemmCase(n int) kernelCase {
	return kernelCase{kernel: "Gemm", kind: "gemm", format: "F32", m: n, n: n, k: n, set: 4 * n * n, splits: true, macs: true, peak: "f32",
		start: func(_ *kernels.Pool, cols int) func() {
			a, b, dst := normal(n*n), normal(n*n), make([]float32, n*n)
			scratch := make([]byte, kernels.GemmPackBytes(n, cols, n))
			return func() { kernels.Gemm(dst, n, a, n, b, n, false, n, cols, n, scratch) }
		}}
}

// attentionCase is one group of query heads with a key/value head. Many queries are bound by arithmetic, one by reading.
func attentionCase(name string, kind kernels.RowKind, heads, queries, keys, dim int) kernelCase {
	a := kernels.Attention{Heads: heads, Queries: queries, Keys: keys, Dim: dim, DimV: dim, QueryHead: dim, DstHead: dim, Scale: float32(1 / math.Sqrt(float64(dim)))}
	size := kind.RowBytes(dim)
	kv := 2 * keys * size
	c := kernelCase{kernel: "Attention", kind: "attention-" + name, format: [...]string{"F32", "F16", "I8", "BF16"}[kind], m: heads * queries, n: keys, k: 2 * dim, set: kv,
		macs: queries > 1, bytes: float64(kv), macsPerByte: float64(2*heads*keys*dim) / float64(kv), peak: "f32", traffic: "read"}
	c.start = func(*kernels.Pool, int) func() {
		q := normal(heads * queries * dim)
		k, v := make([]byte, keys*size), make([]byte, keys*size)
		for s := range keys {
			kind.Store(k[s*size:], normal(dim))
			kind.Store(v[s*size:], normal(dim))
		}
		dst, scratch := make([]float32, len(q)), make([]byte, a.ScratchBytes())
		return func() {
			a.Run(dst, heads*dim, q, heads*dim, kernels.Rows{Kind: kind, Data: k, Stride: size}, kernels.Rows{Kind: kind, Data: v, Stride: size},
				kernels.AttentionMask{}, scratch)
		}
	}
	return c
}

func depthwiseCase(size, kernel, stride int) kernelCase {
	out := (size + stride - 1) / stride
	g := kernels.Window{H: size, W: size, OH: out, OW: out, KH: kernel, KW: kernel, StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1,
		PadTop: kernel / 2, PadLeft: kernel / 2}
	return kernelCase{kernel: "DepthwiseConv2D", kind: fmt.Sprintf("conv-depthwise-s%d", stride), format: "F32", m: 1, n: out * out, k: kernel * kernel,
		set: 4 * (size*size + out*out), macs: true, peak: "f32",
		start: func(*kernels.Pool, int) func() {
			src, w, dst := normal(size*size), normal(kernel*kernel), make([]float32, out*out)
			return func() { kernels.DepthwiseConv2D(dst, src, w, 0.5, &g) }
		}}
}

// vector is a case of a function of rows of rowLen elements, which reads some rows and writes one, or none if it reduces.
func vector(kernel, kind string, reads int, fn func(dst, a, b []float32)) kernelCase {
	c := kernelCase{kernel: kernel, kind: kind, format: "F32", m: 1, n: rowLen, k: 1, traffic: "copy"}
	rows := reads + 1
	if kind == "reduce" {
		rows, c.traffic = reads, "read"
	}
	c.bytes, c.set = float64(4*rowLen*rows), 4*rowLen*rows
	c.start = func(*kernels.Pool, int) func() {
		// Apart by some lines more than whole pages: loads just behind a store to the same place of another page wait
		// for it on some processors.
		space := make([]float32, 3*rowLen+208)
		dst, a, b := space[:rowLen], space[rowLen+80:][:rowLen], space[2*rowLen+208:]
		copy(a, normal(rowLen))
		for i, v := range a {
			b[i] = float32(math.Abs(float64(v))) // for Sqrt
		}
		return func() { fn(dst, a, b) }
	}
	return c
}

func vectorCases() []kernelCase {
	list := []kernelCase{
		vector("Add", "elementwise", 2, kernels.Add),
		vector("Sub", "elementwise", 2, kernels.Sub),
		vector("Mul", "elementwise", 2, kernels.Mul),
		vector("Div", "elementwise", 2, kernels.Div),
		vector("Max", "elementwise", 2, kernels.Max),
		vector("Min", "elementwise", 2, kernels.Min),
		vector("Scale", "elementwise", 1, func(dst, a, _ []float32) { kernels.Scale(dst, a, 1.5) }),
		vector("AddScalar", "elementwise", 1, func(dst, a, _ []float32) { kernels.AddScalar(dst, a, 1.5) }),
		// The sum grows, but not to infinity within hours.
		vector("Axpy", "elementwise", 2, func(dst, a, _ []float32) { kernels.Axpy(dst, a, 1.5) }),
		vector("Sqrt", "elementwise", 1, func(dst, _, b []float32) { kernels.Sqrt(dst, b) }),
		vector("Exp", "elementwise", 1, func(dst, a, _ []float32) { kernels.Exp(dst, a) }),
		vector("Erf", "elementwise", 1, func(dst, a, _ []float32) { kernels.Erf(dst, a) }),
		vector("Dot", "reduce", 2, func(_, a, b []float32) { _ = kernels.Dot(a, b) }),
		vector("SumRow", "reduce", 1, func(_, a, _ []float32) { _ = kernels.SumRow(a) }),
		vector("MaxRow", "reduce", 1, func(_, a, _ []float32) { _ = kernels.MaxRow(a) }),
		vector("SoftmaxRow", "norm", 1, func(dst, a, _ []float32) { kernels.SoftmaxRow(dst, a) }),
		vector("LogSoftmaxRow", "norm", 1, func(dst, a, _ []float32) { kernels.LogSoftmaxRow(dst, a) }),
		vector("RMSNormRow", "norm", 2, func(dst, a, b []float32) { kernels.RMSNormRow(dst, a, b, 1e-5) }),
		vector("LayerNormRow", "norm", 2, func(dst, a, b []float32) { kernels.LayerNormRow(dst, a, b, nil, 1e-5) }),
		vector("RopeRow", "elementwise", 2, func(dst, a, b []float32) { kernels.RopeRow(dst, a, b[:rowLen/2], b[rowLen/2:], false) }),
	}
	for _, act := range []struct {
		name string
		kernels.Activation
	}{
		{"Relu", kernels.Activation{Kind: kernels.ActRelu}},
		{"LeakyRelu", kernels.Activation{Kind: kernels.ActLeakyRelu, Alpha: 0.1}},
		{"Clip", kernels.Activation{Kind: kernels.ActClip, Beta: 6}},
		{"Sigmoid", kernels.Activation{Kind: kernels.ActSigmoid}},
		{"Tanh", kernels.Activation{Kind: kernels.ActTanh}},
		{"Swish", kernels.Activation{Kind: kernels.ActSwish}},
		{"HardSwish", kernels.Activation{Kind: kernels.ActHardSwish}},
		{"Gelu", kernels.Activation{Kind: kernels.ActGelu}},
		{"GeluTanh", kernels.Activation{Kind: kernels.ActGeluTanh}},
	} {
		list = append(list, vector("Activate"+act.name, "elementwise", 1, func(dst, a, _ []float32) { kernels.Activate(dst, a, act.Activation) }))
	}
	return list
}

// conversionCases are the changes of form: of elements, and of order.
func conversionCases() []kernelCase {
	conversion := func(kernel, format string, n int, bytes float64, start func() func()) kernelCase {
		return kernelCase{kernel: kernel, kind: "convert", format: format, m: 1, n: n, k: 1, set: int(bytes), bytes: bytes, traffic: "copy",
			start: func(*kernels.Pool, int) func() { return start() }}
	}
	halves := func(narrow func([]uint16, []float32)) ([]uint16, []float32) {
		x := normal(rowLen)
		h := make([]uint16, rowLen)
		narrow(h, x)
		return h, x
	}
	list := []kernelCase{
		conversion("ExpandF16", "F16", rowLen, 6*rowLen, func() func() {
			h, x := halves(kernels.NarrowF16)
			return func() { kernels.ExpandF16(x, h) }
		}),
		conversion("ExpandBF16", "BF16", rowLen, 6*rowLen, func() func() {
			h, x := halves(kernels.NarrowBF16)
			return func() { kernels.ExpandBF16(x, h) }
		}),
		conversion("NarrowF16", "F16", rowLen, 6*rowLen, func() func() {
			h, x := halves(kernels.NarrowF16)
			return func() { kernels.NarrowF16(h, x) }
		}),
		conversion("NarrowBF16", "BF16", rowLen, 6*rowLen, func() func() {
			h, x := halves(kernels.NarrowBF16)
			return func() { kernels.NarrowBF16(h, x) }
		}),
		conversion("QuantizeRow", "F32", rowLen, float64(4*rowLen+kernels.Groups(rowLen)*kernels.ActBytes), func() func() {
			x := normal(rowLen)
			dst := make([]byte, kernels.Groups(rowLen)*kernels.ActBytes)
			return func() { kernels.QuantizeRow(dst, x) }
		}),
		conversion("Transpose", "F32", 64*64, 2*4*64*64, func() func() {
			dst, src := make([]float32, 64*64), normal(64*64)
			return func() { kernels.Transpose(dst, 64, src, 64, 64, 64) }
		}),
	}
	for f := kernels.D8; f <= kernels.D2; f++ {
		codes := float64(f.PanelBytes(rowLen)) / kernels.PanelRows
		list = append(list, conversion("DequantizeRow", f.String(), rowLen, codes+4*rowLen, func() func() {
			r := rand.New(rand.NewPCG(3, uint64(f)))
			panel, dst, lv := make([]byte, f.PanelBytes(rowLen)), make([]float32, rowLen), kernels.DefaultLevels(f)
			for i := range panel {
				panel[i] = byte(0x20 + r.UintN(0x20))
			}
			return func() { kernels.DequantizeRow(dst, panel, f, lv, 3, rowLen) }
		}))
	}
	return list
}
