package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// builder writes GGUF files.
type builder struct{ bytes.Buffer }

func (b *builder) put(values ...any) *builder {
	for _, v := range values {
		if s, ok := v.(string); ok {
			b.put(uint64(len(s)))
			b.WriteString(s)
			continue
		}
		if err := binary.Write(&b.Buffer, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b
}

// newBuilder starts a file of the given numbers of tensors and pieces of metadata.
func newBuilder(tensors, entries uint64) *builder {
	b := &builder{}
	b.WriteString(Magic)
	return b.put(uint32(3), tensors, entries)
}

// sample has a value of every type, and three tensors.
func sample() []byte {
	b := newBuilder(3, 17)
	for i, v := range []any{uint8(200), int8(-3), uint16(60000), int16(-300), uint32(4e9), int32(-5), float32(1.5), uint8(1), "text"} {
		b.put("k"+string(rune('0'+i)), uint32(i), v)
	}
	b.put("u64", uint32(10), uint64(1<<63), "i64", uint32(11), int64(-1), "f64", uint32(12), 0.25)
	b.put("ints", uint32(9), uint32(5), uint64(3), []int32{1, -2, 3})
	b.put("strings", uint32(9), uint32(8), uint64(2), "a", "bc")
	b.put("bools", uint32(9), uint32(7), uint64(2), []uint8{1, 0})
	b.put("nested", uint32(9), uint32(9), uint64(2), uint32(0), uint64(1), uint8(7), uint32(8), uint64(1), "x")
	b.put("general.alignment", uint32(4), uint32(64))
	b.put("matrix", uint32(2), uint64(32), uint64(3), uint32(2), uint64(0)) // Q4_0: 3 blocks of 18 bytes
	b.put("vector", uint32(1), uint64(5), uint32(0), uint64(64))            // F32
	b.put("future", uint32(1), uint64(1000), uint32(200), uint64(128))      // of an unknown type
	return append(b.Bytes(), make([]byte, 64-b.Len()%64+64+64)...)
}

func TestRead(t *testing.T) {
	f, err := Read(sample())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"k0": uint8(200), "k1": int8(-3), "k2": uint16(60000), "k3": int16(-300), "k4": uint32(4e9), "k5": int32(-5),
		"k6": float32(1.5), "k7": true, "k8": "text", "u64": uint64(1 << 63), "i64": int64(-1), "f64": 0.25, "ints": []int32{1, -2, 3},
		"strings": []string{"a", "bc"}, "bools": []bool{true, false}, "nested": []any{[]uint8{7}, []string{"x"}}, "general.alignment": uint32(64)}
	if len(f.Entries) != len(want) || f.Version != 3 || f.Alignment != 64 {
		t.Errorf("%d entries, version %d, alignment %d", len(f.Entries), f.Version, f.Alignment)
	}
	for key, v := range want {
		if got := f.Value(key); !reflect.DeepEqual(got, v) {
			t.Errorf("%s is %#v, want %#v", key, got, v)
		}
	}
	if f.Value("absent") != nil || f.Text("k8") != "text" || f.Text("k0") != "" {
		t.Error("metadata that is absent or of another type is found")
	}
	for i, w := range []Tensor{{Name: "matrix", Type: "Q4_0", Shape: []int{3, 32}, Offset: f.Data, Bytes: 54},
		{Name: "vector", Type: "F32", Shape: []int{5}, Offset: f.Data + 64, Bytes: 20}, {Name: "future", Type: "type 200", Shape: []int{1000}, Offset: f.Data + 128, Bytes: -1}} {
		if !reflect.DeepEqual(f.Tensors[i], w) {
			t.Errorf("tensor %d is %+v, want %+v", i, f.Tensors[i], w)
		}
	}
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{{uint8(3), "3"}, {true, "true"}, {"a\nb", `"a\nb"`}, {strings.Repeat("x", 100), `"` + strings.Repeat("x", 80) + `"... (100 bytes)`},
		{[]int32{1, 2}, "[1 2]"}, {make([]float32, 9), "[9 float32]"}, {[]string{"a"}, "[1 string]"}, {[]any{[]int8{1}}, "[1 arrays]"}} {
		if got := Describe(c.v); got != c.want {
			t.Errorf("%v is described as %s, want %s", c.v, got, c.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	tensor := func(more ...any) []byte { return newBuilder(1, 0).put(more...).Bytes() }
	deep := newBuilder(0, 1).put("k", uint32(9))
	for range 1000 {
		deep.put(uint32(9), uint64(1))
	}
	overlap := newBuilder(2, 0).put("a", uint32(1), uint64(9), uint32(0), uint64(0), "b", uint32(1), uint64(1), uint32(0), uint64(32))
	overlap.Write(make([]byte, 200))
	for name, c := range map[string]struct {
		data []byte
		why  string
	}{
		"empty":           {nil, "no GGUF file"},
		"other magic":     {make([]byte, 100), "no GGUF file"},
		"many tensors":    {newBuilder(1<<40, 0).Bytes(), "above the limits"},
		"many entries":    {newBuilder(0, 1<<63).Bytes(), "above the limits"},
		"no entries":      {newBuilder(0, 5).Bytes(), "cut off"},
		"long key":        {newBuilder(0, 1).put(uint64(1 << 62)).Bytes(), "above the limit"},
		"empty key":       {newBuilder(0, 1).put("", uint32(0), uint8(1)).Bytes(), "is empty or not UTF-8"},
		"bad key":         {newBuilder(0, 1).put("\xff", uint32(0), uint8(1)).Bytes(), "is empty or not UTF-8"},
		"twice":           {newBuilder(0, 2).put("k", uint32(0), uint8(1), "k", uint32(0), uint8(1)).Bytes(), "occurs twice"},
		"unknown type":    {newBuilder(0, 1).put("k", uint32(13)).Bytes(), "unknown type 13"},
		"unknown element": {newBuilder(0, 1).put("k", uint32(9), uint32(77), uint64(0)).Bytes(), "unknown type 77"},
		"long string":     {newBuilder(0, 1).put("k", uint32(8), uint64(1<<40)).Bytes(), "above the limit"},
		"long array":      {newBuilder(0, 1).put("k", uint32(9), uint32(4), uint64(1<<62+1)).Bytes(), "cut off"},
		"many strings":    {newBuilder(0, 1).put("k", uint32(9), uint32(8), uint64(1<<61)).Bytes(), "cut off"},
		"many arrays":     {newBuilder(0, 1).put("k", uint32(9), uint32(9), uint64(1<<40)).Bytes(), "cut off"},
		"deep":            {deep.Bytes(), "nested"},
		"half truth":      {newBuilder(0, 1).put("k", uint32(7), uint8(2)).Bytes(), "no truth value"},
		"alignment":       {newBuilder(0, 1).put("general.alignment", uint32(4), uint32(24)).Bytes(), "power of two"},
		"no tensor":       {tensor(), "cut off"},
		"rank":            {tensor("t", uint32(99)), "rank 99"},
		"long name":       {tensor(strings.Repeat("x", 300)), "above the limit"},
		"elements":        {tensor("t", uint32(3), uint64(1<<40), uint64(1<<40), uint64(0), uint32(0), uint64(0)), "out of range"},
		"block":           {tensor("t", uint32(1), uint64(33), uint32(2), uint64(0)), "whole blocks"},
		"odd offset":      {tensor("t", uint32(1), uint64(1), uint32(0), uint64(4)), "no multiple"},
		"far offset":      {tensor("t", uint32(1), uint64(1), uint32(0), uint64(1<<62)), "outside the file"},
		"elements cut":    {tensor("t", uint32(1), uint64(1), uint32(0), uint64(0)), "cut off"},
		"overlap":         {overlap.Bytes(), "overlaps"},
	} {
		_, err := Read(c.data)
		var f *fault.Format
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want a format error with %q", name, err, c.why)
		}
	}
	for name, version := range map[string]uint32{"version 1": 1, "version 4": 4, "big-endian": 3 << 24} {
		b := &builder{}
		b.WriteString(Magic)
		_, err := Read(b.put(version, make([]byte, 100)).Bytes())
		if u := (*fault.Unsupported)(nil); !errors.As(err, &u) {
			t.Errorf("%s: %v, want an unsupported format", name, err)
		}
	}
}

// TestReadCutOff cuts a file everywhere: no cut is taken for a whole file.
func TestReadCutOff(t *testing.T) {
	data := sample()
	f, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	for n := range f.Tensors[1].Offset + f.Tensors[1].Bytes {
		var bad *fault.Format
		if _, err := Read(data[:n]); !errors.As(err, &bad) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
	}
}

// TestReadAllocates bounds the memory that a hostile file takes by its own size.
func TestReadAllocates(t *testing.T) {
	const n = 1 << 16
	empty := newBuilder(0, 1).put("k", uint32(9), uint32(8), uint64(n), make([]uint64, n))
	nested := newBuilder(0, 1).put("k", uint32(9), uint32(9), uint64(n))
	keys, tensors := newBuilder(0, n), newBuilder(n, 0)
	for i := range uint32(n) {
		nested.put(uint32(0), uint64(0))
		keys.put(uint64(4), i|0x30303030, uint32(0), uint8(0))
		tensors.put(uint64(4), i|0x30303030, uint32(0), uint32(0), uint64(0))
	}
	for name, data := range map[string][]byte{"strings": empty.Bytes(), "arrays": nested.Bytes(), "keys": keys.Bytes(), "tensors": tensors.Bytes()} {
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		_, _ = Read(data)
		goruntime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 24*uint64(len(data)) {
			t.Errorf("%s: %d bytes are allocated for a file of %d", name, used, len(data))
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample())
	f.Add(vocabularyFile("gpt2", nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(data)
		if err != nil {
			return
		}
		for _, e := range file.Tensors {
			if e.Offset < file.Data || e.Offset > len(data) || e.Bytes > len(data)-e.Offset {
				t.Errorf("tensor %+v lies outside a file of %d bytes", e, len(data))
			}
		}
		for _, e := range file.Entries {
			Describe(e.Value)
		}
		if tok, err := file.Tokenizer(); err == nil {
			tok.Decode(tok.Encode("a b", true), false)
		}
	})
}
