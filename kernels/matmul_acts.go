package kernels

import "unsafe"

// ActBytes is the size of a group of GroupLen activations in the form that quantized products read:
// see QuantizeRow.
const ActBytes = actBlockBytes

// QuantizeRow quantizes the activations of one row to Groups(len(x)) groups of ActBytes bytes each, as
// MatMul.Run does. A caller that shows the same values to a product many times, as a convolution
// does, so quantizes them once. A group of zeros is all zero bytes. dst is aligned to 4 bytes.
func QuantizeRow(dst []byte, x []float32) {
	if n := Groups(len(x)); n > 0 {
		quantizeActs(actBlocks(dst, n), x)
	}
}

// IsQuantized reports whether weights and activations are, so that RunQuantized may be used.
func (m *MatMul) IsQuantized() bool { return m.format != 0 }

// RunQuantized is Run on rows that are quantized already: each row is Groups(K) groups as QuantizeRow writes
// them, one row after another. The result is the same bit for bit.
func (m *MatMul) RunQuantized(dst []float32, ldd int, acts []byte, rows int, scratch []byte) {
	if rows <= 0 || m.w.N == 0 {
		return
	}
	if m.format == 0 {
		panic("kernels: MatMul.RunQuantized: the product is one of floats")
	}
	if ldd < m.w.N && rows > 1 || len(dst) < (rows-1)*ldd+m.w.N || len(acts) < rows*m.groups*actBlockBytes ||
		len(scratch) < m.ScratchBytes(rows) {
		panic("kernels: MatMul.RunQuantized: dst, acts or scratch is too short")
	}
	m.dst, m.ldd, m.rows = dst, ldd, rows
	m.given = actBlocks(acts, rows*m.groups)
	threads := m.threads()
	if rows*m.w.N*m.w.K < serialWork {
		threads = 1
	}
	m.multiply(scratch[-uintptr(unsafe.Pointer(&scratch[0]))%LineBytes:], threads)
}

// runBlocks is RunQuantized for panels [lo, hi), on the caller's goroutine, without bias and activation, and for rows that consist of
// the blocks that lie offsets after the row's place. Other panels' outputs stay as they are.
func (m *MatMul) runBlocks(dst []float32, ldd int, blocks []actBlock, offsets []int, at blockOrigins, rows, lo, hi int, scratch []byte) {
	m.dst, m.ldd, m.rows = dst, ldd, rows
	m.divide(scratch)
	var places [tileRows]int
	for t := range m.tiles {
		first, n := m.tileRow(t), m.tileRow(t+1)-m.tileRow(t)
		for i := range n {
			places[i] = at.place(first + i)
		}
		m.packBlocks(t, blocks, offsets, places[:n])
	}
	if m.tiles == 0 {
		for row := range rows {
			place, acts := at.place(row), m.acts[row*m.groups:][:m.groups]
			for g, offset := range offsets {
				acts[g] = blocks[offset+place]
			}
		}
	}
	m.block(0, rows, lo, hi, m.parts[:m.size])
	m.release()
}

// blockOrigins are the places of the rows of a product, from row first on, in blocks: lines of columns rows, step apart, and lines ld apart.
type blockOrigins struct{ first, columns, step, ld int }

func (o blockOrigins) place(row int) int {
	row += o.first
	return row/o.columns*o.ld + row%o.columns*o.step
}
