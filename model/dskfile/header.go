package dskfile

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Section is one part of the header.
type Section struct {
	Type string // META, GRPH, TENS, HASH, ASET, or one that this package does not know
	Name string // of an asset
	// Required says that readers must know the type, Deflated that the section is compressed.
	Required, Deflated bool
	Offset             int64 // from the start of the file
	Stored, Raw        int64 // bytes in the file and after decompression

	checksum uint32
}

// Info is what the header says about a file.
type Info struct {
	Version     int
	FileBytes   int64
	HeaderBytes int64 // the data region starts here
	// RegionBytes is the size of the data region, unpacked if the file is packed.
	RegionBytes int64
	// Hash is the SHA-256 of the header, which holds those of the data: it stands for the whole file.
	Hash       [sha256.Size]byte
	Sections   []Section
	ChunkBytes int64
	Chunks     [][sha256.Size]byte // SHA-256 of each chunk of the data region
	Tensors    []TensorInfo        // in the order of the data region
}

// DataBytes is the size of the data region as it lies in the file.
func (i *Info) DataBytes() int64 { return i.FileBytes - i.HeaderBytes }

// Packed reports whether the file's data region is packed.
func (i *Info) Packed() bool { return i.Version == PackedVersion }

// headerUnit is what the header is a multiple of: nothing is mapped from a packed file.
func headerUnit(packed bool) int64 {
	if packed {
		return LineBytes
	}
	return PageBytes
}

// header is a decoded header.
type header struct {
	info   Info
	meta   model.Meta
	graph  *model.Graph // Init has the tensors without their Data
	assets []Section
	mem    *ledger
}

// checkPreamble checks the preamble, the first bytes of a file of size bytes, and
// starts info with what it says.
func checkPreamble(b []byte, size int64, info *Info) error {
	n := min(len(b), len(Magic))
	if string(b[:n]) != Magic[:n] || n == 0 {
		return badMagic(b)
	}
	if size < PreambleBytes {
		return badFormat(0, "preamble", "truncated: the file has %d bytes, the preamble alone takes %d", size, PreambleBytes)
	}
	b = b[:PreambleBytes]
	version := le.Uint32(b[atVersion:])
	if version != Version && version != PackedVersion {
		return &fault.Unsupported{Kind: "format", Items: []fault.Item{{
			Where: "preamble",
			What:  fmt.Sprintf(".dsk version %d", version),
			Hint:  fmt.Sprintf("this dsk reads versions %d and %d", Version, PackedVersion),
		}}}
	}
	if checksum(b[:atChecksum]) != le.Uint32(b[atChecksum:]) {
		return badFormat(0, "preamble", "checksum does not match")
	}
	stated, header := le.Uint64(b[atFileBytes:]), le.Uint64(b[atHeaderBytes:])
	sections, region := le.Uint32(b[atSections:]), le.Uint64(b[atRegionBytes:])
	info.Version = int(version)
	switch {
	case stated > uint64(size):
		return badFormat(size, "preamble", "truncated: the file has %d of %d bytes", size, stated)
	case stated < uint64(size):
		return badFormat(int64(stated), "preamble", "the file has %d bytes more than the %d that it states", uint64(size)-stated, stated)
	case header > stated || header%uint64(headerUnit(info.Packed())) != 0 || header < PreambleBytes:
		return badFormat(atHeaderBytes, "preamble", "header of %d bytes in a file of %d", header, stated)
	case !info.Packed() && region != 0:
		return badFormat(atRegionBytes, "preamble", "%d bytes of unpacked data in a file that is not packed", region)
	case info.Packed() && (region%LineBytes != 0 || region > uint64(maxRegion(int64(stated-header), int64(header)))):
		return badFormat(atRegionBytes, "preamble", "%d bytes packed into %d", region, stated-header)
	case sections > MaxSections:
		return badFormat(atSections, "preamble", "%d sections, limit %d", sections, MaxSections)
	case PreambleBytes+uint64(sections)*EntryBytes > header:
		return badFormat(atSections, "preamble", "%d sections in a header of %d bytes", sections, header)
	case !allZero(b[atReserved:atChecksum]):
		return badFormat(atReserved, "preamble", "reserved bytes are not zero")
	}
	info.FileBytes, info.HeaderBytes, info.RegionBytes = size, int64(header), int64(region)
	if !info.Packed() {
		info.RegionBytes = info.DataBytes()
	}
	info.Hash = [sha256.Size]byte(b[atHeaderHash:])
	return nil
}

