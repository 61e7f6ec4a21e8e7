package pack

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"filippo.io/age"
	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

const testModel = "../../testdata/models/gutenberg-1M-4bit.dsk"

// fakeRunner looks like a program for 64-bit Arm.
func fakeRunner(version byte) []byte {
	b := bytes.Repeat([]byte{version, 1, 2, 3}, 50_000)
	copy(b, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(b[18:], uint16(elf.EM_AARCH64))
	return b
}

// build makes a bundle of the test model.
func build(t testing.TB, runner []byte, name string) *bundle.Bundle {
	t.Helper()
	return buildOf(t, testModel, runner, name)
}

func buildOf(t testing.TB, path string, runner []byte, name string) *bundle.Bundle {
	t.Helper()
	m, err := tensor.Map(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	f, err := dskfile.OpenBytes(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := bundle.FindPlatform("raspberrypi:4")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Build(t.Context(), m.Data, f, Options{Platform: p, Runner: runner, Name: name, Version: "test", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// write saves a bundle in a form and returns its path.
func write(t testing.TB, b *bundle.Bundle, form string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b")
	if form == "folder" {
		if err := Folder(b, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p, err := bundle.FindPlatform(b.Manifest.Platform)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	switch form {
	case "tar.zst":
		err = Archive(b, &buf)
	case "deb":
		err = Deb(b, p, &buf)
	default:
		err = Executable(b, &buf)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestForms writes a bundle as a folder and as an executable, opens it and replays what was recorded.
func TestForms(t *testing.T) {
	b := build(t, fakeRunner(1), "")
	for _, form := range []string{"folder", "exe"} {
		o, err := bundle.Open(write(t, b, form))
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if err := o.Verify(t.Context(), bundle.VerifyOptions{}); err != nil {
			t.Fatal(err)
		}
		// The model must be used where it is mapped.
		data := o.File(bundle.ModelFile)
		if uintptr(unsafe.Pointer(unsafe.SliceData(data)))%dskfile.LineBytes != 0 {
			t.Errorf("%s: the model does not lie on a line", form)
		}
		f, err := o.Model()
		if err != nil {
			t.Fatal(err)
		}
		m, err := f.Model()
		if err != nil {
			t.Fatal(err)
		}
		g, err := o.Golden()
		if err != nil {
			t.Fatal(err)
		}
		checks, err := bundle.Selftest(t.Context(), m, g, runtime.Options{Threads: 2})
		if err != nil || len(checks) != 1 || !checks[0].Identical {
			t.Errorf("%s: %+v, %v", form, checks, err)
		}
		if o.Manifest.Model.Steps[0].Verb != "convert" || len(o.Manifest.Model.Source.Files) == 0 || o.Manifest.Fit.Caches == 0 {
			t.Errorf("%s: the manifest lacks the model's history: %+v", form, o.Manifest.Model)
		}
	}
}

// TestSameBytes makes everything twice.
func TestSameBytes(t *testing.T) {
	p, err := bundle.FindPlatform("raspberrypi:4")
	if err != nil {
		t.Fatal(err)
	}
	a, b := build(t, fakeRunner(1), ""), build(t, fakeRunner(1), "")
	for name, write := range map[string]func(*bundle.Bundle, *bytes.Buffer) error{
		"tar.zst": func(b *bundle.Bundle, w *bytes.Buffer) error { return Archive(b, w) },
		"exe":     func(b *bundle.Bundle, w *bytes.Buffer) error { return Executable(b, w) },
		"deb":     func(b *bundle.Bundle, w *bytes.Buffer) error { return Deb(b, p, w) },
	} {
		var x, y bytes.Buffer
		if err := errors.Join(write(a, &x), write(b, &y)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x.Bytes(), y.Bytes()) {
			t.Errorf("%s: two runs give different bytes", name)
		}
		checkTool(t, name, x.Bytes())
	}
}

// checkTool lets the tools of the system read what was written, where they are.
func checkTool(t *testing.T, name string, data []byte) {
	t.Helper()
	args := map[string][]string{"deb": {"dpkg-deb", "--contents"}, "tar.zst": {"tar", "--zstd", "-tf"}}[name]
	if args == nil {
		return
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Logf("%s is not here to read the %s", args[0], name)
		return
	}
	path := filepath.Join(t.TempDir(), "x."+name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(args[0], append(args[1:], path)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "model.dsk") {
		t.Errorf("%v: %v\n%s", args, err, out)
	}
}

// TestTooLarge refuses a model that does not fit.
func TestTooLarge(t *testing.T) {
	m, err := tensor.Map(testModel)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	f, err := dskfile.OpenBytes(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := bundle.FindPlatform("raspberrypi:4")
	if err != nil {
		t.Fatal(err)
	}
	for _, memory := range []int64{p.System + 17<<20, p.System + bundle.RunnerMemory + 1<<20} {
		_, err = Build(t.Context(), m.Data, f, Options{Platform: p, Memory: memory, Runner: fakeRunner(1)})
		var resource *fault.Resource
		if !errors.As(err, &resource) || !strings.Contains(err.Error(), "weights") {
			t.Errorf("%d bytes: %v", memory, err)
		}
	}
	var format *fault.Format
	if _, err := Build(t.Context(), m.Data, f, Options{Platform: p, Runner: []byte("#!/bin/sh")}); !errors.As(err, &format) {
		t.Errorf("a wrong runner: %v", err)
	}
}

// keys makes a pair of keys in a folder.
func keys(t *testing.T, password string) (path string, public bundle.Key) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "k")
	if _, err := GenerateKey(path, password); err != nil {
		t.Fatal(err)
	}
	k, err := bundle.ReadKey(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return path, k
}

func signed(t *testing.T, b *bundle.Bundle) bundle.Key {
	t.Helper()
	path, public := keys(t, "")
	k, err := ReadSecretKey(path+".key", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := Sign(b, k); err != nil {
		t.Fatal(err)
	}
	return public
}

func TestKeys(t *testing.T) {
	path, _ := keys(t, "secret")
	info, err := os.Stat(path + ".key")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := GenerateKey(path, ""); err == nil {
		t.Error("a key was replaced")
	}
	if _, err := ReadSecretKey(path+".key", "wrong"); err == nil {
		t.Error("a wrong password opens the key")
	}
	if _, err := ReadSecretKey(path+".key", "secret"); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(path+".key", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSecretKey(path+".key", "secret"); err == nil {
		t.Error("a key that others may read is used")
	}
}

// TestTampered flips bytes of every part of a signed bundle.
func TestTampered(t *testing.T) {
	b := build(t, fakeRunner(1), "")
	key := signed(t, b)
	o := bundle.VerifyOptions{Policy: bundle.PolicyEnforce, Keys: []bundle.Key{key}}
	folder, exe := write(t, b, "folder"), write(t, b, "exe")
	verify := func(path string) error {
		x, err := bundle.Open(path)
		if err != nil {
			return err
		}
		defer x.Close()
		return x.Verify(context.Background(), o)
	}
	for _, path := range []string{folder, exe} {
		if err := verify(path); err != nil {
			t.Fatal(err)
		}
	}
	signature := bytes.IndexByte(b.Signature, '\n') + 1
	trusted := bytes.Index(b.Signature, []byte("trusted comment: dsk"))
	for _, c := range []struct {
		file, part string
		at         []int
	}{
		{"run", "runner", []int{0, 70_000, -1}},
		{"model.dsk", "model", []int{0, 40, 2000, 4096, 300_000, -1}},
		{"golden.json", "golden.json", []int{0, 100, -1}},
		{"README.md", "README.md", []int{5}},
		{"example.jsonl", "example.jsonl", []int{0}},
		{"manifest.json", "manifest", []int{0, 1, 30, 200, 1000, -1}},
		{"manifest.json.minisig", "signature", []int{signature, signature + 5, signature + 60, trusted + 20, -5}},
	} {
		for _, at := range c.at {
			flip(t, filepath.Join(folder, c.file), at, func() {
				var format *fault.Format
				if err := verify(folder); !errors.As(err, &format) || !strings.Contains(err.Error(), c.part) {
					t.Errorf("%s, byte %d: %v", c.file, at, err)
				}
			})
		}
	}
	info, err := os.Stat(exe)
	if err != nil {
		t.Fatal(err)
	}
	size := int(info.Size())
	for at := 0; at < size; at += max(1, size/40) {
		flip(t, exe, at, func() {
			if verify(exe) == nil {
				t.Errorf("executable, byte %d of %d: not noticed", at, size)
			}
		})
	}
	for at := size - bundle.FooterBytes; at < size; at += 3 {
		flip(t, exe, at, func() {
			if verify(exe) == nil {
				t.Errorf("footer, byte %d of %d: not noticed", at, size)
			}
		})
	}
}

// flip changes a byte of a file while f runs; at counts from the end if it is negative.
func flip(t *testing.T, path string, at int, f func()) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += len(b)
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteAt([]byte{b[at] ^ 1}, int64(at)); err != nil {
		t.Fatal(err)
	}
	f()
	if _, err := w.WriteAt(b[at:at+1], int64(at)); err != nil {
		t.Fatal(err)
	}
}

// TestTrust refuses bundles that are not signed, or by another key.
func TestTrust(t *testing.T) {
	b := build(t, fakeRunner(1), "")
	_, other := keys(t, "")
	o := bundle.VerifyOptions{Policy: bundle.PolicyEnforce, Keys: []bundle.Key{other}}
	if err := b.Verify(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("unsigned: %v", err)
	}
	key := signed(t, b)
	if err := b.Verify(t.Context(), o); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("signed by another: %v", err)
	}
	warned := 0
	o.Policy, o.Warn = bundle.PolicyWarn, func(error) { warned++ }
	if err := b.Verify(t.Context(), o); err != nil || warned != 1 {
		t.Errorf("warn: %v, %d warnings", err, warned)
	}
	o.Policy, o.Keys = bundle.PolicyEnforce, []bundle.Key{other, key}
	if err := b.Verify(t.Context(), o); err != nil {
		t.Error(err)
	}
	if p, err := bundle.ParsePolicy("", 1); err != nil || p != bundle.PolicyEnforce {
		t.Errorf("a trusted key must be enforced: %v, %v", p, err)
	}
}

// TestSealed encrypts a model: no byte of it is left in the bundle, it opens with the key of its recipient only, and the key is a file for
// its owner that is never replaced.
func TestSealed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "board")
	recipient, err := GenerateIdentity(path, "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path + ".age")
	if err != nil || privateModes && info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	var usage *fault.Usage
	if _, err := GenerateIdentity(path, ""); !errors.As(err, &usage) {
		t.Errorf("a second key: %v", err)
	}
	for _, bad := range []string{"age1xyz", testModel} {
		if _, err := ParseRecipients([]string{bad}); !errors.As(err, &usage) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	to, err := ParseRecipients([]string{recipient, path + ".age.pub"})
	if err != nil || len(to) != 2 {
		t.Fatal(to, err)
	}
	plain, err := os.ReadFile(testModel)
	if err != nil {
		t.Fatal(err)
	}
	f, err := dskfile.OpenBytes(plain)
	if err != nil {
		t.Fatal(err)
	}
	p, err := bundle.FindPlatform("raspberrypi:4")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Build(t.Context(), plain, f, Options{Platform: p, Runner: fakeRunner(1), Version: "test", Threads: 1, Recipients: to})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(path + ".age")
	if err != nil {
		t.Fatal(err)
	}
	o, err := bundle.Open(write(t, b, "exe"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	whole, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(whole, plain[100_000:100_064]) || bytes.Contains(whole, bytes.TrimSpace(secret)) {
		t.Error("the bundle holds a part of the model, or the key")
	}
	if err := o.Verify(t.Context(), bundle.VerifyOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := o.Model(); !o.Sealed() || !errors.As(err, &usage) {
		t.Errorf("without a key: %v", err)
	}
	ids, err := age.ParseIdentities(bytes.NewReader(secret))
	if err != nil {
		t.Fatal(err)
	}
	o.Unseal = func(sealed []byte) ([]byte, error) {
		r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	m, err := o.Model()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
