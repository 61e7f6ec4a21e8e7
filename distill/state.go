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
	o := r.o
	steps := o.Steps
	if o.Steps == 0 && o.Time == 0 {
		steps = r.total
	}
	sum := r.corpus.hash()
	values, _ := r.trainer.Tape.Flat()
	weights := sha256.Sum256(tensor.FromSlice(values, len(values)).Data)
	h := sha256.New()
	fmt.Fprintln(h, sum, weights, steps, o.Time, o.Batch, o.Context, o.Alpha, o.Temperature, o.Smoothing, o.TopK, o.Feature, o.FeatureWeight,
		o.Optimizer, o.Rate, o.Decay, o.Warmup, o.Clip, o.Frozen, o.Augment, o.Views, r.seed, r.control, o.Evals, len(r.use))
	for _, name := range slices.Sorted(maps.Keys(o.Quantized)) {
		fmt.Fprintln(h, name, o.Quantized[name].DType, *o.Quantized[name].Levels)
	}
	if o.Mix {
		fmt.Fprintln(h, "mix")
	}
	if o.Photos != nil {
		fmt.Fprintln(h, "photos")
	}
	if o.Eval != nil {
		fmt.Fprintln(h, "measured on", o.Eval.Name(), o.EvalOptions.Limit, o.EvalOptions.Context)
	}
	if o.Labels != nil {
		fmt.Fprintln(h, o.Labels.Info)
	}
	if o.Teacher != nil {
		fmt.Fprintln(h, o.Teacher.Meta.Name, o.Teacher.Meta.Parameters, o.TeacherHash)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// load finds the run's checkpoint.
func (r *run) load() error {
	r.state = state{Settings: r.settings()}
	if r.o.Checkpoints == "" {
		return nil
	}
	data, err := os.ReadFile(r.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if !r.o.Resume {
		return &fault.Usage{What: fmt.Sprintf("%s has an unfinished training: --resume goes on with it; remove the folder to begin anew", r.o.Checkpoints)}
	}
	bad := &fault.Format{File: r.path(), Offset: -1, Where: "checkpoint", Why: "it is damaged", Next: "remove it to begin this run anew"}
	head := len(stateMagic) + 4
	if len(data) < head+4 || string(data[:len(stateMagic)]) != stateMagic {
		bad.Why, bad.Next = "it does not begin as one of this version of dsk", "go on with the version that began, or remove it to begin this run anew"
		return bad
	}
	data, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	n := binary.LittleEndian.Uint32(data[len(stateMagic):])
	if crc32.Checksum(data, castagnoli) != sum || uint64(n) > uint64(len(data)-head) {
		return bad
	}
	data = data[head:]
	var s state
	if json.Unmarshal(data[:n], &s) != nil || s.Total < 1 {
		return bad
	}
	if s.Settings != r.state.Settings {
		return &fault.Usage{What: fmt.Sprintf("%s is of a training with other settings, data or weights: give the same as before, or remove it", r.path())}
	}
	if err := r.trainer.Restore(bytes.NewReader(data[n:])); err != nil {
		return fault.InFile(err, r.path())
	}
	r.state = s
	return nil
}

// save writes the run's checkpoint.
func (r *run) save() error {
	if r.o.Checkpoints == "" {
		return nil
	}
	head, err := json.Marshal(r.state)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(stateMagic)
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(head))))
	b.Write(head)
	if err := r.trainer.Save(&b); err != nil {
		return err
	}
	b.Write(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(b.Bytes(), castagnoli)))
	if err := os.MkdirAll(r.o.Checkpoints, 0o755); err != nil {
		return err
	}
	return replaceFile(r.path(), b.Bytes())
}

// RemoveCheckpoints removes those of a training that has ended, and their folder if nothing else is in it.
func RemoveCheckpoints(folder string) error {
	if err := removeFiles(folder, "*.ckpt", replacing); err != nil {
		return err
	}
	_ = os.Remove(folder) // unless something else is in it
	return nil
}
