//go:build (!amd64 && !arm64) || purego

package kernels

// tileRows sets the scratch that a generic product has for a row, and the size of its shares.
const tileRows = 6

func quantizeHalvesSIMD(dst []actBlock, first, second *float32, ld, ldSecond int) bool { return false }

func gemmScratch(rows, groups int) int { return 0 }

func (m *MatMul) tileCount(rows int) int { return 0 }

func (m *MatMul) packTile(t, i int, acts []actBlock) {}

func (m *MatMul) packBlocks(t int, blocks []actBlock, offsets, at []int) {}

func (m *MatMul) gemmTiles(first, end, lo, hi int, scratch []byte) {}

func (m *MatMul) expandFloats(dst []float32, p, g, n int, scratch []byte) bool { return false }

func (m *MatMul) gemvSIMD(dst []float32, acts []actBlock, rows, lo, hi int, scratch []byte) bool {
	return false
}
