package bundle

import (
	"cmp"
	"slices"

	"github.com/dsk-toolkit/dsk/model/dskfile"
)

// Chunks are the unit of differences and of resuming: small enough that one changed tensor costs little, large enough that their
// hashes do (some 120 bytes of manifest).
const (
	minChunk = 32 << 10
	maxChunk = 256 << 10
)

// Split cuts a file into chunks. marks are places, in order, where a new part of the file begins, such as a tensor: chunks begin
// there, unless both they and the one before would be small, so that a part that moves or changes leaves the chunks of the others as they were.
func Split(data []byte, marks []int64) []Chunk {
	var chunks []Chunk
	add := func(lo, hi int64) {
		for lo < hi {
			to := min(lo+maxChunk, hi)
			chunks = append(chunks, Chunk{to - lo, Sum(data[lo:to])})
			lo = to
		}
	}
	lo, size := int64(0), int64(len(data))
	for i, at := range marks {
		next := size
		if i+1 < len(marks) {
			next = marks[i+1]
		}
		// Small parts share a chunk, but not with a large one after them.
		if at > lo && at < size && (at-lo >= minChunk || next-at >= minChunk) {
			add(lo, at)
			lo = at
		}
	}
	add(lo, size)
	return chunks
}

// modelMarks returns where the parts of a .dsk file begin: the header's sections, the data region and every tensor in it.
func modelMarks(info *dskfile.Info) []int64 {
	marks := []int64{info.HeaderBytes}
	for _, s := range info.Sections {
		marks = append(marks, s.Offset)
	}
	if info.Packed() {
		slices.SortFunc(marks, cmp.Compare[int64])
		return marks
	}
	for _, t := range info.Tensors {
		marks = append(marks, info.HeaderBytes+t.Offset)
	}
	slices.SortFunc(marks, cmp.Compare[int64])
	return marks
}

// SplitModel cuts a .dsk file into chunks, at its tensors.
func SplitModel(data []byte, info *dskfile.Info) []Chunk { return Split(data, modelMarks(info)) }
