package distill

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strings"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime/vision"
)

// Pattern is what untrained students are made after: inputs, classes and assets of a teacher, or of the data.
type Pattern struct {
	Target Target
	Assets map[string][]byte
	lm     *model.LMInfo
}

// PatternOfModel takes the pattern from a teacher.
func PatternOfModel(m *model.Model) (*Pattern, error) {
	p := &Pattern{Assets: map[string][]byte{}}
	for _, name := range studentAssets {
		if b := m.Assets[name]; b != nil {
			p.Assets[name] = b
		}
	}
	if m.Meta.LM != nil {
		p.lm = m.Meta.LM
		p.Target.Vocab, p.Target.Context = p.lm.VocabSize, p.lm.ContextLength
		return p, nil
	}
	var err error
	if p.Target.Classes, err = classesOf(m); err != nil {
		return nil, err
	}
	_, prep, w, h, err := vision.Input(m)
	if err != nil {
		return nil, err
	}
	p.Target.Channels, p.Target.Height, p.Target.Width = prep.Channels(), h, w
	return p, nil
}

// statisticsImages is how many pictures the mean and deviation of a channel are taken from.
const statisticsImages = 2000

// PatternOfData takes the pattern from labelled pictures: their size, whether they are gray, and for the pre-processing the mean and
// deviation of each channel.
func PatternOfData(d *dataset.Data) (*Pattern, error) {
	if d.Kind() != dataset.Images || !d.Labelled() {
		return nil, &fault.Usage{What: fmt.Sprintf("%s is %s: without a teacher an untrained student learns from labelled images alone", d.Name(), d.Kind())}
	}
	var sum, square [3]float64
	var w, h, classes, pixels int
	gray := true
	for i := range d.Len() {
		if i >= statisticsImages && len(d.Classes()) > 0 {
			break
		}
		img, label, err := d.Image(i)
		if err != nil {
			return nil, err
		}
		classes = max(classes, label+1)
		if i >= statisticsImages {
			continue
		}
		if i > 0 && (img.W != w || img.H != h) {
			return nil, &fault.Usage{What: fmt.Sprintf("the pictures of %s are of different sizes, as %dx%d and %dx%d: an untrained student needs one size, or a teacher whose size it takes",
				d.Name(), w, h, img.W, img.H)}
		}
		w, h = img.W, img.H
		for at := 0; at < len(img.Pix); at += 3 {
			px := img.Pix[at : at+3]
			gray = gray && px[0] == px[1] && px[1] == px[2]
			for c, v := range px {
				sum[c] += float64(v)
				square[c] += float64(v) * float64(v)
			}
		}
		pixels += len(img.Pix) / 3
	}
	if classes = max(classes, len(d.Classes())); classes < 2 {
		return nil, &fault.Usage{What: fmt.Sprintf("the pictures of %s are all of one class: there is nothing to learn", d.Name())}
	}
	prep := &picture.Preprocess{Gray: gray}
	channels := 3
	if gray {
		channels = 1
	}
	for c := range channels {
		mean := sum[c] / float64(pixels)
		deviation := math.Sqrt(max(square[c]/float64(pixels)-mean*mean, 1))
		// Rounded, so that the numbers do not depend on the order of a sum.
		prep.Mean = append(prep.Mean, math.Round(mean*100)/100)
		prep.Std = append(prep.Std, math.Round(deviation*100)/100)
	}
	b, err := json.Marshal(prep)
	if err != nil {
		return nil, err
	}
	p := &Pattern{Target: Target{Channels: channels, Height: h, Width: w, Classes: classes},
		Assets: map[string][]byte{model.AssetPreprocess: b}}
	if names := d.Classes(); names != nil {
		p.Assets[model.AssetLabels] = []byte(strings.Join(names, "\n") + "\n")
	}
	return p, nil
}

// Student builds an untrained student from a description (see FromSpec).
func (p *Pattern) Student(spec string, seed uint64) (*model.Model, error) {
	t := p.Target
	t.Seed = seed
	m, err := FromSpec(spec, t)
	if err != nil {
		return nil, err
	}
	maps.Copy(m.Assets, p.Assets)
	if p.lm != nil && m.Meta.LM != nil {
		info := *p.lm
		info.VocabSize, info.ContextLength = m.Meta.LM.VocabSize, m.Meta.LM.ContextLength
		m.Meta.LM = &info
	}
	return m, nil
}

// Fitting returns the description of the largest student of the pattern's kind whose weights take at most so many bytes at a width: a
// decoder that narrows with its layers, or stages of convolutions with residuals, each twice as wide as the one before.
func (p *Pattern) Fitting(bytes int64, bits int) (string, error) {
	limit := bytes * 8 / int64(bits)
	best := ""
	consider := func(spec string) (bool, error) {
		n, err := parametersOf(spec, p.Target)
		if err != nil {
			return false, err
		}
		if n > limit {
			return false, nil
		}
		best = spec
		return true, nil
	}
	for size := 1; size < 512; size++ {
		var spec string
		if p.lm != nil {
			spec = fmt.Sprintf("llama hidden=%d layers=%d", 32*size, max(2, min(2*size, 12)))
		} else {
			// As many halvings as leave pictures of about 8 pixels a side.
			stages := max(1, int(math.Log2(float64(min(p.Target.Height, p.Target.Width))/8))+1)
			var widths []string
			for i := range stages {
				widths = append(widths, fmt.Sprint(4*size<<i))
			}
			spec = fmt.Sprintf("conv %s x2 res", strings.Join(widths, ","))
		}
		fits, err := consider(spec)
		if err != nil {
			return "", err
		}
		if !fits {
			break
		}
	}
	if best == "" {
		return "", &fault.Gate{What: fmt.Sprintf("no student of this kind fits %d bytes at %d bits a weight", bytes, bits)}
	}
	return best, nil
}
