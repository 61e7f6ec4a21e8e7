package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model/dskfile"
)

var errPower = errors.New("the power is gone")

// brittle is a disk whose power is cut at a step. A write at that step is done by half, and what was not synced by then is lost by
// half: the worst that a file system that keeps its own structure may do.
type brittle struct {
	bundle.Disk
	left  int // steps until the cut; negative: never
	steps int
	dirty map[string]bool
}

func (d *brittle) step() error {
	d.steps++
	if d.left == 0 {
		return errPower
	}
	if d.left--; d.left == 0 {
		for path := range d.dirty {
			if info, err := os.Stat(path); err == nil {
				if err := os.Truncate(path, info.Size()/2); err != nil {
					return err
				}
			}
		}
		return errPower
	}
	return nil
}

func (d *brittle) MkdirAll(path string) error {
	return errors.Join(d.step(), d.unless(func() error { return d.Disk.MkdirAll(path) }))
}

// unless does something if there is power.
func (d *brittle) unless(f func() error) error {
	if d.left == 0 {
		return errPower
	}
	return f()
}

func (d *brittle) Rename(from, to string) error {
	return errors.Join(d.step(), d.unless(func() error { return d.Disk.Rename(from, to) }))
}

func (d *brittle) Symlink(target, path string) error {
	return errors.Join(d.step(), d.unless(func() error { return d.Disk.Symlink(target, path) }))
}

func (d *brittle) RemoveAll(path string) error {
	return errors.Join(d.step(), d.unless(func() error { return d.Disk.RemoveAll(path) }))
}

func (d *brittle) SyncDir(path string) error {
	return errors.Join(d.step(), d.unless(func() error { return d.Disk.SyncDir(path) }))
}

func (d *brittle) Open(path string, executable bool) (bundle.WritableFile, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	f, err := d.Disk.Open(path, executable)
	return &brittleFile{f, d, path}, err
}

type brittleFile struct {
	bundle.WritableFile
	disk *brittle
	path string
}

func (f *brittleFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.dirty[f.path] = true
	if err := f.disk.step(); err != nil {
		if f.disk.left == 0 {
			f.WritableFile.WriteAt(b[:len(b)/2], at)
		}
		return 0, err
	}
	return f.WritableFile.WriteAt(b, at)
}

func (f *brittleFile) Truncate(n int64) error {
	return errors.Join(f.disk.step(), f.disk.unless(func() error { return f.WritableFile.Truncate(n) }))
}

func (f *brittleFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	delete(f.disk.dirty, f.path)
	return nil
}

// installed puts the bundle into a new installation.
func installed(t *testing.T, path string, o bundle.ApplyOptions) string {
	t.Helper()
	root := t.TempDir()
	if _, err := bundle.Apply(t.Context(), root, path, o); err != nil {
		t.Fatal(err)
	}
	return root
}

