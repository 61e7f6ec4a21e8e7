package distill

import (
	"math"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
)

// TestImitation compares the gradient with differences.
func TestImitation(t *testing.T) {
	student, teacher := []float32{1, -2, 0.5, 3}, []float32{2, -1, 0, 4}
	grad, scratch := make([]float32, 4), make([]float32, 4)
	pool := kernels.NewPool(2)
	t.Cleanup(pool.Close)
	i := imitation{pool: pool}
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

// TestKeptPairs pairs what a student has of its teacher by name, by channels, and in the place of what was left out.
func TestKeptPairs(t *testing.T) {
	p := &Pattern{Target: Target{Channels: 1, Height: 8, Width: 8, Classes: 3}}
	open := func(spec string) *model.Model {
		m, err := p.Student(spec, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := model.Rewrite(m.Graph, model.RewriteOptions{}); err != nil {
			t.Fatal(err)
		}
		return m
	}
	products := func(m *model.Model) (names []string) {
		for _, n := range m.Graph.Nodes {
			if n.Is(model.DomainDsk, "Conv") {
				names = append(names, n.Outputs[0])
			}
		}
		return names
	}
	teacher := open("conv 4,8 x2")
	names := products(teacher)
	all, err := keptPairs(teacher.Graph, teacher)
	if err != nil || len(all) != len(names) {
		t.Fatalf("of itself %v, want %v; %v", all, names, err)
	}
	// The student's third product stands in the fourth's place with three of its channels.
	student := open("conv 4,3 x2")
	if err := (model.Kept{names[2]: {Of: names[3], Channels: []int{1, 4, 7}}}).Store(student); err != nil {
		t.Fatal(err)
	}
	list, err := keptPairs(teacher.Graph, student)
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	cut := list[2]
	if cut.teacher != names[3] || cut.student != names[2] || cut.of != 8 {
		t.Errorf("%+v", cut)
	}
	value := []float32{0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17}
	if got := cut.keptChannels(make([]float32, 16), value); !slices.Equal(got, []float32{1, 4, 7, 11, 14, 17}) {
		t.Errorf("channels %v", got)
	}
	for name, k := range map[string]model.Kept{
		"too high": {names[0]: {Of: names[0], Channels: []int{1, 2, 3, 4}}},
		"too few":  {names[0]: {Of: names[0], Channels: []int{1, 2}}},
		"unknown":  {names[0]: {Of: "nothing"}},
	} {
		if err := k.Store(student); err != nil {
			t.Fatal(err)
		}
		if list, err := keptPairs(teacher.Graph, student); err != nil || len(list) != 1 {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	if list, err := keptPairs(teacher.Graph, open("conv 3,5")); err == nil {
		t.Errorf("of other widths: %v", list)
	}
}
