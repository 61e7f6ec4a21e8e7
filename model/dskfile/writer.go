package dskfile

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"syscall"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// WriteOptions are the options of Write.
type WriteOptions struct {
	// Progress, if set, is told from time to time how many bytes of the data region are written.
	Progress func(done, total int64)
}

// Write writes m as a .dsk file at w's position. The bytes depend on m alone.
//
// Tensors are written one by one; the bytes of deferred ones are made in one buffer, so that
// memory stays at the largest of them. The header, with the hashes, comes last:
// a file that was cut off is not a .dsk file. A full disk is a *fault.Resource.
func Write(ctx context.Context, w io.WriteSeeker, m *model.Model, o WriteOptions) error {
	return write(ctx, w, m, ChunkBytes, o)
}

// Size returns how many bytes Write would write, without making any of the tensors unless the model is packed.
func Size(m *model.Model) (int64, error) {
	l, err := newLayout(m, ChunkBytes)
	if err != nil {
		return 0, err
	}
	return int64(len(l.header)) + l.dataBytes, nil
}

func write(ctx context.Context, w io.WriteSeeker, m *model.Model, chunkBytes int64, o WriteOptions) error {
	l, err := newLayout(m, chunkBytes)
	if err != nil {
		return err
	}
	start, err := w.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	size := int64(len(l.header)) + l.dataBytes
	err = l.writeAll(ctx, w, start, o)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return &fault.Resource{What: fmt.Sprintf("not enough disk space: the .dsk file takes %d bytes (%v)", size, err)}
	}
	return err
}

// layout is a file before its data are known.
type layout struct {
	header    []byte
	tensors   []TensorInfo
	region    int64  // bytes of the data region, unpacked
	packed    []byte // the region, if it is packed
	dataBytes int64  // of the region as it is written
	hashes    []byte // the part of header that takes the chunks' hashes
	chunk     int64
}

type part struct {
	typ, name string
	flags     uint32
	raw       []byte
	stored    []byte
}

// newLayout places everything and fills in the header but for what depends on the data.
// It refuses what Open would refuse.
func newLayout(m *model.Model, chunkBytes int64) (*layout, error) {
	l := &layout{chunk: chunkBytes}
	var err error
	if l.tensors, l.region, err = placeTensors(m.Graph); err != nil {
		return nil, err
	}
	l.dataBytes = l.region
	if m.Packed {
		if err := l.pack(); err != nil {
			return nil, err
		}
	}
	parts, err := l.parts(m)
	if err != nil {
		return nil, err
	}
	end := int64(PreambleBytes + len(parts)*EntryBytes)
	for _, p := range parts {
		end = align(end, LineBytes) + int64(len(p.stored))
	}
	l.header = make([]byte, align(end, headerUnit(l.packed != nil)))
	copy(l.header, Magic)
	le.PutUint32(l.header[atVersion:], Version)
	if l.packed != nil {
		le.PutUint32(l.header[atVersion:], PackedVersion)
		le.PutUint64(l.header[atRegionBytes:], uint64(l.region))
	}
	le.PutUint32(l.header[atSections:], uint32(len(parts)))
	le.PutUint64(l.header[atFileBytes:], uint64(int64(len(l.header))+l.dataBytes))
	le.PutUint64(l.header[atHeaderBytes:], uint64(len(l.header)))
	end = int64(PreambleBytes + len(parts)*EntryBytes)
	for i, p := range parts {
		start := align(end, LineBytes)
		e := l.header[PreambleBytes+i*EntryBytes:][:EntryBytes]
		copy(e[entryType:], p.typ)
		le.PutUint32(e[entryFlags:], p.flags)
		le.PutUint64(e[entryOffset:], uint64(start))
		le.PutUint64(e[entryStored:], uint64(len(p.stored)))
		le.PutUint64(e[entryRaw:], uint64(len(p.raw)))
		le.PutUint32(e[entryChecksum:], checksum(p.stored))
		copy(e[entryName:], p.name)
		end = start + int64(copy(l.header[start:], p.stored))
		if p.typ == typeHash {
			l.hashes = l.header[start+hashHead : end]
		}
	}
	l.seal()
	size := int64(len(l.header)) + l.dataBytes
	h, err := decodeHeader(l.header, size, false, newLedger(size))
	if err != nil {
		return nil, fmt.Errorf("the model goes beyond the limits of .dsk files: %w", err)
	}
	for _, s := range h.assets {
		if !h.mem.take(s.Raw) {
			return nil, fmt.Errorf("the model goes beyond the limits of .dsk files: %w", tooMuchMemory(s))
		}
	}
	return l, nil
}

// pack makes the packed data region. Where there is no room for it, or where it would have no valid form, the region stays as it is.
func (l *layout) pack() error {
	if l.region > MemoryBase/2 {
		return nil
	}
	if err := tensor.Room(int(l.region), "the data to pack"); err != nil {
		return err
	}
	region := tensor.AlignedBytes(int(l.region))
	for _, t := range l.tensors {
		if err := t.Tensor.Fill(region[t.Offset:][:t.Bytes]); err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
	}
	if packed := pack(region, l.tensors); packed != nil && l.region <= maxRegion(int64(len(packed)), 0) {
		l.packed, l.dataBytes = packed, int64(len(packed))
	}
	return nil
}