func working(t *testing.T, root string) string {
	t.Helper()
	b, err := bundle.Open(filepath.Join(root, "current"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Verify(t.Context(), bundle.VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.Manifest.ID
}

// delta writes what to has and from lacks.
func delta(t *testing.T, from, to *bundle.Bundle) string {
	t.Helper()
	var buf bytes.Buffer
	if err := Delta(from.Manifest, to, &buf); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "d")
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPowerLoss cuts the power at every step of an update. There must always be a version that works, and the next try must end well.
func TestPowerLoss(t *testing.T) {
	old, to := build(t, fakeRunner(1), ""), build(t, fakeRunner(2), "")
	first, d := write(t, old, "folder"), delta(t, old, to)
	tested := 0
	o := bundle.ApplyOptions{Selftest: func(_ context.Context, dir string) error {
		tested++
		_, err := os.Stat(filepath.Join(dir, "model.dsk"))
		return err
	}}
	seen := map[string]int{}
	for n := 1; ; n++ {
		root := installed(t, first, o)
		disk := &brittle{left: n, dirty: map[string]bool{}}
		cut := o
		cut.FS = disk
		_, err := bundle.Apply(t.Context(), root, d, cut)
		if err == nil {
			if n < 20 || seen[old.Manifest.ID] == 0 || seen[to.Manifest.ID] == 0 {
				t.Errorf("%d steps, versions after a cut: %v", n-1, seen)
			}
			break
		}
		if !errors.Is(err, errPower) {
			t.Fatalf("step %d: %v", n, err)
		}
		id := working(t, root)
		if id != old.Manifest.ID && id != to.Manifest.ID {
			t.Fatalf("step %d: version %s", n, id)
		}
		seen[id]++
		if _, err := bundle.Apply(t.Context(), root, d, o); err != nil {
			t.Fatalf("step %d, second try: %v", n, err)
		}
		if id := working(t, root); id != to.Manifest.ID {
			t.Fatalf("step %d, second try: version %s", n, id)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	}
	if tested == 0 {
		t.Error("nothing was tested")
	}
}

// TestApplyRefuses leaves the installed version in place when the new one fails.
func TestApplyRefuses(t *testing.T) {
	old, to := build(t, fakeRunner(1), ""), build(t, fakeRunner(2), "")
	pass := bundle.ApplyOptions{Selftest: func(context.Context, string) error { return nil }}
	root := installed(t, write(t, old, "exe"), pass)
	d := delta(t, old, to)
	data, err := os.ReadFile(d)
	if err != nil {
		t.Fatal(err)
	}
	chunks := bytes.Index(data, to.Text) + len(to.Text)
	for _, at := range []int{0, 9, 40, chunks - 100, chunks + 4, -1} {
		path := filepath.Join(t.TempDir(), "broken")
		broken := slices.Clone(data)
		if at < 0 {
			broken = broken[:len(broken)-7]
		} else {
			broken[at] ^= 1
		}
		if err := os.WriteFile(path, broken, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.Apply(t.Context(), root, path, pass); err == nil {
			t.Errorf("a delta that is broken at %d was applied", at)
		}
	}
	calls := 0
	for _, failing := range []int{1, 2} {
		calls = 0
		o := bundle.ApplyOptions{Selftest: func(context.Context, string) error {
			if calls++; calls == failing {
				return fmt.Errorf("selftest failed")
			}
			return nil
		}}
		if id, err := bundle.Apply(t.Context(), root, d, o); err == nil || id != old.Manifest.ID || !strings.Contains(err.Error(), "selftest failed") {
			t.Errorf("selftest %d fails: %s, %v", failing, id, err)
		}
		if id := working(t, root); id != old.Manifest.ID {
			t.Errorf("selftest %d fails: version %s", failing, id)
		}
	}
	_, key := keys(t, "")
	o := pass
	o.Policy, o.Keys = bundle.PolicyEnforce, []bundle.Key{key}
	if _, err := bundle.Apply(t.Context(), root, d, o); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("an unsigned delta: %v", err)
	}
	if id, err := bundle.Apply(t.Context(), root, d, pass); err != nil || id != to.Manifest.ID {
		t.Fatalf("%s, %v", id, err)
	}
	if id, err := bundle.Rollback(t.Context(), root, pass); err != nil || id != old.Manifest.ID || working(t, root) != old.Manifest.ID {
		t.Errorf("rollback: %s, %v", id, err)
	}
	if _, err := bundle.Apply(t.Context(), t.TempDir(), d, pass); err == nil || !strings.Contains(err.Error(), "installed is none") {
		t.Errorf("a delta without its base: %v", err)
	}
}

// TestDelta changes one tensor of a model: the delta must hold little more than that.
func TestDelta(t *testing.T) {
	f, err := dskfile.Open(testModel)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := f.Model()
	if err != nil {
		t.Fatal(err)
	}
	changed, largest := m.Clone(), ""
	for name, w := range m.Graph.Init {
		if strings.Contains(name, "layers.1.") && (largest == "" || w.Bytes() > m.Graph.Init[largest].Bytes() || w.Bytes() == m.Graph.Init[largest].Bytes() && name < largest) {
			largest = name
		}
	}
	if largest == "" {
		t.Fatal("the model has no layer 1")
	}
	w := changed.Graph.Init[largest].Clone()
	for i := 100; i < len(w.Data); i += 3000 {
		w.Data[i] ^= 1
	}
	changed.Graph.Init[largest] = w
	path := filepath.Join(t.TempDir(), "m.dsk")
	if err := dskfile.Save(t.Context(), path, changed, dskfile.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	old, to := build(t, fakeRunner(1), ""), buildOf(t, path, fakeRunner(1), "")
	info, err := os.Stat(delta(t, old, to))
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(w.Bytes() + 3*64<<10 + len(to.Text)); info.Size() > most {
		t.Errorf("the delta has %d bytes for a tensor of %d: more than %d", info.Size(), w.Bytes(), most)
	}
}

// TestReadManifest finds the manifest in every form of a bundle.
func TestReadManifest(t *testing.T) {
	b := build(t, fakeRunner(1), "")
	for _, format := range []string{"folder", "tar.zst", "exe", "deb"} {
		path := write(t, b, format)
		m, err := ReadManifest(path)
		if err != nil || m.ID != b.Manifest.ID {
			t.Errorf("%s: %v", format, err)
		}
		if format == "folder" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 7, 60, len(data) / 3} {
			short := filepath.Join(t.TempDir(), "short")
			if err := os.WriteFile(short, data[:n], 0o644); err != nil {
				t.Fatal(err)
			}
			var broken *fault.Format
			if _, err := ReadManifest(short); !errors.As(err, &broken) {
				t.Errorf("the first %d bytes of a %s: %v", n, format, err)
			}
		}
	}
}
