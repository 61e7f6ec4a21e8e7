package vision

import (
	"errors"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// constantBoxes is a model whose outputs do not depend on the image but for 0 times its sum: a YOLOv8 head for 64 x 64 with 84 cells and a class.
func constantBoxes(cell int, box [5]float32) *model.Model {
	out := tensor.New(tensor.F32, 1, 5, 84)
	for i, v := range box {
		out.F32()[i*84+cell] = v
	}
	zero := tensor.New(tensor.F32, 1)
	g := &model.Graph{
		Inputs:  []model.Value{{Name: "image", Type: model.Type{DType: tensor.F32, Shape: model.Dims(1, 3, 64, 64)}}},
		Outputs: []model.Value{{Name: "out", Type: model.TypeOf(out)}},
		Init:    map[string]*tensor.Tensor{"boxes": out, "zero": zero},
		Nodes: []*model.Node{
			{Op: "ReduceSum", Name: "sum", Inputs: []string{"image"}, Outputs: []string{"sum"}, Attrs: model.Attrs{"keepdims": model.IntAttr(0)}},
			{Op: "Mul", Name: "none", Inputs: []string{"sum", "zero"}, Outputs: []string{"none"}, Attrs: model.Attrs{}},
			{Op: "Add", Name: "out", Inputs: []string{"boxes", "none"}, Outputs: []string{"out"}, Attrs: model.Attrs{}},
		},
	}
	return &model.Model{Graph: g, Assets: map[string][]byte{}}
}

// TestBoxesInTheImage maps a box of the model's input back to images of other shapes, by hand.
func TestBoxesInTheImage(t *testing.T) {
	for _, c := range []struct {
		prep string
		w, h int
		want [4]float32
	}{
		// Scaled by 1/2 and moved down by 16: y = (v - 16) * 2.
		{`{"fit":"letterbox"}`, 128, 64, [4]float32{40, 8, 56, 24}},
		{`{"fit":"stretch"}`, 128, 32, [4]float32{40, 10, 56, 14}},
		// Scaled by 2 to 128 x 64, the middle 64 columns taken: x = (v + 32) / 2.
		{`{"width":64,"height":64,"fit":"crop"}`, 64, 32, [4]float32{26, 10, 30, 14}},
	} {
		m := constantBoxes(7, [5]float32{24, 24, 8, 8, 0.9})
		m.Assets[model.AssetPreprocess] = []byte(c.prep)
		Recognize(m)
		if m.Meta.Task != model.TaskDetect {
			t.Fatal("the head is not recognized")
		}
		v, err := New(m, runtime.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		boxes, err := v.Boxes(t.Context(), gray(c.w, c.h))
		v.Close()
		if err != nil || len(boxes) != 1 {
			t.Fatalf("%s: %v, %v", c.prep, boxes, err)
		}
		b := boxes[0]
		for i, got := range [4]float32{b.X1, b.Y1, b.X2, b.Y2} {
			if math.Abs(float64(got-c.want[i])) > 1e-3 {
				t.Errorf("%s: the box is %+v, want %v", c.prep, b, c.want)
				break
			}
		}
	}
	// What lies in the letterbox's margin is no object.
	m := constantBoxes(7, [5]float32{24, 6, 8, 8, 0.9})
	m.Assets[model.AssetPreprocess] = []byte(`{"fit":"letterbox"}`)
	Recognize(m)
	v, err := New(m, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if boxes, err := v.Boxes(t.Context(), &picture.RGB{W: 128, H: 64, Pix: make([]byte, 3*128*64)}); err != nil || len(boxes) != 0 {
		t.Errorf("%v, %v", boxes, err)
	}
}

func TestSetHead(t *testing.T) {
	m := constantBoxes(0, [5]float32{})
	var usage *fault.Usage
	for _, bad := range []string{"yolov5", "retina"} {
		if err := SetHead(m, bad); !errors.As(err, &usage) {
			t.Errorf("%s: %v, want an error of usage", bad, err)
		}
	}
	var format *fault.Format
	if err := SetHead(m, `{"kind":"yolov8"}`); !errors.As(err, &format) {
		t.Errorf("%v, want an error of form", err)
	}
	if m.Assets[model.AssetDetector] != nil {
		t.Error("a refused head is kept")
	}
	if err := SetHead(m, `{"kind":"yolov8","width":64,"height":64,"classes":1,"rows":84,"score_min":0.5,"iou_max":0.5,"max_boxes":5}`); err != nil || m.Meta.Task != model.TaskDetect {
		t.Errorf("%v, task %s", err, m.Meta.Task)
	}
}
