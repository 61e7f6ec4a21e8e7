package dskfile

import (
	"errors"
	"sync"
	"unsafe"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// File is an open .dsk file. Its methods may be called from several goroutines, Close
// only after the others have returned and nothing uses the model any more.
type File struct {
	path    string
	data    []byte
	region  []byte          // the data region, unpacked
	mapping *tensor.Mapping // nil when the bytes are the caller's
	header  *header

	once     sync.Once
	model    *model.Model
	modelErr error
}

// Open maps the file and checks and decodes its header, whatever the size of the data, which
// Verify checks. Broken files give a *fault.Format, versions of the future a *fault.Unsupported.
// The file must not be truncated while it is open.
func Open(path string) (*File, error) {
	m, err := tensor.Map(path)
	if err != nil {
		return nil, err
	}
	f, err := open(path, m.Data, newLedger(int64(len(m.Data))))
	if err != nil {
		// The file's fault matters more than one of unmapping it.
		_ = m.Close()
		return nil, err
	}
	f.mapping = m
	return f, nil
}

// OpenBytes opens a file that is in memory, such as an embedded one. The bytes are
// used as they are, and must not change, unless they do not start on a 64-byte line:
// then they are copied once.
func OpenBytes(b []byte) (*File, error) {
	mem := newLedger(int64(len(b)))
	if uintptr(unsafe.Pointer(unsafe.SliceData(b)))%LineBytes != 0 {
		mem.take(int64(len(b)))
		c := tensor.AlignedBytes(len(b))
		copy(c, b)
		b = c
	}
	return open("", b, mem)
}

func open(path string, b []byte, mem *ledger) (*File, error) {
	h, err := decodeHeader(b, int64(len(b)), true, mem)
	if err != nil {
		return nil, fault.InFile(err, path)
	}
	region := b[h.info.HeaderBytes:]
	if h.info.Packed() {
		if region, err = h.unpackRegion(region); err != nil {
			return nil, fault.InFile(err, path)
		}
	}
	for _, t := range h.info.Tensors {
		t.Tensor.Data = region[t.Offset:][:t.Bytes:t.Bytes]
	}
	return &File{path: path, data: b, region: region, header: h}, nil
}

// unpackRegion returns the data region of a packed file.
func (h *header) unpackRegion(stored []byte) ([]byte, error) {
	size := h.info.RegionBytes
	if !h.mem.take(size + packedBase) {
		return nil, badFormat(h.info.HeaderBytes, "packed data", "needs more memory than a file of this size may")
	}
	if err := tensor.Room(int(size), "the packed data"); err != nil {
		return nil, err
	}
	region := tensor.AlignedBytes(int(size))
	if !unpack(region, stored, h.info.Tensors) {
		return nil, badFormat(h.info.HeaderBytes, "packed data", "the stream of %d bytes does not end where the tensors do", len(stored))
	}
	return region, nil
}

// Info returns what the header says. The caller must not change it.
func (f *File) Info() *Info { return &f.header.info }

// Meta returns the model's metadata.
func (f *File) Meta() model.Meta { return f.header.meta }

// Model returns the model. Its tensors view the file; its graph has no Types yet
// (see model.Graph.Infer). Every call returns the same model: verbs work on a Clone.
func (f *File) Model() (*model.Model, error) {
	f.once.Do(func() { f.model, f.modelErr = f.makeModel() })
	return f.model, f.modelErr
}

func (f *File) makeModel() (*model.Model, error) {
	if f.data == nil {
		return nil, errors.New("the .dsk file is closed")
	}
	h := f.header
	m := &model.Model{Graph: h.graph, Meta: h.meta, Packed: h.info.Packed()}
	if len(h.assets) > 0 {
		m.Assets = make(map[string][]byte, len(h.assets))
	}
	for _, s := range h.assets {
		raw, err := s.unpack(f.data, h.mem)
		if err != nil {
			return nil, fault.InFile(err, f.path)
		}
		m.Assets[s.Name] = raw
	}
	return m, nil
}

// Release tells the system that the file's pages need not stay in memory; they are read again when they are touched.
func (f *File) Release() {
	if f.mapping != nil {
		f.mapping.Advise(tensor.AdviceDontNeed, 0, len(f.mapping.Data))
	}
}

// Close gives the mapping back. Tensors of the model must not be used after it.
// A second Close does nothing.
func (f *File) Close() error {
	f.data, f.region = nil, nil
	if f.mapping == nil {
		return nil
	}
	return f.mapping.Close()
}
