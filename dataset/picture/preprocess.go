package picture

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Preprocess says how an image becomes a model's input. It is stored in the model as JSON. The zero
// value means: no resize, RGB divided by 255, NCHW.
type Preprocess struct {
	// Width and Height are the target of Fit; 0 = the model's input size.
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
	Fit    Fit    `json:"fit,omitempty"`
	Filter Filter `json:"filter,omitempty"`
	// Order is "rgb" (default) or "bgr"; Gray makes one channel (ITU-R 601 luma, as PIL).
	Order string `json:"order,omitempty"`
	Gray  bool   `json:"gray,omitempty"`
	// A channel's value is (v - Mean) / Std * Scale with v in 0..255; Mean and Std have one number, or one
	// a channel in Order. Without any of the three the value is v / 255.
	Mean  []float64 `json:"mean,omitempty"`
	Std   []float64 `json:"std,omitempty"`
	Scale float64   `json:"scale,omitempty"`
	// Layout is "nchw" (default) or "nhwc".
	Layout string `json:"layout,omitempty"`
}

// Fit says how an image of another shape is brought to the target size.
type Fit string

// The ways to fit.
const (
	FitNone      Fit = ""          // the image must have the model's size
	FitStretch   Fit = "stretch"   // both sides scaled on their own
	FitLetterbox Fit = "letterbox" // scaled to fit inside, the rest gray (114)
	FitCrop      Fit = "crop"      // scaled so that the short side fills the target, then the model's size cut from the centre
)

// letterboxGray is the padding that the YOLO family is trained with.
const letterboxGray = 114

// ParsePreprocess reads the JSON form.
func ParsePreprocess(b []byte) (*Preprocess, error) {
	var p Preprocess
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	err := dec.Decode(&p)
	if err == nil && dec.More() {
		err = errors.New("there is more after the object")
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return nil, fault.Formatf("pre-processing", "%v", err)
	}
	return &p, nil
}

// ParsePreprocessFlag reads the command line's form: keys and values with commas between, a value may
// be a list ("mean=1,2,3,std=4,resize=224,224:stretch,order=bgr,gray").
func ParsePreprocessFlag(s string) (*Preprocess, error) {
	var p Preprocess
	values := map[string][]string{}
	key := ""
	for _, tok := range strings.Split(s, ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(tok), "=")
		switch {
		case ok:
			key = k
			values[key] = append(values[key], v)
		case k == "gray":
			p.Gray = true
		case key == "":
			return nil, &fault.Usage{What: fmt.Sprintf("--preprocess: %q is no key=value", tok)}
		default:
			values[key] = append(values[key], k)
		}
	}
	for k, v := range values {
		if err := p.set(k, v); err != nil {
			return nil, &fault.Usage{What: "--preprocess: " + err.Error()}
		}
	}
	if err := p.check(); err != nil {
		return nil, &fault.Usage{What: "--preprocess: " + err.Error()}
	}
	return &p, nil
}

