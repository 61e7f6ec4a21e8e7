package distill_test

import (
	"context"
	"fmt"
	"log"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/kernels/blas"
	"github.com/dsk-toolkit/dsk/model"
)

// fineTune trains a model that was cut or quantized further, with the whole model as its teacher: no labels are needed.
func fineTune(ctx context.Context, cut, whole *model.Model, pictures *dataset.Data) (*model.Model, error) {
	pool := kernels.NewPool(0)
	defer pool.Close()
	blas.Use(pool)
	defer blas.Use(nil)
	out, report, err := distill.Train(ctx, func(uint64) (*model.Model, error) { return cut, nil }, distill.Options{
		Teacher: whole, Data: pictures, Alpha: 1, Temperature: 4, Epochs: 3, Rate: 0.01, Augment: distill.Augment{Flip: true, Shift: 4}})
	if err != nil {
		return nil, err
	}
	fmt.Printf("%d steps, loss %.3f\n", report.Steps, report.Runs[0].Loss)
	return out, nil
}

// A student of two stages that learns from a teacher.
func ExampleTrain() {
	var teacher *model.Model // a .dsk file's
	var pictures *dataset.Data
	pattern, err := distill.PatternOfModel(teacher)
	if err != nil {
		log.Fatal(err)
	}
	student := func(seed uint64) (*model.Model, error) { return pattern.Student("conv 8,16 x2", seed) }
	out, _, err := distill.Train(context.Background(), student, distill.Options{Teacher: teacher, Data: pictures, Alpha: 0.9, Temperature: 4, Epochs: 10})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := fineTune(context.Background(), out, teacher, pictures); err != nil {
		log.Fatal(err)
	}
}
