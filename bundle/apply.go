package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// The names in the folder of an installation. Versions lie below versions by their ID; current and previous are links to two of them.
const (
	linkCurrent  = "current"
	linkPrevious = "previous"
	dirVersions  = "versions"
	dirStaging   = "staging"
)

// ApplyOptions are the settings of Apply.
type ApplyOptions struct {
	VerifyOptions
	FS FS // nil: Disk
	// Selftest proves the bundle in a folder: before it is switched to, and after.
	Selftest func(ctx context.Context, dir string) error
}

// update is one Apply.
type update struct {
	*ApplyOptions
	root string
	s    *source
	id   string
}

// Apply brings the installation in root to the version in path, a delta or a whole bundle: it writes beside what is there, verifies,
// runs the self-test, and only then switches, by one rename. If the new version fails its self-test where it is used, it switches back.
// Whatever stops it, current is a whole version, and a second Apply goes on with the chunks that are written. It returns the ID of
// the version that is in use, changed or not.
func Apply(ctx context.Context, root, path string, o ApplyOptions) (string, error) {
	if o.FS == nil {
		o.FS = Disk{}
	}
	s, err := openSource(path)
	if err != nil {
		return "", err
	}
	defer s.close()
	u := &update{&o, root, s, s.manifest.ID}
	old, err := u.current()
	if err != nil {
		return "", err
	}
	if old == u.id {
		return old, nil
	}
	incoming := New(s.manifest, s.text, s.signature, nil)
	incoming.Path = path
	if err := incoming.Trust(&o.VerifyOptions); err != nil {
		return old, err
	}
	if s.from != "" {
		if s.from != old {
			return old, &fault.Usage{What: fmt.Sprintf("the delta is from version %.12s, installed is %.12s: make a delta from that one, or apply a whole bundle", s.from, orNone(old))}
		}
		installed, err := Open(u.path(dirVersions, old))
		if err != nil {
			return old, err
		}
		defer installed.Close()
		s.addBundle(installed)
	}
	if err := u.place(ctx); err != nil {
		return old, err
	}
	if err := u.change(old); err != nil {
		return old, err
	}
	if err := o.Selftest(ctx, u.path(linkCurrent)); err != nil {
		if old == "" {
			return u.id, err
		}
		return old, errors.Join(fmt.Errorf("the new version fails in its place, going back to %.12s: %w", old, err), u.link(linkCurrent, old))
	}
	return u.id, u.clean(old)
}

func orNone(id string) string {
	if id == "" {
		return "none"
	}
	return id
}

func (u *update) path(parts ...string) string {
	return filepath.Join(append([]string{u.root}, parts...)...)
}

// current returns the ID of the version in use, "" without one.
func (u *update) current() (string, error) { return readLink(u.path(linkCurrent)) }

func readLink(path string) (string, error) {
	target, err := os.Readlink(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return filepath.Base(target), err
}

// place makes versions/ID whole and proven.
func (u *update) place(ctx context.Context) error {
	final := u.path(dirVersions, u.id)
	if _, err := os.Stat(final); err == nil {
		if u.prove(ctx, final) == nil {
			return nil
		}
		if err := u.FS.RemoveAll(final); err != nil {
			return err
		}
	}
	dir := u.path(dirStaging, u.id)
	if err := errors.Join(u.FS.MkdirAll(dir), u.FS.MkdirAll(u.path(dirVersions))); err != nil {
		return err
	}
	for i := range u.s.manifest.Files {
		f := &u.s.manifest.Files[i]
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := u.FS.MkdirAll(filepath.Dir(path)); err != nil {
			return err
		}
		if err := u.write(ctx, path, f); err != nil {
			return err
		}
	}
	if err := u.writeWhole(filepath.Join(dir, ManifestFile), u.s.text); err != nil {
		return err
	}
	if len(u.s.signature) > 0 {
		if err := u.writeWhole(filepath.Join(dir, SignatureFile), u.s.signature); err != nil {
			return err
		}
	}
	if err := u.FS.SyncDir(dir); err != nil {
		return err
	}
	if err := u.prove(ctx, dir); err != nil {
		return errors.Join(err, u.FS.RemoveAll(dir))
	}
	if err := u.FS.Rename(dir, final); err != nil {
		return err
	}
	return u.FS.SyncDir(u.path(dirVersions))
}

// write makes a file of its chunks. Those that an interrupted update has written are kept.
func (u *update) write(ctx context.Context, path string, f *File) error {
	w, err := u.FS.Open(path, f.Executable)
	if err != nil {
		return err
	}
	err = u.writeChunks(ctx, w, f)
	return errors.Join(err, w.Close())
}

func (u *update) writeChunks(ctx context.Context, w WritableFile, f *File) error {
	at := int64(0)
	there := make([]byte, maxChunk)
	for _, c := range f.Chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n, _ := w.ReadAt(there[:c.Bytes], at); int64(n) != c.Bytes || Sum(there[:c.Bytes]) != c.SHA256 {
			b, err := u.s.chunk(c)
			if err != nil {
				return err
			}
			if _, err := w.WriteAt(b, at); err != nil {
				return err
			}
		}
		at += c.Bytes
	}
	return errors.Join(w.Truncate(f.Bytes), w.Sync())
}

func (u *update) writeWhole(path string, data []byte) error {
	w, err := u.FS.Open(path, false)
	if err != nil {
		return err
	}
	if _, err = w.WriteAt(data, 0); err == nil {
		err = errors.Join(w.Truncate(int64(len(data))), w.Sync())
	}
	return errors.Join(err, w.Close())
}

// prove verifies a folder and runs its self-test.
func (u *update) prove(ctx context.Context, dir string) error {
	b, err := Open(dir)
	if err != nil {
		return err
	}
	err = b.Verify(ctx, u.VerifyOptions)
	b.Close()
	if err != nil {
		return err
	}
	return u.Selftest(ctx, dir)
}

// change makes the new version current and the old one previous.
func (u *update) change(old string) error {
	if old != "" {
		if err := u.link(linkPrevious, old); err != nil {
			return err
		}
	}
	return u.link(linkCurrent, u.id)
}

// link points a name at a version, in one step.
func (u *update) link(name, id string) error {
	tmp := u.path("." + name)
	if err := u.FS.RemoveAll(tmp); err != nil {
		return err
	}
	if err := u.FS.Symlink(filepath.Join(dirVersions, id), tmp); err != nil {
		return err
	}
	if err := u.FS.Rename(tmp, u.path(name)); err != nil {
		return err
	}
	return u.FS.SyncDir(u.root)
}

// clean removes what neither current nor previous needs.
func (u *update) clean(old string) error {
	if err := u.FS.RemoveAll(u.path(dirStaging)); err != nil {
		return err
	}
	list, err := os.ReadDir(u.path(dirVersions))
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Name() != u.id && e.Name() != old {
			if err := u.FS.RemoveAll(u.path(dirVersions, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Rollback makes the version before the last update current again, if it verifies. It returns its ID.
func Rollback(ctx context.Context, root string, o ApplyOptions) (string, error) {
	if o.FS == nil {
		o.FS = Disk{}
	}
	u := &update{&o, root, nil, ""}
	old, err := u.current()
	if err != nil {
		return "", err
	}
	if u.id, err = readLink(u.path(linkPrevious)); err != nil || u.id == "" || u.id == old {
		return old, errors.Join(err, &fault.Usage{What: fmt.Sprintf("%s has no version before %.12s", root, orNone(old))})
	}
	if err := u.prove(ctx, u.path(dirVersions, u.id)); err != nil {
		return old, err
	}
	return u.id, u.change(old)
}