// badMagic says what the file is instead, as far as its first bytes show.
func badMagic(b []byte) error {
	err := badFormat(0, "preamble", "not a .dsk file")
	err.Next = "dsk convert makes .dsk files from ONNX models and safetensors folders"
	switch {
	case len(b) == 0:
		err.Why, err.Next = "the file is empty", ""
	case bytes.HasPrefix(b, []byte("\x89DSK")):
		err.Why, err.Next = "the first bytes are damaged, as by a transfer in text mode", "transfer the file again in binary mode"
	case bytes.HasPrefix(b, []byte("GGUF")):
		err.Why = "this is a GGUF file, not a .dsk file"
	case len(b) > 8 && b[8] == '{' && le.Uint64(b)>>32 == 0:
		err.Why = "this looks like a safetensors file, not a .dsk file"
	}
	return err
}

// decodeHeader checks and decodes a header, given a file of size bytes. With sealed
// the hash over it must match.
func decodeHeader(b []byte, size int64, sealed bool, mem *ledger) (*header, error) {
	h := &header{mem: mem}
	if err := checkPreamble(b, size, &h.info); err != nil {
		return nil, err
	}
	b = b[:h.info.HeaderBytes]
	if sealed && sha256.Sum256(b[PreambleBytes:]) != h.info.Hash {
		return nil, locateDamage(b)
	}
	if err := h.readSections(b); err != nil {
		return nil, err
	}
	if err := h.readHashes(b); err != nil {
		return nil, err
	}
	text, where, err := h.text(b, 0)
	if err != nil {
		return nil, err
	}
	if err := h.readMeta(text, where); err != nil {
		return nil, err
	}
	if text, where, err = h.text(b, 1); err != nil {
		return nil, err
	}
	if h.graph, err = decodeGraph(text, where, mem); err != nil {
		return nil, atSection(err, h.info.Sections[1])
	}
	if text, where, err = h.text(b, 2); err != nil {
		return nil, err
	}
	if h.info.Tensors, err = decodeTensors(text, where, h.info.RegionBytes, mem); err != nil {
		return nil, atSection(err, h.info.Sections[2])
	}
	// A map takes up to twice its slots, and a byte for each.
	const slot = 2 * (16 + 8 + 1)
	if !mem.take(int64(len(h.info.Tensors))*slot + 1024) {
		return nil, tooMuchMemory(h.info.Sections[2])
	}
	h.graph.Init = make(map[string]*tensor.Tensor, len(h.info.Tensors))
	for _, t := range h.info.Tensors {
		if h.graph.Init[t.Name] != nil {
			return nil, badFormat(h.info.Sections[2].Offset, where, "tensor %s occurs twice", quote(t.Name))
		}
		h.graph.Init[t.Name] = t.Tensor
	}
	return h, nil
}

// locateDamage names the part of a header, whose hash does not match, that is damaged.
func locateDamage(b []byte) error {
	for i := range int(le.Uint32(b[atSections:])) {
		e := b[PreambleBytes+i*EntryBytes:][:EntryBytes]
		s := readEntry(e)
		if s.Offset < 0 || s.Stored < 0 || s.Offset > int64(len(b)) || s.Stored > int64(len(b))-s.Offset {
			break
		}
		if checksum(b[s.Offset:][:s.Stored]) != s.checksum {
			return badFormat(s.Offset, sectionWhere(s.Type, s.Name), "checksum does not match")
		}
	}
	return badFormat(PreambleBytes, "header", "checksum does not match")
}

