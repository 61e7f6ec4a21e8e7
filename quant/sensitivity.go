package quant

import (
	"context"
	"fmt"

	"github.com/dsk-toolkit/dsk/model"
)

// probeBits is the width at which a tensor's sensitivity is measured: coarse enough to stand
// out of rounding noise, fine enough that the loss still grows with the squared error.
const probeBits = 3

// widths are the options of the adaptive strategy.
var widths = [...]int{halfBits, 8, 4, 3, 2}

// measureOptions finds every candidate's relative error at every width.
func (q *quantizer) measureOptions(ctx context.Context) error {
	for i, c := range q.candidates {
		q.o.progress("measure widths", i, len(q.candidates))
		c.options = c.options[:0]
		for _, bits := range widths {
			if err := ctx.Err(); err != nil {
				return err
			}
			o := option{bits: bits, bytes: c.size(bits)}
			if err := q.measureError(c, &o); err != nil {
				return err
			}
			c.options = append(c.options, o)
		}
	}
	q.o.progress("measure widths", len(q.candidates), len(q.candidates))
	return nil
}

// measureSensitivity finds what a relative error of 1 in each candidate costs. With calibration data
// it quantizes one tensor at a time and measures the mean KL divergence (or the relative
// output error where outputs are no probabilities), which to second order is proportional to the
// squared error. Without data every product's relative error counts the same.
func (q *quantizer) measureSensitivity(ctx context.Context) error {
	for i, c := range q.candidates {
		c.sens = 1
		if q.probe == nil {
			continue
		}
		q.o.progress("measure sensitivity", i, len(q.candidates))
		var err error
		if c.sens, err = q.sensitivity(ctx, c); err != nil {
			return err
		}
	}
	if q.probe != nil {
		q.o.progress("measure sensitivity", len(q.candidates), len(q.candidates))
	}
	return nil
}

func (q *quantizer) sensitivity(ctx context.Context, c *candidate) (float64, error) {
	var probed option
	for _, o := range c.options {
		if o.bits == probeBits {
			probed = o
		}
	}
	if probed.err == 0 {
		return 0, nil
	}
	alone := q.m.Clone()
	q.place(alone.Graph, c, probeBits)
	d, err := q.divergence(ctx, alone)
	if err != nil {
		return 0, fmt.Errorf("sensitivity of %s: %w", c.name, err)
	}
	return d / probed.err, nil
}

// divergence measures a model against the input model on the calibration data.
func (q *quantizer) divergence(ctx context.Context, m *model.Model) (float64, error) {
	d, err := q.compare(ctx, m)
	if err != nil {
		return 0, err
	}
	return max(d.Loss(), 0), nil
}
