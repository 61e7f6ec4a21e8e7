package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// addPreprocess reads preprocessor_config.json, which says how an image becomes pixel_values, and keeps it in the form that
// models carry (picture.Preprocess).
func (r *Report) addPreprocess(dir string, m *model.Model) error {
	const name = "preprocessor_config.json"
	data, err := readFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		r.warn("there is no %s: images must have the model's size, and their values are divided by 255", name)
		return nil
	}
	if err != nil {
		return err
	}
	c, err := readConfig(data)
	if err != nil {
		return fault.InFile(err, filepath.Join(dir, name))
	}
	p := c.preprocess()
	if err := c.err(); err != nil {
		return fault.InFile(err, filepath.Join(dir, name))
	}
	m.Assets[model.AssetPreprocess], err = json.Marshal(p)
	return err
}

// preprocess returns the pre-processing that the keys of an image processor stand for.
func (c *config) preprocess() map[string]any {
	p := map[string]any{}
	if c.flag("do_resize", true) {
		w, h, short := c.imageSize("size")
		p["width"], p["height"], p["fit"] = w, h, "stretch"
		if short || c.flag("do_center_crop", false) {
			p["fit"] = "crop"
		}
		switch filter := int(c.number("resample", 2)); filter { // PIL's numbers
		case 2:
			p["filter"] = "bilinear"
		case 3:
			p["filter"] = "bicubic"
		default:
			c.unsupported(fmt.Sprintf("resample %d", filter), "2 (bilinear) and 3 (bicubic) are known")
		}
	}
	unit := 1.0
	if c.flag("do_rescale", true) {
		unit = 1 / c.positive("rescale_factor", 1.0/255)
	}
	mean, std := c.channels("image_mean", 0.5), c.channels("image_std", 0.5)
	if !c.flag("do_normalize", true) {
		mean, std = []float64{0}, []float64{1}
	}
	for i := range mean {
		mean[i] *= unit
	}
	for i := range std {
		if !(std[i] > 0) {
			c.wrong = append(c.wrong, "image_std has an element that is not above 0")
			std[i] = 1
		}
		std[i] *= unit
	}
	p["mean"], p["std"] = mean, std
	return p
}

// imageSize reads the size to which images are brought: both sides, one number for both, or the shorter side.
func (c *config) imageSize(key string) (w, h int, short bool) {
	raw, ok := c.raw(key)
	var one int
	switch {
	case !ok:
		return 224, 224, false
	case json.Unmarshal(raw, &one) == nil:
		one = c.countOr(key, 224)
		return one, one, false
	}
	s := c.sub(key)
	if s == nil {
		return 0, 0, false
	}
	defer c.merge(key, s)
	if _, short = s.raw("shortest_edge"); short {
		one = s.countOr("shortest_edge", 224)
		return one, one, true
	}
	return s.count("width"), s.count("height"), false
}

// channels reads one number a channel.
func (c *config) channels(key string, def float64) []float64 {
	v := []float64{def, def, def}
	c.get(key, &v, "a list of numbers")
	if len(v) == 0 {
		c.wrong = append(c.wrong, key+" is empty")
		v = []float64{def}
	}
	return v
}
