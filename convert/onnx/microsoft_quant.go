package onnx

import (
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// blocks describes weights whose last axis is quantized in blocks: value i of a row is
// (code - zero) * scale, with a scale and a zero point for every block.
type blocks struct {
	bits, size int // of a code, of a block
	n, k       int // rows, values a row
	stride     int // bytes a row
	codes      *tensor.Tensor
	scales     *tensor.Tensor // n x ceil(k/size)
	// zeros is nil for zero, packed codes, each row starting a byte, or floats like scales.
	zeros *tensor.Tensor
	zero  float32 // without zeros
	sign  bool    // codes are two's complement
}

// code returns number i of codes packed from the low bits up.
func (b *blocks) code(row []byte, i int) float32 {
	per := 8 / b.bits
	v := int(row[i/per]>>(i%per*b.bits)) & (1<<b.bits - 1)
	if b.sign && v >= 1<<(b.bits-1) {
		v -= 1 << b.bits
	}
	return float32(v)
}

// dequantize writes n x k values.
func (b *blocks) dequantize(dst []float32) error {
	codes, err := b.codes.Loaded()
	if err != nil {
		return err
	}
	scales, err := floatValues(b.scales)
	if err != nil {
		return err
	}
	count := (b.k + b.size - 1) / b.size
	var floats []float32
	var codeZeros []byte
	switch {
	case b.zeros != nil && b.zeros.DType.IsFloat():
		if floats, err = floatValues(b.zeros); err != nil {
			return err
		}
	case b.zeros != nil:
		z, err := b.zeros.Loaded()
		if err != nil {
			return err
		}
		codeZeros = z.Data
	}
	for r := range b.n {
		row := codes.Data[r*b.stride : (r+1)*b.stride]
		for j := range count {
			zero := b.zero
			switch {
			case floats != nil:
				zero = floats[r*count+j]
			case codeZeros != nil:
				stride := (count*b.bits + 7) / 8
				zero = b.code(codeZeros[r*stride:(r+1)*stride], j)
			}
			scale := scales[r*count+j]
			for i := j * b.size; i < min((j+1)*b.size, b.k); i++ {
				dst[r*b.k+i] = (b.code(row, i) - zero) * scale
			}
		}
	}
	return nil
}

// fits reports whether the tensors have the sizes that the shape asks for.
func (b *blocks) fits() bool {
	count := (b.k + b.size - 1) / b.size
	if b.codes.Bytes() != b.n*b.stride || b.scales.Len() != b.n*count || !b.scales.DType.IsFloat() || b.stride*8 < b.k*b.bits {
		return false
	}
	switch {
	case b.zeros == nil:
		return true
	case b.zeros.DType.IsFloat():
		return b.zeros.Len() == b.n*count
	}
	return b.zeros.DType.Size() == 1 && b.zeros.Len() == b.n*((count*b.bits+7)/8)
}

// lowerMatMulNBits: A W^T + bias, W [N, K] in blocks along K. The weights become floats that
// are computed when they are read.
func lowerMatMulNBits(l *lowering) error {
	b := &blocks{
		bits: int(l.attrs["bits"].Int), size: int(l.attrs["block_size"].Int), n: int(l.attrs["N"].Int), k: int(l.attrs["K"].Int),
		codes: l.constantOf(l.in(1)), scales: l.constantOf(l.in(2)), zeros: l.constantOf(l.in(3)),
	}
	if _, ok := l.attrs["bits"]; !ok {
		b.bits = 4
	}
	switch {
	case b.codes == nil || b.scales == nil || l.in(3) != "" && b.zeros == nil:
		return l.reject("MatMulNBits with computed weights", "")
	case l.in(4) != "":
		return l.reject("MatMulNBits with g_idx", "quantize without reordering of columns")
	case b.bits != 2 && b.bits != 4 && b.bits != 8, b.size < 16 || b.size > 1<<16 || b.n < 1 || b.k < 1 || b.codes.DType != tensor.U8:
		return l.broken("bits %d, block size %d, N %d, K %d", b.bits, b.size, b.n, b.k)
	}
	b.zero = half(b.bits)
	b.stride = (b.k + b.size - 1) / b.size * (b.size * b.bits / 8)
	if b.n > b.codes.Len() || b.k > 8*b.codes.Len() || !b.fits() {
		return l.broken("weights %v, scales %v and zero points do not fit N %d, K %d", b.codes, b.scales, b.n, b.k)
	}
	w := l.constant("weight", tensor.Computed([]int{b.n, b.k}, b.dequantize))
	if dt := l.dtype(l.in(0)); dt != tensor.F32 {
		w = l.apply("Cast", model.Attrs{"to": model.IntAttr(model.ElemCode(dt))}, w)
	}
	w = l.apply("Transpose", model.Attrs{"perm": model.IntsAttr(1, 0)}, w)
	if l.in(5) == "" {
		l.to("MatMul", nil, l.in(0), w)
		return nil
	}
	l.to("Add", nil, l.apply("MatMul", nil, l.in(0), w), l.in(5))
	return nil
}

// lowerGatherBlockQuantized: Gather from a table in blocks along its last axis.
func lowerGatherBlockQuantized(l *lowering) error {
	b := &blocks{bits: 4, size: 128, codes: l.constantOf(l.in(0)), scales: l.constantOf(l.in(2)), zeros: l.constantOf(l.in(3))}
	if a, ok := l.attrs["bits"]; ok {
		b.bits = int(a.Int)
	}
	if a, ok := l.attrs["block_size"]; ok {
		b.size = int(a.Int)
	}
	if b.codes == nil || b.scales == nil || l.in(3) != "" && b.zeros == nil {
		return l.reject("GatherBlockQuantized with a computed table", "")
	}
	if b.size < 16 || b.size > 1<<16 || b.bits != 4 && b.bits != 8 || len(b.codes.Shape) == 0 || len(b.codes.Shape) != len(b.scales.Shape) {
		return l.broken("bits %d, block size %d, table %v, scales %v", b.bits, b.size, b.codes, b.scales)
	}
	shape := slices.Clone(b.codes.Shape)
	last := len(shape) - 1
	if dt := b.codes.DType; dt.IsSmall() {
		// The element type says the width, and the graph holds the codes a byte each.
		b.bits, b.sign = 8, dt == tensor.I4 || dt == tensor.I2
	} else {
		shape[last] *= 8 / b.bits
		b.zero = half(b.bits)
	}
	axis := l.attrs["quantize_axis"].Int
	if _, ok := l.attrs["quantize_axis"]; !ok {
		axis = 1
	}
	if axis != int64(last) && axis != -1 {
		return l.reject("GatherBlockQuantized along another axis than the last", "")
	}
	b.n, b.k = 1, shape[last]
	for _, d := range shape[:last] {
		b.n *= d
	}
	b.stride = b.k * b.bits / 8
	if b.n == 0 || !b.fits() {
		return l.broken("table %v, scales %v and zero points do not fit", b.codes, b.scales)
	}
	table := l.constant("table", tensor.Computed(shape, b.dequantize))
	if dt := b.scales.DType; dt != tensor.F32 {
		table = l.apply("Cast", model.Attrs{"to": model.IntAttr(model.ElemCode(dt))}, table)
	}
	l.to("Gather", model.Attrs{"axis": model.IntAttr(l.attrs["gather_axis"].Int)}, table, l.in(1))
	return nil
}

// lowerMatMulIntegerToFloat: (A - a0)(B - b0) * scaleA * scaleB + bias.
func lowerMatMulIntegerToFloat(l *lowering) error {
	l.scaledProduct(l.in(0), l.in(1), l.in(4), l.in(5), l.in(2), l.in(3), l.in(6))
	return nil
}

// lowerDynamicQuantizeMatMul quantizes A first.
func lowerDynamicQuantizeMatMul(l *lowering) error {
	q := l.im.unique(l.path + "/quantized")
	scale, zero := l.im.unique(l.path+"/scale"), l.im.unique(l.path+"/zero")
	l.emit("", "DynamicQuantizeLinear", q, []string{l.in(0)}, []string{q, scale, zero}, nil)
	l.scaledProduct(q, l.in(1), zero, l.in(3), scale, l.in(2), l.in(4))
	return nil
}

func (l *lowering) scaledProduct(a, b, zeroA, zeroB, scaleA, scaleB, bias string) {
	sum := l.apply("MatMulInteger", nil, a, b, zeroA, zeroB)
	y := l.apply("Cast", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.F32))}, sum)
	scale := l.apply("Mul", nil, scaleA, scaleB)
	if bias == "" {
		l.to("Mul", nil, y, scale)
		return
	}
	l.to("Add", nil, l.apply("Mul", nil, y, scale), bias)
}

