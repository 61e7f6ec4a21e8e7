package distill

import (
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
)

// TestImitation compares the gradient with differences.
func TestImitation(t *testing.T) {
	student, teacher := []float32{1, -2, 0.5, 3}, []float32{2, -1, 0, 4}
	grad, scratch := make([]float32, 4), make([]float32, 4)
	var i imitation
	if loss, want := i.gradient(grad, student, teacher, 10), 10*3.25/21; math.Abs(loss-want) > 1e-6 {
		t.Errorf("loss %g, want %g", loss, want)
	}
	for j := range student {
		at := student[j]
		const h = 1e-2
		student[j] = at + h
		up := i.gradient(scratch, student, teacher, 10)
		student[j] = at - h
		down := i.gradient(scratch, student, teacher, 10)
		student[j] = at
		if want := (up - down) / (2 * h); math.Abs(float64(grad[j])-want) > 1e-3 {
			t.Errorf("derivative %d is %g, differences say %g", j, grad[j], want)
		}
	}
	if loss := i.gradient(grad, student, make([]float32, 4), 10); loss != 0 || grad[0] != 0 {
		t.Errorf("a teacher of zeros: loss %g, derivatives %v", loss, grad)
	}
}

// TestStages lets a student with one convolution less in each stage imitate its teacher: the ends of the stages and what the last product
// reads are compared.
func TestStages(t *testing.T) {
	p := &Pattern{Target: Target{Channels: 1, Height: 8, Width: 8, Classes: 3}}
	open := func(spec string) *model.Model {
		m, err := p.Student(spec, 1)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	teacher, student := open("conv 4,8 x2"), open("conv 4,8")
	list, err := stages(teacher.Graph, student.Graph)
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string]bool{}
	for _, pair := range list {
		at, as := typeOf(t, teacher, pair.teacher), typeOf(t, student, pair.student)
		if at != as {
			t.Errorf("%s is %s, %s is %s", pair.teacher, at, pair.student, as)
		}
		if shapes[at] {
			t.Errorf("two pairs of %s", at)
		}
		shapes[at] = true
	}
	if len(list) < 3 {
		t.Errorf("pairs %v", list)
	}
	if list, err := stages(teacher.Graph, open("conv 3,5").Graph); err == nil {
		t.Errorf("of other widths: %v", list)
	}
}

func typeOf(t *testing.T, m *model.Model, name string) string {
	t.Helper()
	g := m.Graph.Clone()
	if err := g.Infer(); err != nil {
		t.Fatal(err)
	}
	return g.Types[name].String()
}
