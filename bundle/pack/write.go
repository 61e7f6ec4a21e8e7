package pack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/klauspost/compress/zstd"
)

// epoch is the time of every file in an archive, so that the same model gives the same bytes. It is that of the FAT file system,
// before which some unpackers complain.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// entry is a file of a bundle with its contents, the manifest and signature too.
type entry struct {
	path string
	data []byte
	mode int64
}

func entries(b *bundle.Bundle) []entry {
	var list []entry
	for _, f := range b.Manifest.Files {
		mode := int64(0o644)
		if f.Executable {
			mode = 0o755
		}
		list = append(list, entry{f.Path, b.File(f.Path), mode})
	}
	list = append(list, entry{bundle.ManifestFile, b.Text, 0o644})
	if len(b.Signature) > 0 {
		list = append(list, entry{bundle.SignatureFile, b.Signature, 0o644})
	}
	return list
}

// Folder writes a bundle into a folder that does not exist. It appears whole: it is written beside its place and moved there.
func Folder(b *bundle.Bundle, dir string) error {
	dir = filepath.Clean(dir)
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".dsk-bundle-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	for _, e := range entries(b) {
		if err := writeFile(filepath.Join(tmp, filepath.FromSlash(e.path)), e.data, os.FileMode(e.mode)); err != nil {
			return err
		}
	}
	return os.Rename(tmp, dir)
}

func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// Archive writes a bundle as .tar.zst, in one folder of the bundle's name.
func Archive(b *bundle.Bundle, w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	return errors.Join(writeTar(z, b.Manifest.Name+"/", entries(b)), z.Close())
}

// writeTar writes files, and the folders that they lie in, without times and owners.
func writeTar(w io.Writer, prefix string, list []entry) error {
	t := tar.NewWriter(w)
	made := map[string]bool{}
	for _, e := range list {
		name := prefix + e.path
		for i, c := range name {
			if dir := name[:i+1]; c == '/' && !made[dir] && dir != "./" {
				made[dir] = true
				if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: epoch, Format: tar.FormatGNU}); err != nil {
					return err
				}
			}
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: e.mode, Size: int64(len(e.data)), ModTime: epoch, Format: tar.FormatGNU}); err != nil {
			return err
		}
		if _, err := t.Write(e.data); err != nil {
			return err
		}
	}
	return t.Close()
}

// Executable writes a bundle as one program: the runner, and all else behind it, where the runner maps it. See package bundle for the
// layout.
func Executable(b *bundle.Bundle, w io.Writer) error {
	if b.Manifest.Runner == "wasip1-wasm" {
		return &fault.Usage{What: "a WebAssembly module cannot carry the model behind it: use --format folder or tar.zst"}
	}
	at := int64(0)
	put := func(data []byte) error {
		n, err := w.Write(data)
		at += int64(n)
		return err
	}
	pad := func() error { return put(make([]byte, -at&(bundle.ExeAlign-1))) }
	for _, f := range b.Manifest.Files {
		if err := errors.Join(put(b.File(f.Path)), pad()); err != nil {
			return err
		}
	}
	manifest := at
	if err := put(b.Text); err != nil {
		return err
	}
	if len(b.Signature) > 0 {
		if err := errors.Join(pad(), put(b.Signature)); err != nil {
			return err
		}
	}
	return put(bundle.Footer(manifest, int64(len(b.Text)), int64(len(b.Signature))))
}

