package pack

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"

	"github.com/dsk-toolkit/dsk/bundle"
)

// Delta writes the chunks of a bundle that an older one, known by its manifest, does not have, with its manifest and signature.
func Delta(from *bundle.Manifest, to *bundle.Bundle, w io.Writer) error {
	have := map[bundle.Hash]bool{}
	for _, f := range from.Files {
		for _, c := range f.Chunks {
			have[c.SHA256] = true
		}
	}
	h := bundle.DeltaHeader{From: from.ID, Manifest: len(to.Text), Signature: len(to.Signature), Chunks: []bundle.DeltaChunk{}}
	var data [][]byte
	for _, f := range to.Manifest.Files {
		at := int64(0)
		for _, c := range f.Chunks {
			if !have[c.SHA256] {
				have[c.SHA256] = true
				stored, err := deflate(to.File(f.Path)[at : at+c.Bytes])
				if err != nil {
					return err
				}
				h.Chunks = append(h.Chunks, bundle.DeltaChunk{Chunk: c, Stored: int64(len(stored))})
				data = append(data, stored)
			}
			at += c.Bytes
		}
	}
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	parts := [][]byte{[]byte(bundle.DeltaMagic), binary.LittleEndian.AppendUint32(nil, uint32(len(head))), head, to.Text, to.Signature}
	for _, p := range append(parts, data...) {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// deflate compresses a chunk, or returns it as it is where that is no shorter.
func deflate(b []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = z.Write(b)
	if err = errors.Join(err, z.Close()); err != nil || out.Len() >= len(b) {
		return b, err
	}
	return out.Bytes(), nil
}
