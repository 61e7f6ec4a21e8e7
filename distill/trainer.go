package distill

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Trainer takes steps: forward, the loss of one output, backward, clipping, the optimizer. What a step does depends on the
// parameters, the optimizer's memory, the step's number and the batch alone, all of which but the batch a checkpoint holds.
type Trainer struct {
	Tape      *grad.Tape
	Loss      *Loss
	Optimizer Optimizer
	Schedule  Schedule
	Clip      float64 // limit of the gradients' norm; 0: none
	Output    string  // the logits [..., classes]
	// Extra, if set, is called between Forward and Backward: it writes the gradients of other outputs and returns its loss.
	Extra func() (float64, error)
	// Rounding, if set, makes the weights what they will be in the model's file while a step computes.
	Rounding *Rounding

	step int
}

// StepReport says what a step did.
type StepReport struct {
	Step       int
	Loss, Norm float64 // of the batch; of its gradient before clipping
	Rate       float64
}

// Steps returns how many steps have been taken.
func (t *Trainer) Steps() int { return t.step }

// Step trains on a batch. labels and soft are of the rows of the output's logits.
func (t *Trainer) Step(inputs map[string]*tensor.Tensor, labels []int32, soft *Soft) (StepReport, error) {
	if t.Rounding != nil {
		if err := t.Rounding.round(); err != nil {
			return StepReport{}, err
		}
		defer t.Rounding.restore()
	}
	r, err := t.gradient(inputs, labels, soft)
	if err != nil {
		return r, err
	}
	if t.Rounding != nil {
		t.Rounding.restore()
	}
	values, grads := t.Tape.Flat()
	if r.Norm = ClipNorm(grads, t.Clip); math.IsNaN(r.Norm) || math.IsInf(r.Norm, 0) {
		return r, fmt.Errorf("the gradient of step %d is %g: use a smaller learning rate", t.step+1, r.Norm)
	}
	t.step++
	r.Step, r.Rate = t.step, t.Schedule.At(t.step)
	t.Optimizer.Step(values, grads, r.Rate, t.step)
	return r, nil
}

// gradient computes the loss of a batch and its derivatives by the parameters.
func (t *Trainer) gradient(inputs map[string]*tensor.Tensor, labels []int32, soft *Soft) (StepReport, error) {
	if err := t.Tape.Forward(inputs); err != nil {
		return StepReport{}, err
	}
	logits, seed := t.Tape.Output(t.Output), t.Tape.OutputGrad(t.Output)
	if logits == nil || seed == nil {
		return StepReport{}, fmt.Errorf("output %q: no parameter has a part in it", t.Output)
	}
	loss, err := t.Loss.Gradient(seed, logits.F32(), labels, soft)
	if err != nil {
		return StepReport{}, err
	}
	if t.Extra != nil {
		extra, err := t.Extra()
		if err != nil {
			return StepReport{}, err
		}
		loss += extra
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return StepReport{}, fmt.Errorf("the loss of step %d is %g: use a smaller learning rate", t.step+1, loss)
	}
	t.Tape.ZeroGrads()
	t.Tape.Backward()
	return StepReport{Loss: loss}, nil
}

// A checkpoint is the magic, the step, the number of parts, each part with its length and bytes, and the CRC32C of all that, all
// little-endian. The parts are the parameters, each running statistic, each array of the optimizer's memory.
const checkpointMagic = "dskckpt1"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parts returns what a checkpoint holds.
func (t *Trainer) parts() [][]float32 {
	values, _ := t.Tape.Flat()
	list := [][]float32{values}
	for _, s := range t.Tape.Stats() {
		list = append(list, s.Value)
	}
	return append(list, t.Optimizer.State()...)
}

// Save writes a checkpoint.
func (t *Trainer) Save(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(checkpointMagic)
	parts := t.parts()
	head := []uint64{uint64(t.step), uint64(len(parts))}
	b.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, head[0]), head[1]))
	for _, p := range parts {
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(p))))
		b.Write(tensor.FromSlice(p, len(p)).Data)
	}
	b.Write(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(b.Bytes(), castagnoli)))
	_, err := w.Write(b.Bytes())
	return err
}

// Restore reads a checkpoint of a training like this. On an error nothing has changed.
func (t *Trainer) Restore(r io.Reader) error {
	parts := t.parts()
	size := len(checkpointMagic) + 16 + 4
	for _, p := range parts {
		size += 8 + 4*len(p)
	}
	bad := func(why string) error {
		return &fault.Format{Offset: -1, Where: "checkpoint", Why: why, Next: "begin the training anew"}
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(size)+1))
	if err != nil {
		return err
	}
	if len(data) < len(checkpointMagic)+4 || string(data[:len(checkpointMagic)]) != checkpointMagic {
		return bad("it does not begin as a checkpoint does")
	}
	if len(data) != size {
		return bad("it is of another model or optimizer, or cut off")
	}
	body, sum := data[:size-4], binary.LittleEndian.Uint32(data[size-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return bad("its checksum is wrong")
	}
	at := body[len(checkpointMagic):]
	step, n := binary.LittleEndian.Uint64(at), binary.LittleEndian.Uint64(at[8:])
	if n != uint64(len(parts)) || step > math.MaxInt32 {
		return bad("it is of another model or optimizer")
	}
	at = at[16:]
	rest := at
	for _, p := range parts {
		if binary.LittleEndian.Uint64(rest) != uint64(len(p)) {
			return bad("it is of another model or optimizer")
		}
		rest = rest[8+4*len(p):]
	}
	for _, p := range parts {
		copy(tensor.FromSlice(p, len(p)).Data, at[8:8+4*len(p)])
		at = at[8+4*len(p):]
	}
	t.step = int(step)
	return nil
}
