package quant

import (
	"context"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
)

// compare runs a model on the calibration data against the input model.
func (q *quantizer) compare(ctx context.Context, m *model.Model) (eval.Divergence, error) {
	q.measured++
	return q.probe.Compare(ctx, m)
}
