package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"

	"aead.dev/minisign"
	"github.com/dsk-toolkit/dsk/internal/fault"
)

// maxSignature is more than any signature in minisign's format has.
const maxSignature = 64 << 10

// Policy says what a missing or wrong signature leads to.
type Policy string

// The policies.
const (
	PolicyOff     Policy = "off"     // hashes only
	PolicyWarn    Policy = "warn"    // say so and go on
	PolicyEnforce Policy = "enforce" // refuse
)

// ParsePolicy reads a policy. "" is enforce with a trusted key and off without: loading fails closed as soon as a key is trusted.
func ParsePolicy(s string, keys int) (Policy, error) {
	switch p := Policy(s); p {
	case PolicyOff, PolicyWarn, PolicyEnforce:
		if p != PolicyOff && keys == 0 {
			return "", &fault.Usage{What: fmt.Sprintf("--policy %s needs a key to trust: --trust KEY.pub", s)}
		}
		return p, nil
	case "":
		if keys > 0 {
			return PolicyEnforce, nil
		}
		return PolicyOff, nil
	}
	return "", &fault.Usage{What: fmt.Sprintf("--policy is off, warn or enforce, not %q", s)}
}

// Key is a public key in minisign's format.
type Key = minisign.PublicKey

// ReadKey reads a public key's file.
func ReadKey(path string) (Key, error) {
	k, err := minisign.PublicKeyFromFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return k, &fault.Format{File: path, Offset: -1, Where: "public key", Why: err.Error(), Next: "dsk keygen makes keys; minisign's are read too"}
	}
	return k, err
}

// CheckSignature holds the manifest to the trusted keys. The error of a wrong signature is a *fault.Format that names it.
func (b *Bundle) CheckSignature(keys []Key) error {
	if len(b.Signature) == 0 {
		return b.inFile(&fault.Format{Offset: -1, Where: "signature", Why: "the bundle is not signed", Next: "sign it with dsk sign, or do not trust it"})
	}
	for _, k := range keys {
		if verifySignature(k, b.Text, b.Signature) {
			return nil
		}
	}
	return b.inFile(&fault.Format{Offset: -1, Where: "signature", Why: "it is not one of a trusted key over this manifest", Next: "do not use the bundle unless you know why"})
}

// verifySignature takes signatures of the text itself or of its hash, as minisign makes both, in exactly the form that it writes.
func verifySignature(k Key, text, signature []byte) bool {
	var s minisign.Signature
	if s.UnmarshalText(signature) != nil || s.String() != string(signature) {
		return false
	}
	return minisign.Verify(k, text, signature)
}

func (b *Bundle) inFile(err error) error { return fault.InFile(err, b.Path) }

// VerifyOptions are the settings of Verify.
type VerifyOptions struct {
	Policy   Policy
	Keys     []Key
	Warn     func(error) // gets what PolicyWarn lets pass
	Progress func(done, total int64)
}

// Trust checks the signature as the policy asks.
func (b *Bundle) Trust(o *VerifyOptions) error {
	if o.Policy == PolicyOff || o.Policy == "" {
		return nil
	}
	err := b.CheckSignature(o.Keys)
	if err != nil && o.Policy == PolicyWarn {
		if o.Warn != nil {
			o.Warn(err)
		}
		return nil
	}
	return err
}

// Verify reads the whole bundle: the signature as the policy asks, every chunk of every file, and in an executable what lies between
// files. The error is a *fault.Format that names the part.
func (b *Bundle) Verify(ctx context.Context, o VerifyOptions) error {
	if err := b.Trust(&o); err != nil {
		return err
	}
	total, done := int64(0), int64(0)
	for i := range b.Manifest.Files {
		total += b.Manifest.Files[i].Bytes
	}
	for i := range b.Manifest.Files {
		f := &b.Manifest.Files[i]
		data := b.files[f.Path]
		if int64(len(data)) != f.Bytes {
			return b.inFile(fault.Formatf(b.part(f), "it has %d bytes, %d are in the manifest", len(data), f.Bytes))
		}
		at := int64(0)
		for n, c := range f.Chunks {
			if err := ctx.Err(); err != nil {
				return err
			}
			if Sum(data[at:at+c.Bytes]) != c.SHA256 {
				return b.inFile(&fault.Format{Offset: at, Where: fmt.Sprintf("%s, chunk %d of %d", b.part(f), n+1, len(f.Chunks)), Why: "SHA-256 does not match"})
			}
			at += c.Bytes
			if done += c.Bytes; o.Progress != nil {
				o.Progress(done, total)
			}
		}
	}
	return b.checkGaps()
}

// part names a file by what it is.
func (b *Bundle) part(f *File) string {
	switch {
	case f == &b.Manifest.Files[0]:
		return "runner " + f.Path
	case f.Path == ModelFile:
		return "model " + f.Path
	}
	return "file " + f.Path
}

// checkGaps holds what lies between the files of an executable to zero.
func (b *Bundle) checkGaps() error {
	if b.whole == nil {
		return nil
	}
	at := int64(0)
	gap := func(to int64) error {
		for i, c := range b.whole[at:to] {
			if c != 0 {
				return b.inFile(&fault.Format{Offset: at + int64(i), Where: "space between files", Why: "it is not zero"})
			}
		}
		return nil
	}
	for _, f := range b.Manifest.Files {
		at += f.Bytes
		if err := gap(align(at)); err != nil {
			return err
		}
		at = align(at)
	}
	end := int64(len(b.whole)) - FooterBytes
	at += int64(len(b.Text))
	if len(b.Signature) > 0 {
		if err := gap(align(at)); err != nil {
			return err
		}
		at = align(at) + int64(len(b.Signature))
	}
	if at > end {
		return b.inFile(fault.Formatf("footer", "its sizes do not match the manifest"))
	}
	return gap(end)
}
