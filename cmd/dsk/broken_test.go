package main

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dsk-toolkit/dsk/model/dskfile"
)

// section is a part of a header, unpacked.
type section struct {
	name string // of an asset
	kind string
	body []byte
}

// parts takes a file apart: its sections and its data.
func parts(t *testing.T, file []byte) (list []section, data []byte) {
	t.Helper()
	f, err := dskfile.OpenBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, s := range f.Info().Sections {
		body := bytes.Clone(file[s.Offset : s.Offset+s.Stored])
		if s.Deflated {
			if body, err = io.ReadAll(flate.NewReader(bytes.NewReader(body))); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, section{s.Name, s.Type, body})
	}
	return list, bytes.Clone(file[f.Info().HeaderBytes:])
}

// assemble makes a file of which every checksum is right; see docs/format.md.
func assemble(list []section, data []byte) []byte {
	up := func(n, a int) int { return (n + a - 1) / a * a }
	le := binary.LittleEndian
	at := 128 + 64*len(list)
	for _, s := range list {
		at = up(at, 64) + len(s.body)
	}
	head := make([]byte, up(at, 4096))
	copy(head, dskfile.Magic)
	le.PutUint32(head[8:], 1)
	le.PutUint32(head[12:], uint32(len(list)))
	le.PutUint64(head[16:], uint64(len(head)+len(data)))
	le.PutUint64(head[24:], uint64(len(head)))
	crc := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	at = 128 + 64*len(list)
	for i, s := range list {
		if s.kind == "HASH" {
			sum := sha256.Sum256(data)
			s.body = le.AppendUint64(le.AppendUint64(nil, dskfile.ChunkBytes), 1)
			s.body = append(s.body, sum[:]...)
		}
		at = up(at, 64)
		e := head[128+64*i:]
		copy(e, s.kind)
		if s.kind != "ASET" {
			le.PutUint32(e[4:], 1)
		}
		le.PutUint64(e[8:], uint64(at))
		le.PutUint64(e[16:], uint64(len(s.body)))
		le.PutUint64(e[24:], uint64(len(s.body)))
		le.PutUint32(e[32:], crc(s.body))
		copy(e[36:64], s.name)
		at += copy(head[at:], s.body)
	}
	sum := sha256.Sum256(head[128:])
	copy(head[32:], sum[:])
	le.PutUint32(head[124:], crc(head[:124]))
	return append(head, data...)
}

// literals are the values of a JSON text: strings that are no keys, and numbers.
var literals = regexp.MustCompile(`"(?:[^"\\]|\\.)*":?|-?[0-9][0-9.eE+-]*|true|false|null`)

var oddNumbers = []string{"0", "1", "-1", "2", "3", "-2", "7", "16", "255", "65536", "2147483648", "1099511627776", "9223372036854775807", "-9223372036854775808"}

// mutateText replaces a literal by another one of its kind.
func mutateText(rng *rand.Rand, text []byte) []byte {
	all := literals.FindAllIndex(text, 1<<16)
	var places [][]int
	for _, p := range all {
		if text[p[1]-1] != ':' {
			places = append(places, p)
		}
	}
	if len(places) == 0 {
		return text
	}
	p := places[rng.IntN(len(places))]
	with := ""
	switch c := text[p[0]]; {
	case c == '"' && rng.IntN(6) == 0:
		with = `""`
	case c == '"':
		for range 50 {
			q := places[rng.IntN(len(places))]
			if with = string(text[q[0]:q[1]]); with[0] == '"' {
				break
			}
		}
	case c >= 'a':
		with = []string{"true", "false", "null"}[rng.IntN(3)]
	default:
		with = oddNumbers[rng.IntN(len(oddNumbers))]
	}
	return bytes.Join([][]byte{text[:p[0]], []byte(with), text[p[1]:]}, nil)
}

// breakFile changes a few things in a file and makes its checksums right again.
func breakFile(rng *rand.Rand, list []section, data []byte) []byte {
	list, data = append([]section(nil), list...), bytes.Clone(data)
	for range 1 + rng.IntN(3) {
		i := []int{0, 1, 1, 1, 1, 2, 3, rng.IntN(len(list))}[rng.IntN(8)]
		switch s := &list[i]; {
		case i == 3:
			at := rng.IntN(len(data))
			for j := range rng.IntN(1 + min(1000, len(data)-at)) {
				data[at+j] = byte(rng.Uint32())
			}
		case i > 3 && rng.IntN(4) == 0:
			list = append(list[:i:i], list[i+1:]...)
		case rng.IntN(8) == 0:
			s.body = s.body[:rng.IntN(1+len(s.body))]
		default:
			s.body = mutateText(rng, s.body)
		}
	}
	return assemble(list, data)
}

