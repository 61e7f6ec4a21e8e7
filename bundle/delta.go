package bundle

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// DeltaMagic starts a delta. After it: the size of the header (4 bytes, little-endian), the header in JSON, the new manifest, its
// signature, and the chunks that the old bundle does not have, in the header's order.
const DeltaMagic = "DSKDELT1"

// DeltaHeader says what is in a delta.
type DeltaHeader struct {
	From      string       `json:"from"` // ID of the bundle that the other chunks come from
	Manifest  int          `json:"manifest_bytes"`
	Signature int          `json:"signature_bytes"`
	Chunks    []DeltaChunk `json:"chunks"`
}

// DeltaChunk is a chunk in a delta. It is a DEFLATE stream (RFC 1951) if that is smaller than it is.
type DeltaChunk struct {
	Chunk
	Stored int64 `json:"stored_bytes"`
}

// source is where an update gets its manifest and chunks from: a delta and the installed bundle, or a whole bundle.
type source struct {
	from      string // ID of the bundle that must be installed, "" if any
	manifest  *Manifest
	text      []byte
	signature []byte
	chunks    map[Hash]func() ([]byte, error)
	close     func()
}

// openSource opens a delta or a bundle.
func openSource(path string) (*source, error) {
	var magic [len(DeltaMagic)]byte
	if f, err := os.Open(path); err == nil {
		_, err = f.ReadAt(magic[:], 0)
		f.Close()
		if err == nil && string(magic[:]) == DeltaMagic {
			return openDelta(path)
		}
	}
	b, err := Open(path)
	if err != nil {
		return nil, err
	}
	s := &source{manifest: b.Manifest, text: b.Text, signature: b.Signature, chunks: map[Hash]func() ([]byte, error){}, close: b.Close}
	s.addBundle(b)
	return s, nil
}

// addBundle offers the chunks of a bundle.
func (s *source) addBundle(b *Bundle) {
	for i := range b.Manifest.Files {
		f := &b.Manifest.Files[i]
		data := b.File(f.Path)
		at := int64(0)
		for _, c := range f.Chunks {
			if at+c.Bytes > int64(len(data)) {
				break
			}
			piece := data[at : at+c.Bytes]
			if s.chunks[c.SHA256] == nil {
				s.chunks[c.SHA256] = func() ([]byte, error) { return piece, nil }
			}
			at += c.Bytes
		}
	}
}

func openDelta(path string) (*source, error) {
	m, err := tensor.Map(path)
	if err != nil {
		return nil, err
	}
	s, err := parseDelta(m.Data)
	if err != nil {
		m.Close()
		return nil, fault.InFile(err, path)
	}
	s.close = func() { _ = m.Close() }
	return s, nil
}

func parseDelta(data []byte) (*source, error) {
	bad := func(format string, args ...any) error { return fault.Formatf("delta", format, args...) }
	head := len(DeltaMagic) + 4
	if len(data) < head {
		return nil, bad("it is cut off")
	}
	n := int64(binary.LittleEndian.Uint32(data[len(DeltaMagic):]))
	rest := data[head:]
	if n > int64(len(rest)) {
		return nil, bad("its header is cut off")
	}
	h := &DeltaHeader{}
	d := json.NewDecoder(bytes.NewReader(rest[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil {
		return nil, bad("header: %v", err)
	}
	rest = rest[n:]
	take := func(n int64) []byte {
		if n < 0 || n > int64(len(rest)) {
			return nil
		}
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	s := &source{from: h.From, chunks: map[Hash]func() ([]byte, error){}}
	s.text = take(int64(h.Manifest))
	s.signature = take(int64(h.Signature))
	if s.text == nil || s.signature == nil || h.Signature > maxSignature {
		return nil, bad("its manifest is cut off")
	}
	var err error
	if s.manifest, err = ParseManifest(s.text); err != nil {
		return nil, err
	}
	for i, c := range h.Chunks {
		stored := take(c.Stored)
		if stored == nil || c.Bytes <= 0 || c.Bytes > maxChunk || c.Stored > c.Bytes {
			return nil, bad("chunk %d of %d is cut off", i+1, len(h.Chunks))
		}
		s.chunks[c.SHA256] = func() ([]byte, error) { return inflate(stored, c.Bytes) }
	}
	if len(rest) > 0 {
		return nil, bad("%d bytes follow its end", len(rest))
	}
	return s, nil
}

// inflate unpacks a chunk of n bytes.
func inflate(stored []byte, n int64) ([]byte, error) {
	if int64(len(stored)) == n {
		return stored, nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(flate.NewReader(bytes.NewReader(stored)), b); err != nil {
		return nil, fmt.Errorf("it does not decompress: %w", err)
	}
	return b, nil
}

// chunk returns a chunk, checked.
func (s *source) chunk(c Chunk) ([]byte, error) {
	get := s.chunks[c.SHA256]
	if get == nil {
		return nil, fault.Formatf("chunk "+fmt.Sprintf("%x", c.SHA256[:6]), "neither the delta nor the installed bundle has it")
	}
	b, err := get()
	if err == nil && (int64(len(b)) != c.Bytes || Sum(b) != c.SHA256) {
		err = fmt.Errorf("SHA-256 does not match")
	}
	if err != nil {
		return nil, fault.Formatf(fmt.Sprintf("chunk %x", c.SHA256[:6]), "%v", err)
	}
	return b, nil
}
