package quant

import (
	"context"

	"github.com/dsk-toolkit/dsk/model"
)

// DynamicQuantizer is Apply as a value: its fields are those of Options. Without a Strategy it is Uniform where
// Bits are given and Adaptive where they are not, so that the zero value chooses every tensor's width itself.
//
//	DynamicQuantizer{Bits: 4, ActBits: 8, Strategy: Adaptive, TargetDevice: "board", Device: table, MaxLatency: 20}
//
// gives every tensor its own width, all together within the bytes of 4 bit for each and within 20 ms as the device's table predicts.
// TargetDevice alone is a name in the file's history; only a Device can be predicted with.
type DynamicQuantizer Options

// Fit returns a copy of m with quantized weights, and what it cost. m is not changed. Errors are those of Apply.
func (d DynamicQuantizer) Fit(ctx context.Context, m *model.Model) (*model.Model, *Report, error) {
	o := Options(d)
	if o.Strategy == "" {
		o.Strategy = Adaptive
		if o.Bits != 0 {
			o.Strategy = Uniform
		}
	}
	return Apply(ctx, m, o)
}
