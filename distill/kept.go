package distill

import (
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Kept is an Options.Feature: the student imitates all values of the teacher that it kept when it was cut out of it.
const Kept = "kept"

// pair is a value of the teacher and the one of the student that is compared with it.
type pair struct {
	teacher, student string
	// The student has these channels, the last axis, of the teacher's value; nil: all. of is the number of the teacher's.
	channels []int
	of       int
}

// matcher compares a value of the student with one of the teacher over a batch: it writes weight times the derivative of its loss by the
// student's elements to grad and returns weight times the loss.
type matcher interface {
	gradient(grad, student, teacher []float32, weight float64) float64
}

// imitation is the squared distance of the student's elements s to the teacher's t, by the teacher's size:
//
//	loss = |s - t|^2 / |t|^2
//
// It teaches each element, so it suits a student that was cut out of its teacher (Wang and Wu, "Practical network acceleration with tiny
// sets", 2023): few pictures hold many such elements.
type imitation struct {
	pool *kernels.Pool
	sums []float64 // of blocks: a float32 does not count far
}

// total adds up what f returns for blocks of n elements, which run in parallel, in their order.
func (m *imitation) total(n int, f func(lo, hi int) float32) float64 {
	blocks := (n + blockElements - 1) / blockElements
	m.sums = slices.Grow(m.sums[:0], blocks)[:blocks]
	m.pool.Run(kernels.TaskFunc(func(part, parts int) {
		from, to := kernels.Span(blocks, 1, part, parts)
		for i := from; i < to; i++ {
			m.sums[i] = float64(f(i*blockElements, min((i+1)*blockElements, n)))
		}
	}))
	var sum float64
	for _, v := range m.sums {
		sum += v
	}
	return sum
}

func (m *imitation) gradient(grad, student, teacher []float32, weight float64) float64 {
	size := m.total(len(teacher), func(lo, hi int) float32 { return kernels.Dot(teacher[lo:hi], teacher[lo:hi]) })
	if size == 0 {
		clear(grad)
		return 0
	}
	scale := float32(2 * weight / size)
	far := m.total(len(grad), func(lo, hi int) float32 {
		g := grad[lo:hi]
		kernels.Sub(g, student[lo:hi], teacher[lo:hi])
		d := kernels.Dot(g, g)
		kernels.Scale(g, g, scale)
		return d
	})
	return weight * far / size
}

// pick is keptChannels with its rows in parallel.
func (p *pair) pick(pool *kernels.Pool, room, value []float32) []float32 {
	if p.channels == nil {
		return value
	}
	rows, n := len(value)/p.of, len(p.channels)
	pool.Run(kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(rows, 1, part, parts)
		p.keptChannels(room[lo*n:hi*n], value[lo*p.of:hi*p.of])
	}))
	return room[:rows*n]
}

// keptChannels returns the channels that the student has of a value, the last axis, in room if they are not all.
func (p *pair) keptChannels(room, value []float32) []float32 {
	if p.channels == nil {
		return value
	}
	n := len(p.channels)
	rows := len(value) / p.of
	for r := range rows {
		from, to := value[r*p.of:(r+1)*p.of], room[r*n:(r+1)*n]
		for i, c := range p.channels {
			to[i] = from[c]
		}
	}
	return room[:rows*n]
}

// keptPairs pairs what the student's products make with what it is of the teacher (model.Kept): values of the same name without a note. The outputs
// are not among them: they have a loss of their own.
func keptPairs(teacher *model.Graph, student *model.Model) ([]pair, error) {
	kept, err := model.KeptOf(student)
	if err != nil {
		return nil, err
	}
	t, s := teacher.Clone(), student.Graph.Clone()
	for _, g := range []*model.Graph{t, s} {
		if err := g.Infer(); err != nil {
			return nil, err
		}
	}
	makers := map[string]*model.Node{}
	for _, n := range t.Nodes {
		makers[n.Outputs[0]] = n
	}
	var list []pair
	for _, n := range s.Nodes {
		if !n.Is(model.DomainDsk, "Conv") && !n.Is(model.DomainDsk, "Linear") || n.Outputs[0] == logitsOf(s) {
			continue
		}
		note, noted := kept[n.Outputs[0]]
		if !noted {
			note.Of = n.Outputs[0]
		}
		p := pair{teacher: note.Of, student: n.Outputs[0], channels: note.Channels}
		if n.Op == "Conv" && p.channels != nil {
			if _, last, err := model.ChannelsLast(n); err != nil || !last {
				continue
			}
		}
		if makers[p.teacher] != nil && p.fits(t.Types[p.teacher], s.Types[p.student]) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil, &fault.Usage{What: fmt.Sprintf("student and teacher have no inner values of the same name and shape: --features %s suits a student that was cut out of the teacher", Kept)}
	}
	return list, nil
}

// fits reports whether the student's value is of the type that the teacher's has with the channels that are kept.
func (p *pair) fits(teacher, student model.Type) bool {
	if teacher.DType != tensor.F32 || student.DType != tensor.F32 || len(teacher.Shape) < 2 || len(teacher.Shape) != len(student.Shape) {
		return false
	}
	last := len(teacher.Shape) - 1
	p.of = teacher.Shape[last].N
	want := slices.Clone(teacher.Shape)
	if p.channels != nil {
		if slices.Max(p.channels) >= p.of {
			return false
		}
		want[last] = model.Known(len(p.channels))
	}
	return slices.Equal(want, student.Shape)
}
