package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators of two and more operands with broadcasting. Each is a function of two
// elements, from which pairRow makes one of rows; the F32 forms that networks spend time in have their
// own rows.

var _ = register("", operands(2, map[string]Binder{
	"Add":            arithmetic("Add"),
	"Sub":            arithmetic("Sub"),
	"Mul":            arithmetic("Mul"),
	"Div":            arithmetic("Div"),
	"Mod":            arithmetic("Mod"),
	"PRelu":          arithmetic("PRelu"),
	"BitwiseAnd":     arithmetic("BitwiseAnd"),
	"BitwiseOr":      arithmetic("BitwiseOr"),
	"BitwiseXor":     arithmetic("BitwiseXor"),
	"BitShift":       arithmetic("BitShift"),
	"Equal":          comparison("Equal"),
	"Less":           comparison("Less"),
	"LessOrEqual":    comparison("LessOrEqual"),
	"Greater":        comparison("Greater"),
	"GreaterOrEqual": comparison("GreaterOrEqual"),
	"And":            logic(func(x, y uint8) uint8 { return x & y }),
	"Or":             logic(func(x, y uint8) uint8 { return x | y }),
	"Xor":            logic(func(x, y uint8) uint8 { return x ^ y }),
}))

var _ = register("", operands(1, map[string]Binder{
	"Max":  variadic("Max"),
	"Min":  variadic("Min"),
	"Sum":  variadic("Add"),
	"Mean": bindMean,
}))

// rowFunc computes dst[i] = f(x[i*ix], y[i*iy]); ix and iy are 0 or 1.
type rowFunc[T, R any] func(dst []R, x, y []T, ix, iy int)

// pairRow makes a rowFunc of a function of elements.
func pairRow[T, R any](f func(x, y T) R) rowFunc[T, R] {
	return func(dst []R, x, y []T, ix, iy int) {
		switch {
		case ix == 0:
			s := x[0]
			for i := range dst {
				dst[i] = f(s, y[i*iy])
			}
		case iy == 0:
			s := y[0]
			x = x[:len(dst)]
			for i := range dst {
				dst[i] = f(x[i], s)
			}
		default:
			x, y = x[:len(dst)], y[:len(dst)]
			for i := range dst {
				dst[i] = f(x[i], y[i])
			}
		}
	}
}

// bindRows binds y = f(x0, x1) over broadcast operands; cost is that of f in additions.
func bindRows[T, R tensor.Element](b *Bind, cost int, f rowFunc[T, R]) (Run, error) {
	x, y, out := b.In[0], b.In[1], b.Out[0]
	return bindBroadcast(b, cost, func(at, n, ax, ay, ix, iy int) {
		f(tensor.View[R](out)[at:at+n], tensor.View[T](x)[ax:], tensor.View[T](y)[ay:], ix, iy)
	})
}

// bindBroadcast binds a function of rows over two broadcast operands: n elements of the output from at on, of the operands from ax and ay on,
// with steps ix and iy of 0 or 1.
func bindBroadcast(b *Bind, cost int, row func(at, n, ax, ay, ix, iy int)) (Run, error) {
	out := b.Out[0]
	w := newBroadcast(out.Shape, b.In[0].Shape, b.In[1].Shape)
	if w == nil {
		return nil, b.errorf("shapes %v and %v do not broadcast to %v", b.In[0].Shape, b.In[1].Shape, out.Shape)
	}
	for i := range 2 {
		if !b.IsConst(i) && b.In[i].Len() == out.Len() && b.In[i].DType.Size() == out.DType.Size() {
			b.InPlace(0, i)
			break
		}
	}
	return simple(b.split(out.Len(), 64, cost, func(_, lo, hi int) {
		var c cursor
		for c.seek(w, lo); lo < hi; {
			n := c.run(hi - lo)
			row(lo, n, c.at(0), c.at(1), w.step[0], w.step[1])
			c.advance(n)
			lo += n
		}
	})), nil
}

// arithmetic binds an operator whose operands and result have one type.
func arithmetic(op string) Binder {
	return widenedIntegers(func(b *Bind) (Run, error) {
		switch dt := b.In[0].DType; dt {
		case tensor.F32:
			if f := fastRow(op); f != nil {
				return bindRows(b, 1, f)
			}
			return bindArith(b, floatPair[float32](b, op))
		case tensor.F64:
			return bindArith(b, floatPair[float64](b, op))
		case tensor.F16, tensor.BF16:
			if f := fastRow(op); f != nil && b.In[1].DType == dt {
				return widened(func(b *Bind) (Run, error) { return bindRows(b, 1, f) })(b)
			}
			f := floatPair[float32](b, op)
			if f == nil {
				return nil, b.unsupportedType(dt)
			}
			h := halfOf(dt)
			return bindArith(b, func(x, y uint16) uint16 { return h.to(f(h.from(x), h.from(y))) })
		case tensor.I32:
			return bindArith(b, intPair[int32](b, op))
		case tensor.I64:
			return bindArith(b, intPair[int64](b, op))
		case tensor.U64:
			return bindArith(b, intPair[uint64](b, op))
		}
		return nil, b.unsupportedType(b.In[0].DType)
	})
}

