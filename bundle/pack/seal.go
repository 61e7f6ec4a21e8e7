package pack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/dsk-toolkit/dsk/internal/fault"
)

// seal encrypts a model for those who hold a key of a recipient.
func seal(data []byte, to []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(data) + len(data)/1000 + 4096) // 16 bytes for each 64 KiB, and a header
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	err = errors.Join(err, w.Close()) // which writes the last part
	return out.Bytes(), err
}

// ParseRecipients reads recipients of age, or files of them.
func ParseRecipients(list []string) ([]age.Recipient, error) {
	var to []age.Recipient
	for _, s := range list {
		text := s
		if !strings.HasPrefix(s, "age1") {
			b, err := os.ReadFile(s)
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		r, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil {
			return nil, &fault.Usage{What: fmt.Sprintf("--encrypt-to %.20s: %v; dsk keygen NAME --age makes a recipient", s, err)}
		}
		to = append(to, r...)
	}
	return to, nil
}

// GenerateIdentity writes a new key of age: the secret one as path.age with mode 0600, the recipient as path.age.pub. Existing files are never
// replaced. It returns the recipient.
func GenerateIdentity(path, _ string) (string, error) {
	for _, end := range []string{".age", ".age.pub"} {
		if _, err := os.Lstat(path + end); err == nil {
			return "", &fault.Usage{What: fmt.Sprintf("%s exists already; keys are never replaced", path+end)}
		}
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	if err := writeFile(path+".age", []byte(id.String()+"\n"), 0o600); err != nil {
		return "", err
	}
	public := id.Recipient().String()
	return public, writeFile(path+".age.pub", []byte(public+"\n"), 0o644)
}
