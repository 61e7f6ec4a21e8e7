package distill

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
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
	// read writes a sample to a place of a batch, changed at random by r if that is not nil. Places can be written at the same time.
	read(b *batch, place, sample int, r *rand.Rand) error
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
	case (d.Kind() == dataset.Images || d.Kind() == dataset.Detection) && student.Meta.LM == nil:
		return openPictures(ctx, d, student, teacher, o)
	}
	return nil, &fault.Usage{What: fmt.Sprintf("%s is %s, on which a model of task %q cannot be trained: give images to classify, or text for a language model",
		d.Name(), d.Kind(), student.Meta.Task)}
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

func (w *windows) read(b *batch, place, sample int, _ *rand.Rand) error {
	at := sample * w.size
	in := b.student[inputIDs].I64()[place*w.size : (place+1)*w.size]
	for i := range in {
		in[i] = int64(w.ids[at+i])
	}
	copy(b.labels[place*w.size:(place+1)*w.size], w.ids[at+1:])
	return nil
}
