// Package dskfile owns the .dsk file: one file that holds a model, mapped and run as it lies.
// docs/format.md describes the bytes; this package follows it and a test holds the two together.
//
// A File is immutable. Tensors that come from one view its mapping: they are read-only
// and die with Close.
package dskfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// The frame of a file.
const (
	// Magic starts every file. As in PNG, it shows a transfer that changed line ends.
	Magic = "\x89DSK\r\n\x1a\n"
	// Version is that of files whose data region lies as the kernels read it.
	Version = 1
	// PackedVersion is that of files whose data region is packed: see pack.go.
	PackedVersion = 2
	// PreambleBytes is the size of the preamble.
	PreambleBytes = 128
	// EntryBytes is the size of one entry of the section table.
	EntryBytes = 64
	// AssetNameBytes is the longest name of an asset: what an entry has room for.
	AssetNameBytes = 28
	// LineBytes aligns sections and tensors.
	LineBytes = 64
	// PageBytes aligns the data region.
	PageBytes = 4096
	// ChunkBytes is how much of the data region one hash covers, at most.
	ChunkBytes = 64 << 20
)

// Limits against files that would cost more than they are: docs/format.md, "Limits".
const (
	MaxSections  = 1024
	MaxMetaBytes = 256 << 10
	MaxNodes     = 1 << 18
	MaxTensors   = 1 << 18
	MaxRank      = 32
	MaxDepth     = 16
	MaxNameBytes = 4096
	// MemoryBase is what opening may allocate beside twice the file's size.
	MemoryBase = 64 << 20
)

// The section types.
const (
	typeMeta  = "META"
	typeGraph = "GRPH"
	typeTens  = "TENS"
	typeHash  = "HASH"
	typeAsset = "ASET"
)

// The sections that every file has, in order.
var requiredTypes = [...]string{typeMeta, typeGraph, typeTens, typeHash}

// The flags of a section.
const (
	flagRequired = 1 << iota
	flagDeflate

	knownFlags = flagRequired | flagDeflate
)

// The places of the preamble's fields.
const (
	atVersion     = 8
	atSections    = 12
	atFileBytes   = 16
	atHeaderBytes = 24
	atHeaderHash  = 32
	atRegionBytes = 64
	atReserved    = 72
	atChecksum    = 124
)

// The places of a section entry's fields.
const (
	entryType     = 0
	entryFlags    = 4
	entryOffset   = 8
	entryStored   = 16
	entryRaw      = 24
	entryChecksum = 32
	entryName     = 36
)

// hashHead is what comes before the hashes in HASH: chunk bytes and chunk count.
const hashHead = 16

var le = binary.LittleEndian

// castagnoli is the CRC32C that amd64 and arm64 have instructions for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// align rounds n up to a multiple of a, a power of two.
func align(n, a int64) int64 { return (n + a - 1) &^ (a - 1) }

// sectionWhere names a section for messages.
func sectionWhere(typ, name string) string {
	if name == "" {
		return "section " + typ
	}
	return fmt.Sprintf("section %s %q", typ, name)
}

func badFormat(offset int64, where, format string, args ...any) *fault.Format {
	return &fault.Format{Offset: offset, Where: where, Why: fmt.Sprintf(format, args...)}
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if le.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func notBool(c byte) bool { return c > 1 }

func checkAssetName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("asset without a name")
	case len(name) > AssetNameBytes:
		return fmt.Errorf("asset name %q is longer than %d bytes", name, AssetNameBytes)
	case !utf8.ValidString(name), strings.ContainsAny(name, "/\\"), name[0] == '.', strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("asset name %q has a slash, a leading dot or a control character", name)
	}
	return nil
}

// textOf returns b as a string without a copy; b must never change.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// ledger counts down what opening a file may still allocate.
type ledger struct{ left int64 }

func newLedger(fileBytes int64) *ledger {
	// A little is kept back for what is too small and too scattered to count.
	const slack = 1 << 20
	return &ledger{2*fileBytes + MemoryBase - slack}
}

// take charges n bytes and reports whether they were left.
func (l *ledger) take(n int64) bool {
	if n < 0 || n > l.left {
		l.left = -1
		return false
	}
	l.left -= n
	return true
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// cString returns b up to its zero padding, and false if a byte follows a zero.
func cString(b []byte) (string, bool) {
	name, rest, _ := bytes.Cut(b, []byte{0})
	return string(name), allZero(rest)
}
