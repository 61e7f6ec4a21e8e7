package tensor

import (
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// Mapping is a file's bytes, mapped read-only where the system can do that and read
// into memory where it cannot. Data must not be written, nor used after Close: tensors
// that view it die with it.
type Mapping struct {
	Data []byte

	mapped bool
}

// Advice tells the system how a part of a mapping will be read. It changes speed only.
type Advice uint8

// The advices.
const (
	// AdviceNormal takes back the others.
	AdviceNormal Advice = iota
	// AdviceSequential asks for far read-ahead: the part is read once, front to back.
	AdviceSequential
	// AdviceRandom asks for no read-ahead.
	AdviceRandom
	// AdviceWillNeed asks to read the part now, in the background.
	AdviceWillNeed
	// AdviceDontNeed says the part's pages may be dropped; they are read again when touched.
	AdviceDontNeed
)

// Map maps the regular file path for reading. A folder, a pipe, a device or an empty file is a *fault.Format,
// since no format of ours is any of these.
func Map(path string) (*Mapping, error) {
	// Stat comes before Open because opening a pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(path, info); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The name may stand for another file by now.
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if err := checkRegular(path, info); err != nil {
		return nil, err
	}
	if info.Size() != int64(int(info.Size())) {
		return nil, &fault.Resource{What: fmt.Sprintf("%s: %d bytes do not fit into the address space", path, info.Size())}
	}
	return mapFile(f, int(info.Size()))
}

func checkRegular(path string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return &fault.Format{File: path, Offset: -1, Why: "this is a directory, not a file", Next: "give the file itself"}
	case !info.Mode().IsRegular():
		return &fault.Format{File: path, Offset: -1, Why: "this is not a regular file", Next: "save it to a file first"}
	case info.Size() == 0:
		return &fault.Format{File: path, Offset: 0, Why: "the file is empty"}
	}
	return nil
}

// Advise passes on advice about Data[off:off+n]. It never fails: advice that the system
// does not know, or a part outside Data, is ignored.
func (m *Mapping) Advise(a Advice, off, n int) {
	if !m.mapped || off < 0 || n <= 0 || off >= len(m.Data) {
		return
	}
	n = min(n, len(m.Data)-off)
	page := os.Getpagesize()
	lo, hi := off/page*page, off+n
	if a == AdviceDontNeed {
		// Only whole pages may go: the neighbours share the first and the last.
		lo = (off + page - 1) / page * page
		if hi < len(m.Data) {
			hi = hi / page * page
		}
	}
	if lo < hi {
		advise(m.Data[lo:hi], a)
	}
}

// WillNeed asks the system to read b, a part of a mapped file, in the background. It is advice: nothing depends on it.
func WillNeed(b []byte) {
	if len(b) == 0 {
		return
	}
	// Advice is about whole pages.
	p := unsafe.Pointer(unsafe.SliceData(b))
	before := int(uintptr(p) % uintptr(os.Getpagesize()))
	advise(unsafe.Slice((*byte)(unsafe.Add(p, -before)), before+len(b)), AdviceWillNeed)
}

// Close gives the memory back. A second Close does nothing.
func (m *Mapping) Close() error {
	data := m.Data
	m.Data = nil
	if !m.mapped || data == nil {
		return nil
	}
	return unmap(data)
}