// dequantized emits the float value of a quantized operand: value, scale, zero point from input i on.
func (l *lowering) dequantized(i int, axis int64) string {
	return l.apply("DequantizeLinear", model.Attrs{"axis": model.IntAttr(axis)}, l.in(i), l.in(i+1), l.in(i+2))
}

// lowerQGemm: alpha * (A B + C), where C is of the product's scale; a float without output scale.
func lowerQGemm(l *lowering) error {
	attrs := model.Attrs{}
	for _, k := range []string{"transA", "transB", "alpha"} {
		if a, ok := l.attrs[k]; ok {
			attrs[k] = a
		}
	}
	axis := int64(1)
	if attrs["transB"].Int != 0 {
		axis = 0
	}
	inputs := []string{l.dequantized(0, 0), l.dequantized(3, axis)}
	y := l.apply("Gemm", attrs, inputs...)
	if c := l.in(6); c != "" {
		scale := l.apply("Mul", nil, l.in(1), l.in(4))
		if a, ok := attrs["alpha"]; ok && a.Float != 1 {
			alpha, err := l.scalar("alpha", tensor.F32, float64(a.Float))
			if err != nil {
				return err
			}
			scale = l.apply("Mul", nil, scale, alpha)
		}
		c = l.apply("Cast", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.F32))}, c)
		y = l.apply("Add", nil, y, l.apply("Mul", nil, c, scale))
	}
	if l.in(7) == "" {
		l.to("Identity", nil, y)
		return nil
	}
	l.to("QuantizeLinear", nil, y, l.in(7), l.in(8))
	return nil
}

