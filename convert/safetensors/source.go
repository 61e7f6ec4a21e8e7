package safetensors

import (
	"context"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Source is a checkpoint that lies in files of another format, described as if it were one of ours: with a config.json and
// tensors under the names of Hugging Face's transformers.
type Source struct {
	Format  string // for the model's metadata
	Files   []SourceFile
	Config  []byte // a config.json
	Tensors []Tensor
	// PlainNorms says that norms whose weights transformers keeps less 1 are kept as they are.
	PlainNorms   bool
	Tokenizer    []byte // a tokenizer.json, nil if there is none
	ChatTemplate string
}

// SourceFile is one file of a Source. Errors about the whole name the first.
type SourceFile struct {
	Path    string
	Mapping *tensor.Mapping
}

// Tensor is one tensor of a Source. Its elements are made when they are asked for, some rows at a time.
type Tensor struct {
	Name  string
	Type  string       // as the file calls it
	DType tensor.DType // of what Read makes: F32, F16 or BF16; Invalid if it cannot be read
	Shape []int
	// File, Offset and Bytes say where the elements lie, for advice to the system.
	File          int // of the source's files
	Offset, Bytes int
	// Transposed says that a matrix that transformers stores as [in, out], as Shape has it, lies there as [out, in].
	Transposed bool
	// Read makes whole rows, from row first on. A row has as many elements as the last axis of the tensor as it lies there.
	Read func(dst []byte, first int) error
}

// ImportSource is Import for a source. The report's Close unmaps it; if there is an error, it is unmapped already.
func ImportSource(ctx context.Context, s *Source, o Options) (*model.Model, *Report, error) {
	path := s.Files[0].Path
	weights := &checkpoint{tensors: map[string]weight{}, unused: map[string]bool{}}
	for _, f := range s.Files {
		weights.files = append(weights.files, &weightFile{f.Path, f.Mapping})
	}
	c, err := readConfig(s.Config)
	if err != nil {
		weights.close()
		return nil, nil, fault.InFile(err, path)
	}
	arch, err := findArchitecture(c)
	if err != nil {
		weights.close()
		return nil, nil, fault.InFile(err, path)
	}
	for _, t := range s.Tensors {
		e := Entry{Name: t.Name, Type: t.Type, DType: t.DType, Shape: t.Shape, Offset: t.Offset, Bytes: t.Bytes}
		weights.tensors[t.Name] = weight{e, weights.files[t.File], t.Read, t.Transposed}
		weights.unused[t.Name] = true
	}
	r := &Report{Architecture: arch.name, Tensors: len(weights.tensors), weights: weights}
	m, err := r.fromSource(ctx, s, arch, c, o)
	if err != nil {
		weights.close()
		return nil, nil, fault.InFile(err, path)
	}
	return m, r, nil
}

func (r *Report) fromSource(ctx context.Context, s *Source, arch architecture, c *config, o Options) (*model.Model, error) {
	b := newBuilder(c, r.weights)
	b.plainNorms = s.PlainNorms
	path := s.Files[0].Path
	m, err := r.lower(b, arch, path, path)
	if err != nil {
		return nil, err
	}
	// Other formats say less of a model than a config.json does; a tensor without a use is then a part that is not known.
	if len(r.Unused) > 0 {
		e := &fault.Unsupported{Kind: "tensor"}
		for _, name := range r.Unused {
			e.Items = append(e.Items, fault.Item{What: name, Hint: r.Architecture + " has no use for it"})
		}
		return nil, e
	}
	m.Meta.Name, m.Meta.License = o.Name, c.text("license", "")
	if s.Tokenizer == nil {
		r.warn("there is no tokenizer: the model takes token ids, not text")
	} else if err := r.takeTokenizer(m, s.Tokenizer, path); err != nil {
		return nil, err
	}
	if s.Tokenizer != nil && s.ChatTemplate != "" {
		m.Assets[model.AssetChatTemplate] = []byte(s.ChatTemplate)
	}
	files, err := r.weights.sources(ctx)
	if err != nil {
		return nil, err
	}
	m.Meta.Source = model.Source{Format: s.Format, Files: files}
	m.Meta.Steps = []model.Step{}
	return m, nil
}

// readView packs a view of a weight that is made when it is asked for, 16 rows at a time.
func (w weight) readView(dst []byte, v view) error {
	defer w.done()
	if v.step > 1 && !w.transposed {
		src, err := w.load()
		if err != nil {
			return err
		}
		if err := w.finite(src); err != nil {
			return err
		}
		w.packView(dst, src, v)
		return nil
	}
	// Where the file has the transpose, a column's number is a row's; else a row's place is a multiple of its length.
	row := v.row
	if v.step == 1 {
		row = func(r int) int { return v.row(r) / v.k }
	}
	size := w.DType.Size()
	panel := (&tensor.Tensor{Data: tensor.AlignedBytes(kernels.PanelRows * v.k * size)}).Data
	for r := 0; r < v.n; r += kernels.PanelRows {
		m := min(kernels.PanelRows, v.n-r)
		for i := range m {
			part := panel[i*v.k*size : (i+1)*v.k*size]
			if err := w.read(part, row(r+i)); err != nil {
				return err
			}
			if err := w.finite(part); err != nil {
				return err
			}
		}
		out := dst[r*v.k*size : (r+kernels.PanelRows)*v.k*size]
		w.packView(out, panel[:m*v.k*size], rowsOf(m, m, v.k, from(0)))
	}
	return nil
}

// packView packs a view of elements in w's type.
func (w weight) packView(dst, src []byte, v view) {
	if w.DType == tensor.F32 {
		packView(dst, src, v, kernels.PackPanel16)
	} else {
		packView(dst, src, v, kernels.PackPanel16U16)
	}
}

// load returns all elements: a view of the file, or made for the purpose.
func (w weight) load() ([]byte, error) {
	if w.read == nil {
		return w.bytes(), nil
	}
	n, err := tensor.ByteSize(w.DType, w.Shape, tensor.RowMajor)
	if err != nil {
		return nil, err
	}
	if err := tensor.Room(n, "tensor "+w.Name); err != nil {
		return nil, err
	}
	data := tensor.AlignedBytes(n)
	return data, w.read(data, 0)
}
