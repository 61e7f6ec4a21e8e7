package bundle

import (
	"cmp"
	"slices"

	"github.com/dsk-toolkit/dsk/model/dskfile"
)

// Chunks are the unit of differences and of resuming: small enough that one changed tensor costs little, large enough that their
// hashes do (48 bytes of manifest for each 64 KiB at least, but at the end of a part).
const (
	minChunk = 64 << 10
	maxChunk = 256 << 10
)

// Split cuts a file into chunks. marks are places, in order, where a new part of the file begins, such as a tensor: chunks begin
// there, unless they would be small, so that a part that moves or changes leaves the chunks of the others as they were.
func Split(data []byte, marks []int64) []Chunk {
	var chunks []Chunk
	add := func(lo, hi int64) {
		for lo < hi {
			to := min(lo+maxChunk, hi)
			chunks = append(chunks, Chunk{to - lo, Sum(data[lo:to])})
			lo = to
		}
	}
	lo := int64(0)
	for _, at := range marks {
		if at-lo >= minChunk && at < int64(len(data)) {
			add(lo, at)
			lo = at
		}
	}
	add(lo, int64(len(data)))
	return chunks
}

// modelMarks returns where the parts of a .dsk file begin: the data region and every tensor in it.
func modelMarks(info *dskfile.Info) []int64 {
	marks := []int64{info.HeaderBytes}
	for _, t := range info.Tensors {
		marks = append(marks, info.HeaderBytes+t.Offset)
	}
	slices.SortFunc(marks, cmp.Compare[int64])
	return marks
}

// SplitModel cuts a .dsk file into chunks, at its tensors.
func SplitModel(data []byte, info *dskfile.Info) []Chunk { return Split(data, modelMarks(info)) }
