package dskfile

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// language is a graph of the size of a small language model's: layers of 20 nodes and 9 tensors.
func language(layers, hidden int) *model.Model {
	m := &model.Model{
		Graph:  &model.Graph{Name: "lm", Init: map[string]*tensor.Tensor{}},
		Assets: map[string][]byte{model.AssetTokenizer: make([]byte, 4<<20)},
	}
	for i := range m.Assets[model.AssetTokenizer] {
		m.Assets[model.AssetTokenizer][i] = "0123456789abcdef"[(i*i>>8+i*7)&15]
	}
	for l := range layers {
		for j := range 20 {
			out := fmt.Sprintf("model.layers.%d.value_%d", l, j)
			n := &model.Node{
				Op: "Linear", Domain: model.DomainDsk, Name: fmt.Sprintf("model.layers.%d.node_%d", l, j),
				Inputs: []string{"x"}, Outputs: []string{out},
				Attrs: model.Attrs{"activation": model.StringAttr("Relu"), "num_heads": model.IntAttr(8), "epsilon": model.FloatAttr(1e-5)},
			}
			if j < 9 {
				w := fmt.Sprintf("model.layers.%d.weight_%d", l, j)
				n.Inputs = append(n.Inputs, w)
				m.Graph.Init[w] = tensor.Deferred(tensor.F32, []int{hidden, hidden}, tensor.RowMajor, nil, func([]byte) error { return nil })
			}
			m.Graph.Nodes = append(m.Graph.Nodes, n)
		}
	}
	return m
}

// BenchmarkOpen opens a file of 600 MB, as a map; the data are zeros that no one reads.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "m.dsk")
	// 32 x 9 x 720 x 720 x 4 bytes = 597 MB.
	if err := Save(context.Background(), path, language(32, 720), SaveOptions{}); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

// discard is a file that keeps nothing.
type discard struct{ pos int64 }

func (d *discard) Write(p []byte) (int, error) { d.pos += int64(len(p)); return len(p), nil }

func (d *discard) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset += d.pos
	}
	d.pos = offset
	return offset, nil
}

// BenchmarkWrite measures layout and hashing without a disk.
func BenchmarkWrite(b *testing.B) {
	m := language(8, 720)
	m.Assets = nil
	b.SetBytes(8 * 9 * 720 * 720 * 4)
	for b.Loop() {
		if err := Write(context.Background(), &discard{}, m, WriteOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	var file memFile
	m := language(8, 720)
	m.Assets = nil
	if err := Write(context.Background(), &file, m, WriteOptions{}); err != nil {
		b.Fatal(err)
	}
	f, err := OpenBytes(file.b)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(file.b)))
	for b.Loop() {
		if err := f.verifyData(context.Background(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
