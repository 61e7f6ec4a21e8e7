package bundle

import (
	"bytes"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// sealedMagic begins a file that is encrypted with age (age-encryption.org/v1).
const sealedMagic = "age-encryption.org/v1\n"

// Sealed reports whether the model is encrypted. Then its hashes are those of the encrypted file, and nobody reads it without a key, which
// is never in the bundle.
func (b *Bundle) Sealed() bool { return bytes.HasPrefix(b.files[ModelFile], []byte(sealedMagic)) }

// unsealed returns the model's file as it was before it was encrypted.
func (b *Bundle) unsealed() ([]byte, error) {
	data := b.files[ModelFile]
	switch {
	case !b.Sealed():
		return data, nil
	case b.Unseal == nil:
		return nil, &fault.Usage{What: "the model is encrypted: give the key with --identity FILE, to a runner that can decrypt (made with -tags age; dsk package --encrypt-to takes it)"}
	}
	return b.Unseal(data)
}
