package safetensors

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

func file(header string, elements int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), make([]byte, elements)...)
}

func TestReadHeader(t *testing.T) {
	entries, meta, err := ReadHeader(file(`{"__metadata__":{"a":"b"},"y":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[8,11]},
		"e":{"dtype":"F32","shape":[0,7],"data_offsets":[8,8]},"x":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},"s":{"dtype":"I64","shape":[],"data_offsets":[11,19]}} `, 19))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	if strings.Join(names, "") != "xeys" || meta["a"] != "b" || entries[2].DType != 0 || entries[3].Bytes != 8 {
		t.Errorf("%+v %v", entries, meta)
	}
}

func TestBrokenHeaders(t *testing.T) {
	huge := make([]byte, 64)
	binary.LittleEndian.PutUint64(huge, 1<<62)
	cut := file("{}", 0)
	binary.LittleEndian.PutUint64(cut, 1000)
	tensor := func(text string) string { return `{"w":` + text + `}` }
	for name, data := range map[string][]byte{
		"short":              {1, 2, 3},
		"header huge":        huge,
		"header cut off":     cut,
		"header no json":     file("hello", 0),
		"header array":       file("[]", 0),
		"header unclosed":    file(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, 4),
		"header doubled":     file(`{}{}`, 0),
		"header empty":       file(``, 0),
		"no dtype":           file(tensor(`{"shape":[1],"data_offsets":[0,4]}`), 4),
		"no shape":           file(tensor(`{"dtype":"F32","data_offsets":[0,4]}`), 4),
		"one offset":         file(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[0]}`), 4),
		"offsets backwards":  file(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[4,0]}`), 4),
		"offset negative":    file(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}`), 4),
		"offset outside":     file(tensor(`{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`), 4),
		"offset huge":        file(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[0,99999999999999999999]}`), 4),
		"size":               file(tensor(`{"dtype":"F32","shape":[2],"data_offsets":[0,4]}`), 4),
		"shape negative":     file(tensor(`{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}`), 4),
		"shape overflow":     file(tensor(`{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}`), 0),
		"shape wraps":        file(tensor(`{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}`), 0),
		"shape fraction":     file(tensor(`{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}`), 4),
		"rank":               file(tensor(`{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}`), 1),
		"hole":               file(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`), 8),
		"rest":               file(tensor(`{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`), 8),
		"overlap":            file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"same place":         file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
		"name twice":         file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"metadata no object": file(`{"__metadata__":3}`, 0),
	} {
		_, _, err := ReadHeader(data)
		var f *fault.Format
		if !errors.As(err, &f) || f.Offset < 0 {
			t.Errorf("%s: error %v is no *fault.Format with an offset", name, err)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add(encode(tinyTensors("F32"), 2))
	f.Add(file(`{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}`, 2))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _, err := ReadHeader(data)
		if err != nil {
			return
		}
		for _, e := range entries {
			_ = data[e.Offset : e.Offset+e.Bytes]
		}
	})
}
