package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register(model.DomainDsk, rowMajor(map[string]Binder{"QLinear": bindQLinear}))

// rowsAtOnce is how many rows of bytes a product takes before it goes on to other outputs.
const rowsAtOnce = 64

// bindQLinear binds dsk.QLinear: see model/ops_matmul_int.go.
func bindQLinear(b *Bind) (Run, error) {
	if err := needInputs(b, 3); err != nil {
		return nil, err
	}
	x, w, scale, y := b.In[0], b.In[1], b.In[2], b.Out[0]
	for i, want := range []tensor.DType{tensor.U8, tensor.I8, tensor.F32, tensor.F32, tensor.F32, tensor.U8} {
		if b.Has(i) && b.In[i].DType != want {
			return nil, b.unsupportedType(b.In[i].DType)
		}
	}
	if len(w.Shape) != 2 || len(x.Shape) == 0 || x.Shape[len(x.Shape)-1] != w.Shape[1] || !model.IntLinearFits(w.Shape) {
		return nil, b.errorf("cannot multiply %v with %v", x, w)
	}
	if !b.IsConst(1) || !b.IsConst(2) || b.Has(3) && !b.IsConst(3) {
		return nil, b.errorf("want constant weights, scales and bias, not %v", w)
	}
	n, k := w.Shape[0], w.Shape[1]
	if err := needShape(b, "the scale", scale, n); err != nil {
		return nil, err
	}
	var bias []float32
	if b.Has(3) {
		if err := needShape(b, "the bias", b.In[3], n); err != nil {
			return nil, err
		}
		bias = b.In[3].F32()
	}
	act, err := fusedActivation(b)
	if err != nil {
		return nil, err
	}
	qx := make([]kernels.Quantized, 1)
	if b.Has(4) {
		if b.In[4].Len() != 1 || b.Has(5) && b.In[5].Len() != 1 {
			return nil, b.errorf("X is quantized with scale %v and zero point %v", b.In[4], b.In[5])
		}
	} else if qx[0], err = b.quantized("x"); err != nil {
		return nil, err
	}
	var qy *kernels.Quantized
	want := tensor.F32
	if b.Node.Has("y_scale") {
		q, err := b.quantized("y")
		if err != nil {
			return nil, err
		}
		qy, want = &q, tensor.U8
	}
	if y.DType != want {
		return nil, b.unsupportedType(y.DType)
	}
	if y.Len() == 0 || k == 0 {
		return b.constantRows(bias, act, qy, n), nil
	}
	p := kernels.NewIntProduct(n, k, tensor.View[int8](w), scale.F32(), bias, qy, act)
	rows, parts := x.Len()/k, b.parts()
	perPart := (p.ScratchBytes() + 63) &^ 63
	scratch := b.Scratch(perPart * parts)
	run := func(part, lo, hi, p0, p1 int) {
		p.Run(y.Data, x.Data, qx, rows, lo, hi, p0, p1, scratch.Data[part*perPart:(part+1)*perPart])
	}
	pairs := (p.Panels() + 1) / 2
	var do func()
	if blocks := (rows + rowsAtOnce/4 - 1) / (rowsAtOnce / 4); uneven(pairs, parts) <= uneven(blocks, parts) {
		do = b.split(pairs, 1, rows*k*2*kernels.PanelRows/4, func(part, lo, hi int) { run(part, 0, rows, 2*lo, min(2*hi, p.Panels())) })
	} else {
		do = b.split(rows, rowsAtOnce/4, n*k/4, func(part, lo, hi int) { run(part, lo, hi, 0, p.Panels()) })
	}
	return func() error {
		if b.Has(4) {
			qx[0] = kernels.Quantized{Scale: b.In[4].F32()[0]}
			if b.Has(5) {
				qx[0].Zero = b.In[5].Data[0]
			}
		}
		do()
		return nil
	}, nil
}

// constantRows is a product over no elements, which leaves the bias.
func (b *Bind) constantRows(bias []float32, act kernels.Activation, qy *kernels.Quantized, n int) Run {
	row := make([]float32, n)
	copy(row, bias)
	kernels.Activate(row, row, act)
	coded := make([]byte, n)
	if qy != nil {
		kernels.QuantizeBytes(coded, row, *qy)
	}
	y := b.Out[0]
	return simple(func() {
		for at := 0; at < y.Len(); at += n {
			if qy != nil {
				copy(y.Data[at:], coded)
			} else {
				copy(y.F32()[at:], row)
			}
		}
	})
}
