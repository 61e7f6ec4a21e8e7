package picture

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/google/go-cmp/cmp"
)

func TestPreprocessFlag(t *testing.T) {
	for flag, want := range map[string]Preprocess{
		"gray":             {Gray: true},
		"scale=2":          {Scale: 2},
		"mean=1,2,3,std=4": {Mean: []float64{1, 2, 3}, Std: []float64{4}},
		"mean=103.53,116.28,123.675,std=57.375,57.12,58.395,order=bgr,resize=416,416:stretch,filter=bicubic": {
			Mean: []float64{103.53, 116.28, 123.675}, Std: []float64{57.375, 57.12, 58.395}, Order: "bgr",
			Width: 416, Height: 416, Fit: FitStretch, Filter: Bicubic,
		},
		"gray, mean=33.3, layout=NHWC":             {Gray: true, Mean: []float64{33.3}, Layout: "nhwc"},
		"resize=8,6":                               {Width: 8, Height: 6, Fit: FitStretch},
		"resize=8,6:letterbox,gray=false":          {Width: 8, Height: 6, Fit: FitLetterbox},
		"std=127.5,mean=127.5,resize=256,256:crop": {Width: 256, Height: 256, Fit: FitCrop, Mean: []float64{127.5}, Std: []float64{127.5}},
	} {
		got, err := ParsePreprocessFlag(flag)
		if err != nil {
			t.Errorf("%q: %v", flag, err)
			continue
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%q: %s", flag, diff)
		}
	}
}

func TestPreprocessFlagRefuses(t *testing.T) {
	for flag, part := range map[string]string{
		"":                  "no key=value",
		"224,224":           "no key=value",
		"size=3":            `unknown key "size"`,
		"mean=a":            "mean",
		"mean=1,2":          "not 2",
		"gray,mean=1,2,3":   "not 3",
		"std=0":             "must not be 0",
		"scale=NaN":         "finite",
		"mean=Inf":          "finite",
		"resize=224":        "needs a width and a height",
		"resize=224,x:crop": "resize",
		"resize=-1,5":       "out of range",
		"resize=99999,5":    "out of range",
		"resize=8,8:squash": `fit "squash"`,
		"order=grb":         `order "grb"`,
		"layout=chw":        `layout "chw"`,
		"filter=lanczos":    `filter "lanczos"`,
		"order=bgr,rgb":     "order",
		"scale=1,2":         "scale",
		"resize=8,8,9:crop": "resize",
		"mean=1,mean=2":     "mean",
	} {
		_, err := ParsePreprocessFlag(flag)
		var u *fault.Usage
		if !errors.As(err, &u) || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: error %v, want a usage error with %q", flag, err, part)
		}
	}
}

