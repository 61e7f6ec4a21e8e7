package distill

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime/vision"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// corpus is training data in memory, as samples that each give rows of logits.
type corpus interface {
	samples() int
	rows() int      // of logits, of a sample
	labelled() bool // every row has a label
	hash() [sha256.Size]byte
	// batch returns room for size samples.
	batch(size int) *batch
	// read writes a sample to a place of a batch, changed at random by r if that is not nil.
	read(b *batch, place, sample int, r *rand.Rand)
}

// batch is what a step takes.
type batch struct {
	student, teacher map[string]*tensor.Tensor // the inputs; the same where both models take the same
	labels           []int32                   // of all rows; -1: none
}

// openCorpus reads the data as the student and, unless it is nil, the teacher take it. context is the length of windows of text.
func openCorpus(ctx context.Context, d *dataset.Data, student, teacher *model.Model, o *Options) (corpus, error) {
	switch {
	case d.Kind() == dataset.Text && student.Meta.LM != nil:
		return openWindows(ctx, d, student, o.Context, o.Limit)
	case d.Kind() == dataset.Images:
		return openPictures(ctx, d, student, teacher, o)
	}
	return nil, &fault.Usage{What: fmt.Sprintf("%s is %s, on which a model of task %q cannot be trained: give images to classify, or text for a language model",
		d.Name(), d.Kind(), student.Meta.Task)}
}

// scene is how a model takes pictures, and the pictures as it takes them.
type scene struct {
	input          string
	channels, h, w int
	prep           *picture.Preprocess
	pixels         []float32 // [samples, channels, h, w]
}

func newScene(m *model.Model, samples int) (*scene, error) {
	in, prep, w, h, err := vision.Input(m)
	if err != nil {
		return nil, err
	}
	s := &scene{input: in.Name, channels: prep.Channels(), h: h, w: w, prep: prep}
	if prep.Layout == "nhwc" || h == 0 || w == 0 {
		return nil, &fault.Unsupported{Kind: "input of a model that is trained", Items: []fault.Item{{Where: in.Name,
			What: fmt.Sprintf("%v, layout %q", in.Type, prep.Layout), Hint: "pictures need a fixed size and their channels first"}}}
	}
	if err := tensor.Room(4*samples*s.size(), "the pictures"); err != nil {
		return nil, err
	}
	s.pixels = make([]float32, 0, samples*s.size())
	return s, nil
}

func (s *scene) size() int { return s.channels * s.h * s.w }

// add reads a picture.
func (s *scene) add(img *picture.RGB) error {
	t, _, err := s.prep.Tensor(img, s.w, s.h)
	if err != nil {
		return err
	}
	if t.Len() != s.size() {
		return fmt.Errorf("a picture has %v as its input, want %d x %d x %d", t.Shape, s.channels, s.h, s.w)
	}
	s.pixels = append(s.pixels, t.F32()...)
	return nil
}

// pictures are images to classify.
type pictures struct {
	student, teacher *scene // the same one where both models take the same
	labels           []int32
	sum              hash.Hash
	augment          Augment
	mix              bool
	other            []float32 // room for a picture that another is mixed with
}

