package kernels

// Operators on quantized images: each is what ONNX's DequantizeLinear, the operator in float32 and QuantizeLinear make, every
// operation rounded, so that taking them together changes no bit. A byte x of X stands for
//
//	value(x) = float32(x - X.Zero) * X.Scale
//
// and a value v becomes the byte nearest to v/Y.Scale + Y.Zero, halves of the quotient to even, the zero point for a NaN.

// IntAdd is dst[i] = value(a[i]) + value(b[i % len(b)]), at least 0 if relu is set. dst may be a or b but must not overlap
// them otherwise; len(b) must divide len(dst).
func IntAdd(dst, a, b []uint8, qa, qb, qy Quantized, relu bool) {
	binaryBytes(dst, a, b, &bytesPair{qa: qa, qb: qb, qy: qy, relu: relu})
}

// IntMul is dst[i] = value(a[i]) * value(b[i % len(b)]), like IntAdd.
func IntMul(dst, a, b []uint8, qa, qb, qy Quantized, relu bool) {
	binaryBytes(dst, a, b, &bytesPair{qa: qa, qb: qb, qy: qy, relu: relu, mul: true})
}

// bytesPair is an operator on two images.
type bytesPair struct {
	qa, qb, qy Quantized
	relu, mul  bool
}

func binaryBytes(dst, a, b []uint8, o *bytesPair) {
	if len(dst) == 0 {
		return
	}
	if len(b) == 0 || len(dst)%len(b) != 0 || len(a) < len(dst) {
		panic("kernels: operator on bytes: operands do not fit")
	}
	for i := 0; i < len(dst); i += len(b) {
		o.row(dst[i:i+len(b)], a[i:i+len(b)], b)
	}
}

func (o *bytesPair) row(dst, a, b []uint8) {
	for i := binaryBytesSIMD(dst, a, b, o); i < len(dst); i++ {
		v, w := byteValue(a[i], o.qa), byteValue(b[i], o.qb)
		if o.mul {
			v *= w
		} else {
			v += w
		}
		if o.relu && !(v > 0) {
			v = 0
		}
		dst[i] = nearestByte(v/o.qy.Scale, o.qy.Zero)
	}
}

func byteValue(x uint8, q Quantized) float32 {
	return float32(float32(int32(x)-int32(q.Zero)) * q.Scale)
}

// ByteMap is what a function of one quantized value makes of each byte.
type ByteMap [256]uint8

// NewByteMap is the bytes of act(value(x)): with ActNone, x quantized anew.
func NewByteMap(qx, qy Quantized, act Activation) *ByteMap {
	var all [256]uint8
	for i := range all {
		all[i] = uint8(i)
	}
	var values [256]float32
	DequantizeBytes(values[:], all[:], qx)
	Activate(values[:], values[:], act)
	m := new(ByteMap)
	QuantizeBytes(m[:], values[:], qy)
	return m
}

// Then is the map of the values that m makes, taken on by next.
func (m *ByteMap) Then(next *ByteMap) *ByteMap {
	out := new(ByteMap)
	for i, x := range m {
		out[i] = next[x]
	}
	return out
}

// ByteTable is dst[i] = m[x[i]] for each element of dst, which may be x.
func ByteTable(dst, x []uint8, m *ByteMap) {
	x = x[:len(dst)]
	for i := byteTableSIMD(dst, x, m); i < len(dst); i++ {
		dst[i] = m[x[i]]
	}
}