// TestBrokenFiles runs every command that reads a .dsk on crafted ones. Each must end soon, with success or with an exit
// code that says what is wrong. DSK_BROKEN gives the number of files, DSK_SEED the first.
func TestBrokenFiles(t *testing.T) {
	rounds, seed := 10, 0
	if n, err := strconv.Atoi(os.Getenv("DSK_BROKEN")); err == nil {
		rounds = n
	}
	if n, err := strconv.Atoi(os.Getenv("DSK_SEED")); err == nil {
		seed = n
	}
	dir := t.TempDir()
	digits := filepath.Join(dir, "digits.dsk")
	if code, out := command("convert", "../../testdata/models/digits-cnn/digits-cnn.onnx", "-o", digits, "--preprocess", "gray,mean=33.3285,std=78.5655"); code != 0 {
		t.Fatal(out)
	}
	bert := filepath.Join(dir, "bert.dsk")
	if code, out := command("convert", "../../testdata/models/bert-tiny", "-o", bert); code != 0 {
		t.Fatal(out)
	}
	text := filepath.Join(dir, "text.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("It was a dark and stormy night. ", 20)), 0o644); err != nil {
		t.Fatal(err)
	}
	const images = "../../testdata/models/digits-cnn/images"
	x, out := filepath.Join(dir, "x.dsk"), filepath.Join(dir, "out.dsk")
	any := [][]string{{"inspect", x, "--graph", "--tensors"}, {"verify", x}}
	for _, base := range []struct {
		file     string
		commands [][]string
	}{
		{"../../testdata/models/gutenberg-1M-4bit.dsk", append([][]string{
			{"run", x, "It was a dark", "--max-tokens", "3"},
			{"eval", x, "--data", text, "--ctx", "16", "--limit", "1"},
			{"bench", x, "-p", "8", "-n", "2", "-r", "1", "-t", "2"},
			{"tokenize", x, "It was"},
			{"quantize", x, "-o", out, "--weight-bits", "2", "--force"}}, any...)},
		{bert, append([][]string{
			{"embed", x, "a red bicycle", "the house"},
			{"quantize", x, "-o", out, "--weight-bits", "4", "--force"}}, any...)},
		{digits, append([][]string{
			{"run", x, images + "/00.png"},
			{"eval", x, "--data", images, "--limit", "2"},
			{"bench", x, "-r", "1", "-t", "2"},
			{"quantize", x, "-o", out, "--weight-bits", "4", "--eval", images, "--limit", "2", "--force"}}, any...)},
	} {
		file, err := os.ReadFile(base.file)
		if err != nil {
			t.Fatal(err)
		}
		list, data := parts(t, file)
		for i := range rounds {
			rng := rand.New(rand.NewPCG(uint64(seed+i), 0))
			if err := os.WriteFile(x, breakFile(rng, list, data), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, args := range base.commands {
				name := fmt.Sprintf("%s, seed %d: dsk %s", filepath.Base(base.file), seed+i, strings.Join(args, " "))
				watch := time.AfterFunc(30*time.Second, func() { panic("hang: " + name) })
				var before, after goruntime.MemStats
				goruntime.ReadMemStats(&before)
				code, says := command(args...)
				goruntime.ReadMemStats(&after)
				watch.Stop()
				if code == exitFailure || strings.Contains(says, "internal error") {
					t.Errorf("%s: exit %d: %s", name, code, says)
				}
				if n := after.TotalAlloc - before.TotalAlloc; n > 1<<30 {
					t.Errorf("%s: %d bytes allocated; exit %d: %s", name, n, code, says)
				}
			}
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// command runs dsk and returns its exit code and what it says on stderr.
func command(args ...string) (code int, stderr string) {
	var errs bytes.Buffer
	code = execute(context.Background(), args, strings.NewReader(""), io.Discard, &errs)
	return code, errs.String()
}
