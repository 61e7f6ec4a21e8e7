package dskfile

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// openModel opens b and returns its model.
func openModel(t testing.TB, b []byte) (*File, *model.Model) {
	t.Helper()
	f, err := OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.Model()
	if err != nil {
		t.Fatal(err)
	}
	return f, m
}

// sameModel compares everything that a file keeps.
var sameModel = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }),
	cmp.Comparer(func(a, b *tensor.Tensor) bool {
		if a == nil || b == nil {
			return a == b
		}
		if a.Load() != nil || b.Load() != nil {
			return false
		}
		// Shapes must not turn nil: nil is "unknown" in a Type.
		return a.DType == b.DType && a.Layout == b.Layout && tensor.SameShape(a.Shape, b.Shape) && b.Shape != nil &&
			bytes.Equal(a.Data, b.Data) && b.Data != nil && reflect.DeepEqual(a.Levels, b.Levels)
	}),
	cmp.Comparer(func(a, b model.Type) bool { return a.String() == b.String() }),
}

func TestRoundTrip(t *testing.T) {
	for name, m := range map[string]*model.Model{
		"all kinds": allKinds(t),
		"small":     small(t, 3),
		"empty":     {Graph: &model.Graph{}},
		"nested":    {Graph: deep(4)},
	} {
		t.Run(name, func(t *testing.T) {
			b := fileOf(t, m)
			f, got := openModel(t, b)
			if diff := cmp.Diff(m, got, sameModel); diff != "" {
				t.Error(diff)
			}
			for name, x := range got.Graph.Init {
				if p := uintptr(unsafe.Pointer(unsafe.SliceData(x.Data))); p%LineBytes != 0 && len(x.Data) > 0 {
					t.Errorf("tensor %s is not aligned", name)
				}
			}
			if again := fileOf(t, got); !bytes.Equal(again, b) {
				t.Error("write(read(x)) differs from x")
			}
			if err := f.verifyData(context.Background(), nil); err != nil {
				t.Error(err)
			}
			if err := f.verifyForm(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDeepest stores as many levels of subgraphs as may be.
func TestDeepest(t *testing.T) {
	b := fileOf(t, &model.Model{Graph: deep(MaxDepth)})
	if _, m := openModel(t, b); !bytes.Equal(fileOf(t, m), b) {
		t.Error("write(read(x)) differs from x")
	}
}

// TestMisaligned opens bytes from every kind of address.
func TestMisaligned(t *testing.T) {
	b := fileOf(t, small(t, 3))
	room := tensor.AlignedBytes(len(b) + 64)
	for _, off := range []int{0, 1, 8, 63} {
		at := room[off:][:len(b)]
		copy(at, b)
		f, m := openModel(t, at)
		if err := f.Verify(context.Background(), nil); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(fileOf(t, m), b) {
			t.Errorf("offset %d: another model", off)
		}
	}
}

func TestOrderOfUse(t *testing.T) {
	f, _ := openModel(t, fileOf(t, allKinds(t)))
	var names []string
	for _, x := range f.Info().Tensors {
		names = append(names, x.Name)
	}
	// n1 reads w.F32, its subgraph w.I8, n/2 reads p.D4; nothing uses the others.
	if got := strings.Join(names[:4], " "); got != "w.F32 w.I8 p.D4 deferred" {
		t.Errorf("order %s", got)
	}
}

// TestChunks writes a data region of several chunks, the last one short, then full.
func TestChunks(t *testing.T) {
	for _, hidden := range []int{300, 1136} {
		b := fileInChunks(t, small(t, hidden), PageBytes)
		f, _ := openModel(t, b)
		want := int(align(f.Info().DataBytes(), PageBytes) / PageBytes)
		if got := len(f.Info().Chunks); got != want || got < 2 {
			t.Errorf("%d chunks, want %d", got, want)
		}
		var last int64
		if err := f.Verify(context.Background(), func(done, total int64) {
			if done <= last || total != f.Info().DataBytes() {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last = done
		}); err != nil {
			t.Error(err)
		}
		if last != f.Info().DataBytes() {
			t.Errorf("progress ended at %d", last)
		}
	}
}

func TestWriteProgress(t *testing.T) {
	var calls []int64
	var f memFile
	m := small(t, 64)
	if err := Write(context.Background(), &f, m, WriteOptions{Progress: func(done, total int64) {
		calls = append(calls, done, total)
	}}); err != nil {
		t.Fatal(err)
	}
	if n := len(calls); n == 0 || calls[n-1] != calls[n-2] {
		t.Errorf("progress %v", calls)
	}
}

// TestWriteAtPosition writes behind other bytes, as to a pipe's temporary file.
func TestWriteAtPosition(t *testing.T) {
	m := small(t, 3)
	f := memFile{b: []byte("before"), pos: 6}
	if err := Write(context.Background(), &f, m, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(f.b[6:], fileOf(t, m)) || string(f.b[:6]) != "before" || f.pos != int64(len(f.b)) {
		t.Error("bytes or position differ")
	}
}

// TestWriteMemory writes deferred tensors that together are far larger than one.
func TestWriteMemory(t *testing.T) {
	const size, count = 8 << 20, 12
	m := &model.Model{Graph: &model.Graph{Init: map[string]*tensor.Tensor{}}}
	var buffers []*byte
	for i := range count {
		m.Graph.Init[string(rune('a'+i))] = tensor.Deferred(tensor.U8, []int{size - i}, tensor.RowMajor, nil, func(dst []byte) error {
			buffers = append(buffers, unsafe.SliceData(dst))
			return nil
		})
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "m.dsk"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	spent := allocated(func() { err = Write(context.Background(), file, m, WriteOptions{}) })
	if err != nil {
		t.Fatal(err)
	}
	if spent > size+(4<<20) {
		t.Errorf("allocated %d bytes for tensors of %d", spent, size)
	}
	for _, b := range buffers {
		if b != buffers[0] {
			t.Fatal("more than one buffer")
		}
	}
}

// TestWriteRefuses lists models that no file can hold.
func TestWriteRefuses(t *testing.T) {
	attr := func(a model.Attr) *model.Graph {
		return &model.Graph{Nodes: []*model.Node{{Op: "Op", Name: "the node", Attrs: model.Attrs{"a": a}}}}
	}
	init := func(x *tensor.Tensor) *model.Graph {
		return &model.Graph{Init: map[string]*tensor.Tensor{"w": x}}
	}
	d4 := counting(t, 1, tensor.D4, tensor.Panel16, 16, 32)
	high := *d4
	high.Levels = &kernels.Levels{Code: [16]uint8{127}, Shift: 1}
	bare := *d4
	bare.Levels = nil
	for _, c := range []struct {
		name  string
		graph *model.Graph
		asset string
		want  string
	}{
		{"attribute kind", attr(model.Attr{}), "", "the node"},
		{"no subgraph", attr(model.Attr{Kind: model.AttrGraph}), "", "no graph"},
		{"no tensor", attr(model.Attr{Kind: model.AttrTensor}), "", "no tensor"},
		{"init in a subgraph", attr(model.Attr{Kind: model.AttrGraph, Graph: init(d4)}), "", "initializers"},
		{"too deep", deep(MaxDepth + 1), "", "deeper"},
		{"name", &model.Graph{Nodes: []*model.Node{{Op: "\xff"}}}, "", "UTF-8"},
		{"long name", &model.Graph{Name: strings.Repeat("x", MaxNameBytes+1)}, "", "limit"},
		{"tensor without a name", &model.Graph{Init: map[string]*tensor.Tensor{"": d4}}, "", "without a name"},
		{"rank", init(counting(t, 1, tensor.U8, tensor.RowMajor, make([]int, MaxRank+1)...)), "", "dimensions"},
		{"data", init(&tensor.Tensor{DType: tensor.F32, Shape: []int{2}, Data: make([]byte, 7)}), "", "takes 8 bytes"},
		{"dtype", init(&tensor.Tensor{}), "", "tensor w"},
		{"no levels", init(&bare), "", "levels"},
		{"levels", init(&high), "", "level"},
		{"asset name", &model.Graph{}, "a/b", "slash"},
		{"hidden asset", &model.Graph{}, "..", "leading dot"},
		{"long asset name", &model.Graph{}, strings.Repeat("x", AssetNameBytes+1), "longer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &model.Model{Graph: c.graph, Assets: map[string][]byte{}}
			if c.asset != "" {
				m.Assets[c.asset] = nil
			}
			var f memFile
			err := Write(context.Background(), &f, m, WriteOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) || len(f.b) > 0 {
				t.Errorf("%d bytes written, error %v", len(f.b), err)
			}
		})
	}
}

func TestFillError(t *testing.T) {
	broken := errors.New("broken")
	m := &model.Model{Graph: &model.Graph{Init: map[string]*tensor.Tensor{
		"w": tensor.Deferred(tensor.F32, []int{4}, tensor.RowMajor, nil, func([]byte) error { return broken }),
	}}}
	var f memFile
	if err := Write(context.Background(), &f, m, WriteOptions{}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "tensor w") {
		t.Errorf("error %v", err)
	}
}
