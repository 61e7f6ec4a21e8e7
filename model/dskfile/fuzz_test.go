package dskfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// FuzzOpen opens damaged files whose checksums were made right again, so that the decoder
// sees the damage. What opens and verifies must be written back as it was.
func FuzzOpen(f *testing.F) {
	f.Add(fileOf(f, small(f, 3)))
	f.Add(fileOf(f, allKinds(f)))
	f.Add(fileOf(f, packable(f)))
	f.Add(handmade(`{"name":"g","inputs":[{"name":"x","dtype":"F32","shape":["n",2,null]}]}`, `[{"name":"w","dtype":"F32","shape":[2],"offset":0,"bytes":8}]`, 64))
	f.Add([]byte(Magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		b = bytes.Clone(b)
		if len(b) >= PreambleBytes && le.Uint32(b[atSections:]) <= MaxSections {
			le.PutUint64(b[atFileBytes:], uint64(len(b)))
			if h := le.Uint64(b[atHeaderBytes:]); h <= uint64(len(b)) && h >= PreambleBytes+EntryBytes*uint64(le.Uint32(b[atSections:])) {
				reseal(b)
			}
		}
		file, err := OpenBytes(b)
		if err != nil {
			var format *fault.Format
			var unsupported *fault.Unsupported
			if !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Fatalf("neither Format nor Unsupported: %v", err)
			}
			return
		}
		m, err := file.Model()
		if err != nil || file.verifyData(context.Background(), nil) != nil || file.verifyForm() != nil {
			return
		}
		var again memFile
		if err := Write(context.Background(), &again, m, WriteOptions{}); err != nil {
			t.Fatalf("a file that verifies cannot be written: %v", err)
		}
		back, err := OpenBytes(again.b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(graphText(t, back), graphText(t, file)) {
			t.Fatal("write(read(x)) has another graph")
		}
	})
}

func graphText(t *testing.T, f *File) []byte {
	raw, err := f.header.info.Sections[1].unpack(f.data, newLedger(int64(len(f.data))))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// FuzzGraph reads texts of GRPH. What decodes is JSON to the standard library too, and
// encodes to a text that decodes to the same.
func FuzzGraph(f *testing.F) {
	for _, m := range []*File{mustOpen(f, fileOf(f, small(f, 3))), mustOpen(f, fileOf(f, allKinds(f)))} {
		raw, err := m.header.info.Sections[1].unpack(m.data, newLedger(int64(len(m.data))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Add(`{"nodes":[{"op":"A","attrs":{"a":{"strs":["\u0041",{"bytes":"/w=="}]},"b":{"float":"0x7fc00001"}}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		g, err := decodeGraph(text, "section GRPH", newLedger(int64(len(text))))
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			// Numbers are read a little more freely; the form is checked by encoding again.
			if b, err := encodeGraph(g); err == nil && string(b) == text {
				t.Fatal("invalid JSON is taken for the right form")
			}
		}
		once, err := encodeGraph(g)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(once) {
			t.Fatalf("invalid JSON written: %s", once)
		}
		g, err = decodeGraph(string(once), "section GRPH", newLedger(int64(len(once))))
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := encodeGraph(g); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s\n%s (%v)", once, twice, err)
		}
	})
}

func mustOpen(f *testing.F, b []byte) *File {
	file, err := OpenBytes(b)
	if err != nil {
		f.Fatal(err)
	}
	return file
}
