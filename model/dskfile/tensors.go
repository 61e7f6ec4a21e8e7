package dskfile

import (
	"fmt"
	"unsafe"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TensorInfo says where a tensor lies.
type TensorInfo struct {
	Name   string
	Tensor *tensor.Tensor
	// Offset counts from the start of the data region.
	Offset, Bytes int64
}

// checkTensor returns the size of a tensor that can be stored.
func checkTensor(t *tensor.Tensor) (int, error) {
	if t == nil {
		return 0, fmt.Errorf("no tensor")
	}
	if len(t.Shape) > MaxRank {
		return 0, fmt.Errorf("%d dimensions, limit %d", len(t.Shape), MaxRank)
	}
	size, err := tensor.ByteSize(t.DType, t.Shape, t.Layout)
	if err != nil {
		return 0, err
	}
	if t.DType.IsQuantized() != (t.Levels != nil) {
		return 0, fmt.Errorf("%v: levels do not fit the element type", t)
	}
	if t.Levels != nil {
		if err := t.Levels.Check(t.DType.Format()); err != nil {
			return 0, err
		}
	}
	if !t.IsDeferred() && len(t.Data) != size {
		return 0, fmt.Errorf("%v takes %d bytes, has %d", t, size, len(t.Data))
	}
	return size, nil
}

// useOrder returns the names of g's initializers in the order in which a run needs them:
// nodes in order, a node's inputs before its subgraphs; then graph outputs, then the
// rest by name.
func useOrder(g *model.Graph) []string {
	order := make([]string, 0, len(g.Init))
	seen := make(map[string]bool, len(g.Init))
	use := func(name string) {
		if _, ok := g.Init[name]; ok && !seen[name] {
			seen[name] = true
			order = append(order, name)
		}
	}
	var walk func(*model.Graph)
	walk = func(sub *model.Graph) {
		for _, n := range sub.Nodes {
			for _, in := range n.Inputs {
				use(in)
			}
			for _, s := range n.Subgraphs() {
				walk(s)
			}
		}
		for _, out := range sub.Outputs {
			use(out.Name)
		}
	}
	walk(g)
	for _, name := range sortedKeys(g.Init) {
		use(name)
	}
	return order
}

// placeTensors lays out the data region.
func placeTensors(g *model.Graph) (table []TensorInfo, dataBytes int64, err error) {
	for _, name := range useOrder(g) {
		t := g.Init[name]
		size, err := checkTensor(t)
		if err != nil {
			return nil, 0, fmt.Errorf("tensor %s: %w", name, err)
		}
		table = append(table, TensorInfo{name, t, dataBytes, int64(size)})
		dataBytes = align(dataBytes+int64(size), LineBytes)
	}
	return table, dataBytes, nil
}

// encodeTensors returns the text of TENS.
func encodeTensors(table []TensorInfo) ([]byte, error) {
	e := &encoder{}
	list(e, table, func(i TensorInfo) {
		e.open('{')
		e.field("name", i.Name)
		e.tensorType(i.Tensor)
		e.key("offset")
		e.int(i.Offset)
		e.key("bytes")
		e.int(i.Bytes)
		e.close('}')
	})
	return e.b, e.err
}

// tensorType writes the members that say what a tensor's bytes mean.
func (e *encoder) tensorType(t *tensor.Tensor) {
	e.field("dtype", t.DType.String())
	if t.Layout != tensor.RowMajor {
		e.field("layout", t.Layout.String())
	}
	e.key("shape")
	list(e, t.Shape, func(n int) { e.int(int64(n)) })
	if t.Levels == nil {
		return
	}
	if n := levelCount(t.DType); n > 0 {
		e.key("levels")
		list(e, t.Levels.Code[:n], func(l uint8) { e.int(int64(l)) })
	}
	if t.Levels.Shift != 0 {
		e.key("shift")
		e.int(int64(t.Levels.Shift))
	}
}

// levelCount returns how many levels a type's table has.
func levelCount(dt tensor.DType) int {
	if !dt.IsQuantized() || dt == tensor.D8 {
		return 0
	}
	return 1 << dt.Format().Bits()
}

// decodeTensors reads the text of TENS; the tensors have no Data yet.
func decodeTensors(text, where string, dataBytes int64, mem *ledger) ([]TensorInfo, error) {
	d := &decoder{text: text, where: where, mem: mem}
	var table []TensorInfo
	var end int64
	for i := range d.array() {
		if i == MaxTensors {
			d.fail("more than %d tensors", MaxTensors)
			break
		}
		info := d.tensorInfo()
		if d.err != nil {
			break
		}
		if info.Offset != end || info.Bytes > dataBytes-end {
			d.fail("%d bytes at offset %d of the data, expected offset %d of %d", info.Bytes, info.Offset, end, dataBytes)
			break
		}
		end = align(end+info.Bytes, LineBytes)
		table = push(d, table, info)
	}
	d.end()
	if d.err == nil && end != dataBytes {
		d.fail("tensors end at %d, the data region at %d", end, dataBytes)
	}
	if d.err != nil {
		return nil, d.err
	}
	return table, nil
}

func (d *decoder) tensorInfo() (info TensorInfo) {
	t := &tensor.Tensor{}
	d.levels = false
	d.charge(1, unsafe.Sizeof(*t))
	info.Tensor = t
	for key := range d.object("name", "dtype", "layout", "shape", "levels", "shift", "offset", "bytes") {
		switch key {
		case "name":
			info.Name = d.name()
		case "offset":
			info.Offset = int64(d.size())
		case "bytes":
			info.Bytes = int64(d.size())
		default:
			d.tensorType(t, key)
		}
	}
	size := d.checkedSize(t)
	switch {
	case info.Name == "":
		d.fail("tensor without a name")
	case int64(size) != info.Bytes:
		d.fail("takes %d bytes, states %d", size, info.Bytes)
	}
	if d.err != nil {
		d.err.Where += ", tensor " + quote(info.Name)
	}
	return info
}

// tensorType reads one of the members that say what a tensor's bytes mean.
func (d *decoder) tensorType(t *tensor.Tensor, key string) {
	switch key {
	case "dtype":
		t.DType = d.dtype()
		if t.DType.IsQuantized() && d.charge(1, unsafe.Sizeof(kernels.Levels{})) {
			t.Levels = &kernels.Levels{}
		}
	case "layout":
		l, err := tensor.ParseLayout(quoted(d.name()))
		if err != nil && d.err == nil {
			d.fail("%v", err)
		}
		t.Layout = l
	case "shape":
		t.Shape = d.shape()
	case "levels":
		n := levelCount(t.DType)
		found := 0
		d.levels = true
		for i := range d.array() {
			l := d.integer()
			if i >= n || l < 0 || l > kernels.MaxLevel {
				d.fail("invalid levels of %v", t.DType)
				return
			}
			t.Levels.Code[i] = uint8(l)
			found++
		}
		if found != n || n == 0 {
			d.fail("%d levels of %v, want %d", found, t.DType, n)
		}
	case "shift":
		s := d.integer()
		if t.Levels == nil || s != int64(int8(s)) {
			d.fail("invalid level shift")
			return
		}
		t.Levels.Shift = int8(s)
	}
}

// checkedSize returns the size of a tensor whose type has been read.
func (d *decoder) checkedSize(t *tensor.Tensor) int {
	if d.err != nil {
		return 0
	}
	if t.Shape == nil {
		d.fail("tensor without a shape")
		return 0
	}
	if t.DType == tensor.STRING || t.DType.Holds() {
		d.fail("a tensor of %v: strings are attributes", t.DType)
		return 0
	}
	if levelCount(t.DType) > 0 && !d.levels {
		d.fail("%v tensor without levels", t.DType)
		return 0
	}
	size, err := tensor.ByteSize(t.DType, t.Shape, t.Layout)
	if err == nil && t.Levels != nil {
		err = t.Levels.Check(t.DType.Format())
	}
	if err != nil {
		d.fail("%v", err)
		return 0
	}
	return size
}

func (d *decoder) dtype() tensor.DType {
	dt, err := tensor.ParseDType(quoted(d.name()))
	if err != nil && d.err == nil {
		d.fail("%v", err)
	}
	return dt
}

// quoted cuts a word that will stand in an error message.
func quoted(s string) string { return s[:min(len(s), 40)] }