// parts makes the sections.
func (l *layout) parts(m *model.Model) ([]part, error) {
	var meta bytes.Buffer
	enc := json.NewEncoder(&meta)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m.Meta); err != nil {
		return nil, err
	}
	graph, err := encodeGraph(m.Graph)
	if err != nil {
		return nil, err
	}
	table, err := encodeTensors(l.tensors)
	if err != nil {
		return nil, err
	}
	chunks := (l.dataBytes + l.chunk - 1) / l.chunk
	hashes := make([]byte, hashHead+chunks*sha256.Size)
	le.PutUint64(hashes, uint64(l.chunk))
	le.PutUint64(hashes[8:], uint64(chunks))
	parts := []part{
		{typ: typeMeta, flags: flagRequired, raw: bytes.TrimSuffix(meta.Bytes(), []byte("\n"))},
		{typ: typeGraph, flags: flagRequired, raw: graph},
		{typ: typeTens, flags: flagRequired, raw: table},
		{typ: typeHash, flags: flagRequired, raw: hashes},
	}
	for _, name := range m.AssetNames() {
		if err := checkAssetName(name); err != nil {
			return nil, err
		}
		parts = append(parts, part{typ: typeAsset, name: name, raw: m.Assets[name]})
	}
	for i := range parts {
		p := &parts[i]
		p.stored = p.raw
		if p.typ == typeHash {
			continue
		}
		if z := deflate(p.raw); len(z) < len(p.raw) {
			p.stored = z
			p.flags |= flagDeflate
		}
	}
	return parts, nil
}

func deflate(raw []byte) []byte {
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		panic("dskfile: " + err.Error())
	}
	// A bytes.Buffer takes all that it is given.
	_, _ = z.Write(raw)
	_ = z.Close()
	return out.Bytes()
}

// seal fills in the header's checksums.
func (l *layout) seal() {
	const hashEntry = PreambleBytes + 3*EntryBytes
	e := l.header[hashEntry:]
	le.PutUint32(e[entryChecksum:], checksum(l.header[le.Uint64(e[entryOffset:]):][:le.Uint64(e[entryStored:])]))
	sum := sha256.Sum256(l.header[PreambleBytes:])
	copy(l.header[atHeaderHash:], sum[:])
	le.PutUint32(l.header[atChecksum:], checksum(l.header[:atChecksum]))
}

func (l *layout) writeAll(ctx context.Context, w io.WriteSeeker, start int64, o WriteOptions) error {
	// Zeros keep the header's place: a file without a header is no .dsk file.
	if _, err := w.Write(make([]byte, len(l.header))); err != nil {
		return err
	}
	d := &dataWriter{ctx: ctx, w: w, layout: l, progress: o.Progress, hash: sha256.New(), left: l.chunk}
	if err := d.writeData(); err != nil {
		return err
	}
	l.seal()
	if _, err := w.Seek(start, io.SeekStart); err != nil {
		return err
	}
	if _, err := w.Write(l.header); err != nil {
		return err
	}
	_, err := w.Seek(start+int64(len(l.header))+l.dataBytes, io.SeekStart)
	return err
}

// dataWriter writes and hashes the data region.
type dataWriter struct {
	ctx      context.Context
	w        io.Writer
	layout   *layout
	progress func(done, total int64)
	done     int64
	hash     hash.Hash
	left     int64 // of the current chunk
	chunks   int   // finished
}

func (d *dataWriter) writeData() error {
	if d.layout.packed == nil {
		if err := d.writeTensors(); err != nil {
			return err
		}
	} else if err := d.write(d.layout.packed); err != nil {
		return err
	}
	if d.left < d.layout.chunk {
		d.endChunk()
	}
	return nil
}

func (d *dataWriter) writeTensors() error {
	largest := int64(0)
	for _, t := range d.layout.tensors {
		if t.Tensor.IsDeferred() {
			largest = max(largest, t.Bytes)
		}
	}
	if err := tensor.Room(int(largest), "the largest tensor to write"); err != nil {
		return err
	}
	buf := tensor.AlignedBytes(int(largest))
	var padding [LineBytes]byte
	for _, t := range d.layout.tensors {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		b := t.Tensor.Data
		if t.Tensor.IsDeferred() {
			b = buf[:t.Bytes]
			if err := t.Tensor.Fill(b); err != nil {
				return fmt.Errorf("tensor %s: %w", t.Name, err)
			}
		}
		if err := d.write(b); err != nil {
			return err
		}
		if err := d.write(padding[:align(t.Bytes, LineBytes)-t.Bytes]); err != nil {
			return err
		}
	}
	return nil
}

// pieceBytes is how much is written between two looks at the context.
const pieceBytes = 4 << 20

func (d *dataWriter) write(b []byte) error {
	for len(b) > 0 {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		n := min(int64(len(b)), pieceBytes, d.left)
		if _, err := d.w.Write(b[:n]); err != nil {
			return err
		}
		d.hash.Write(b[:n])
		b = b[n:]
		d.done += n
		if d.left -= n; d.left == 0 {
			d.endChunk()
		}
		if d.progress != nil {
			d.progress(d.done, d.layout.dataBytes)
		}
	}
	return nil
}

func (d *dataWriter) endChunk() {
	d.hash.Sum(d.layout.hashes[d.chunks*sha256.Size:][:0])
	d.hash.Reset()
	d.chunks++
	d.left = d.layout.chunk
}
