package quant

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Blocks of 8 bit round the activations too: in the first layers of small convolutional networks, with few weights and
// many pixels, that is most of the loss. Sixteen bits, which are multiplied in float, have neither loss. So small
// matrices are also run at 8 bit, one at a time, and those that lose most are spared.

// smallPart is the largest part of all weights that a small matrix has: it may have 16 bits at hardly any cost.
const smallPart = 1. / 32

// small reports whether c is a small matrix.
func (q *quantizer) small(c *candidate) bool {
	var all float64
	for _, other := range q.candidates {
		all += float64(other.n) * float64(other.k)
	}
	return float64(c.n)*float64(c.k) <= smallPart*all
}

// lossAt8 is the divergence with c alone at 8 bit.
func (q *quantizer) lossAt8(ctx context.Context, c *candidate) (float64, error) {
	alone := q.m.Clone()
	q.place(alone.Graph, c, 8)
	d, err := q.divergence(ctx, alone)
	if err != nil {
		return 0, fmt.Errorf("loss of %s at 8 bit: %w", c.name, err)
	}
	return d, nil
}

// spareFragile gives, at a uniform width of 8 bit, 16 bit to the small matrices that lose most per byte on the calibration
// data, as long as that lengthens the weights by no more than smallPart and the divergence falls.
func (q *quantizer) spareFragile(ctx context.Context) error {
	if q.probe == nil || q.o.Bits != 8 {
		return nil
	}
	type fragile struct {
		c     *candidate
		loss  float64 // by byte
		bytes int64
	}
	var list []fragile
	var room int64
	for i, c := range q.candidates {
		q.o.progress("measure small weights", i, len(q.candidates))
		room += int64(smallPart * float64(c.choice.bytes))
		if !q.small(c) {
			continue
		}
		loss, err := q.lossAt8(ctx, c)
		if err != nil {
			return err
		}
		bytes := c.size(halfBits) - c.choice.bytes
		list = append(list, fragile{c, loss / float64(max(bytes, 1)), bytes})
	}
	q.o.progress("measure small weights", len(q.candidates), len(q.candidates))
	blocks := q.choices()
	before, err := q.divergence(ctx, q.encode())
	if err != nil {
		return err
	}
	slices.SortStableFunc(list, func(a, b fragile) int { return cmp.Compare(b.loss, a.loss) })
	for _, f := range list {
		if f.bytes > room {
			continue
		}
		o := option{bits: halfBits, bytes: f.c.size(halfBits)}
		if err := q.measureError(f.c, &o); err != nil {
			return err
		}
		if o.err >= f.c.choice.err {
			continue
		}
		room -= f.bytes
		f.c.choice, f.c.why = o, "small, and 8 bit lose much"
	}
	after, err := q.divergence(ctx, q.encode())
	if err == nil && after >= before {
		q.restore(blocks)
	}
	return err
}