func bindArith[T tensor.Element](b *Bind, f func(x, y T) T) (Run, error) {
	if f == nil || b.In[1].DType != b.In[0].DType {
		return nil, b.errorf("no kernel for element types %v and %v", b.In[0].DType, b.In[1].DType)
	}
	return bindRows(b, 4, pairRow(f))
}

// numberPair returns the operators that all numbers have.
func numberPair[T number](op string) func(x, y T) T {
	switch op {
	case "Add":
		return func(x, y T) T { return x + y }
	case "Sub":
		return func(x, y T) T { return x - y }
	case "Mul":
		return func(x, y T) T { return x * y }
	case "Max": // of Go: a NaN wins, as ONNX wants
		return func(x, y T) T { return max(x, y) }
	case "Min":
		return func(x, y T) T { return min(x, y) }
	case "PRelu":
		return func(x, slope T) T {
			if x < 0 {
				return x * slope
			}
			return x
		}
	}
	return nil
}

func floatPair[T float](b *Bind, op string) func(x, y T) T {
	switch op {
	case "Div":
		return func(x, y T) T { return x / y }
	case "Mod":
		if b.Node.Int("fmod", 0) != 0 {
			return func(x, y T) T { return T(math.Mod(float64(x), float64(y))) }
		}
		return func(x, y T) T { // the sign of the divisor, as in Python
			r := math.Mod(float64(x), float64(y))
			if r != 0 && (r < 0) != (y < 0) {
				r += float64(y)
			}
			return T(r)
		}
	}
	return numberPair[T](op)
}

// intPair returns the operators of integers. Division truncates and, where C leaves it
// undefined, by zero, gives zero.
func intPair[T integer](b *Bind, op string) func(x, y T) T {
	switch op {
	case "Div":
		return func(x, y T) T {
			if y == 0 {
				return 0
			}
			return x / y
		}
	case "Mod":
		fmod := b.Node.Int("fmod", 0) != 0
		return func(x, y T) T {
			if y == 0 {
				return 0
			}
			r := x % y
			if !fmod && r != 0 && (r < 0) != (y < 0) {
				r += y
			}
			return r
		}
	case "BitwiseAnd":
		return func(x, y T) T { return x & y }
	case "BitwiseOr":
		return func(x, y T) T { return x | y }
	case "BitwiseXor":
		return func(x, y T) T { return x ^ y }
	case "BitShift":
		if b.Node.Str("direction", "") == "LEFT" {
			return func(x, y T) T { return x << uint64(y) }
		}
		return func(x, y T) T { return x >> uint64(y) }
	}
	return numberPair[T](op)
}

// fastRow returns the F32 rows of the operators that networks spend time in, or nil.
func fastRow(op string) rowFunc[float32, float32] {
	switch op {
	case "Add":
		return func(dst, x, y []float32, ix, iy int) {
			n := len(dst)
			switch {
			case ix == 0 && iy == 0:
				fillSlice(dst, x[0]+y[0])
			case ix == 0:
				kernels.AddScalar(dst, y[:n], x[0])
			case iy == 0:
				kernels.AddScalar(dst, x[:n], y[0])
			default:
				kernels.Add(dst, x[:n], y[:n])
			}
		}
	case "Mul":
		return func(dst, x, y []float32, ix, iy int) {
			n := len(dst)
			switch {
			case ix == 0 && iy == 0:
				fillSlice(dst, x[0]*y[0])
			case ix == 0:
				kernels.Scale(dst, y[:n], x[0])
			case iy == 0:
				kernels.Scale(dst, x[:n], y[0])
			default:
				kernels.Mul(dst, x[:n], y[:n])
			}
		}
	case "Sub":
		return func(dst, x, y []float32, ix, iy int) {
			n := len(dst)
			switch {
			case ix == 0:
				s := x[0]
				for i := range dst {
					dst[i] = s - y[i*iy]
				}
			case iy == 0:
				kernels.AddScalar(dst, x[:n], -y[0])
			default:
				kernels.Sub(dst, x[:n], y[:n])
			}
		}
	case "Div":
		return func(dst, x, y []float32, ix, iy int) {
			n := len(dst)
			switch {
			case ix == 0:
				s := x[0]
				for i := range dst {
					dst[i] = s / y[i*iy]
				}
			case iy == 0:
				s := y[0]
				for i, v := range x[:n] {
					dst[i] = v / s
				}
			default:
				kernels.Div(dst, x[:n], y[:n])
			}
		}
	case "PRelu":
		return preluRow
	case "Max":
		return extremeRow(kernels.Max, true)
	case "Min":
		return extremeRow(kernels.Min, false)
	}
	return nil
}