// Deb writes a bundle as a Debian package: the files under /opt/NAME, as dsk-edge apply keeps them, and a systemd socket that starts
// the runner for each connection to /run/NAME.sock, a line of JSON in, a line out.
func Deb(b *bundle.Bundle, p *bundle.Platform, w io.Writer) error {
	arch := p.DebArch()
	if arch == "" {
		return &fault.Usage{What: fmt.Sprintf("--format deb: there is no Debian for %s", p.Name)}
	}
	name := b.Manifest.Name
	version := "opt/" + name + "/versions/" + b.Manifest.ID
	var list []entry
	size := int64(0)
	for _, e := range entries(b) {
		e.path = version + "/" + e.path
		list = append(list, e)
		size += int64(len(e.data))
	}
	list = append(list,
		entry{"lib/systemd/system/" + name + ".socket", []byte(socketUnit(name)), 0o644},
		entry{"lib/systemd/system/" + name + "@.service", []byte(serviceUnit(name)), 0o644})
	var control, data bytes.Buffer
	scripts := []entry{
		{"control", []byte(debControl(b.Manifest, arch, size)), 0o644},
		{"postinst", []byte(postInstall(name, b.Manifest.ID)), 0o755},
		{"prerm", []byte(preRemove(name)), 0o755},
	}
	if err := gzipTar(&control, scripts, gzip.BestCompression); err != nil {
		return err
	}
	if err := gzipTar(&data, list, gzip.BestSpeed); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "!<arch>\n"); err != nil {
		return err
	}
	for _, part := range []entry{{"debian-binary", []byte("2.0\n"), 0}, {"control.tar.gz", control.Bytes(), 0}, {"data.tar.gz", data.Bytes(), 0}} {
		// The header of ar: name, time, owner, group, mode, size, end; each padded with blanks.
		if _, err := fmt.Fprintf(w, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", part.path, epoch.Unix(), 0, 0, "100644", len(part.data)); err != nil {
			return err
		}
		if len(part.data)%2 == 1 {
			part.data = append(part.data, '\n')
		}
		if _, err := w.Write(part.data); err != nil {
			return err
		}
	}
	return nil
}

func gzipTar(w io.Writer, list []entry, level int) error {
	z, err := gzip.NewWriterLevel(w, level)
	if err != nil {
		return err
	}
	return errors.Join(writeTar(z, "./", list), z.Close())
}

func debControl(m *bundle.Manifest, arch string, size int64) string {
	return fmt.Sprintf("Package: %s\nVersion: 1.0+%s\nArchitecture: %s\nMaintainer: none <none@localhost>\nInstalled-Size: %d\nSection: misc\nPriority: optional\n"+
		"Description: model %s with its runner\n Made by dsk %s for %s. Answers on /run/%s.sock,\n a line of JSON in, a line out.\n",
		m.Name, m.ID[:16], arch, (size+1023)/1024, strings.Map(oneLine, m.Model.Name), m.Version, m.Platform, m.Name)
}

func oneLine(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

func socketUnit(name string) string {
	return fmt.Sprintf("[Unit]\nDescription=%s: a line of JSON in, a line out\n\n[Socket]\nListenStream=/run/%s.sock\nSocketMode=0660\nAccept=yes\nMaxConnections=4\n\n[Install]\nWantedBy=sockets.target\n", name, name)
}

func serviceUnit(name string) string {
	return fmt.Sprintf("[Unit]\nDescription=%s for one connection\n\n[Service]\nExecStart=/opt/%s/current/run serve-stdio\nStandardInput=socket\nStandardOutput=socket\nStandardError=journal\n"+
		"DynamicUser=yes\nProtectSystem=strict\nProtectHome=yes\nPrivateNetwork=yes\nNoNewPrivileges=yes\n", name, name)
}

// postInstall points current at the installed version, for dsk-edge apply to move, and proves it before it is used.
func postInstall(name, id string) string {
	return fmt.Sprintf(`#!/bin/sh
set -e
/opt/%[1]s/versions/%[2]s/run selftest
ln -sfn versions/%[2]s /opt/%[1]s/.current
mv -T /opt/%[1]s/.current /opt/%[1]s/current
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl enable --now %[1]s.socket
fi
`, name, id)
}

func preRemove(name string) string {
	return fmt.Sprintf(`#!/bin/sh
set -e
if [ "$1" = remove ]; then
	if [ -d /run/systemd/system ]; then
		systemctl disable --now %[1]s.socket
	fi
	rm -f /opt/%[1]s/current
fi
`, name)
}