func TestPreprocessJSON(t *testing.T) {
	p, err := ParsePreprocess([]byte(`{"width":4,"height":4,"fit":"crop","gray":true,"mean":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Preprocess{Width: 4, Height: 4, Fit: FitCrop, Gray: true, Mean: []float64{1}}, *p); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "{", `{"widht":4}`, `{"fit":"squash"}`, `{"std":[0]}`, `{} {}`} {
		var f *fault.Format
		if _, err := ParsePreprocess([]byte(bad)); !errors.As(err, &f) {
			t.Errorf("%s: %v, want a format error", bad, err)
		}
	}
}

// TestTensorValues checks channel order, layout and arithmetic on a 2 x 1 image by hand.
func TestTensorValues(t *testing.T) {
	img := &RGB{W: 2, H: 1, Pix: []byte{10, 20, 30, 255, 0, 51}}
	for _, c := range []struct {
		name string
		p    Preprocess
		want []float32
	}{
		{"default", Preprocess{}, []float32{10. / 255, 1, 20. / 255, 0, 30. / 255, 51. / 255}},
		{"mean and std", Preprocess{Mean: []float64{10, 20, 30}, Std: []float64{5}}, []float32{0, 49, 0, -4, 0, 4.2}},
		{"bgr", Preprocess{Order: "bgr", Scale: 1}, []float32{30, 51, 20, 0, 10, 255}},
		{"bgr means are in the order's channels", Preprocess{Order: "bgr", Mean: []float64{30, 20, 10}}, []float32{0, 21, 0, -20, 0, 245}},
		{"nhwc", Preprocess{Layout: "nhwc", Scale: 1}, []float32{10, 20, 30, 255, 0, 51}},
		// 0.299*10+0.587*20+0.114*30 = 18.15; 0.299*255+0.114*51 = 82.06
		{"gray", Preprocess{Gray: true, Scale: 1}, []float32{18, 82}},
		{"scale after std", Preprocess{Mean: []float64{10}, Std: []float64{2}, Scale: 3}, []float32{0, 367.5, 15, -15, 30, 61.5}},
	} {
		got, placed, err := c.p.Tensor(img, 2, 1)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.Equal(got.F32(), c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got.F32(), c.want)
		}
		if (placed != Placed{ScaleX: 1, ScaleY: 1}) {
			t.Errorf("%s: placed %+v", c.name, placed)
		}
	}
}

// TestLumaAsPillow compares with Pillow's convert("L") on the pattern of 7 x 5.
func TestLumaAsPillow(t *testing.T) {
	want := []float32{43, 80, 117, 154, 191, 199, 86, 134, 178, 193, 87, 54, 98, 142, 196, 97, 71, 122, 173, 195, 96, 60, 118, 176, 205, 113, 94, 152, 151, 187, 102, 90, 155, 191, 106}
	got, _, err := (&Preprocess{Gray: true, Scale: 1}).Tensor(pattern(7, 5), 7, 5)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.F32(), want) {
		t.Errorf("got %v, want %v", got.F32(), want)
	}
}

func TestFit(t *testing.T) {
	img := pattern(40, 20)
	for _, c := range []struct {
		name         string
		p            Preprocess
		w, h         int // the model's
		wantW, wantH int
		placed       Placed
	}{
		{"stretch", Preprocess{Fit: FitStretch}, 10, 10, 10, 10, Placed{0.25, 0.5, 0, 0}},
		{"stretch to its own size", Preprocess{Fit: FitStretch, Width: 8, Height: 4}, 0, 0, 8, 4, Placed{0.2, 0.2, 0, 0}},
		{"letterbox", Preprocess{Fit: FitLetterbox}, 20, 20, 20, 20, Placed{0.5, 0.5, 0, 5}},
		// The short side becomes 10, then 8 x 8 are cut out of 20 x 10: 6 and 1 from the corner.
		{"crop", Preprocess{Fit: FitCrop, Width: 10, Height: 10}, 8, 8, 8, 8, Placed{0.5, 0.5, -6, -1}},
		{"none", Preprocess{}, 0, 0, 40, 20, Placed{1, 1, 0, 0}},
	} {
		got, placed, err := c.p.Tensor(img, c.w, c.h)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if want := []int{1, 3, c.wantH, c.wantW}; !slices.Equal(got.Shape, want) || placed != c.placed {
			t.Errorf("%s: shape %v placed %+v, want %v %+v", c.name, got.Shape, placed, want, c.placed)
		}
	}
	boxed, _, err := (&Preprocess{Fit: FitLetterbox, Scale: 1}).Tensor(img, 20, 20)
	if err != nil {
		t.Fatal(err)
	}
	if v := boxed.F32(); v[0] != letterboxGray || v[20*20-1] != letterboxGray || v[5*20] == letterboxGray {
		t.Errorf("letterbox: first row %v, first of the image %v", v[0], v[5*20])
	}
	var u *fault.Usage
	if _, _, err := (&Preprocess{}).Tensor(img, 28, 28); !errors.As(err, &u) || !strings.Contains(err.Error(), "resize=28,28") {
		t.Errorf("an image of the wrong size: %v", err)
	}
}