func (p *Preprocess) set(key string, v []string) error {
	if key != "mean" && key != "std" && key != "resize" && len(v) > 1 {
		return fmt.Errorf("%s has one value, not %d", key, len(v))
	}
	var err error
	switch key {
	case "mean":
		p.Mean, err = floats(v)
	case "std":
		p.Std, err = floats(v)
	case "scale":
		p.Scale, err = strconv.ParseFloat(v[0], 64)
	case "order":
		p.Order = v[0]
	case "layout":
		p.Layout = strings.ToLower(v[0])
	case "filter":
		p.Filter = Filter(v[0])
	case "gray":
		p.Gray, err = strconv.ParseBool(v[0])
	case "resize":
		if len(v) != 2 {
			return fmt.Errorf("resize=W,H:stretch|letterbox|crop needs a width and a height")
		}
		height, fit, _ := strings.Cut(v[1], ":")
		if fit == "" {
			fit = string(FitStretch)
		}
		p.Fit = Fit(fit)
		if p.Width, err = strconv.Atoi(v[0]); err == nil {
			p.Height, err = strconv.Atoi(height)
		}
	default:
		return fmt.Errorf("unknown key %q; the keys are mean, std, scale, order, resize, filter, layout, gray", key)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func floats(v []string) ([]float64, error) {
	out := make([]float64, len(v))
	for i, s := range v {
		var err error
		if out[i], err = strconv.ParseFloat(s, 64); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maxSide bounds a target size.
const maxSide = 1 << 14

func (p *Preprocess) check() error {
	one := func(name, v string, allowed ...string) error {
		for _, a := range allowed {
			if v == a {
				return nil
			}
		}
		return fmt.Errorf("%s %q: must be %s", name, v, strings.Join(allowed[1:], " or "))
	}
	for _, err := range []error{
		one("order", p.Order, "", "rgb", "bgr"),
		one("layout", p.Layout, "", "nchw", "nhwc"),
		one("filter", string(p.Filter), "", string(Bilinear), string(Bicubic)),
		one("fit", string(p.Fit), "", string(FitStretch), string(FitLetterbox), string(FitCrop)),
	} {
		if err != nil {
			return err
		}
	}
	if p.Width < 0 || p.Height < 0 || p.Width > maxSide || p.Height > maxSide {
		return fmt.Errorf("resize %d,%d is out of range", p.Width, p.Height)
	}
	for _, list := range [][]float64{p.Mean, p.Std} {
		if n := len(list); n != 0 && n != 1 && n != p.Channels() {
			return fmt.Errorf("mean and std have one number, or one for each of %d channels; not %d", p.Channels(), n)
		}
	}
	for _, s := range slices.Concat([]float64{p.Scale}, p.Std, p.Mean) {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("mean, std and scale must be finite")
		}
	}
	for _, s := range p.Std {
		if s == 0 {
			return fmt.Errorf("std must not be 0")
		}
	}
	return nil
}

// Channels returns 1 for gray, else 3.
func (p *Preprocess) Channels() int {
	if p.Gray {
		return 1
	}
	return 3
}

// Placed says where an image lies in the model's input: input = image * Scale + Offset.
type Placed struct{ ScaleX, ScaleY, OffsetX, OffsetY float32 }

// Tensor makes the input of a batch of one: F32 (1, C, H, W), or (1, H, W, C) if Layout says so. w and h
// are the model's input size, 0 if it takes any.
func (p *Preprocess) Tensor(img *RGB, w, h int) (*tensor.Tensor, Placed, error) {
	fitted, placed, err := p.fit(img, w, h)
	if err != nil {
		return nil, placed, err
	}
	c := p.Channels()
	shape := []int{1, c, fitted.H, fitted.W}
	if p.Layout == "nhwc" {
		shape = []int{1, fitted.H, fitted.W, c}
	}
	t := tensor.New(tensor.F32, shape...)
	p.fill(t.F32(), fitted)
	return t, placed, nil
}

// fit brings the image to the model's size.
func (p *Preprocess) fit(img *RGB, w, h int) (*RGB, Placed, error) {
	tw, th := p.Width, p.Height
	if tw == 0 || th == 0 {
		tw, th = w, h
	}
	if w == 0 || h == 0 {
		w, h = tw, th
	}
	place := Placed{ScaleX: 1, ScaleY: 1}
	// The model's size is what its graph declares, which may be anything.
	for _, side := range []int{tw, th, w, h} {
		if side < 0 || side > maxSide {
			return nil, place, fault.Formatf("pre-processing", "an image of %d x %d to resize to %d x %d; a side has at most %d pixels", w, h, tw, th, maxSide)
		}
	}
	var err error
	switch {
	case tw == 0 || p.Fit == FitNone:
	case p.Fit == FitStretch:
		place.ScaleX, place.ScaleY = float32(tw)/float32(img.W), float32(th)/float32(img.H)
		img, err = img.Resize(tw, th, p.Filter)
	case p.Fit == FitLetterbox:
		s := min(float64(tw)/float64(img.W), float64(th)/float64(img.H))
		nw, nh := max(1, int(math.Round(float64(img.W)*s))), max(1, int(math.Round(float64(img.H)*s)))
		place = Placed{float32(s), float32(s), float32((tw - nw) / 2), float32((th - nh) / 2)}
		if img, err = img.Resize(nw, nh, p.Filter); err == nil {
			box := &RGB{W: tw, H: th, Pix: make([]byte, 3*tw*th)}
			for i := range box.Pix {
				box.Pix[i] = letterboxGray
			}
			box.paste(img, (tw-nw)/2, (th-nh)/2)
			img = box
		}
	case p.Fit == FitCrop:
		// One side gets the target's size, the other is rounded to it, halves to even as Python rounds.
		s := max(float64(tw)/float64(img.W), float64(th)/float64(img.H))
		nw, nh := int(math.RoundToEven(float64(img.W)*s)), int(math.RoundToEven(float64(img.H)*s))
		if img, err = img.Resize(max(nw, 1), max(nh, 1), p.Filter); err == nil {
			x, y := centre(img.W, w), centre(img.H, h)
			place = Placed{float32(s), float32(s), float32(-x), float32(-y)}
			img = img.Crop(x, y, w, h)
		}
	}
	if err != nil {
		return nil, place, fault.Formatf("pre-processing", "%v", err)
	}
	if w != 0 && (img.W != w || img.H != h) {
		return nil, place, &fault.Usage{What: fmt.Sprintf("the image is %d x %d and the model takes %d x %d: convert the model with --preprocess resize=%d,%d:stretch (or letterbox, crop)",
			img.W, img.H, w, h, w, h)}
	}
	return img, place, nil
}

// centre is the offset of a cut of size n from the middle of size pixels.
func centre(size, n int) int { return (size - n) >> 1 }

// fill writes the pixels' values.
func (p *Preprocess) fill(dst []float32, img *RGB) {
	c := p.Channels()
	plane := img.W * img.H
	for ch := range c {
		var table [256]float32
		for v := range table {
			table[v] = p.value(v, ch)
		}
		src := ch
		if p.Order == "bgr" {
			src = 2 - ch
		}
		for i := range plane {
			px := img.Pix[3*i : 3*i+3]
			v := px[min(src, 2)]
			if p.Gray {
				v = luma(px)
			}
			if p.Layout == "nhwc" {
				dst[i*c+ch] = table[v]
			} else {
				dst[ch*plane+i] = table[v]
			}
		}
	}
}

// luma is PIL's conversion to gray: ITU-R 601 in 16-bit fixed point.
func luma(px []byte) byte {
	return byte((19595*int(px[0]) + 38470*int(px[1]) + 7471*int(px[2]) + 0x8000) >> 16)
}

// value is the input value of byte v in channel ch.
func (p *Preprocess) value(v, ch int) float32 {
	if p.Mean == nil && p.Std == nil && p.Scale == 0 {
		return float32(float64(v) / 255)
	}
	pick := func(list []float64, def float64) float64 {
		switch len(list) {
		case 0:
			return def
		case 1:
			return list[0]
		}
		return list[ch]
	}
	scale := p.Scale
	if scale == 0 {
		scale = 1
	}
	return float32((float64(v) - pick(p.Mean, 0)) / pick(p.Std, 1) * scale)
}
