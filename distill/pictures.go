package distill

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime/vision"
	"github.com/dsk-toolkit/dsk/tensor"
)

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

// take returns a picture as the model takes it.
func (s *scene) take(img *picture.RGB) ([]float32, error) {
	t, _, err := s.prep.Tensor(img, s.w, s.h)
	if err != nil {
		return nil, err
	}
	if t.Len() != s.size() {
		return nil, fmt.Errorf("a picture has %v as its input, want %d x %d x %d", t.Shape, s.channels, s.h, s.w)
	}
	return t.F32(), nil
}

// takePart is take for a part of a picture, which has any size.
func (s *scene) takePart(img *picture.RGB) ([]float32, error) {
	if s.prep.Fit == picture.FitNone {
		var err error
		if img, err = img.Resize(s.w, s.h, picture.Bilinear); err != nil {
			return nil, err
		}
	}
	return s.take(img)
}

// pictures are images to classify.
type pictures struct {
	student, teacher *scene // the same one where both models take the same
	labels           []int32
	sum              hash.Hash
	augment          Augment
	mix              bool
	images           []*picture.RGB // if parts of them are shown
	photos           []*picture.RGB // parts of which are shown in place of some samples
	bytes            int            // of both
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
	err = p.load(ctx, d, n, o, "reading pictures", func(img *picture.RGB, label int) error {
		p.labels = append(p.labels, int32(label))
		if p.augment.Zoom > 0 {
			if err := p.keep(&p.images, img); err != nil {
				return err
			}
		}
		for _, s := range p.scenes() {
			pixels, err := s.take(img)
			if err != nil {
				return err
			}
			s.pixels = append(s.pixels, pixels...)
		}
		return nil
	})
	if err != nil || o.Photos == nil {
		return p, err
	}
	if k := o.Photos.Kind(); k != dataset.Images && k != dataset.Detection {
		return nil, &fault.Usage{What: fmt.Sprintf("%s is %s: photographs are images", o.Photos.Name(), k)}
	}
	return p, p.load(ctx, o.Photos, o.Photos.Len(), o, "reading photographs", func(img *picture.RGB, _ int) error {
		return p.keep(&p.photos, img)
	})
}

// keep adds an image whose parts will be shown, if there is room.
func (p *pictures) keep(list *[]*picture.RGB, img *picture.RGB) error {
	*list = append(*list, img)
	p.bytes += len(img.Pix)
	return tensor.Room(p.bytes, "the pictures")
}

// load reads n images and adds them to the hash.
func (p *pictures) load(ctx context.Context, d *dataset.Data, n int, o *Options, stage string, add func(img *picture.RGB, label int) error) error {
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if o.Progress != nil {
			o.Progress(stage, int64(i), int64(n))
		}
		img, label, err := d.Image(i)
		if err != nil {
			return err
		}
		var head [12]byte
		binary.LittleEndian.PutUint32(head[0:], uint32(img.W))
		binary.LittleEndian.PutUint32(head[4:], uint32(img.H))
		binary.LittleEndian.PutUint32(head[8:], uint32(label))
		p.sum.Write(head[:])
		p.sum.Write(img.Pix)
		if err := add(img, label); err != nil {
			return err
		}
	}
	return nil
}

// scenes are the ways in which pictures are taken.
func (p *pictures) scenes() []*scene {
	if p.teacher == p.student {
		return []*scene{p.student}
	}
	return []*scene{p.student, p.teacher}
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

// choice is a picture to show, and where its random numbers begin: both models see the same form of it.
type choice struct {
	sample, photo int // one of them; -1: not it
	numbers       rand.PCG
}

// photoShare is the part of the pictures that photographs replace.
const photoShare = 0.5

// choose takes a sample, or a photograph in its place.
func (p *pictures) choose(sample int, r *rand.Rand) *choice {
	c := &choice{sample: sample, photo: -1}
	c.numbers.Seed(r.Uint64(), r.Uint64())
	if len(p.photos) > 0 && r.Float64() < photoShare {
		c.sample, c.photo = -1, r.IntN(len(p.photos))
	}
	return c
}

// form writes a random form of a picture to dst, as a scene has it.
func (p *pictures) form(dst []float32, s *scene, c *choice) (*rand.Rand, error) {
	numbers := c.numbers
	r := rand.New(&numbers)
	var src []float32
	var err error
	switch n := s.size(); {
	case c.photo >= 0:
		src, err = s.takePart(part(p.photos[c.photo], s.w, s.h, r))
	case p.augment.Zoom > 0:
		src, err = s.takePart(p.augment.zoom(p.images[c.sample], r))
	default:
		src = s.pixels[c.sample*n : (c.sample+1)*n]
	}
	if err != nil {
		return nil, err
	}
	p.augment.Apply(dst, src, s.channels, s.h, s.w, r)
	return r, nil
}

func (p *pictures) read(b *batch, place, sample int, r *rand.Rand) error {
	b.labels[place] = p.labels[sample]
	var first, second *choice
	if r != nil {
		first = p.choose(sample, r)
		if first.photo >= 0 {
			b.labels[place] = -1
		}
		if p.mix && r.IntN(2) == 0 {
			second = p.choose(r.IntN(p.samples()), r)
		}
	}
	write := func(s *scene, in map[string]*tensor.Tensor) error {
		n := s.size()
		dst := in[s.input].F32()[place*n : (place+1)*n]
		if r == nil {
			copy(dst, s.pixels[sample*n:(sample+1)*n])
			return nil
		}
		if _, err := p.form(dst, s, first); err != nil || second == nil {
			return err
		}
		other := make([]float32, n)
		changes, err := p.form(other, s, second)
		if err != nil {
			return err
		}
		mix(dst, other, s.channels, s.h, s.w, changes)
		return nil
	}
	if err := write(p.student, b.student); err != nil || p.teacher == p.student {
		return err
	}
	return write(p.teacher, b.teacher)
}
