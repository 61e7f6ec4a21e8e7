package dskfile

import (
	"bytes"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// A packed data region is the region with its tensors coded one after the other, without padding of any kind: lines, panels' missing
// rows and groups' missing columns. It is unpacked in one go when the file is opened, so it is for small files,
// which gain from it most: there, padding and codes that are not equally frequent are a sixth of the bytes.

const (
	// packedGrowth and packedBase bound what a packed region may unpack to: so many times its bytes and so many more.
	packedGrowth = 64
	packedBase   = 1 << 20
)

// maxRegion is the largest region that so many packed bytes may hold in a file whose header has so many.
func maxRegion(stored, header int64) int64 {
	return min(packedGrowth*stored+packedBase, header+stored+MemoryBase)
}

// pack returns the packed form of a data region, or nil if it has none: where padding is not zero.
func pack(region []byte, table []TensorInfo) []byte {
	c := newEncoder()
	codeRegion(c, region, table)
	stream := c.finish()
	again := make([]byte, len(region))
	if !unpack(again, stream, table) || !bytes.Equal(again, region) {
		return nil
	}
	return stream
}

// unpack fills a zeroed region from a stream, and reports whether the stream ends where the region does.
func unpack(region, stream []byte, table []TensorInfo) bool {
	c := newDecoder(stream)
	codeRegion(c, region, table)
	return c.ended()
}

// PackedBytes returns about how many bytes the given bytes of a tensor take in a packed file, whose trees know others of its kind: what it
// takes once more after itself.
func PackedBytes(t *tensor.Tensor, data []byte) int64 {
	info := TensorInfo{Tensor: t, Bytes: int64(len(data))}
	length := func(table ...TensorInfo) int {
		c := newEncoder()
		codeRegion(c, data, table)
		return len(c.stream)
	}
	return int64(length(info, info) - length(info))
}

// codeRegion takes a region's bytes from c, or to it.
func codeRegion(c *coder, region []byte, table []TensorInfo) {
	p := &packer{coder: c, blocks: map[kernels.Format]*blockTrees{}, plain: map[plainKey][]tree{}}
	for _, t := range table {
		data := region[t.Offset:][:t.Bytes]
		switch {
		case len(data) == 0:
		case t.Tensor.DType.IsQuantized():
			n, k := tensor.Matrix(t.Tensor.Shape)
			p.codeBlocks(data, t.Tensor.DType.Format(), n, k)
		default:
			p.codePlain(data, t.Tensor)
		}
		if c.reading && c.at > len(c.stream)+4 {
			return
		}
	}
}

// packer codes tensors. Those of a kind share their trees.
type packer struct {
	*coder
	blocks map[kernels.Format]*blockTrees
	plain  map[plainKey][]tree
}

// blockTrees are the trees of a quantized type: of its codes, the groups' scales and the rows' scales byte by byte.
type blockTrees struct {
	codes, group tree
	row          [4]tree
}

// plainKey is the kind of a tensor that is not quantized.
type plainKey struct {
	dtype  tensor.DType
	vector bool
}

// codeBlocks codes a quantized n x k matrix, panel by panel: each row's scale from the highest byte, its groups' scales
// and its codes.
func (p *packer) codeBlocks(data []byte, f kernels.Format, n, k int) {
	t := p.blocks[f]
	if t == nil {
		t = &blockTrees{codes: newTree(f.Bits()), group: newTree(8)}
		for i := range t.row {
			t.row[i] = newTree(8)
		}
		p.blocks[f] = t
	}
	size := f.GroupBytes()
	for lo := 0; lo < n; lo += kernels.PanelRows {
		panel := data[lo/kernels.PanelRows*f.PanelBytes(k):][:f.PanelBytes(k)]
		codes := panel[kernels.CodesOffset(k):]
		for r := range min(kernels.PanelRows, n-lo) {
			for i := 3; i >= 0; i-- {
				p.byte(t.row[i], &panel[4*r+i])
			}
			for g := range kernels.Groups(k) {
				p.byte(t.group, &panel[kernels.ScalesOffset+g*kernels.PanelRows+r])
				p.codeGroup(t.codes, codes[g*size:][:size], f, r, min(kernels.GroupLen, k-g*kernels.GroupLen))
			}
		}
	}
}

// codeGroup codes the first n codes of a row in a group.
func (p *packer) codeGroup(t tree, group []byte, f kernels.Format, r, n int) {
	var codes [kernels.GroupLen]uint8
	if !p.reading {
		f.GroupCodes(&codes, group, r)
	}
	for i := range codes[:n] {
		codes[i] = p.symbol(t, codes[i])
	}
	if p.reading {
		f.PutGroupCodes(group, r, &codes)
	}
}

// codePlain codes the elements of a tensor that is not quantized, each from its highest byte.
func (p *packer) codePlain(data []byte, t *tensor.Tensor) {
	size := t.DType.Size()
	key := plainKey{t.DType, len(t.Shape) < 2}
	trees := p.plain[key]
	if trees == nil {
		for range size {
			trees = append(trees, newTree(8))
		}
		p.plain[key] = trees
	}
	n, _ := tensor.Matrix(t.Shape)
	for at := 0; at < len(data); at += size {
		if t.Layout == tensor.Panel16 {
			// Element by element, a panel has its rows side by side.
			_, k := tensor.Matrix(t.Shape)
			panel := at / size / (kernels.PanelRows * k)
			if panel*kernels.PanelRows+at/size%kernels.PanelRows >= n {
				continue
			}
		}
		for i := size - 1; i >= 0; i-- {
			p.byte(trees[i], &data[at+i])
		}
	}
}

// byte takes a byte from the coder, or to it: what is packed may be a read-only mapping.
func (p *packer) byte(t tree, b *byte) {
	if v := p.symbol(t, *b); p.reading {
		*b = v
	}
}