func openPictures(ctx context.Context, d *dataset.Data, student, teacher *model.Model, o *Options) (*pictures, error) {
	n := d.Len()
	if o.Limit > 0 {
		n = min(n, o.Limit)
	}
	p := &pictures{sum: sha256.New(), augment: o.Augment, mix: o.Mix}
	var err error
	if p.student, err = newScene(student, n); err != nil {
		return nil, fmt.Errorf("student: %w", err)
	}
	p.teacher = p.student
	if teacher != nil && !sameScene(student, teacher) {
		if p.teacher, err = newScene(teacher, n); err != nil {
			return nil, fmt.Errorf("teacher: %w", err)
		}
		if p.teacher.h != p.student.h || p.teacher.w != p.student.w {
			if o.Augment.Shift > 0 || o.Augment.Cutout > 0 {
				return nil, &fault.Usage{What: "the student takes pictures of another size than the teacher: they can be flipped, but not shifted or cut"}
			}
		}
	}
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress("reading pictures", int64(i), int64(n))
		}
		img, label, err := d.Image(i)
		if err != nil {
			return nil, err
		}
		var head [12]byte
		binary.LittleEndian.PutUint32(head[0:], uint32(img.W))
		binary.LittleEndian.PutUint32(head[4:], uint32(img.H))
		binary.LittleEndian.PutUint32(head[8:], uint32(label))
		p.sum.Write(head[:])
		p.sum.Write(img.Pix)
		p.labels = append(p.labels, int32(label))
		if err := p.student.add(img); err != nil {
			return nil, err
		}
		if p.teacher != p.student {
			if err := p.teacher.add(img); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// sameScene reports whether two models take pictures in the same way.
func sameScene(a, b *model.Model) bool {
	ia, _, wa, ha, errA := vision.Input(a)
	ib, _, wb, hb, errB := vision.Input(b)
	return errA == nil && errB == nil && ia.Name == ib.Name && wa == wb && ha == hb &&
		string(a.Assets[model.AssetPreprocess]) == string(b.Assets[model.AssetPreprocess])
}

func (p *pictures) samples() int { return len(p.labels) }

func (p *pictures) rows() int { return 1 }

func (p *pictures) labelled() bool {
	for _, l := range p.labels {
		if l < 0 {
			return false
		}
	}
	return true
}

func (p *pictures) hash() (h [sha256.Size]byte) {
	p.sum.Sum(h[:0])
	return h
}

func (p *pictures) batch(size int) *batch {
	room := func(s *scene) map[string]*tensor.Tensor {
		return map[string]*tensor.Tensor{s.input: tensor.New(tensor.F32, size, s.channels, s.h, s.w)}
	}
	b := &batch{student: room(p.student), labels: make([]int32, size)}
	if b.teacher = b.student; p.teacher != p.student {
		b.teacher = room(p.teacher)
	}
	return b
}

func (p *pictures) read(b *batch, place, sample int, r *rand.Rand) {
	b.labels[place] = p.labels[sample]
	var again, mixed rand.PCG
	partner := -1
	if r != nil {
		again.Seed(r.Uint64(), r.Uint64()) // the same changes for both models
		if p.mix && r.IntN(2) == 0 {
			partner = r.IntN(p.samples())
			mixed.Seed(r.Uint64(), r.Uint64())
		}
	}
	write := func(s *scene, in map[string]*tensor.Tensor) {
		n := s.size()
		dst, src := in[s.input].F32()[place*n:(place+1)*n], s.pixels[sample*n:(sample+1)*n]
		if r == nil {
			copy(dst, src)
			return
		}
		source := again
		p.augment.Apply(dst, src, s.channels, s.h, s.w, rand.New(&source))
		if partner >= 0 {
			source = mixed
			changes := rand.New(&source)
			p.other = slices.Grow(p.other[:0], n)[:n]
			p.augment.Apply(p.other, s.pixels[partner*n:(partner+1)*n], s.channels, s.h, s.w, changes)
			mix(dst, p.other, s.channels, s.h, s.w, changes)
		}
	}
	write(p.student, b.student)
	if p.teacher != p.student {
		write(p.teacher, b.teacher)
	}
}

// windows are sequences of tokens that lie side by side in a text; each token is predicted from those before it in its window.
type windows struct {
	ids  []int32
	size int
}

// inputIDs is the input of a language model's graph.
const inputIDs = "input_ids"

func openWindows(ctx context.Context, d *dataset.Data, m *model.Model, size, limit int) (*windows, error) {
	if m.Assets[model.AssetTokenizer] == nil {
		return nil, &fault.Usage{What: "the model has no tokenizer, so it cannot be trained on text"}
	}
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		return nil, err
	}
	text, err := d.Text(ctx)
	if err != nil {
		return nil, err
	}
	w := &windows{ids: tok.Encode(text, false), size: size}
	if limit > 0 && limit < w.samples() {
		w.ids = w.ids[:limit*size+1]
	}
	if w.samples() == 0 {
		return nil, &fault.Usage{What: fmt.Sprintf("%s is too short: a window needs %d tokens", d.Name(), size+1)}
	}
	return w, nil
}

func (w *windows) samples() int { return (len(w.ids) - 1) / w.size }

func (w *windows) rows() int { return w.size }

func (w *windows) labelled() bool { return true }

func (w *windows) hash() [sha256.Size]byte {
	return sha256.Sum256(append(tensor.FromSlice(w.ids, len(w.ids)).Data, byte(w.size), byte(w.size>>8)))
}

func (w *windows) batch(size int) *batch {
	in := map[string]*tensor.Tensor{inputIDs: tensor.New(tensor.I64, size, w.size)}
	return &batch{student: in, teacher: in, labels: make([]int32, size*w.size)}
}

func (w *windows) read(b *batch, place, sample int, _ *rand.Rand) {
	at := sample * w.size
	in := b.student[inputIDs].I64()[place*w.size : (place+1)*w.size]
	for i := range in {
		in[i] = int64(w.ids[at+i])
	}
	copy(b.labels[place*w.size:(place+1)*w.size], w.ids[at+1:])
}
