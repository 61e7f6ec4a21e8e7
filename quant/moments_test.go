package quant

import (
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestReceptiveFields computes a convolution from its rows and compares it with the sum over taps.
func TestReceptiveFields(t *testing.T) {
	const batch, channels, h, w, out = 2, 3, 7, 6, 4
	kernel, stride, pads, dilation := []int{3, 2}, []int64{2, 1}, []int64{1, 0, 2, 1}, []int64{1, 2}
	n := &model.Node{Domain: model.DomainDsk, Op: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"y"}, Attrs: model.Attrs{
		"kernel_shape": model.IntsAttr(3, 2), "strides": model.IntsAttr(stride...), "pads": model.IntsAttr(pads...), "dilations": model.IntsAttr(dilation...)}}
	x := rowMajor([]int{batch, channels, h, w}, randomFloats(batch*channels*h*w, 1))
	k := kernel[0] * kernel[1] * channels
	weights := randomFloats(out*k, 2)
	rows := eval.ReceptiveFields(n, x, []int{out, kernel[0], kernel[1], channels}, convRows)
	oh, ow := (h+3-3)/2+1, w+1-3+1
	if len(rows) != batch*oh*ow*k {
		t.Fatalf("%d values, want %d rows of %d", len(rows), batch*oh*ow, k)
	}
	for r := range batch * oh * ow {
		b, oy, ox := r/(oh*ow), r/ow%oh, r%ow
		for m := range out {
			var got, want float64
			for i := range k {
				got += float64(rows[r*k+i]) * float64(weights[m*k+i])
			}
			for ky := range kernel[0] {
				for kx := range kernel[1] {
					y, z := oy*2+ky-1, ox+2*kx
					if y < 0 || y >= h || z >= w {
						continue
					}
					for c := range channels {
						want += float64(x.F32()[((b*channels+c)*h+y)*w+z]) * float64(weights[m*k+(ky*kernel[1]+kx)*channels+c])
					}
				}
			}
			if math.Abs(got-want) > 1e-9 {
				t.Fatalf("image %d, output %d at %d,%d is %v, want %v", b, m, oy, ox, got, want)
			}
		}
	}
}

// TestMomentsShared: products of one value add its rows once, whichever node comes first; a product of another value
// has its own.
func TestMomentsShared(t *testing.T) {
	m := gatedModel()
	q := &quantizer{m: m, o: Options{Threads: 2}}
	q.findCandidates()
	var budget feedbackBudget
	ms := q.newMoments(&budget)
	defer ms.pool.Close()
	if ms.of["gate"][0] != ms.of["up"][0] || ms.of["gate"][0] == ms.of["down"][0] {
		t.Fatal("moments are shared wrongly")
	}
	const rows = 9
	x := rowMajor([]int{1, rows, testHidden}, randomFloats(rows*testHidden, 8))
	for range 2 {
		for _, n := range m.Graph.Nodes[2:4] {
			ms.observe(n, []*tensor.Tensor{x, m.Graph.Init[n.Inputs[1]]})
		}
	}
	got := ms.of["up"][0]
	for i := range testHidden {
		for j := range testHidden {
			var want float64
			for r := range rows {
				want += 2 * float64(x.F32()[r*testHidden+i]) * float64(x.F32()[r*testHidden+j])
			}
			if math.Abs(float64(got.sum[i*testHidden+j])-want) > 1e-4 {
				t.Fatalf("element %d,%d is %v, want %v", i, j, got.sum[i*testHidden+j], want)
			}
			if i == j && math.Abs(got.diag[i]-want) > 1e-4 {
				t.Fatalf("diagonal %d is %v, want %v", i, got.diag[i], want)
			}
		}
	}
}

// TestMomentsOverTheLimit: without memory for the whole moment the columns' importance is left, and the report says so.
func TestMomentsOverTheLimit(t *testing.T) {
	q := &quantizer{m: gatedModel(), o: Options{Threads: 1}}
	q.findCandidates()
	budget := feedbackBudget{bytes: momentsLimit - 8*testHidden*testHidden}
	ms := q.newMoments(&budget)
	defer ms.pool.Close()
	for i, n := range q.m.Graph.Nodes {
		switch i {
		case 2:
			ms.observe(n, []*tensor.Tensor{rowMajor([]int{40, testHidden}, randomFloats(40*testHidden, 1))})
		case 5:
			ms.observe(n, []*tensor.Tensor{rowMajor([]int{40, testInner}, randomFloats(40*testInner, 1))})
		}
	}
	byName := map[string]*candidate{}
	for _, c := range q.candidates {
		byName[c.name] = c
		c.use(ms.of[c.name], map[product]*kernels.Feedback{}, 0)
	}
	if c := byName["gate"]; c.feedback == nil || c.basis != "error feedback" {
		t.Errorf("gate: %q", c.basis)
	}
	if c := byName["down"]; c.feedback != nil || c.importance == nil || c.basis != "column importance, without error feedback" {
		t.Errorf("down: %q", c.basis)
	}
	if c := byName["table"]; c.feedback != nil || c.basis != "not reached by the calibration data" {
		t.Errorf("table: %q", c.basis)
	}
}
