package quant_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/quant"
)

func ExampleDynamicQuantizer_Fit() {
	ctx := context.Background()
	prep, err := json.Marshal(picture.Preprocess{Gray: true, Mean: []float64{33.3285}, Std: []float64{78.5655}})
	if err != nil {
		log.Fatal(err)
	}
	m, file, err := convert.Open(ctx, "../testdata/models/digits-cnn/digits-cnn.onnx", convert.Options{Preprocess: prep})
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	digits, err := dataset.Open("../testdata/models/digits-cnn/images", dataset.Options{})
	if err != nil {
		log.Fatal(err)
	}
	small, report, err := quant.DynamicQuantizer{TargetRatio: 5, Eval: digits}.Fit(ctx, m)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: at most a fifth of its size: %v\n", small.Meta.Name, report.RatioVsF32 >= 5)
	fmt.Printf("%.0f of 60 digits as before\n", 60**report.Agreement)
	// Output:
	// digits-cnn: at most a fifth of its size: true
	// 60 of 60 digits as before
}
