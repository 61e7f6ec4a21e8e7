//go:build age

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	goruntime "runtime"

	"filippo.io/age"
	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// sealing opens models that are encrypted with age.
type sealing struct{ identity string }

func (s *sealing) add(f *flag.FlagSet) {
	f.StringVar(&s.identity, "identity", os.Getenv("DSK_IDENTITY"), "`file` with the key of an encrypted model, that no one else may read")
}

func (s *sealing) apply(b *bundle.Bundle) {
	if s.identity != "" {
		b.Unseal = s.unseal
	}
}

// args are the flags of another runner that is to open the same models.
func (s *sealing) args() []string {
	if s.identity == "" {
		return nil
	}
	return []string{"--identity", s.identity}
}

// unseal decrypts a model into memory.
func (s *sealing) unseal(sealed []byte) ([]byte, error) {
	f, err := os.Open(s.identity)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if goruntime.GOOS != "windows" && goruntime.GOOS != "wasip1" && info.Mode().Perm()&0o077 != 0 {
		return nil, &fault.Usage{What: fmt.Sprintf("%s can be read by others (mode %04o): chmod 600 it", s.identity, info.Mode().Perm())}
	}
	ids, err := age.ParseIdentities(f)
	if err != nil {
		return nil, &fault.Format{File: s.identity, Offset: -1, Where: "identity", Why: "it is no key of age", Next: "dsk keygen NAME --age makes one"}
	}
	broken := func(err error) error {
		return &fault.Format{Offset: -1, Where: "encrypted model", Why: err.Error(), Next: "check that it was encrypted for this key"}
	}
	if err := tensor.Room(len(sealed), "decrypting the model"); err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	if err != nil {
		return nil, broken(err)
	}
	// The file is at least 16 bytes a 64 KiB larger than what is in it.
	out := tensor.AlignedBytes(len(sealed))
	n := 0
	for n < len(out) {
		k, err := r.Read(out[n:])
		if n += k; err == io.EOF {
			return out[:n], nil
		}
		if err != nil {
			return nil, broken(err)
		}
	}
	return nil, broken(errors.New("more is in it than it has room for"))
}
