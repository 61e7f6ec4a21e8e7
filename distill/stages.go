package distill

import (
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Stages is an Options.Feature: the student imitates the teacher's values at the end of each stage.
const Stages = "stages"

// pair is a value of the teacher and the one of the student that is compared with it.
type pair struct{ teacher, student string }

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
type imitation struct{}

func (imitation) gradient(grad, student, teacher []float32, weight float64) float64 {
	kernels.Sub(grad, student, teacher)
	var far, size float64
	// In blocks: a float32 does not count far.
	for lo := 0; lo < len(grad); lo += blockElements {
		g, t := grad[lo:min(lo+blockElements, len(grad))], teacher[lo:min(lo+blockElements, len(grad))]
		far += float64(kernels.Dot(g, g))
		size += float64(kernels.Dot(t, t))
	}
	if size == 0 {
		clear(grad)
		return 0
	}
	kernels.Scale(grad, grad, float32(2*weight/size))
	return weight * far / size
}

// stages pairs the last values of each size that both graphs have with the same shape, in the teacher's order: what a stage hands on, and
// what the last product reads. The outputs are not among them: they have a loss of their own.
func stages(teacher, student *model.Graph) ([]pair, error) {
	order, want, err := lastOfSize(teacher)
	if err != nil {
		return nil, err
	}
	_, have, err := lastOfSize(student)
	if err != nil {
		return nil, err
	}
	var list []pair
	for _, size := range order {
		if t, s := want[size], have[size]; s.Name != "" && t.Type.String() == s.Type.String() {
			list = append(list, pair{t.Name, s.Name})
		}
	}
	if len(list) == 0 {
		return nil, &fault.Usage{What: "student and teacher have no inner values of the same shape: --features stages suits a student that was cut out of its teacher"}
	}
	return list, nil
}

// lastOfSize returns the last inner value of each number of elements of a sample, and these numbers in the order of their last values.
func lastOfSize(g *model.Graph) (order []int, of map[int]model.Value, err error) {
	g = g.Clone()
	if err := g.Infer(); err != nil {
		return nil, nil, err
	}
	of = map[int]model.Value{}
	logits := logitsOf(g)
	for _, n := range g.Nodes {
		for _, name := range n.Outputs {
			t := g.Types[name]
			size := 1
			for i, d := range t.Shape {
				if i > 0 {
					size *= max(d.N, 0)
				}
			}
			if name == "" || name == logits || name == g.Outputs[0].Name || t.DType != tensor.F32 || len(t.Shape) < 2 || size < 2 {
				continue
			}
			order = append(slices.DeleteFunc(order, func(s int) bool { return s == size }), size)
			of[size] = model.Value{Name: name, Type: t}
		}
	}
	return order, of, nil
}
