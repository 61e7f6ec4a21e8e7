package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// smallTensor is the size in bytes up to which a misaligned tensor is copied at once:
// these are the shapes, axes and scalars that inference and folding read.
const smallTensor = 16 << 10

// elemU8 is ONNX's number of uint8.
const elemU8 = 2

var dtypeNames = [...]string{
	"UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16",
	"DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ",
	"FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4", "INT4", "FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2",
}

func dtypeName(code int) string {
	if code > 0 && code < len(dtypeNames) {
		return dtypeNames[code]
	}
	return "data type " + strconv.Itoa(code)
}

// unsupportedType is the error of a tensor whose element type dsk does not have.
type unsupportedType struct{ what string }

func (e *unsupportedType) Error() string { return "unsupported " + e.what }

// sources are the files beside the model: external data by location.
type sources struct {
	dir    string // of the model; "" while there is none, as for bytes in memory
	opened map[string]*tensor.Mapping
	order  []string
}

func (s *sources) close() error {
	var errs []error
	for _, m := range s.opened {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// open maps the file that external data names, relative to the model.
func (s *sources) open(location string) (*tensor.Mapping, error) {
	if m := s.opened[location]; m != nil {
		return m, nil
	}
	local := filepath.FromSlash(location)
	if !filepath.IsLocal(local) {
		return nil, fmt.Errorf("external data %q lies outside of the model's folder", location)
	}
	if s.dir == "" {
		return nil, fmt.Errorf("external data %q of a model that is not a file", location)
	}
	m, err := tensor.Map(filepath.Join(s.dir, local))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the external data file %q is missing beside the model", location)
	}
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	if s.opened == nil {
		s.opened = map[string]*tensor.Mapping{}
	}
	s.opened[location] = m
	s.order = append(s.order, location)
	return m, nil
}

// tensor makes a tensor of t. Its bytes are a view of the file where t has raw or
// external data; a copy where the values were packed otherwise, or are few and misaligned.
func (s *sources) tensor(t *protoTensor) (*tensor.Tensor, error) {
	broken := func(at int, format string, args ...any) error {
		return &fault.Format{Offset: int64(at), Where: "tensor " + t.name, Why: fmt.Sprintf(format, args...)}
	}
	dt, err := model.ElemType(int64(t.dtype))
	ok := err == nil
	switch {
	case t.dtype == 0:
		return nil, broken(t.offset, "it has no data type")
	case !ok && t.dtype > 0 && t.dtype < len(dtypeNames):
		return nil, &unsupportedType{dtypeName(t.dtype) + " tensor"}
	case !ok:
		return nil, broken(t.offset, "unknown data type %d", t.dtype)
	case t.segment:
		return nil, &unsupportedType{"segmented tensor"}
	}
	shape := make([]int, len(t.dims))
	for i, d := range t.dims {
		if d < 0 || int64(int(d)) != d {
			return nil, broken(t.offset, "dimension %d is %d", i, d)
		}
		shape[i] = int(d)
	}
	size, err := tensor.ByteSize(dt, shape, tensor.RowMajor)
	if err != nil {
		return nil, broken(t.offset, "%v", err)
	}
	if dt.IsSmall() {
		// The bytes of the file are read as U8, by all the ways that a tensor can be stored in.
		bytes := *t
		bytes.dtype, bytes.dims = elemU8, []int64{int64(tensor.PackedBytes(dt, size))}
		packed, err := s.tensor(&bytes)
		if err != nil {
			return nil, err
		}
		out := tensor.Deferred(dt, shape, tensor.RowMajor, nil, func(dst []byte) error {
			tensor.UnpackSmall(dt, dst, packed.Data)
			return nil
		})
		if size <= smallTensor {
			return out, out.Load()
		}
		return out, nil
	}
	if dt == tensor.STRING {
		if len(t.strings)*dt.Size() != size {
			return nil, broken(t.offset, "%v%v has %d strings", dt, shape, len(t.strings))
		}
		values := make([]string, len(t.strings))
		for i, s := range t.strings {
			values[i] = string(s)
		}
		return tensor.FromStrings(values, shape...), nil
	}
	var data []byte
	switch {
	case t.location == 1:
		if data, err = s.external(t, size); err != nil {
			var format *fault.Format
			if errors.As(err, &format) {
				return nil, err
			}
			return nil, &fault.Format{
				Offset: int64(t.offset), Where: "tensor " + t.name, Why: err.Error(),
				Next: "keep the model and its data files together, as they came",
			}
		}
	case t.hasRaw:
		if len(t.raw) != size {
			return nil, broken(t.rawAt, "%v%v takes %d bytes, but raw data has %d", dt, shape, size, len(t.raw))
		}
		data = t.raw
	default:
		if data, err = t.values(dt, size); err != nil {
			return nil, broken(t.offset, "%v%v: %v", dt, shape, err)
		}
	}
	out := &tensor.Tensor{DType: dt, Shape: shape, Data: data}
	if size == 0 {
		out.Data = []byte{}
		return out, nil
	}
	if dt == tensor.BOOL {
		out.Data = cleanBools(data)
	}
	if size <= smallTensor {
		out = out.Align()
	}
	return out, nil
}

// cleanBools returns data with every value but 0 made 1, which is what Go needs of a
// bool; it copies only if there is something to change.
func cleanBools(data []byte) []byte {
	for i, b := range data {
		if b <= 1 {
			continue
		}
		out := tensor.AlignedBytes(len(data))
		copy(out, data[:i])
		for j, b := range data[i:] {
			if b != 0 {
				out[i+j] = 1
			}
		}
		return out
	}
	return data
}

// external returns the bytes of external data, without a copy.
func (s *sources) external(t *protoTensor, size int) ([]byte, error) {
	location, offset, length := "", uint64(0), uint64(size)
	for _, e := range t.external {
		var err error
		switch e.key {
		case "location":
			location = e.value
		case "offset":
			offset, err = strconv.ParseUint(e.value, 10, 63)
		case "length":
			length, err = strconv.ParseUint(e.value, 10, 63)
		}
		if err != nil {
			return nil, fmt.Errorf("external data: %s is %q, not a number", e.key, e.value)
		}
	}
	switch {
	case location == "":
		return nil, errors.New("external data names no file")
	case length != uint64(size):
		return nil, fmt.Errorf("the tensor takes %d bytes, but its external data has %d", size, length)
	case size == 0:
		return nil, nil
	}
	m, err := s.open(location)
	if err != nil {
		return nil, err
	}
	have := uint64(len(m.Data))
	if offset > have || length > have-offset {
		return nil, fmt.Errorf("external data %q ends at byte %d, but the tensor needs bytes %d to %d", location, have, offset, offset+length)
	}
	return m.Data[offset : offset+length : offset+length], nil
}

// values converts typed data fields to size bytes in row-major order.
func (t *protoTensor) values(dt tensor.DType, size int) ([]byte, error) {
	fixed := func(p packed) ([]byte, error) {
		if len(p.data) != size {
			return nil, fmt.Errorf("takes %d bytes of values, has %d", size, len(p.data))
		}
		return p.data, nil
	}
	elem := dt.Size()
	switch dt {
	case tensor.F32:
		return fixed(t.floats)
	case tensor.F64:
		return fixed(t.doubles)
	case tensor.I64:
		return varints(t.int64s.data, size, elem, math.MinInt64, math.MaxInt64)
	case tensor.U64:
		return varints(t.uint64s.data, size, elem, math.MinInt64, math.MaxInt64)
	case tensor.U32:
		return varints(t.uint64s.data, size, elem, 0, math.MaxUint32)
	case tensor.I32:
		return varints(t.int32s.data, size, elem, math.MinInt32, math.MaxUint32)
	case tensor.I16:
		return varints(t.int32s.data, size, elem, math.MinInt16, math.MaxInt16)
	case tensor.I8:
		return varints(t.int32s.data, size, elem, math.MinInt8, math.MaxInt8)
	case tensor.U8:
		return varints(t.int32s.data, size, elem, 0, math.MaxUint8)
	case tensor.BOOL:
		return varints(t.int32s.data, size, elem, 0, 1)
	default: // U16, and the bits of F16 and BF16
		return varints(t.int32s.data, size, elem, 0, math.MaxUint16)
	}
}

// varints converts packed varints in [lo, hi] to little-endian numbers of elem bytes.
func varints(data []byte, size, elem int, lo, hi int64) ([]byte, error) {
	// A varint has at least a byte: a false shape cannot make us allocate much.
	if size/elem > len(data) {
		return nil, fmt.Errorf("takes %d values, has %d at most", size/elem, len(data))
	}
	out := tensor.AlignedBytes(size)
	for i := 0; i < size; i += elem {
		u, n := protowire.ConsumeVarint(data)
		if n < 0 {
			return nil, fmt.Errorf("takes %d values, has %d", size/elem, i/elem)
		}
		data = data[n:]
		if v := int64(u); v < lo || v > hi {
			return nil, fmt.Errorf("value %d is %d, out of the type's range", i/elem, v)
		}
		switch elem {
		case 1:
			out[i] = byte(u)
		case 2:
			binary.LittleEndian.PutUint16(out[i:], uint16(u))
		case 4:
			binary.LittleEndian.PutUint32(out[i:], uint32(u))
		default:
			binary.LittleEndian.PutUint64(out[i:], u)
		}
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("has more than the %d values it takes", size/elem)
	}
	return out, nil
}

// misaligned reports whether View of t would panic.
func misaligned(t *tensor.Tensor) bool {
	if len(t.Data) == 0 || t.DType.Size() == 0 {
		return false
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(t.Data)))%uintptr(t.DType.Size()) != 0
}