// readEntry decodes an entry of the section table without checking it.
func readEntry(e []byte) Section {
	name, _ := cString(e[entryName:])
	flags := le.Uint32(e[entryFlags:])
	return Section{
		Type: string(e[entryType:][:4]), Name: name,
		Required: flags&flagRequired != 0, Deflated: flags&flagDeflate != 0,
		Offset: int64(le.Uint64(e[entryOffset:])),
		Stored: int64(le.Uint64(e[entryStored:])), Raw: int64(le.Uint64(e[entryRaw:])),
		checksum: le.Uint32(e[entryChecksum:]),
	}
}

// readSections checks the section table: that the header is made of its sections without a gap.
func (h *header) readSections(b []byte) error {
	n := int(le.Uint32(b[atSections:]))
	end := int64(PreambleBytes + n*EntryBytes)
	rawLeft := h.info.FileBytes + MemoryBase
	h.info.Sections = make([]Section, 0, n)
	for i := range n {
		at := int64(PreambleBytes + i*EntryBytes)
		e := b[at:][:EntryBytes]
		s := readEntry(e)
		where := fmt.Sprintf("section table, entry %d", i)
		if !validType(s.Type) {
			return badFormat(at, where, "invalid section type %q", s.Type)
		}
		where += fmt.Sprintf(" (%s)", s.Type)
		if le.Uint32(e[entryFlags:])&^knownFlags != 0 {
			return badFormat(at+entryFlags, where, "unknown flags %#x", le.Uint32(e[entryFlags:]))
		}
		if _, ok := cString(e[entryName:]); !ok {
			return badFormat(at+entryName, where, "bytes after the end of the name")
		}
		start := align(end, LineBytes)
		if s.Offset != start || s.Stored < 0 || s.Stored > h.info.HeaderBytes-start {
			return badFormat(at+entryOffset, where, "%d bytes at offset %d, expected offset %d in a header of %d bytes",
				s.Stored, s.Offset, start, h.info.HeaderBytes)
		}
		if !s.Deflated && s.Raw != s.Stored {
			return badFormat(at+entryRaw, where, "%d raw bytes stored in %d", s.Raw, s.Stored)
		}
		if s.Raw < 0 || s.Raw > rawLeft {
			return badFormat(at+entryRaw, where, "the sections unpack to more than the file's %d bytes and %d more", h.info.FileBytes, int64(MemoryBase))
		}
		rawLeft -= s.Raw
		if !allZero(b[end:start]) {
			return badFormat(end, where, "padding before the section is not zero")
		}
		if checksum(b[start:][:s.Stored]) != s.checksum {
			return badFormat(start, sectionWhere(s.Type, s.Name), "checksum does not match")
		}
		end = start + s.Stored
		if err := h.addSection(s, i); err != nil {
			return err
		}
	}
	if n < len(requiredTypes) {
		return badFormat(atSections, "section table", "section %s is missing", requiredTypes[n])
	}
	if unit := headerUnit(h.info.Packed()); h.info.HeaderBytes-end >= unit || !allZero(b[end:]) {
		return badFormat(end, "header", "the end is not padding of zero bytes to a multiple of %d", unit)
	}
	return nil
}

