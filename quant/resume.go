package quant

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"hash/fnv"
	"sort"
	"strconv"
	"time"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
)

// A quantization with the same model, data, options and program takes the same steps, whatever the number of threads. So it
// is resumed by taking them all again, but for what is kept of the long ones: the sums of activations (calibrate, quantizeStage), the blocks
// (encoded) and the losses (compare). What is not kept is computed from these as before, and the bytes are the same.

// identify hashes all that determines the outcome. The kernels are among that: float sums differ in their last bits between instruction
// sets, and what was kept would not fit what another set computes.
func (q *quantizer) identify(ctx context.Context) ([]byte, error) {
	h := sha256.New()
	out := json.NewEncoder(h)
	if err := out.Encode(model.Summarize(q.m, true, true)); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(q.m.Graph.Init))
	for name := range q.m.Graph.Init {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		t, err := q.m.Graph.Init[name].Loaded()
		if err != nil {
			return nil, err
		}
		h.Write(t.Data)
	}
	for _, name := range q.m.AssetNames() {
		fmt.Fprintf(h, "%s %d\n%s", name, len(q.m.Assets[name]), q.m.Assets[name])
	}
	o := q.o
	e := &o.EvalOptions
	if err := out.Encode([]any{o.Strategy, o.Bits, o.TargetBytes, o.TargetRatio, o.TargetBPW, o.MaxKL, o.MinAgreement, o.ActBits, o.NoFeedback, o.TargetDevice, o.Device,
		o.MaxLatency, o.Version, e.Task, e.Context, e.ScoreFrom, e.Limit, e.Cache, o.Eval != nil, kernels.Selected()}); err != nil {
		return nil, err
	}
	if o.Calib != nil {
		if err := hashData(ctx, h, o.Calib); err != nil {
			return nil, err
		}
	}
	return h.Sum(nil), nil
}

func hashData(ctx context.Context, h hash.Hash, d *dataset.Data) error {
	fmt.Fprintf(h, "%s %v %d\n", d.Name(), d.Kind(), d.Len())
	switch d.Kind() {
	case dataset.Text:
		text, err := d.Text(ctx)
		h.Write([]byte(text))
		return err
	case dataset.Arrays:
		for i := range d.Len() {
			arrays := d.Array(i)
			names := make([]string, 0, len(arrays))
			for name := range arrays {
				names = append(names, name)
			}
			sort.Strings(names)
			for _, name := range names {
				t := arrays[name]
				fmt.Fprintf(h, "%s %v %v\n", name, t.DType, t.Shape)
				h.Write(t.Data)
			}
		}
		return nil
	}
	for i := range d.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		img, label, err := d.Image(i)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%d %d %d\n", img.W, img.H, label)
		h.Write(img.Pix)
	}
	return nil
}

// begin opens the work of an earlier run.
func (q *quantizer) begin(ctx context.Context) error {
	if !q.o.Work.keeps() {
		return nil
	}
	id, err := q.identify(ctx)
	if err != nil {
		return err
	}
	return q.o.Work.begin(id)
}

// compare runs a model on the calibration data against the input model, or remembers what came of it.
func (q *quantizer) compare(ctx context.Context, m *model.Model) (eval.Divergence, error) {
	q.measured++
	if !q.o.Work.keeps() {
		return q.probe.Compare(ctx, m)
	}
	w := q.o.Work
	key := fnv.New64a()
	for _, c := range q.candidates {
		if t := m.Graph.Init[c.name]; t != nil {
			fmt.Fprintln(key, c.name, t.DType)
		}
	}
	at := q.measured - 1
	if at < len(w.losses) {
		if r := w.losses[at]; int(r.Number) == at && r.Key == key.Sum64() {
			return eval.Divergence{MeanKL: r.KL, Top1Agreement: r.Agreement, RelError: r.RelError, Positions: int(r.Positions)}, nil
		}
		return eval.Divergence{}, w.foreign()
	}
	d, err := q.probe.Compare(ctx, m)
	if err != nil {
		return d, err
	}
	return d, w.addLoss(lossRecord{uint32(at), key.Sum64(), d.MeanKL, d.Top1Agreement, d.RelError, int64(d.Positions)})
}

// spillBytes is how many bytes of blocks lie in memory before they go to the folder of work, if there is one.
const spillBytes = 256 << 20

// encoded makes a candidate's blocks, or finds those made before.
func (q *quantizer) encoded(c *candidate, bits int, blocks []byte) ([]byte, error) {
	w := q.o.Work
	if !w.keeps() {
		return blocks, c.encode(blocks, bits, q.o.Threads)
	}
	if q.made == nil {
		q.made = map[string]int{}
	}
	turn := c.name + " " + strconv.Itoa(bits)
	q.made[turn]++
	target := sha256.New()
	if err := binary.Write(target, binary.LittleEndian, c.target); err != nil {
		return nil, err
	}
	name := pieceName("blocks", []any{turn, q.made[turn], target.Sum(nil), c.importance})
	if b := w.get(name); len(b) == len(blocks) {
		return b, nil
	}
	if err := c.encode(blocks, bits, q.o.Threads); err != nil {
		return nil, err
	}
	return w.keep(name, blocks)
}

