package pack

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"aead.dev/minisign"
	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
)

// GenerateKey writes a new pair of keys in minisign's format: the secret one as path.key with mode 0600, encrypted if there is a
// password, the public one as path.pub. Existing files are never replaced. It returns the public key as text.
func GenerateKey(path, password string) (string, error) {
	for _, end := range []string{".key", ".pub"} {
		if _, err := os.Lstat(path + end); err == nil {
			return "", &fault.Usage{What: fmt.Sprintf("%s exists already; keys are never replaced", path+end)}
		}
	}
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	var secret []byte
	if password == "" {
		secret, err = private.MarshalText()
	} else {
		secret, err = minisign.EncryptKey(password, private)
	}
	if err != nil {
		return "", err
	}
	text, err := public.MarshalText()
	if err != nil {
		return "", err
	}
	if err := writeFile(path+".key", secret, 0o600); err != nil {
		return "", err
	}
	return public.String(), writeFile(path+".pub", append(bytes.TrimRight(text, "\n"), '\n'), 0o644)
}

// ReadSecretKey reads a secret key. One that others may read is refused.
func ReadSecretKey(path, password string) (minisign.PrivateKey, error) {
	var none minisign.PrivateKey
	info, err := os.Stat(path)
	if err != nil {
		return none, err
	}
	if privateModes && info.Mode().Perm()&0o077 != 0 {
		return none, &fault.Usage{What: fmt.Sprintf("%s can be read by others (mode %04o): chmod 600 it", path, info.Mode().Perm())}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return none, err
	}
	if minisign.IsEncrypted(b) {
		if password == "" {
			return none, &fault.Usage{What: path + " is encrypted: give --password-file"}
		}
		key, err := minisign.DecryptKey(password, b)
		if err != nil {
			return none, &fault.Format{File: path, Offset: -1, Where: "secret key", Why: "it cannot be decrypted", Next: "check the password"}
		}
		return key, nil
	}
	var key minisign.PrivateKey
	if key.UnmarshalText(b) != nil {
		return none, &fault.Format{File: path, Offset: -1, Where: "secret key", Why: "it is not in minisign's format"}
	}
	return key, nil
}

// Sign signs a bundle's manifest. The signature holds no time, so it is the same each time.
func Sign(b *bundle.Bundle, key minisign.PrivateKey) error {
	r := minisign.NewReader(bytes.NewReader(b.Text))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	comment := fmt.Sprintf("dsk bundle %s for %s, id %s", b.Manifest.Name, b.Manifest.Platform, b.Manifest.ID)
	b.Signature = r.SignWithComments(key, comment, "signature of a dsk bundle's manifest.json")
	public, ok := key.Public().(minisign.PublicKey)
	if !ok {
		return errors.New("the secret key has no public key")
	}
	return b.CheckSignature([]bundle.Key{public})
}
