package dskfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Verify reads the whole file, which Open does not: it checks the hash of every chunk of the
// data, the padding between tensors, the values of booleans, that the assets
// decompress, that the graph is sound and that its text is in the one form that Write makes.
// progress, if not nil, is told how many bytes of the data are checked.
func (f *File) Verify(ctx context.Context, progress func(done, total int64)) error {
	if f.data == nil {
		return errors.New("the .dsk file is closed")
	}
	if err := f.verifyData(ctx, progress); err != nil {
		return fault.InFile(err, f.path)
	}
	if err := f.verifyForm(); err != nil {
		return fault.InFile(err, f.path)
	}
	m, err := f.Model()
	if err != nil {
		return err
	}
	if err := m.Graph.Check(); err != nil {
		return fault.InFile(err, f.path)
	}
	// Infer stores the types that it finds.
	if err := m.Graph.Clone().Infer(); err != nil {
		return fault.InFile(badFormat(f.header.info.Sections[1].Offset, "section GRPH", "%v", err), f.path)
	}
	return nil
}

func (f *File) verifyData(ctx context.Context, progress func(done, total int64)) error {
	info := &f.header.info
	data := f.data[info.HeaderBytes:]
	for i, want := range info.Chunks {
		lo := int64(i) * info.ChunkBytes
		hi := min(lo+info.ChunkBytes, int64(len(data)))
		h := sha256.New()
		for at := lo; at < hi; at += pieceBytes {
			if err := ctx.Err(); err != nil {
				return err
			}
			to := min(at+pieceBytes, hi)
			h.Write(data[at:to])
			if progress != nil {
				progress(to, int64(len(data)))
			}
		}
		if [sha256.Size]byte(h.Sum(nil)) != want {
			return badFormat(info.HeaderBytes+lo, fmt.Sprintf("chunk %d of %d (%s)", i+1, len(info.Chunks), f.tensorsIn(lo, hi)),
				"SHA-256 does not match")
		}
	}
	region := f.region
	for _, t := range info.Tensors {
		end := t.Offset + t.Bytes
		if !allZero(region[end:align(end, LineBytes)]) {
			return badFormat(info.HeaderBytes+end, "tensor "+quote(t.Name), "padding after the tensor is not zero")
		}
		if t.Tensor.DType != tensor.BOOL {
			continue
		}
		if i := slices.IndexFunc(t.Tensor.Data, notBool); i >= 0 {
			return badFormat(info.HeaderBytes+t.Offset+int64(i), "tensor "+quote(t.Name), "a boolean is neither 0 nor 1")
		}
	}
	return nil
}

// tensorsIn names the tensors of a piece of the data region.
func (f *File) tensorsIn(lo, hi int64) string {
	if f.header.info.Packed() {
		return "packed data"
	}
	all := f.header.info.Tensors
	first := sort.Search(len(all), func(i int) bool { return all[i].Offset+all[i].Bytes > lo })
	last := sort.Search(len(all), func(i int) bool { return all[i].Offset >= hi }) - 1
	switch {
	case first > last:
		return "padding"
	case first == last:
		return "tensor " + all[first].Name
	}
	return fmt.Sprintf("tensors %s to %s", all[first].Name, all[last].Name)
}

// verifyForm checks that GRPH and TENS are what Write would write.
func (f *File) verifyForm() error {
	h := f.header
	graph, err := encodeGraph(h.graph)
	if err != nil {
		return badFormat(h.info.Sections[1].Offset, "section GRPH", "%v", err)
	}
	table, dataBytes, err := placeTensors(h.graph)
	if err != nil {
		return badFormat(h.info.Sections[2].Offset, "section TENS", "%v", err)
	}
	tens, err := encodeTensors(table)
	if err != nil || dataBytes != h.info.RegionBytes {
		return badFormat(h.info.Sections[2].Offset, "section TENS", "tensors are not in the order of their use")
	}
	for i, want := range [][]byte{graph, tens} {
		s := &h.info.Sections[1+i]
		raw, err := s.unpack(f.data, newLedger(h.info.FileBytes))
		if err != nil {
			return err
		}
		if at := mismatch(raw, want); at >= 0 {
			return badFormat(s.Offset, sectionWhere(s.Type, ""), "not in the form that docs/format.md asks for, at byte %d of its text", at)
		}
	}
	if h.info.Packed() && !bytes.Equal(pack(f.region, h.info.Tensors), f.data[h.info.HeaderBytes:]) {
		return badFormat(h.info.HeaderBytes, "packed data", "not in the form that docs/format.md asks for")
	}
	return nil
}

// mismatch returns the first place where a and b differ, or -1.
func mismatch(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