func validType(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// addSection checks that the i-th section may be there.
func (h *header) addSection(s Section, i int) error {
	at := int64(PreambleBytes + i*EntryBytes)
	where := fmt.Sprintf("section table, entry %d (%s)", i, s.Type)
	h.info.Sections = append(h.info.Sections, s)
	if i < len(requiredTypes) {
		if s.Type != requiredTypes[i] || !s.Required || s.Name != "" {
			return badFormat(at, where, "expected the required section %s", requiredTypes[i])
		}
		return nil
	}
	switch s.Type {
	case typeMeta, typeGraph, typeTens, typeHash:
		return badFormat(at, where, "section occurs twice")
	case typeAsset:
		if err := checkAssetName(s.Name); err != nil {
			return badFormat(at+entryName, where, "%v", err)
		}
		if n := len(h.assets); n > 0 && h.assets[n-1].Name >= s.Name {
			return badFormat(at+entryName, where, "asset %q is repeated or out of order", s.Name)
		}
		h.assets = append(h.assets, s)
	default:
		if s.Required {
			return badFormat(at, where, "this dsk does not know a section that the file says is required")
		}
	}
	return nil
}

// readHashes decodes HASH.
func (h *header) readHashes(b []byte) error {
	s := h.info.Sections[3]
	if s.Deflated || s.Stored < hashHead {
		return badFormat(s.Offset, "section HASH", "invalid size or flags")
	}
	b = b[s.Offset:][:s.Stored]
	chunk, count := le.Uint64(b), le.Uint64(b[8:])
	if chunk == 0 || chunk > ChunkBytes || chunk%PageBytes != 0 {
		return badFormat(s.Offset, "section HASH", "chunks of %d bytes", chunk)
	}
	want := (uint64(h.info.DataBytes()) + chunk - 1) / chunk
	if count != want || uint64(s.Stored) != hashHead+count*sha256.Size {
		return badFormat(s.Offset, "section HASH", "%d chunks of %d bytes for %d bytes of data", count, chunk, h.info.DataBytes())
	}
	if !h.mem.take(s.Stored) {
		return tooMuchMemory(s)
	}
	h.info.ChunkBytes = int64(chunk)
	h.info.Chunks = make([][sha256.Size]byte, count)
	for i := range h.info.Chunks {
		copy(h.info.Chunks[i][:], b[hashHead+i*sha256.Size:])
	}
	return nil
}

// metaCost bounds what encoding/json allocates for META, for each raw byte: the
// worst is a list of empty objects.
const metaCost = 150

func (h *header) readMeta(text, where string) error {
	s := h.info.Sections[0]
	if len(text) > MaxMetaBytes {
		return badFormat(s.Offset, where, "%d bytes, limit %d", len(text), MaxMetaBytes)
	}
	if !h.mem.take(int64(len(text)) * metaCost) {
		return tooMuchMemory(s)
	}
	if err := json.Unmarshal([]byte(text), &h.meta); err != nil {
		return badFormat(s.Offset, where, "%v", err)
	}
	return nil
}

// text returns the raw bytes of section i as a string of its own.
func (h *header) text(b []byte, i int) (text, where string, err error) {
	s := h.info.Sections[i]
	raw, err := s.unpack(b, h.mem)
	return textOf(raw), sectionWhere(s.Type, s.Name), err
}

// unpack returns a copy of the section's raw bytes.
func (s *Section) unpack(b []byte, mem *ledger) ([]byte, error) {
	// flate's window and tables.
	const inflater = 64 << 10
	if !mem.take(s.Raw + inflater) {
		return nil, tooMuchMemory(*s)
	}
	raw := make([]byte, s.Raw)
	stored := b[s.Offset:][:s.Stored]
	if !s.Deflated {
		copy(raw, stored)
		return raw, nil
	}
	in := bytes.NewReader(stored)
	z := flate.NewReader(in)
	_, err := io.ReadFull(z, raw)
	if err == nil {
		var extra [1]byte
		if n, end := z.Read(extra[:]); n != 0 || end != io.EOF {
			err = fmt.Errorf("more than the stated %d bytes", s.Raw)
		} else if in.Len() != 0 {
			err = fmt.Errorf("%d bytes after the end of the stream", in.Len())
		}
	}
	if err != nil {
		return nil, badFormat(s.Offset, sectionWhere(s.Type, s.Name), "cannot be decompressed: %v", err)
	}
	return raw, nil
}

// atSection adds the section's place to an error about its text.
func atSection(err error, s Section) error {
	var f *fault.Format
	if errors.As(err, &f) {
		f.Offset = s.Offset
	}
	return err
}

func tooMuchMemory(s Section) error {
	return badFormat(s.Offset, sectionWhere(s.Type, s.Name), "needs more memory than a file of this size may")
}
