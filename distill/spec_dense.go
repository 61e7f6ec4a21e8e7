package distill

import (
	"fmt"
	"math"
	"strings"

	"github.com/dsk-toolkit/dsk/model"
)

// dense builds a classifier of pictures from products alone: their pixels, or the averages of squares of pool pixels a side, then
// for each width a product with batch normalization and Relu, and the head.
func (b *builder) dense(words []string, t Target) (model.Meta, error) {
	meta := model.Meta{Task: model.TaskClassify, Architecture: "dense"}
	if len(words) == 0 {
		return meta, fmt.Errorf("the widths of the layers are missing")
	}
	pool := 1
	for _, w := range words[1:] {
		n, found := strings.CutPrefix(w, "pool=")
		if !found {
			return meta, fmt.Errorf("%q is no pool=N", w)
		}
		var err error
		if pool, err = number(n); err != nil {
			return meta, err
		}
	}
	x, err := b.pictures(t)
	if err != nil {
		return meta, err
	}
	if pool > min(t.Height, t.Width) {
		return meta, fmt.Errorf("no square of %d pixels a side fits pictures of %dx%d", pool, t.Height, t.Width)
	}
	if pool > 1 {
		side := model.IntsAttr(int64(pool), int64(pool))
		x = b.node("AveragePool", "pooled", model.Attrs{"kernel_shape": side, "strides": side}, x)
	}
	x = b.node("Flatten", "pixels", nil, x)
	in := t.Channels * (t.Height / pool) * (t.Width / pool)
	for i, s := range strings.Split(words[0], ",") {
		n, err := number(s)
		if err != nil {
			return meta, err
		}
		name := fmt.Sprintf("layer%d", i)
		y := b.linear(name, x, b.normal(name+".weight", math.Sqrt(2/float64(in)), n, in))
		x, in = b.node("Relu", name+".relu", nil, b.normalized(name, y, n)), n
	}
	b.head(x, in, t.Classes)
	return meta, nil
}
