package onnx

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// brokenModels are models with one defect each, by its name, and what the error must say.
func brokenModels() map[string]struct {
	data message
	want string
} {
	type entry = struct {
		data message
		want string
	}
	x, y := valueMsg("x", 1, 2), valueMsg("y", 1, 2)
	io := func(g graphSpec) graphSpec {
		g.inputs, g.outputs = []message{x}, []message{y}
		return g
	}
	relu := nodeMsg("Relu", "relu", []string{"x"}, []string{"y"})
	withInit := func(w message) message {
		return modelMsg(13, io(graphSpec{
			nodes: []message{nodeMsg("Add", "add", []string{"x", "w"}, []string{"y"})}, inits: []message{w},
		}))
	}
	deep := message(nil)
	for range 3 * maxDepth {
		deep = graphSpec{nodes: []message{nodeMsg("If", "", []string{"x"}, nil, attrGraph("then_branch", deep))}}.message()
	}
	return map[string]entry{
		"empty":                   {nil, "there is no graph"},
		"text":                    {message("this is not a model at all"), "field"},
		"no graph":                {message(nil).num(1, 8), "there is no graph"},
		"two graphs":              {modelMsg(13, io(graphSpec{nodes: []message{relu}})).bytes(7, graphSpec{}.message()), "two graphs"},
		"truncated":               {tiny()[:len(tiny())/2], "bytes are left"},
		"huge length":             {append(message(nil).num(1, 8), 0x3a, 0xff, 0xff, 0xff, 0xff, 0x7f), "bytes are left"},
		"overlong varint":         {message("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "broken number"},
		"wrong wire type":         {message(nil).str(1, "eight"), "wire type"},
		"deep nesting":            {modelMsg(13, graphSpec{nodes: []message{nodeMsg("If", "", nil, nil, attrGraph("then_branch", deep))}}), "nested more than"},
		"name not UTF-8":          {modelMsg(13, io(graphSpec{nodes: []message{nodeMsg("Relu", "\xff", []string{"x"}, []string{"y"})}})), "UTF-8"},
		"node without operator":   {modelMsg(13, io(graphSpec{nodes: []message{message(nil).str(1, "x").str(2, "y")}})), "operator's name is missing"},
		"undefined input":         {modelMsg(13, io(graphSpec{nodes: []message{nodeMsg("Relu", "relu", []string{"q"}, []string{"y"})}})), "input q is not defined"},
		"undefined output":        {modelMsg(13, io(graphSpec{})), "no node makes it"},
		"no outputs":              {modelMsg(13, graphSpec{nodes: []message{relu}, inputs: []message{x}}), "no outputs"},
		"value made twice":        {modelMsg(13, io(graphSpec{nodes: []message{relu, relu}})), "made twice"},
		"cycle":                   {modelMsg(13, io(graphSpec{nodes: []message{nodeMsg("Add", "a", []string{"x", "y"}, []string{"b"}), nodeMsg("Neg", "n", []string{"b"}, []string{"y"})}})), "depends on its own output"},
		"input without type":      {modelMsg(13, graphSpec{nodes: []message{relu}, inputs: []message{message(nil).str(1, "x")}, outputs: []message{y}}), "no type"},
		"attribute twice":         {modelMsg(13, io(graphSpec{nodes: []message{nodeMsg("LeakyRelu", "n", []string{"x"}, []string{"y"}, attrFloat("alpha", 1), attrFloat("alpha", 2))}})), "given twice"},
		"attribute without name":  {modelMsg(13, io(graphSpec{nodes: []message{nodeMsg("LeakyRelu", "n", []string{"x"}, []string{"y"}, attrFloat("", 1))}})), "no name"},
		"attribute without graph": {modelMsg(13, io(graphSpec{nodes: []message{nodeMsg("If", "n", []string{"x"}, []string{"y"}, message(nil).str(1, "then_branch").num(20, kindGraph))}})), "GRAPH is missing"},
		"shapes that contradict":  {withInit(tensorMsg("w", 1, float32s(1, 2, 3), 3)), "add"},
		"raw data too short":      {withInit(tensorMsg("w", 1, float32s(1), 2)), "raw data has 4"},
		"raw data too long":       {withInit(tensorMsg("w", 1, float32s(1, 2, 3), 2)), "raw data has 12"},
		"no data":                 {withInit(message(nil).num(1, 2).num(2, 1).str(8, "w")), "takes 8 bytes of values, has 0"},
		"huge shape":              {withInit(message(nil).num(1, 1<<40).num(2, 7).str(8, "w").num(7, 1)), "has 1 at most"},
		"shape overflow":          {withInit(message(nil).num(1, 1<<62).num(1, 1<<62).num(2, 1).str(8, "w")), "too many elements"},
		"negative dimension":      {withInit(message(nil).num(1, -2).num(2, 1).str(8, "w")), "dimension 0 is -2"},
		"rank 65":                 {withInit(message(nil).bytes(1, varintsOf(make([]int64, maxRank+1)...)).num(2, 1).str(8, "w")), "more than 64 values"},
		"unknown data type":       {withInit(tensorMsg("w", 99, nil, 0)), "unknown data type 99"},
		"no data type":            {withInit(message(nil).str(8, "w")), "no data type"},
		"value out of range":      {withInit(message(nil).num(1, 1).num(2, 2).str(8, "w").num(5, 256)), "out of the type's range"},
		"too few values":          {withInit(message(nil).num(1, 2).num(2, 7).str(8, "w").bytes(7, []byte{1, 0x80})), "takes 2 values, has 1"},
		"too many values":         {withInit(message(nil).num(1, 1).num(2, 7).str(8, "w").num(7, 1).num(7, 2)), "more than the 1 values"},
		"external in memory":      {withInit(message(nil).num(1, 1).num(2, 7).str(8, "w").num(14, 1).bytes(13, message(nil).str(1, "location").str(2, "w.bin"))), "not a file"},
		"opset 0":                 {modelMsg(0, io(graphSpec{nodes: []message{relu}})), "version 0"},
	}
}

func TestBroken(t *testing.T) {
	for name, c := range brokenModels() {
		t.Run(name, func(t *testing.T) {
			_, _, err := importBytes(c.data, Options{})
			var format *fault.Format
			if !errors.As(err, &format) {
				t.Fatalf("got %v, want a *fault.Format", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q is missing in %q", c.want, err)
			}
		})
	}
}

// TestBrokenOffset checks that errors of decoding say where, counted in the file.
func TestBrokenOffset(t *testing.T) {
	data := []byte(tiny())
	at := strings.Index(string(data), "conv.w") // an input of the first node
	data[at] = 0xff
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Import(context.Background(), path, Options{})
	var format *fault.Format
	if !errors.As(err, &format) || format.Offset != int64(at) || format.File != path {
		t.Errorf("got %v, want offset %d", err, at)
	}
}

// TestUnpackedAndSplitValues checks every way in which numbers can lie in a tensor.
func TestUnpackedAndSplitValues(t *testing.T) {
	base := func(dtype, n int64) message { return message(nil).num(1, n).num(2, dtype) }
	fixed64 := func(m message, v float64) message {
		return protowire.AppendFixed64(protowire.AppendTag(m, 10, protowire.Fixed64Type), uint64(v))
	}
	for name, c := range map[string]struct {
		m    message
		want []byte
	}{
		"I64 packed":         {base(7, 2).bytes(7, varintsOf(1, -1)), int64s(1, -1)},
		"I64 unpacked":       {base(7, 2).num(7, 1).num(7, -1), int64s(1, -1)},
		"I64 in pieces":      {base(7, 3).bytes(7, varintsOf(1)).num(7, 2).bytes(7, varintsOf(3)), int64s(1, 2, 3)},
		"I32":                {base(6, 1).num(5, -2), []byte{0xfe, 0xff, 0xff, 0xff}},
		"I16":                {base(5, 1).num(5, -2), []byte{0xfe, 0xff}},
		"U16":                {base(4, 1).num(5, 0xfffe), []byte{0xfe, 0xff}},
		"I8":                 {base(3, 2).bytes(5, varintsOf(-1, 127)), []byte{0xff, 0x7f}},
		"U8":                 {base(2, 2).bytes(5, varintsOf(255, 0)), []byte{0xff, 0}},
		"BOOL":               {base(9, 2).bytes(5, varintsOf(1, 0)), []byte{1, 0}},
		"BOOL raw":           {base(9, 3).bytes(9, []byte{0, 1, 255}), []byte{0, 1, 1}},
		"F16":                {base(10, 1).num(5, 0x3c00), []byte{0, 0x3c}},
		"BF16":               {base(16, 1).num(5, 0x3f80), []byte{0x80, 0x3f}},
		"U32":                {base(12, 1).num(11, 0xffffffff), []byte{255, 255, 255, 255}},
		"U64":                {base(13, 1).num(11, -1), int64s(-1)},
		"F32":                {base(1, 3).float(4, 1).bytes(4, float32s(2, 3)), float32s(1, 2, 3)},
		"F64":                {fixed64(base(11, 1), 0), make([]byte, 8)},
		"empty":              {base(1, 0), []byte{}},
		"scalar":             {message(nil).num(2, 1).float(4, 1), float32s(1)},
		"raw":                {base(1, 1).bytes(9, float32s(5)), float32s(5)},
		"raw of no elements": {base(1, 0).bytes(9, nil), []byte{}},
	} {
		r := newReader(c.m, "tensor")
		p := decodeTensor(r)
		if r.err != nil {
			t.Errorf("%s: %v", name, r.err)
			continue
		}
		got, err := (&sources{}).tensor(p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if string(got.Data) != string(c.want) || got.Data == nil {
			t.Errorf("%s: got % x, want % x", name, got.Data, c.want)
		}
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(tiny()))
	for _, c := range brokenModels() {
		if len(c.data) < 2000 {
			f.Add([]byte(c.data))
		}
	}
	f.Add(binary.LittleEndian.AppendUint64(nil, 7))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, _, err := importBytes(data, Options{})
		var format *fault.Format
		var unsupported *fault.Unsupported
		switch {
		case err == nil:
			if err := m.Graph.Check(); err != nil {
				t.Error(err)
			}
		case !errors.As(err, &format) && !errors.As(err, &unsupported):
			t.Errorf("unclassed error %v", err)
		}
	})
}