// remember keeps a candidate's blocks for the file: in the folder of work if they are many, else in memory while there is room.
func (q *quantizer) remember(c *candidate, bits int, blocks []byte) error {
	w := q.o.Work
	switch n := int64(len(blocks)); {
	case w.keeps(): // there already
	case w != nil && q.kept+n > spillBytes:
		if err := w.spill(); err != nil {
			return err
		}
		q.spilled++
		var err error
		if blocks, err = w.keep("blocks-"+strconv.Itoa(q.spilled), blocks); err != nil {
			return err
		}
	case q.kept+n > blocksLimit:
		return nil
	default:
		q.kept += n
	}
	if c.blocks == nil {
		c.blocks = map[int][]byte{}
	}
	c.blocks[bits] = blocks
	return nil
}

const momentsPiece = "moments"

// restoreMoments reads the sums that an earlier run saved, and returns how many inputs they are of.
func (q *quantizer) restoreMoments(ms *moments) (int, error) {
	b := q.o.Work.get(momentsPiece)
	if b == nil {
		return 0, nil
	}
	s := &sums{b: b}
	var seen [1]int64
	takeNumbers(s, seen[:])
	for _, m := range q.inOrder(ms) {
		var rows [1]int64
		takeNumbers(s, rows[:])
		m.rows = rows[0]
		takeNumbers(s, m.diag)
		takeNumbers(s, m.mean)
		takeNumbers(s, m.sum)
	}
	if s.bad || len(s.b) > 0 {
		return 0, q.o.Work.foreign()
	}
	return int(seen[0]), nil
}

// inOrder lists moments, each once, in the order of the candidates that they are for.
func (q *quantizer) inOrder(ms *moments) []*moment {
	var out []*moment
	done := map[*moment]bool{}
	for _, c := range q.candidates {
		for _, m := range ms.of[c.name] {
			if !done[m] {
				done[m] = true
				out = append(out, m)
			}
		}
	}
	return out
}

// momentsSaver returns a function that saves the sums now and then, and when all inputs are seen: at most every interval, and so that
// saving takes at most a tenth of the time.
func (q *quantizer) momentsSaver(ms *moments) func(seen, all int) error {
	w := q.o.Work
	if !w.keeps() {
		return nil
	}
	next := time.Now().Add(w.interval)
	return func(seen, all int) error {
		start := time.Now()
		if seen < all && start.Before(next) {
			return nil
		}
		s := &sums{}
		putNumbers(s, int64(seen))
		for _, m := range q.inOrder(ms) {
			putNumbers(s, m.rows)
			putNumbers(s, m.diag...)
			putNumbers(s, m.mean...)
			putNumbers(s, m.sum...)
		}
		err := w.put(momentsPiece, s.b)
		next = time.Now().Add(max(w.interval, 10*time.Since(start)))
		return err
	}
}

// piece names the sums of a stage, which depend on what the choice before them had to spend.
func (q *quantizer) piece(s *stage) string { return pieceName("stage", []any{s.reader, q.margin}) }

// saved returns the sums of a stage that an earlier run has kept, nil if there are none of that size.
func (q *quantizer) saved(s *stage) []byte {
	if b := q.o.Work.get(q.piece(s)); len(b) == s.sumBytes() {
		return b
	}
	return nil
}

// sumBytes is what saveStage writes.
func (s *stage) sumBytes() int {
	n := 8 + 2*8*s.k + 2*4*s.k*s.k
	for _, p := range s.products {
		if p.sum != "" {
			n += 4*p.n*s.k + 8*p.n
		}
	}
	return n
}

// restoreStage reads the sums of a stage; false, and no sum is changed, if there are none.
func (q *quantizer) restoreStage(s *stage) bool {
	b := q.saved(s)
	if b == nil {
		return false
	}
	r := &sums{b: b}
	var seen [1]int64
	takeNumbers(r, seen[:])
	takeNumbers(r, s.total)
	takeNumbers(r, s.lost)
	takeNumbers(r, s.xx)
	takeNumbers(r, s.dx)
	for _, p := range s.products {
		takeNumbers(r, p.rx)
		takeNumbers(r, p.lost)
		p.ref = nil
	}
	s.seen, s.ref = int(seen[0]), nil
	return true
}

// saveStage keeps the sums of a stage.
func (q *quantizer) saveStage(s *stage) error {
	if !q.o.Work.keeps() {
		return nil
	}
	w := &sums{}
	putNumbers(w, int64(s.seen))
	putNumbers(w, s.total...)
	putNumbers(w, s.lost...)
	putNumbers(w, s.xx...)
	putNumbers(w, s.dx...)
	for _, p := range s.products {
		putNumbers(w, p.rx...)
		putNumbers(w, p.lost...)
	}
	return q.o.Work.put(q.piece(s), bytes.Clone(w.b))
}