// extremeRow makes the row of Max or Min. The kernels do not let every NaN win, as ONNX
// wants, so rows that may hold one (their sum is one) go element by element.
func extremeRow(kernel func(dst, x, y []float32), largest bool) rowFunc[float32, float32] {
	exact := pairRow(numberPair[float32]("Min"))
	if largest {
		exact = pairRow(numberPair[float32]("Max"))
	}
	return func(dst, x, y []float32, ix, iy int) {
		n := len(dst)
		if ix == 0 {
			x, y, ix, iy = y, x, iy, ix
		}
		x, y = x[:(n-1)*ix+1], y[:(n-1)*iy+1]
		sum := kernels.SumRow(x) + kernels.SumRow(y)
		switch {
		case sum != sum || ix == 0:
			exact(dst, x, y, ix, iy)
		case iy == 1:
			kernel(dst, x, y)
		case largest:
			kernels.Activate(dst, x, kernels.Activation{Kind: kernels.ActClip, Alpha: y[0], Beta: float32(math.Inf(1))})
		default:
			kernels.Activate(dst, x, kernels.Activation{Kind: kernels.ActClip, Alpha: float32(math.Inf(-1)), Beta: y[0]})
		}
	}
}

func preluRow(dst, x, slope []float32, ix, iy int) {
	if ix == 1 && iy == 0 {
		kernels.Activate(dst, x[:len(dst)], kernels.Activation{Kind: kernels.ActLeakyRelu, Alpha: slope[0]})
		return
	}
	for i := range dst {
		v := x[i*ix]
		if v < 0 {
			v *= slope[i*iy]
		}
		dst[i] = v
	}
}

// comparison binds an operator that yields BOOL.
func comparison(op string) Binder {
	return widenedIntegers(func(b *Bind) (Run, error) {
		if b.In[1].DType != b.In[0].DType {
			return nil, b.errorf("no kernel for element types %v and %v", b.In[0].DType, b.In[1].DType)
		}
		switch dt := b.In[0].DType; dt {
		case tensor.F32:
			return bindRows(b, 2, pairRow(compare[float32](op)))
		case tensor.F64:
			return bindRows(b, 2, pairRow(compare[float64](op)))
		case tensor.F16, tensor.BF16:
			h, f := halfOf(dt), compare[float32](op)
			return bindRows(b, 4, pairRow(func(x, y uint16) bool { return f(h.from(x), h.from(y)) }))
		case tensor.BOOL:
			return bindRows(b, 2, pairRow(compare[uint8](op)))
		case tensor.I32:
			return bindRows(b, 2, pairRow(compare[int32](op)))
		case tensor.I64:
			return bindRows(b, 2, pairRow(compare[int64](op)))
		case tensor.U64:
			return bindRows(b, 2, pairRow(compare[uint64](op)))
		case tensor.STRING:
			if op == "Equal" {
				return bindRows(b, 2, pairRow(compare[uint64](op)))
			}
		}
		return nil, b.unsupportedType(b.In[0].DType)
	})
}

func compare[T number](op string) func(x, y T) bool {
	switch op {
	case "Equal":
		return func(x, y T) bool { return x == y }
	case "Less":
		return func(x, y T) bool { return x < y }
	case "LessOrEqual":
		return func(x, y T) bool { return x <= y }
	case "Greater":
		return func(x, y T) bool { return x > y }
	}
	return func(x, y T) bool { return x >= y }
}

func logic(f func(x, y uint8) uint8) Binder {
	return func(b *Bind) (Run, error) {
		if b.In[0].DType != tensor.BOOL || b.In[1].DType != tensor.BOOL {
			return nil, b.unsupportedType(b.In[0].DType)
		}
		return bindRows(b, 2, pairRow(f))
	}
}

// variadic binds an operator on any number of operands as a chain of one on two.
func variadic(op string) Binder {
	two := arithmetic(op)
	return func(b *Bind) (Run, error) {
		if len(b.In) == 1 {
			b.Alias(0, 0)
			return nil, nil
		}
		var runs []Run
		for i := 1; i < len(b.In); i++ {
			if !b.Has(i) {
				return nil, b.errorf("input %d is missing", i)
			}
			pair := newBind(b.Node, []*tensor.Tensor{b.In[0], b.In[i]}, b.Out, b.Pool, []bool{false, false}, b.scope)
			if i > 1 {
				pair.In[0] = b.Out[0] // every pair fills all of it
			}
			run, err := two(pair)
			if err != nil {
				return nil, err
			}
			b.scratch = append(b.scratch, pair.scratch...)
			runs = append(runs, run)
		}
		return func() error {
			for _, r := range runs {
				if err := r(); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
}

// bindMean binds the sum divided by the number of operands.
func bindMean(b *Bind) (Run, error) {
	n := float64(len(b.In))
	if n == 1 {
		b.Alias(0, 0)
		return nil, nil
	}
	sum, err := variadic("Add")(b)
	if err != nil {
		return nil, err
	}
	last := newBind(b.Node, b.Out[:1], b.Out[:1], b.Pool, []bool{false}, b.scope)
	scale, err := bindFloat(last, func(x float64) float64 { return x / n }, nil)
	if err != nil {
		return nil, err
	}
	return func() error {
		if err := sum(); err != nil {
			return err
		}
		return scale()
	}, nil
}
