package dskfile

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// allocated returns the bytes that f allocates.
func allocated(f func()) int64 {
	var before, after goruntime.MemStats
	goruntime.GC()
	goruntime.ReadMemStats(&before)
	f()
	goruntime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// wantFormat checks that err is about a broken file and says where.
func wantFormat(t *testing.T, what string, err error) {
	t.Helper()
	var format *fault.Format
	if !errors.As(err, &format) || format.Where == "" || format.Why == "" || format.Offset < 0 {
		t.Fatalf("%s: error %v", what, err)
	}
}

func TestTruncated(t *testing.T) {
	b := fileOf(t, allKinds(t))
	f, _ := openModel(t, b)
	info := f.Info()
	cuts := []int64{1, 7, 8, 9, PreambleBytes - 1, PreambleBytes, info.HeaderBytes, info.FileBytes - 1}
	for _, s := range info.Sections {
		cuts = append(cuts, s.Offset, s.Offset+s.Stored, s.Offset+s.Stored/2)
	}
	for _, x := range info.Tensors {
		cuts = append(cuts, info.HeaderBytes+x.Offset)
	}
	for _, n := range cuts {
		if n == info.FileBytes {
			continue // a tensor without bytes at the end
		}
		_, err := OpenBytes(b[:n:n])
		wantFormat(t, fmt.Sprint("cut at ", n), err)
		if n >= 8 && !strings.Contains(err.Error(), "truncated") {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	longer := append(slices.Clone(b), 0)
	if _, err := OpenBytes(longer); err == nil {
		t.Error("a file with a byte too many opens")
	}
}

// TestFlipHeader flips every bit of the header: Open must notice.
func TestFlipHeader(t *testing.T) {
	b := fileOf(t, small(t, 3))
	f, _ := openModel(t, b)
	for i := range int(f.Info().HeaderBytes) {
		for bit := range 8 {
			b[i] ^= 1 << bit
			_, err := OpenBytes(b)
			b[i] ^= 1 << bit
			var unsupported *fault.Unsupported
			if i >= atVersion && i < atSections && errors.As(err, &unsupported) {
				continue
			}
			wantFormat(t, fmt.Sprintf("byte %d bit %d", i, bit), err)
		}
	}
}

// TestFlipNamesSection: damage inside a section is reported with its name.
func TestFlipNamesSection(t *testing.T) {
	b := fileOf(t, small(t, 3))
	f, _ := openModel(t, b)
	for _, s := range f.Info().Sections {
		b[s.Offset+s.Stored/2] ^= 4
		_, err := OpenBytes(b)
		b[s.Offset+s.Stored/2] ^= 4
		if err == nil || !strings.Contains(err.Error(), s.Type) || !strings.Contains(err.Error(), fmt.Sprint("offset ", s.Offset)) {
			t.Errorf("%s: %v", s.Type, err)
		}
	}
}

// TestFlipData flips bits of the data: Verify must notice and name the tensor.
func TestFlipData(t *testing.T) {
	b := fileInChunks(t, small(t, 1000), PageBytes)
	f, _ := openModel(t, b)
	info := f.Info()
	for i := info.HeaderBytes; i < info.FileBytes; i += 61 {
		b[i] ^= 0x10
		err := f.Verify(context.Background(), nil)
		b[i] ^= 0x10
		wantFormat(t, fmt.Sprint("byte ", i), err)
		chunk := (i - info.HeaderBytes) / PageBytes
		if want := fmt.Sprintf("chunk %d of %d", chunk+1, len(info.Chunks)); !strings.Contains(err.Error(), want) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	last := info.Tensors[len(info.Tensors)-1]
	b[len(b)-1] ^= 1
	if err := f.Verify(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "tensor "+last.Name) {
		t.Errorf("last byte: %v", err)
	}
}

func TestVerifyCancelled(t *testing.T) {
	f, _ := openModel(t, fileOf(t, small(t, 3)))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.Verify(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestFutureVersion(t *testing.T) {
	b := fileOf(t, small(t, 3))
	le.PutUint32(b[atVersion:], PackedVersion+1)
	reseal(b)
	_, err := OpenBytes(b)
	var unsupported *fault.Unsupported
	if !errors.As(err, &unsupported) || unsupported.Kind != "format" || !strings.Contains(err.Error(), ".dsk version 3") {
		t.Errorf("error %v", err)
	}
}

// reseal makes the checksums of a file's header right again.
func reseal(b []byte) {
	header := b[:le.Uint64(b[atHeaderBytes:])]
	for i := range le.Uint32(b[atSections:]) {
		e := header[PreambleBytes+i*EntryBytes:]
		s := readEntry(e[:EntryBytes])
		if s.Offset >= 0 && s.Stored >= 0 && s.Offset <= int64(len(header)) && s.Stored <= int64(len(header))-s.Offset {
			le.PutUint32(e[entryChecksum:], checksum(header[s.Offset:][:s.Stored]))
		}
	}
	sum := sha256.Sum256(header[PreambleBytes:])
	copy(b[atHeaderHash:], sum[:])
	le.PutUint32(b[atChecksum:], checksum(b[:atChecksum]))
}

// rawFile is a file of the given sections; any may lie about its size.
func rawFile(parts []part, dataBytes int64) []byte {
	end := int64(PreambleBytes + len(parts)*EntryBytes)
	for _, p := range parts {
		end = align(end, LineBytes) + int64(len(p.stored))
	}
	header := align(end, PageBytes)
	b := tensor.AlignedBytes(int(header + dataBytes))
	copy(b, Magic)
	le.PutUint32(b[atVersion:], Version)
	le.PutUint32(b[atSections:], uint32(len(parts)))
	le.PutUint64(b[atFileBytes:], uint64(len(b)))
	le.PutUint64(b[atHeaderBytes:], uint64(header))
	end = int64(PreambleBytes + len(parts)*EntryBytes)
	for i, p := range parts {
		start := align(end, LineBytes)
		e := b[PreambleBytes+i*EntryBytes:]
		copy(e[entryType:], p.typ)
		le.PutUint32(e[entryFlags:], p.flags)
		le.PutUint64(e[entryOffset:], uint64(start))
		le.PutUint64(e[entryStored:], uint64(len(p.stored)))
		le.PutUint64(e[entryRaw:], uint64(len(p.raw)))
		copy(e[entryName:], p.name)
		end = start + int64(copy(b[start:], p.stored))
	}
	reseal(b)
	return b
}

// handmade is a file with the given texts, which may be anything, and no data or dataBytes zeros.
func handmade(graph, tens string, dataBytes int64, more ...part) []byte {
	l := &layout{chunk: ChunkBytes, dataBytes: dataBytes}
	hashes := make([]byte, hashHead)
	le.PutUint64(hashes, uint64(l.chunk))
	if dataBytes > 0 {
		le.PutUint64(hashes[8:], 1)
		sum := sha256.Sum256(make([]byte, dataBytes))
		hashes = append(hashes, sum[:]...)
	}
	parts := append([]part{
		textPart(typeMeta, `{"source":{"format":"","files":null},"parameters":0,"steps":null}`),
		textPart(typeGraph, graph),
		textPart(typeTens, tens),
		{typ: typeHash, flags: flagRequired, raw: hashes, stored: hashes},
	}, more...)
	return rawFile(parts, dataBytes)
}

func textPart(typ, text string) part {
	p := part{typ: typ, flags: flagRequired, raw: []byte(text), stored: []byte(text)}
	if z := quickDeflate(p.raw); len(z) < len(p.raw) {
		p.stored, p.flags = z, flagRequired|flagDeflate
	}
	return p
}

// quickDeflate compresses less well than the writer, and far faster.
func quickDeflate(raw []byte) []byte {
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	_, _ = z.Write(raw)
	_ = z.Close()
	return out.Bytes()
}

func TestHandmade(t *testing.T) {
	f, m := openModel(t, handmade(`{"name":"g"}`, `[{"name":"w","dtype":"F32","shape":[2],"offset":0,"bytes":8}]`, 64))
	if m.Graph.Name != "g" || len(m.Graph.Init["w"].F32()) != 2 {
		t.Error("another model")
	}
	if err := f.Verify(context.Background(), nil); err != nil {
		t.Error(err)
	}
}

// TestRefusedTexts lists texts of GRPH and TENS that are not as docs/format.md says,
// in files whose checksums are right.
func TestRefusedTexts(t *testing.T) {
	node := func(s string) string { return `{"nodes":[{"op":"A",` + s + `}]}` }
	attr := func(s string) string { return node(`"attrs":{"a":` + s + `}`) }
	for _, graph := range []string{
		``, `null`, `[]`, `{`, `{}x`, ` {}`, `{"name"}`, `{"name":}`, `{"name":"a`, `{"name":"a\`, `{"name":"\x"}`, "{\"name\":\"a\nb\"}",
		"{\"name\":\"\xff\"}", `{"name":"a","name":"b"}`, `{"Name":"a"}`, `{"nodes":[],"name":"a"}`, `{"other":1}`, `{"nodes":[{},]}`,
		`{"nodes":[,{}]}`, `{"nodes":[{} {}]}`, `{,"name":"a"}`, `{"name":"a",}`, `{"nodes":{}}`, `{"name":1}`,
		`{"inputs":[{"name":"x","dtype":"F99"}]}`, `{"inputs":[{"name":"x","dtype":"INVALID"}]}`, `{"inputs":[{"shape":[-1]}]}`,
		`{"inputs":[{"shape":[""]}]}`, `{"inputs":[{"shape":[nul]}]}`, `{"inputs":[{"shape":[1.5]}]}`, `{"inputs":[{"shape":[99999999999999999999]}]}`,
		`{"inputs":[{"shape":[` + strings.Repeat("1,", MaxRank) + `1]}]}`, `{"name":"` + strings.Repeat("x", MaxNameBytes+1) + `"}`,
		attr(`{}`), attr(`{"int":1,"float":1}`), attr(`{"int":1.5}`), attr(`{"int":+1}`), attr(`{"int":01}`), attr(`{"int":-0}`),
		attr(`{"int":9223372036854775808}`), attr(`{"float":1e99}`), attr(`{"float":"0x3f800000"}`), attr(`{"float":"NaN"}`), attr(`{"float":NaN}`),
		attr(`{"float":` + strings.Repeat("1", 100) + `}`), attr(`{"ints":[1,]}`), attr(`{"floats":[""]}`), attr(`{"bytes":"A"}`), attr(`{"bytes":"QQ=\n"}`),
		attr(`{"strs":[{}]}`), attr(`{"strs":[1]}`), attr(`{"graph":{"states":[]}}`), attr(`{"graph":null}`),
		attr(`{"tensor":{}}`), attr(`{"tensor":{"dtype":"F32","shape":[1]}}`), attr(`{"tensor":{"dtype":"F32","shape":[1],"data":"AAAA"}}`),
		attr(`{"tensor":{"dtype":"BOOL","shape":[1],"data":"Ag=="}}`), attr(`{"tensor":{"dtype":"F32","data":"AAAAAA=="}}`), attr(`{"tensor":{"shape":[1],"data":"AAAAAA=="}}`),
		node(`"attrs":{"b":{"int":1},"a":{"int":1}}`), node(`"attrs":{"a":{"int":1},"a":{"int":1}}`), node(`"attrs":[]`), node(`"in":[null]`),
		strings.Repeat(`{"nodes":[{"attrs":{"a":{"graph":`, MaxDepth+1) + `{}` + strings.Repeat(`}}}]}`, MaxDepth+1),
	} {
		_, err := OpenBytes(handmade(graph, `[]`, 0))
		wantFormat(t, quote(graph), err)
		if !strings.Contains(err.Error(), "section GRPH") {
			t.Errorf("%s: %v", quote(graph), err)
		}
	}
	const w = `{"name":"w","dtype":"F32","shape":[16],"offset":0,"bytes":64}`
	tens := func(old, new string) string { return "[" + strings.Replace(w, old, new, 1) + "]" }
	quantized := func(members string) string {
		return `[{"name":"w","dtype":"D2","layout":"panel16","shape":[1,1]` + members + `,"offset":0,"bytes":256}]`
	}
	for _, c := range []struct {
		text string
		data int64
	}{
		{``, 0}, {`{}`, 0}, {`[null]`, 0}, {`[{}]`, 0}, {`[]`, 64},
		{"[" + w + "," + w + "]", 64},
		{"[" + w + "," + strings.Replace(w, `"offset":0`, `"offset":64`, 1) + "]", 128}, // one name twice
		{"[" + w + "]", 128}, {"[" + w + "]", 0},
		{tens(`"offset":0`, `"offset":64`), 128}, {tens(`"offset":0`, `"offset":-64`), 64}, {tens(`"offset":0`, `"offset":4`), 64},
		{tens(`"offset":0`, `"offset":9223372036854775800`), 64}, {tens(`64}`, `9223372036854775807}`), 64}, {tens(`64}`, `63}`), 64},
		{tens(`[16]`, `[15]`), 64}, {tens(`[16]`, `[-16]`), 64}, {tens(`[16]`, `[4294967296,4294967296,4294967296]`), 64},
		{tens(`[16]`, `[0,9223372036854775807,9223372036854775807]`), 64}, {tens(`[16]`, `16`), 64},
		{tens(`"F32"`, `"F64"`), 64}, {tens(`"F32"`, `"f32"`), 64}, {tens(`"F32"`, `"D4"`), 64}, {tens(`"name":"w",`, ``), 64}, {tens(`"w"`, `""`), 64},
		{tens(`"shape"`, `"layout":"col","shape"`), 64}, {tens(`"F32"`, `"U64","layout":"panel16"`), 64}, {tens(`"offset"`, `"shift":1,"offset"`), 64},
		{tens(`"offset"`, `"levels":[],"offset"`), 64}, {tens(`"offset"`, `"levels":[1],"offset"`), 64},
		{quantized(``), 256}, {quantized(`,"levels":[]`), 256}, {quantized(`,"levels":[0,1,2]`), 256}, {quantized(`,"levels":[0,1,2,128]`), 256},
		{quantized(`,"levels":[0,1,2,3,4]`), 256}, {quantized(`,"levels":[0,1,2,127],"shift":1`), 256}, {quantized(`,"levels":[0,1,2,3],"shift":-1`), 256},
		{quantized(`,"levels":[0,1,2,3],"shift":300`), 256},
	} {
		_, err := OpenBytes(handmade(`{}`, c.text, c.data))
		wantFormat(t, c.text, err)
		if !strings.Contains(err.Error(), "section TENS") {
			t.Errorf("%s: %v", c.text, err)
		}
	}
	if _, err := OpenBytes(handmade(`{}`, quantized(`,"levels":[0,1,2,3]`), 256)); err != nil {
		t.Error(err)
	}
}

// TestVerifyForm lists files that open but are not what Write makes.
func TestVerifyForm(t *testing.T) {
	for _, b := range [][]byte{
		handmade(`{"name":""}`, `[]`, 0),
		handmade(`{"nodes":[]}`, `[]`, 0),
		handmade(`{"name":"\u0041"}`, `[]`, 0),
		handmade(`{}`, `[{"name":"b","dtype":"U8","shape":[64],"offset":0,"bytes":64},{"name":"a","dtype":"U8","shape":[64],"offset":64,"bytes":64}]`, 128),
		handmade(`{"nodes":[{"op":"Nothing"}]}`, `[]`, 0),
		handmade(`{"outputs":[{"name":"y"}]}`, `[]`, 0),
	} {
		f, _ := openModel(t, b)
		if err := f.Verify(context.Background(), nil); err == nil {
			t.Error("Verify passes")
		} else if s := err.Error(); !strings.Contains(s, "GRPH") && !strings.Contains(s, "TENS") && !strings.Contains(s, "graph") && !strings.Contains(s, "operator") {
			t.Error(err)
		}
	}
}

// TestVerifyBytes: padding that is not zero and booleans that are neither, under right hashes.
func TestVerifyBytes(t *testing.T) {
	for _, at := range []int{1, 3, 63} {
		b := handmade(`{}`, `[{"name":"w","dtype":"BOOL","shape":[3],"offset":0,"bytes":3}]`, 64)
		header := int(le.Uint64(b[atHeaderBytes:]))
		b[header+at] = 2
		sum := sha256.Sum256(b[header:])
		s := readEntry(b[PreambleBytes+3*EntryBytes:][:EntryBytes])
		copy(b[s.Offset+hashHead:], sum[:])
		reseal(b)
		f, _ := openModel(t, b)
		err := f.Verify(context.Background(), nil)
		wantFormat(t, fmt.Sprint("byte ", at), err)
		if !strings.Contains(err.Error(), fmt.Sprintf("offset %d: tensor \"w\"", header+max(at, 1))) && at == 1 {
			t.Error(err)
		}
	}
}

// TestRefusedTables changes the frame and makes the checksums right again.
func TestRefusedTables(t *testing.T) {
	entry := func(i, field int) int { return PreambleBytes + i*EntryBytes + field }
	for name, change := range map[string]func(b []byte){
		"header bytes 0":        func(b []byte) { le.PutUint64(b[atHeaderBytes:], 0) },
		"header bytes huge":     func(b []byte) { le.PutUint64(b[atHeaderBytes:], 1<<63) },
		"header beyond file":    func(b []byte) { le.PutUint64(b[atHeaderBytes:], 1<<30) },
		"header not a page":     func(b []byte) { le.PutUint64(b[atHeaderBytes:], 4095) },
		"file bytes huge":       func(b []byte) { le.PutUint64(b[atFileBytes:], 1<<63) },
		"sections huge":         func(b []byte) { le.PutUint32(b[atSections:], 1<<31) },
		"sections beyond limit": func(b []byte) { le.PutUint32(b[atSections:], MaxSections+1) },
		"sections beyond file":  func(b []byte) { le.PutUint32(b[atSections:], MaxSections) },
		"no sections":           func(b []byte) { le.PutUint32(b[atSections:], 0) },
		"three sections":        func(b []byte) { le.PutUint32(b[atSections:], 3) },
		"reserved":              func(b []byte) { b[atReserved] = 1 },
		"type":                  func(b []byte) { b[entry(0, entryType)] = 'm' },
		"other type":            func(b []byte) { b[entry(0, entryType)] = 'N' },
		"not required":          func(b []byte) { b[entry(1, entryFlags)] &^= flagRequired },
		"unknown flag":          func(b []byte) { b[entry(1, entryFlags)] |= 4 },
		"offset":                func(b []byte) { b[entry(1, entryOffset)] += 64 },
		"offset huge":           func(b []byte) { b[entry(1, entryOffset)+7] = 0xff },
		"stored huge":           func(b []byte) { b[entry(1, entryStored)+7] = 0xff },
		"stored beyond header":  func(b []byte) { b[entry(4, entryStored)+2] = 1 },
		"raw":                   func(b []byte) { b[entry(3, entryRaw)]++ },
		"raw huge":              func(b []byte) { b[entry(1, entryRaw)+7] = 0x7f },
		"raw short":             func(b []byte) { b[entry(1, entryRaw)]-- },
		"raw long":              func(b []byte) { b[entry(1, entryRaw)]++ },
		"name of GRPH":          func(b []byte) { b[entry(1, entryName)] = 'x' },
		"name with a gap":       func(b []byte) { b[entry(4, entryName)+3] = 0 },
		"asset twice":           func(b []byte) { copy(b[entry(5, entryName):], b[entry(4, entryName):][:28]) },
		"asset without a name":  func(b []byte) { clear(b[entry(4, entryName):][:28]) },
		"asset path":            func(b []byte) { b[entry(4, entryName)+1] = '/' },
		"second GRPH":           func(b []byte) { copy(b[entry(4, entryType):], "GRPH") },
		"unknown required": func(b []byte) {
			copy(b[entry(4, entryType):], "NEW1")
			b[entry(4, entryFlags)] |= flagRequired
		},
		"padding":      func(b []byte) { b[le.Uint64(b[atHeaderBytes:])-1] = 1 },
		"chunk bytes":  func(b []byte) { b[le.Uint64(b[entry(3, entryOffset):])] = 1 },
		"chunk count":  func(b []byte) { b[le.Uint64(b[entry(3, entryOffset):])+8]++ },
		"huge chunks":  func(b []byte) { b[le.Uint64(b[entry(3, entryOffset):])+7] = 1 },
		"empty chunks": func(b []byte) { clear(b[le.Uint64(b[entry(3, entryOffset):]):][:8]) },
		"bad deflate":  func(b []byte) { b[le.Uint64(b[entry(1, entryOffset):])] ^= 0xff },
	} {
		b := fileOf(t, allKinds(t))
		change(b)
		if h := le.Uint64(b[atHeaderBytes:]); h >= PreambleBytes && h <= uint64(len(b)) && le.Uint32(b[atSections:]) <= 7 {
			reseal(b)
		} else {
			le.PutUint32(b[atChecksum:], checksum(b[:atChecksum]))
		}
		_, err := OpenBytes(b)
		wantFormat(t, name, err)
	}
}

// TestUnknownOptional: a section of the future that is not required is skipped.
func TestUnknownOptional(t *testing.T) {
	extra := part{typ: "NEW1", name: "any name", raw: []byte("content"), stored: []byte("content")}
	f, m := openModel(t, handmade(`{"name":"g"}`, `[]`, 0, extra))
	if m.Graph.Name != "g" || len(m.Assets) != 0 || f.Info().Sections[4].Type != "NEW1" {
		t.Error("another model")
	}
}

// TestHostileMemory opens small files that claim or unpack to a lot.
func TestHostileMemory(t *testing.T) {
	many := func(s string, n int) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	const million = 1 << 20
	files := map[string][]byte{
		"nodes":          handmade(`{"nodes":[`+many(`{}`, MaxNodes)+`]}`, `[]`, 0),
		"nodes + 1":      handmade(`{"nodes":[`+many(`{}`, MaxNodes+1)+`]}`, `[]`, 0),
		"attributes":     handmade(`{"nodes":[`+many(`{"attrs":{"a":{"int":1}}}`, MaxNodes)+`]}`, `[]`, 0),
		"inputs":         handmade(`{"inputs":[`+many(`{}`, 8*million)+`]}`, `[]`, 0),
		"states":         handmade(`{"states":[`+many(`{}`, 8*million)+`]}`, `[]`, 0),
		"shapes":         handmade(`{"inputs":[`+many(`{"shape":[1,2,3,4,5,6,7,8]}`, million)+`]}`, `[]`, 0),
		"names":          handmade(`{"nodes":[{"in":[`+many(`""`, 12*million)+`]}]}`, `[]`, 0),
		"small names":    handmade(`{"nodes":[`+many(`{"in":["",""]}`, MaxNodes)+`]}`, `[]`, 0),
		"ints":           handmade(`{"nodes":[{"attrs":{"a":{"ints":[`+many(`1`, 16*million)+`]}}}]}`, `[]`, 0),
		"one ints each":  handmade(`{"nodes":[`+many(`{"attrs":{"a":{"ints":[`+many("1", 40)+`]}}}`, 200000)+`]}`, `[]`, 0),
		"strings":        handmade(`{"nodes":[{"attrs":{"a":{"strs":[`+many(`"\u0041"`, 4*million)+`]}}}]}`, `[]`, 0),
		"long escape":    handmade(`{"nodes":[{"attrs":{"a":{"str":"\n`+strings.Repeat("x", 40*million)+`"}}}]}`, `[]`, 0),
		"base64":         handmade(`{"nodes":[{"attrs":{"a":{"bytes":"`+strings.Repeat("A", 40*million)+`"}}}]}`, `[]`, 0),
		"number":         handmade(`{"nodes":[{"attrs":{"a":{"int":`+strings.Repeat("1", 50*million)+`}}}]}`, `[]`, 0),
		"key":            handmade(`{"`+strings.Repeat("x", 50*million)+`":1}`, `[]`, 0),
		"unknown dtype":  handmade(`{"inputs":[{"dtype":"`+strings.Repeat("x", 50*million)+`"}]}`, `[]`, 0),
		"attribute name": handmade(`{"nodes":[{"attrs":{"`+strings.Repeat("x", 50*million)+`":{}}}]}`, `[]`, 0),
		"one big map":    handmade(`{"nodes":[{"attrs":{`+attrsOf(200000)+`}}]}`, `[]`, 0),
		"tensors":        handmade(`{}`, `[`+tensorsOf(MaxTensors)+`]`, 0),
		"raw":            handmade(`{"name":"`+strings.Repeat("x", 70*million)+`"}`, `[]`, 0),
		"asset":          handmade(`{}`, `[]`, 0, asset("a", 60*million)),
		"assets":         handmade(`{}`, `[]`, 0, asset("a", 25*million), asset("b", 25*million), asset("c", 25*million)),
		"meta steps":     withMeta(`{"steps":[` + many(`{}`, 80000) + `]}`),
		"meta options":   withMeta(`{"steps":[` + many(`{"options":{"":""}}`, 13000) + `]}`),
		"meta files":     withMeta(`{"source":{"files":[` + many(`{}`, 80000) + `]}}`),
		"meta ids":       withMeta(`{"lm":{"bos":[` + many(`1`, 120000) + `]}}`),
		"meta unknown":   withMeta(`{"x":[` + many(`{}`, 80000) + `]}`),
		"meta too big":   withMeta(`{"name":"` + strings.Repeat("x", MaxMetaBytes) + `"}`),
	}
	var parts []part
	for i := range MaxSections - 4 {
		parts = append(parts, asset(fmt.Sprintf("a%04d", i), 50000))
	}
	files["many assets"] = handmade(`{}`, `[]`, 0, parts...)
	for name, b := range files {
		var err error
		limit := 2*int64(len(b)) + MemoryBase
		spent := allocated(func() {
			var f *File
			if f, err = OpenBytes(b); err == nil {
				_, err = f.Model()
			}
		})
		if spent > limit {
			t.Errorf("%s: a file of %d bytes allocates %d (%v)", name, len(b), spent, err)
		}
		t.Logf("%s: %d bytes in the file, %.1f MB allocated, error %v", name, len(b), float64(spent)/1e6, err)
	}
}

// asset is an asset of zeros.
func asset(name string, size int) part {
	raw := make([]byte, size)
	return part{typ: typeAsset, name: name, flags: flagDeflate, raw: raw, stored: quickDeflate(raw)}
}

func withMeta(text string) []byte {
	hashes := make([]byte, hashHead)
	le.PutUint64(hashes, ChunkBytes)
	return rawFile([]part{
		textPart(typeMeta, text), textPart(typeGraph, `{}`), textPart(typeTens, `[]`),
		{typ: typeHash, flags: flagRequired, raw: hashes, stored: hashes},
	}, 0)
}

func attrsOf(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `"%06d":{"int":1},`, i)
	}
	return strings.TrimSuffix(s.String(), ",")
}

func tensorsOf(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `{"name":"%d","dtype":"U8","shape":[0],"offset":0,"bytes":0},`, i)
	}
	return strings.TrimSuffix(s.String(), ",")
}
