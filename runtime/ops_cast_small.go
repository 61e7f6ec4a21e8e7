package runtime

import "github.com/dsk-toolkit/dsk/tensor"

// Casts from and to the types of at most 8 bits: by a table of the 256 codes, and by rounding a float32.

// castFromSmall binds a cast of a small type.
func castFromSmall(b *Bind) (Run, error) {
	table := tensor.DecodeSmall(b.In[0].DType)
	switch to := b.Out[0].DType; to {
	case tensor.F32:
		return castTable(b, table, func(v float32) float32 { return v }), nil
	case tensor.F64:
		return castTable(b, table, castNumber[float32, float64]), nil
	case tensor.I8:
		return castTable(b, table, castNumber[float32, int8]), nil
	case tensor.U8:
		return castTable(b, table, castNumber[float32, uint8]), nil
	case tensor.I16:
		return castTable(b, table, castNumber[float32, int16]), nil
	case tensor.U16:
		return castTable(b, table, castNumber[float32, uint16]), nil
	case tensor.I32:
		return castTable(b, table, castNumber[float32, int32]), nil
	case tensor.U32:
		return castTable(b, table, castNumber[float32, uint32]), nil
	case tensor.I64:
		return castTable(b, table, castNumber[float32, int64]), nil
	case tensor.U64:
		return castTable(b, table, castNumber[float32, uint64]), nil
	case tensor.BOOL:
		return castTable(b, table, func(v float32) bool { return v != 0 }), nil
	case tensor.F16, tensor.BF16:
		return castTable(b, table, halfOf(to).to), nil
	default:
		if to.IsSmall() {
			return castTable(b, table, b.smallCode(to)), nil
		}
		return nil, b.unsupportedType(to)
	}
}

// castTable binds y = f(table[x]), computed once for each code.
func castTable[D tensor.Element](b *Bind, table [256]float32, f func(float32) D) Run {
	var codes [256]D
	for i, v := range table {
		codes[i] = f(v)
	}
	return mapElements(b, 1, func(u uint8) D { return codes[u] })
}

// castToSmall binds a cast to a small type. Integers lose their high bits; floats become integers towards zero first.
func castToSmall[S number](b *Bind) Run {
	to := b.Out[0].DType
	var one S = 1
	if isWhole := one/2 == 0; isWhole && b.smallInt(to) {
		return mapElements(b, 2, func(x S) uint8 { return tensor.WrapSmall(to, uint8(x)) })
	}
	code := b.smallCode(to)
	return mapElements(b, 8, func(x S) uint8 { return code(toOdd(float64(x))) })
}

func (b *Bind) smallInt(dt tensor.DType) bool {
	return dt == tensor.I4 || dt == tensor.U4 || dt == tensor.I2 || dt == tensor.U2
}

// smallCode returns how a number becomes an element of a small type, as the node's attributes saturate and
// round_mode say.
func (b *Bind) smallCode(to tensor.DType) func(float32) uint8 {
	saturate := b.Node.Int("saturate", 1) != 0
	switch {
	case b.smallInt(to):
		return func(x float32) uint8 { return tensor.WrapSmall(to, uint8(castNumber[float32, int32](x))) }
	case to == tensor.F8E8M0:
		return tensor.EncodePower(b.Node.Str("round_mode", tensor.RoundUp), saturate)
	}
	return tensor.EncodeSmall(to, saturate)
}
