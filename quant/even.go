package quant

import (
	"fmt"
	"math"
)

// In a packed file codes are entropy coded, and D8 in coarser steps (kernels.QuantizeEven) is better, at each number of bits, than tables of few
// levels. The width evenBits + i has a step that is finer than evenCoarsest of the weights' root mean square by i thirds of a bit: from about one bit a weight to
// where the blocks of D8 with scales of their own for each group are as good.
const (
	evenBits     = 64
	evenSteps    = 18
	evenCoarsest = 1.75
	// evenProbe is probeBits among them.
	evenProbe = evenBits + 4
)

// thirds are 2^(-i/3).
var thirds = [...]float64{1, 0.7937005259840998, 0.6299605249474366}

// storedBits are the bits of the blocks that hold a width.
func storedBits(bits int) int {
	if bits >= evenBits {
		return 8
	}
	return bits
}

// widths lists the options of the adaptive strategy, from the widest down.
func (q *quantizer) widths() []int {
	if !q.packs() {
		return widths[:]
	}
	all := []int{halfBits, 8}
	for i := evenSteps - 1; i >= 0; i-- {
		all = append(all, evenBits+i)
	}
	return all
}

// probeBits is the width that sensitivity is measured at.
func (q *quantizer) probeBits() int {
	if q.packs() {
		return evenProbe
	}
	return probeBits
}

// evenPart is an even width's step in parts of the weights' root mean square.
func evenPart(bits int) float64 {
	i := bits - evenBits
	return math.Ldexp(evenCoarsest*thirds[i%3], -i/3)
}

// evenStep returns the step of an even width: the same for blocks made anew in sequence.
func (c *candidate) evenStep(bits int) float64 {
	if c.rms == 0 {
		original := *c
		original.target = nil
		row := make([]float32, c.k)
		for r := range c.n {
			original.rows(row, r, r+1)
			for _, v := range row {
				c.rms += float64(v) * float64(v)
			}
		}
		if c.rms = math.Sqrt(c.rms / float64(c.n*c.k)); c.rms == 0 {
			c.rms = 1 // all weights are 0, in any step
		}
	}
	return c.rms * evenPart(bits)
}

// widthName names a width for the report.
func widthName(bits int) string {
	if bits >= evenBits {
		return fmt.Sprintf("steps of %.2g of the root mean square", evenPart(bits))
	}
	return fmt.Sprintf("%d bit", bits)
}
