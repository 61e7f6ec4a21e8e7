package eval

import (
	"math/rand/v2"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime/vision"
)

// Few images show a product few values where these are pooled or coarse: to a classifier behind a pool, 64 images give 64 rows, less than it has
// columns. Other views of the same images show more.
const (
	// probeViews is how many inputs the runs for statistics of activations have if there are fewer images, and viewsBytes what they take at most.
	probeViews = 256
	viewsBytes = 160 << 20
	// smallestView is the part of an image's sides that a view has at least.
	smallestView = 0.5
)

// addViews adds views of the images to the samples, where the model takes images of any size.
func (p *Probe) addViews(m *model.Model, d *dataset.Data) error {
	n := len(p.samples)
	if n == 0 || d.Kind() != dataset.Images && d.Kind() != dataset.Detection {
		return nil
	}
	in, prep, w, h, err := vision.Input(m)
	if err != nil || prep.Fit == picture.FitNone {
		return err
	}
	all := min(probeViews, viewsBytes/max(1, p.samples[0][in.Name].Bytes()))
	each := max(all-n, 0) / n
	for i := range n {
		if each == 0 {
			break
		}
		img, _, err := d.Image(i)
		if err != nil {
			return err
		}
		for number := range each {
			t, _, err := prep.Tensor(view(img, i, number), w, h)
			if err != nil {
				return err
			}
			p.samples, p.image = append(p.samples, sample{in.Name: t}), append(p.image, i)
		}
	}
	return nil
}

// view returns a part of the image in its proportions, mirrored every other time. Which part depends on the numbers of the image and of the view alone.
func view(img *picture.RGB, image, number int) *picture.RGB {
	r := rand.New(rand.NewPCG(uint64(image), uint64(number)))
	part := smallestView + float64((1-smallestView)*r.Float64())
	w, h := max(1, int(part*float64(img.W))), max(1, int(part*float64(img.H)))
	out := img.Crop(r.IntN(img.W-w+1), r.IntN(img.H-h+1), w, h)
	if number%2 == 1 {
		return out.Mirror()
	}
	return out
}
