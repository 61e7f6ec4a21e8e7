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

// Widths are chosen for a device whose kernels were timed: here one that multiplies bytes four times as fast as floats.
func ExampleDynamicQuantizer_Fit_device() {
	ctx := context.Background()
	m, file, err := convert.Open(ctx, "../testdata/models/digits-cnn/digits-cnn.onnx", convert.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	board := &quant.Device{Name: "board", Source: "a table", Timed: true, Rates: map[int][]quant.Rate{}, Depthwise: 1e8}
	for _, bits := range []int{2, 3, 4, 8} {
		board.Rates[bits] = []quant.Rate{{Rows: 64, Operations: 4e8}}
	}
	for _, bits := range []int{16, 32} {
		board.Rates[bits] = []quant.Rate{{Rows: 64, Operations: 1e8}}
	}
	small, report, err := quant.DynamicQuantizer{
		Bits: 4, ActBits: 8, Strategy: quant.Adaptive, TargetDevice: board.Name, Device: board, MaxLatency: 20,
	}.Fit(ctx, m)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s on %s: at most 20 ms: %v\n", small.Meta.Name, report.Latency.Device, report.Latency.PredictedMS <= 20)
	fmt.Printf("int8 is faster there: %v\n", *report.Latency.Int8Faster)
	// Output:
	// digits-cnn on board: at most 20 ms: true
	// int8 is faster there: true
}
