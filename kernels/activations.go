package kernels

import (
	"math"
	"unsafe"
)

// actBlock is a group of GroupLen activations, quantized when a product begins:
// x = scale * q. One block after another makes a row, one row after another the
// matrix; a kernel broadcasts four codes at a time to the rows of a panel.
type actBlock struct {
	scale float32 // the largest magnitude / 127
	sum   int32   // of q
	q     [GroupLen]int8
}

const actBlockBytes = int(unsafe.Sizeof(actBlock{}))

// minActMax is the magnitude below which a group of activations counts as zero:
// 127 over it still is a float32.
const minActMax = 1e-35

// minActMaxBits is minActMax as it lies in memory.
const minActMaxBits = 0x554ad2e

// quantizeActs fills the blocks of one row from its values; the last block is filled up with zeros.
// With m the largest magnitude of a group,
//
//	scale = m / 127,  q = round(x * (127 / m)), halves to even
//
// and a group whose m is not finite, or below minActMax, has q = 0. An infinity or NaN so
// makes scale infinite or NaN, and every product with it NaN.
func quantizeActs(dst []actBlock, x []float32) {
	whole := len(x) / GroupLen
	if whole > 0 {
		quantizeHalves(dst[:whole], x, x[groupHalf:], GroupLen, GroupLen)
	}
	if rest := x[whole*GroupLen:]; len(rest) > 0 {
		var group [GroupLen]float32
		copy(group[:], rest)
		quantizeHalves(dst[whole:whole+1], group[:], group[groupHalf:], 0, 0)
	}
}

// groupHalf is half of the values of a group.
const groupHalf = GroupLen / 2

// quantizeHalves fills blocks, at least one: the halves of block i begin at first[i*ld] and second[i*ldSecond].
func quantizeHalves(dst []actBlock, first, second []float32, ld, ldSecond int) {
	last := len(dst) - 1
	_, _ = first[last*ld+groupHalf-1], second[last*ldSecond+groupHalf-1]
	if quantizeHalvesSIMD(dst, &first[0], &second[0], ld, ldSecond) {
		return
	}
	var group [GroupLen]float32
	for i := range dst {
		copy(group[:groupHalf], first[i*ld:])
		copy(group[groupHalf:], second[i*ldSecond:])
		quantizeActsGroup(&dst[i], &group)
	}
}

func quantizeActsGroup(dst *actBlock, x *[GroupLen]float32) {
	var bits uint32 // of the magnitudes: their order as integers has NaN on top
	for _, v := range x {
		bits = max(bits, math.Float32bits(v)&^(1<<31))
	}
	m := math.Float32frombits(bits)
	dst.scale = m / 127
	if m-m != 0 || m < minActMax {
		dst.sum, dst.q = 0, [GroupLen]int8{}
		return
	}
	inv := 127 / m
	var sum int32
	for i, v := range x {
		// Adding 1.5 * 2^23 leaves a float32 no bits below 1, rounded to even.
		const big = 3 << 22
		q := int32(float32(float32(v*inv)+big) - big)
		dst.q[i] = int8(q)
		sum += q
	}
	dst.sum = sum
}

// actBlocks views scratch, which must be aligned to 4 bytes, as n blocks.
func actBlocks(scratch []byte, n int) []actBlock {
	if n == 0 {
		return nil
	}
	_ = scratch[n*actBlockBytes-1]
	return unsafe.Slice((*actBlock)(unsafe.Pointer(&scratch[0])), n)
}
