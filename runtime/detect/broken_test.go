package detect

import (
	"errors"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// FuzzHead reads descriptions of heads and decodes outputs of any sizes with them.
func FuzzHead(f *testing.F) {
	f.Add([]byte(`{"kind":"gfl","width":8,"height":8,"classes":2,"bins":4,"levels":[{"stride":4,"scores":0,"distances":1}],"score_min":0.1,"iou_max":0.6,"max_boxes":10}`), 8, 64)
	f.Add([]byte(`{"kind":"gfl","width":65536,"height":65536,"classes":65536,"bins":65536,"levels":[{"stride":1,"scores":0,"distances":1}],"iou_max":0.6,"max_boxes":10}`), 0, 0)
	f.Fuzz(func(t *testing.T, b []byte, scores, distances int) {
		h, err := ParseHead(b)
		var format *fault.Format
		var unsupported *fault.Unsupported
		if err != nil {
			if !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Fatal(err)
			}
			return
		}
		out := []*tensor.Tensor{tensor.New(tensor.F32, scores&1023), tensor.New(tensor.F32, distances&4095), tensor.New(tensor.I64, 3)}
		for i := range out[0].F32() {
			out[0].F32()[i] = 1
		}
		boxes, err := h.Decode(out)
		if err == nil && len(boxes) > h.MaxBoxes {
			t.Fatalf("%d boxes, limit %d", len(boxes), h.MaxBoxes)
		}
		if err != nil && !errors.As(err, &format) {
			t.Fatal(err)
		}
	})
}

// TestHeadBounds: numbers that would take any time or wrap around are refused.
func TestHeadBounds(t *testing.T) {
	for _, s := range []string{
		`{"kind":"gfl","width":8,"height":8,"classes":2,"bins":4,"levels":[{"stride":4}],"iou_max":1,"max_boxes":-1}`,
		`{"kind":"gfl","width":8,"height":8,"classes":2,"bins":4,"levels":[{"stride":4}],"iou_max":1,"max_boxes":1000000}`,
		`{"kind":"gfl","width":4294967296,"height":4294967296,"classes":2,"bins":4,"levels":[{"stride":1}],"iou_max":1,"max_boxes":9}`,
		`{"kind":"gfl","width":8,"height":8,"classes":2,"bins":1,"levels":[{"stride":4}],"iou_max":1,"max_boxes":9}`,
	} {
		var format *fault.Format
		if _, err := ParseHead([]byte(s)); !errors.As(err, &format) {
			t.Errorf("%s: %v, want an error of form", s, err)
		}
	}
}
