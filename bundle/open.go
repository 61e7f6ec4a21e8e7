package bundle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/tensor"
)

// A bundle in one executable file is the runner, then every other file of the manifest in order, the manifest and its signature, each
// on the next page with zero bytes before it, then the footer.
const (
	// ExeAlign is where files lie in an executable: on pages, so that the model is mapped as it lies.
	ExeAlign    = 4096
	footerMagic = "DSKEXE1\n"
	// FooterBytes is the size of the end of an executable: magic, the manifest's offset, its size, the signature's size (8 bytes
	// each, little-endian), zero bytes, CRC-32 of all that.
	FooterBytes = 64
)

// Bundle is an open bundle: a folder, or one executable file. Its files are mapped.
type Bundle struct {
	Manifest  *Manifest
	Text      []byte // of the manifest
	Signature []byte // in minisign's format; nil: unsigned
	Path      string
	// Unseal decrypts a model that is encrypted; nil: it cannot be opened.
	Unseal func(sealed []byte) ([]byte, error)

	files   map[string][]byte
	closers []io.Closer
	whole   []byte // of an executable
}

// Open opens a bundle: a folder, a file in it, or an executable. What is no bundle is a *fault.Format. The manifest is checked, the
// files are not: see Verify.
func Open(path string) (*Bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openFolder(path)
	}
	b, err := openExecutable(path)
	if errors.Is(err, errNoFooter) {
		if _, statErr := os.Stat(filepath.Join(filepath.Dir(path), ManifestFile)); statErr == nil {
			return openFolder(filepath.Dir(path))
		}
		return nil, &fault.Format{File: path, Offset: -1, Why: "this is no bundle: it has no manifest", Next: "dsk package makes one"}
	}
	return b, err
}

func openFolder(dir string) (*Bundle, error) {
	b := &Bundle{Path: dir, files: map[string][]byte{}}
	text, err := readLimited(filepath.Join(dir, ManifestFile), MaxManifest)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &fault.Format{File: dir, Offset: -1, Why: "this is a directory without " + ManifestFile + ", so it is no bundle and no file", Next: "give the file itself, or a bundle of dsk package"}
	}
	if err != nil {
		return nil, err
	}
	b.Text = text
	if b.Manifest, err = ParseManifest(text); err != nil {
		return nil, fault.InFile(err, dir)
	}
	if b.Signature, err = readLimited(filepath.Join(dir, SignatureFile), maxSignature); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, f := range b.Manifest.Files {
		m, err := tensor.Map(filepath.Join(dir, filepath.FromSlash(f.Path)))
		if err != nil {
			b.Close()
			if errors.Is(err, os.ErrNotExist) {
				return nil, fault.InFile(fault.Formatf(f.Path, "the file is missing"), dir)
			}
			return nil, err
		}
		b.closers = append(b.closers, m)
		b.files[f.Path] = m.Data
	}
	return b, nil
}

// readLimited reads a file that must not be large.
func readLimited(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, &fault.Format{File: path, Offset: -1, Why: fmt.Sprintf("the file has more than %d bytes", most)}
	}
	return b, err
}

var errNoFooter = errors.New("no footer")

func openExecutable(path string) (*Bundle, error) {
	if ok, err := hasFooter(path); err != nil || !ok {
		return nil, errors.Join(err, errNoFooter)
	}
	m, err := tensor.Map(path)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Path: path, files: map[string][]byte{}, closers: []io.Closer{m}, whole: m.Data}
	if err := b.readExecutable(m.Data); err != nil {
		b.Close()
		return nil, fault.InFile(err, path)
	}
	return b, nil
}

// hasFooter looks for the footer's magic without mapping the file.
func hasFooter(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() < FooterBytes {
		return false, err
	}
	var magic [len(footerMagic)]byte
	_, err = f.ReadAt(magic[:], info.Size()-FooterBytes)
	return string(magic[:]) == footerMagic, err
}

func (b *Bundle) readExecutable(data []byte) error {
	end := int64(len(data)) - FooterBytes
	foot := data[end:]
	manifest, size, sig := int64(binary.LittleEndian.Uint64(foot[8:])), int64(binary.LittleEndian.Uint64(foot[16:])), int64(binary.LittleEndian.Uint64(foot[24:]))
	if crc32.ChecksumIEEE(foot[:60]) != binary.LittleEndian.Uint32(foot[60:]) {
		return &fault.Format{Offset: end, Where: "footer", Why: "its checksum does not match"}
	}
	if manifest < 0 || size < 0 || sig < 0 || size > MaxManifest || sig > maxSignature || manifest > end-size || sig > 0 && align(manifest+size) > end-sig {
		return &fault.Format{Offset: end, Where: "footer", Why: "it points outside the file"}
	}
	b.Text = data[manifest:][:size]
	if sig > 0 {
		b.Signature = data[align(manifest+size):][:sig]
	}
	var err error
	if b.Manifest, err = ParseManifest(b.Text); err != nil {
		return err
	}
	at := int64(0)
	for _, f := range b.Manifest.Files {
		if f.Bytes > manifest-at {
			return fault.Formatf(f.Path, "it does not fit into the file")
		}
		b.files[f.Path] = data[at:][:f.Bytes:f.Bytes]
		if at = align(at + f.Bytes); at > manifest {
			return fault.Formatf(f.Path, "it does not fit into the file")
		}
	}
	if at != manifest {
		return fault.Formatf("footer", "the manifest does not follow the last file")
	}
	return nil
}

func align(n int64) int64 { return (n + ExeAlign - 1) &^ (ExeAlign - 1) }

// Footer makes the end of an executable.
func Footer(manifest, size, signature int64) []byte {
	b := make([]byte, FooterBytes)
	copy(b, footerMagic)
	binary.LittleEndian.PutUint64(b[8:], uint64(manifest))
	binary.LittleEndian.PutUint64(b[16:], uint64(size))
	binary.LittleEndian.PutUint64(b[24:], uint64(signature))
	binary.LittleEndian.PutUint32(b[60:], crc32.ChecksumIEEE(b[:60]))
	return b
}

// New is a bundle of files in memory, as package pack makes it.
func New(m *Manifest, text, signature []byte, files map[string][]byte) *Bundle {
	return &Bundle{Manifest: m, Text: text, Signature: signature, files: files}
}

// File returns the bytes of a file of the manifest.
func (b *Bundle) File(name string) []byte { return b.files[name] }

// Model opens the model, mapped as it lies; one that is encrypted is decrypted into memory. It dies with the bundle.
func (b *Bundle) Model() (*dskfile.File, error) {
	data, err := b.unsealed()
	if err != nil {
		return nil, err
	}
	f, err := dskfile.OpenBytes(data)
	return f, fault.InFile(err, filepath.Join(b.Path, ModelFile))
}

// Golden reads the recorded inputs and outputs.
func (b *Bundle) Golden() (*Golden, error) { return ParseGolden(b.files[GoldenFile]) }

// Close gives the files back.
func (b *Bundle) Close() {
	for _, c := range b.closers {
		// Nothing was written, so nothing is lost.
		_ = c.Close()
	}
	b.closers, b.files = nil, nil
}

// Is reports whether path looks like a bundle: a folder, or a file that ends as an executable bundle does.
func Is(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if info.IsDir() {
		return true
	}
	ok, err := hasFooter(path)
	return ok && err == nil
}
