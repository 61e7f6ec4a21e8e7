package distill

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// state is what a run needs to go on, besides the trainer's checkpoint. A file has the magic, the length of the JSON (uint32, little-endian),
// the JSON, the checkpoint, and the CRC32C of all that.
type state struct {
	Settings string  `json:"settings"` // a hash of what must be the same
	Total    int     `json:"total"`
	Curve    []Point `json:"curve"`
	Sum      float64 `json:"sum"` // of the losses since the last point
	Count    int     `json:"count"`
	// Due is a step of which the curve has no point yet, and whether it is measured.
	Due      *StepReport `json:"due,omitempty"`
	Measured bool        `json:"measured,omitempty"`
}

const stateMagic = "dskrun02"

// path is the run's checkpoint.
func (r *run) path() string {
	kind := "student"
	if r.control {
		kind = "control"
	}
	return filepath.Join(r.o.Checkpoints, fmt.Sprintf("%s-%d.ckpt", kind, r.seed))
}

// settings is a hash of all that the run's result depends on, but for the number of steps if the time decides it.
func (r *run) settings() string {
	values, _ := r.trainer.Tape.Flat()
	weights := sha256.Sum256(tensor.FromSlice(values, len(values)).Data)
	h := sha256.New()
	fmt.Fprintln(h, weights, r.seed, r.control, r.o.Evals, len(r.use))
	if r.o.Eval != nil {
		fmt.Fprintln(h, "measured on", r.o.Eval.Name(), r.o.EvalOptions.Limit, r.o.EvalOptions.Context)
	}
	r.describe(h)
	return hex.EncodeToString(h.Sum(nil))
}

// describe writes what all runs depend on.
func (j *job) describe(w io.Writer) {
	o := &j.o
	steps := o.Steps
	if o.Steps == 0 && o.Time == 0 {
		steps = j.total
	}
	fmt.Fprintln(w, j.corpus.hash(), steps, o.Time, o.Epochs, o.Batch, o.Context, o.Alpha, o.Temperature, o.Smoothing, o.TopK, o.Feature,
		o.FeatureWeight, o.Optimizer, o.Rate, o.Decay, o.Warmup, o.Clip, o.Frozen, o.Augment, o.Views)
	for _, name := range slices.Sorted(maps.Keys(o.Quantized)) {
		fmt.Fprintln(w, name, o.Quantized[name].DType, *o.Quantized[name].Levels)
	}
	if o.Mix {
		fmt.Fprintln(w, "mix")
	}
	if o.Photos != nil {
		fmt.Fprintln(w, "photos")
	}
	if o.Labels != nil {
		fmt.Fprintln(w, o.Labels.Info)
	}
	if o.Teacher != nil {
		fmt.Fprintln(w, o.Teacher.Meta.Name, o.Teacher.Meta.Parameters, o.TeacherHash)
	}
}

// load finds the run's checkpoint.
func (r *run) load() error {
	r.state = state{Settings: r.settings()}
	var s state
	trainer, err := r.readCheckpoint(r.path(), &s)
	if err != nil || trainer == nil {
		return err
	}
	if s.Settings != r.state.Settings {
		return otherSettings(r.path())
	}
	if s.Total < 1 {
		return &fault.Format{File: r.path(), Offset: -1, Where: "checkpoint", Why: fmt.Sprintf("it is of %d steps", s.Total), Next: "remove it to begin this run anew"}
	}
	if err := r.trainer.Restore(bytes.NewReader(trainer)); err != nil {
		return fault.InFile(err, r.path())
	}
	r.state = s
	return nil
}

func otherSettings(path string) error {
	return &fault.Usage{What: fmt.Sprintf("%s is of a training with other settings, data or weights: give the same as before, or remove it", path)}
}

// save writes the run's checkpoint.
func (r *run) save() error {
	var b bytes.Buffer
	if err := r.trainer.Save(&b); err != nil {
		return err
	}
	return r.writeCheckpoint(r.path(), r.state, b.Bytes())
}

// readCheckpoint reads a file of the folder of checkpoints: its JSON into head, and it returns the rest, nil if there is no such file.
func (j *job) readCheckpoint(path string, head any) ([]byte, error) {
	if j.o.Checkpoints == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if !j.o.Resume {
		return nil, &fault.Usage{What: fmt.Sprintf("%s has an unfinished training: --resume goes on with it; remove the folder to begin anew", j.o.Checkpoints)}
	}
	bad := &fault.Format{File: path, Offset: -1, Where: "checkpoint", Why: "it is damaged", Next: "remove it to begin this run anew"}
	start := len(stateMagic) + 4
	if len(data) < start+4 || string(data[:len(stateMagic)]) != stateMagic {
		bad.Why, bad.Next = "it does not begin as one of this version of dsk", "go on with the version that began, or remove it to begin this run anew"
		return nil, bad
	}
	data, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	n := binary.LittleEndian.Uint32(data[len(stateMagic):])
	if crc32.Checksum(data, castagnoli) != sum || uint64(n) > uint64(len(data)-start) || json.Unmarshal(data[start:start+int(n)], head) != nil {
		return nil, bad
	}
	return data[start+int(n):], nil
}

// writeCheckpoint writes a file that readCheckpoint reads.
func (j *job) writeCheckpoint(path string, head any, rest []byte) error {
	if j.o.Checkpoints == "" {
		return nil
	}
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	b := slices.Concat([]byte(stateMagic), binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text, rest)
	if err := os.MkdirAll(j.o.Checkpoints, 0o755); err != nil {
		return err
	}
	return replaceFile(path, binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)))
}

// RemoveCheckpoints removes those of a training that has ended, and their folder if nothing else is in it.
func RemoveCheckpoints(folder string) error {
	if err := removeFiles(folder, "*.ckpt", replacing); err != nil {
		return err
	}
	_ = os.Remove(folder) // unless something else is in it
	return nil
}
