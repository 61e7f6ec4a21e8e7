package quant

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Work is a folder for what a quantization has measured and made so far: blocks, sums of activations and losses. Blocks that lie
// there need no memory, since they are mapped; with Resume the folder outlives an interruption, and the next run with the same model,
// data, options and program goes on from it, to the same bytes.
//
// Each piece is a file of its own, written beside its name and renamed, with a SHA-256 at its end, so a kill at any moment leaves
// whole pieces only; a damaged one is made again.
type Work struct {
	dir    string
	resume bool
	build  string
	ready  bool // the folder is there
	lock   sync.Mutex
	left   bool // Abandon was called
	// Resumed says that pieces of an earlier run were found.
	Resumed  bool
	mapped   []*tensor.Mapping
	losses   []lossRecord
	interval time.Duration // between two savings of sums
}

// saveInterval is how often sums are saved at most while they grow.
const saveInterval = 20 * time.Second

// NewWork names a folder, which is made when it is first needed; without resume it is the beginning of the name of one that goes with
// the run. build tells programs apart that might compute differently.
func NewWork(dir, build string, resume bool) *Work {
	return &Work{dir: dir, build: build, resume: resume, interval: saveInterval}
}

// Close unmaps the pieces, which models made of them must not outlive, and removes the folder unless it is kept to be resumed: done
// says that there is nothing left to resume.
func (w *Work) Close(done bool) error {
	if w == nil {
		return nil
	}
	var errs []error
	for _, m := range w.mapped {
		errs = append(errs, m.Close())
	}
	w.mapped = nil
	if w.ready && (done || !w.resume) {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	w.ready = false
	return errors.Join(errs...)
}

// Abandon removes the folder if it is not kept, while what uses it may still run: the program is about to end.
func (w *Work) Abandon() {
	if w == nil || w.resume {
		return
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	w.left = true
	if w.ready {
		_ = os.RemoveAll(w.dir)
	}
}

// keeps reports whether pieces outlive the run.
func (w *Work) keeps() bool { return w != nil && w.resume }

// spill makes a folder that goes with the run, if there is none yet.
func (w *Work) spill() error {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.ready || w.left {
		return nil
	}
	dir, err := os.MkdirTemp(filepath.Dir(w.dir), filepath.Base(w.dir)+".*")
	if err != nil {
		return err
	}
	w.dir, w.ready = dir, true
	return nil
}

// begin makes the folder, or takes over one of the same identity.
func (w *Work) begin(identity []byte) error {
	sum := sha256.Sum256(append([]byte(w.build+"\n"), identity...))
	name := hex.EncodeToString(sum[:])
	if was, err := os.ReadFile(filepath.Join(w.dir, "identity")); err == nil && string(was) == name && w.resume {
		w.ready, w.Resumed = true, true
		return w.readLosses()
	} else if err == nil || errors.Is(err, fs.ErrNotExist) {
		// Work of another run is of no use; a folder that is none of ours is left alone.
		if entries, err := os.ReadDir(w.dir); err == nil && len(entries) > 0 && was == nil {
			return fmt.Errorf("%s is in the way: it is where work in progress is kept", w.dir)
		}
		if err := os.RemoveAll(w.dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	w.ready = true
	return w.write("identity", []byte(name))
}

// foreign is the error of pieces that are not those of the run that reads them.
func (w *Work) foreign() error {
	return &fault.Usage{What: fmt.Sprintf("%s does not belong to this run: remove it", w.dir)}
}

// write writes a file beside its name and renames it.
func (w *Work) write(name string, parts ...[]byte) error {
	f, err := os.CreateTemp(w.dir, "new-*")
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err = f.Write(p); err != nil {
			break
		}
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(w.dir, name))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// put stores a piece.
func (w *Work) put(name string, piece []byte) error {
	sum := sha256.Sum256(piece)
	return w.write(name, piece, sum[:])
}

// get maps a piece; nil if it is not there, or damaged.
func (w *Work) get(name string) []byte {
	if w == nil || !w.ready {
		return nil
	}
	path := filepath.Join(w.dir, name)
	m, err := tensor.Map(path)
	if err != nil {
		return nil
	}
	n := len(m.Data) - sha256.Size
	if n < 0 || sha256.Sum256(m.Data[:max(n, 0)]) != [sha256.Size]byte(m.Data[max(n, 0):]) {
		_ = m.Close()
		_ = os.Remove(path)
		return nil
	}
	w.mapped = append(w.mapped, m)
	return m.Data[:n:n]
}

// keep stores a piece and returns it as it lies in the folder.
func (w *Work) keep(name string, piece []byte) ([]byte, error) {
	if err := w.put(name, piece); err != nil {
		return nil, err
	}
	m, err := tensor.Map(filepath.Join(w.dir, name))
	if err != nil {
		return nil, err
	}
	w.mapped = append(w.mapped, m)
	n := len(m.Data) - sha256.Size
	return m.Data[:n:n], nil
}

// pieceName turns what determines a piece into a file's name.
func pieceName(kind string, key any) string {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(key); err != nil {
		panic("quant: " + err.Error()) // names and numbers
	}
	return kind + "-" + hex.EncodeToString(h.Sum(nil)[:12])
}

// sums writes and reads numbers of a piece in turn.
type sums struct {
	b   []byte
	bad bool // a read went beyond the end
}

func putNumbers[T float32 | float64 | int64](s *sums, x ...T) {
	// Slices of numbers of fixed size cannot fail.
	s.b, _ = binary.Append(s.b, binary.LittleEndian, x)
}

func takeNumbers[T float32 | float64 | int64](s *sums, x []T) {
	n, err := binary.Decode(s.b, binary.LittleEndian, x)
	if s.bad = s.bad || err != nil; !s.bad {
		s.b = s.b[n:]
	}
}

// lossRecord is a line of the journal of losses: the number of the measurement, what was measured, and the outcome.
type lossRecord struct {
	Number    uint32
	Key       uint64
	KL        float64
	Agreement float64
	RelError  float64
	Positions int64
}

const lossFile = "losses"

// recordBytes is the size of a lossRecord with its checksum.
const recordBytes = 4 + 8 + 8 + 8 + 8 + 8 + 4

func (r *lossRecord) encode() []byte {
	b, _ := binary.Append(nil, binary.LittleEndian, r)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// readLosses reads the journal up to the first record that is not whole, and drops the rest.
func (w *Work) readLosses() error {
	b, err := os.ReadFile(filepath.Join(w.dir, lossFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	good := 0
	for ; len(b)-good >= recordBytes; good += recordBytes {
		rec := b[good : good+recordBytes]
		if crc32.ChecksumIEEE(rec[:recordBytes-4]) != binary.LittleEndian.Uint32(rec[recordBytes-4:]) {
			break
		}
		var r lossRecord
		if _, err := binary.Decode(rec, binary.LittleEndian, &r); err != nil {
			return err
		}
		w.losses = append(w.losses, r)
	}
	if good == len(b) {
		return nil
	}
	return w.write(lossFile, b[:good])
}

// addLoss appends to the journal.
func (w *Work) addLoss(r lossRecord) error {
	w.losses = append(w.losses, r)
	f, err := os.OpenFile(filepath.Join(w.dir, lossFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(r.encode())
	return errors.Join(err, f.Close())
}
