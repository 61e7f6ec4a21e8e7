// Package bundle owns what goes to a board: a runner, a model, recorded inputs and outputs, and a manifest with the hash of each
// piece of each file; how a bundle is opened, checked against a key, replayed, and brought up to date by differences.
// docs/bundles.md describes the files. Package bundle/pack makes bundles; what is here is also in the runner, so it stays small.
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// The names of files in a bundle.
const (
	ManifestFile  = "manifest.json"
	SignatureFile = "manifest.json.minisig"
	ModelFile     = "model.dsk"
	GoldenFile    = "golden.json"
)

// Schema is the version of the manifest.
const Schema = 1

// MaxManifest is the size in bytes beyond which a manifest is refused.
const MaxManifest = 64 << 20

// Manifest says what is in a bundle and where it came from. It holds no times and no paths of a machine.
type Manifest struct {
	Schema int `json:"schema"`
	// ID is the SHA-256 of the manifest's text with an empty ID. It names the bundle.
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Platform string    `json:"platform"`
	Runner   string    `json:"runner"` // operating system and architecture
	Version  string    `json:"version"`
	Model    ModelInfo `json:"model"`
	Licenses []License `json:"licenses"`
	Fit      Fit       `json:"fit"`
	Files    []File    `json:"files"`
}

// ModelInfo is what is known about the model: its origin and every step since.
type ModelInfo struct {
	Name         string       `json:"name,omitempty"`
	Architecture string       `json:"architecture,omitempty"`
	Task         model.Task   `json:"task,omitempty"`
	Parameters   int64        `json:"parameters"`
	Source       model.Source `json:"source"`
	Steps        []model.Step `json:"steps"`
}

// License is the licence of a part of the bundle.
type License struct {
	Part    string `json:"part"`
	License string `json:"license"` // SPDX where there is one
}

// File is a file of the bundle. Its chunks are its bytes in order.
type File struct {
	Path       string  `json:"path"` // slashes between
	Executable bool    `json:"executable,omitempty"`
	Bytes      int64   `json:"bytes"`
	Chunks     []Chunk `json:"chunks"`
}

// Chunk is a piece of a file.
type Chunk struct {
	Bytes  int64 `json:"bytes"`
	SHA256 Hash  `json:"sha256"`
}

// Hash is a SHA-256; as text it is in hexadecimal digits.
type Hash [sha256.Size]byte

// MarshalText writes the digits.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads the digits.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return fmt.Errorf("a SHA-256 has %d digits, not %d", 2*len(h), len(b))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Sum is the hash of some bytes.
func Sum(b []byte) Hash { return sha256.Sum256(b) }

// Seal sets the manifest's ID and returns its text, in its one form.
func (m *Manifest) Seal() ([]byte, error) {
	m.ID = ""
	text, err := m.text()
	if err != nil {
		return nil, err
	}
	sum := Sum(text)
	m.ID = hex.EncodeToString(sum[:])
	return m.text()
}

func (m *Manifest) text() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", " ")
	return append(b, '\n'), err
}

// ParseManifest reads a manifest and checks that it is in its one form, carries its own hash and names files that may be written.
// Anything else is a *fault.Format that names the manifest.
func ParseManifest(text []byte) (*Manifest, error) {
	if len(text) > MaxManifest {
		return nil, badManifest("it has %d bytes; %d are the most", len(text), MaxManifest)
	}
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, badManifest("%v", err)
	}
	if m.Schema != Schema {
		return nil, &fault.Unsupported{Kind: "format", Items: []fault.Item{{Where: "manifest", What: fmt.Sprintf("manifest of version %d", m.Schema), Hint: "a newer dsk reads it"}}}
	}
	id := m.ID
	if again, err := m.Seal(); err != nil || m.ID != id || !bytes.Equal(again, text) {
		return nil, badManifest("its text does not match its own hash (id)")
	}
	return m, m.check()
}

func badManifest(format string, args ...any) error {
	return fault.Formatf("manifest", format, args...)
}

// check holds the files' names and sizes to what they may be.
func (m *Manifest) check() error {
	seen := map[string]bool{ManifestFile: true, SignatureFile: true}
	for i := range m.Files {
		f := &m.Files[i]
		if f.Path == "" || path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || strings.HasPrefix(f.Path, "..") || strings.ContainsAny(f.Path, "\\:\x00") || len(f.Path) > 200 {
			return badManifest("file name %q is not allowed", f.Path)
		}
		if seen[f.Path] {
			return badManifest("file %s is there twice", f.Path)
		}
		seen[f.Path] = true
		total := int64(0)
		for _, c := range f.Chunks {
			if c.Bytes <= 0 || c.Bytes > maxChunk || total > 1<<50 {
				return badManifest("file %s: a chunk of %d bytes is not allowed", f.Path, c.Bytes)
			}
			total += c.Bytes
		}
		if total != f.Bytes {
			return badManifest("file %s: its chunks have %d bytes, it has %d", f.Path, total, f.Bytes)
		}
	}
	for _, name := range []string{ModelFile, GoldenFile} {
		if !seen[name] {
			return badManifest("%s is missing", name)
		}
	}
	if len(m.Files) == 0 || !m.Files[0].Executable {
		return badManifest("the first file is not the runner")
	}
	return nil
}

// File returns the file of a path, nil without it.
func (m *Manifest) File(name string) *File {
	for i := range m.Files {
		if m.Files[i].Path == name {
			return &m.Files[i]
		}
	}
	return nil
}