// lowerQLinearMul: (A - zA)(B - zB) sA sB / sC + zC, rounded as QLinearAdd is.
func lowerQLinearMul(l *lowering) error {
	var parts []string
	for i := 0; i < 6; i += 3 {
		x := l.cast(l.in(i), tensor.F32)
		if z := l.in(i + 2); z != "" {
			x = l.apply("Sub", nil, x, l.cast(z, tensor.F32))
		}
		parts = append(parts, x)
	}
	ratio := l.apply("Div", nil, l.apply("Mul", nil, l.in(1), l.in(4)), l.in(6))
	y := l.apply("Mul", nil, l.apply("Mul", nil, parts[0], parts[1]), ratio)
	if z := l.in(7); z != "" {
		y = l.apply("Add", nil, y, l.cast(z, tensor.F32))
	}
	return l.quantized(y)
}

// lowerQLinearAdd: A sA/sC + B sB/sC + fixed, fixed = zC - zA sA/sC - zB sB/sC, rounded once:
// halves go another way than if zC came after the rounding, as QuantizeLinear has it.
func lowerQLinearAdd(l *lowering) error {
	sum := ""
	if z := l.in(7); z != "" {
		sum = l.cast(z, tensor.F32)
	}
	var parts []string
	for i := 0; i < 6; i += 3 {
		ratio := l.apply("Div", nil, l.in(i+1), l.in(6))
		parts = append(parts, l.apply("Mul", nil, l.cast(l.in(i), tensor.F32), ratio))
		z := l.in(i + 2)
		if z == "" {
			continue
		}
		shift := l.apply("Mul", nil, l.cast(z, tensor.F32), ratio)
		if sum == "" {
			sum = l.apply("Neg", nil, shift)
		} else {
			sum = l.apply("Sub", nil, sum, shift)
		}
	}
	y := l.apply("Add", nil, parts[0], parts[1])
	if sum != "" {
		y = l.apply("Add", nil, y, sum)
	}
	return l.quantized(y)
}

// quantized rounds y to the outputs, which have the first input's type.
func (l *lowering) quantized(y string) error {
	dt, lo, hi := l.dtype(l.in(0)), 0., 255.
	if dt == tensor.I8 {
		lo, hi = -128, 127
	}
	low, err := l.scalar("low", tensor.F32, lo)
	if err != nil {
		return err
	}
	high, err := l.scalar("high", tensor.F32, hi)
	if err != nil {
		return err
	}
	l.to("Cast", model.Attrs{"to": model.IntAttr(model.ElemCode(dt))}, l.apply("Clip", nil, l.apply("Round", nil, y), low, high))
	return nil
}

// lowerQLinearUnary: quantize(op(dequantize(X))).
func lowerQLinearUnary(l *lowering) error {
	if a, _ := l.attr("channels_last"); a.Int != 0 {
		return l.reject(l.op+" with channels last", "")
	}
	opset, hasOpset := l.attr("opset")
	op := l.op[len("QLinear"):]
	if op == "Softmax" && hasOpset && opset.Int < 13 && l.attrs["axis"].Int != int64(l.rank(l.in(0)))-1 && l.attrs["axis"].Int != -1 {
		return l.reject("QLinearSoftmax of opset 12 over several axes", "")
	}
	y := l.apply(op, l.attrs, l.dequantized(0, 0))
	l.to("QuantizeLinear", nil, y, l.in(3), l.in(4))
	return nil
}

// lowerQLinearConcat: the output's scale and zero point come first.
func lowerQLinearConcat(l *lowering) error {
	if len(l.inputs) < 5 || len(l.inputs)%3 != 2 {
		return l.broken("it has %d inputs", len(l.inputs))
	}
	var parts []string
	for i := 2; i < len(l.inputs); i += 3 {
		parts = append(parts, l.dequantized(i, 0))
	}
	y := l.apply("Concat", l.attrs, parts...)
	l.to("QuantizeLinear", nil, y, l.in(0), l.in(1))
	return nil
}
