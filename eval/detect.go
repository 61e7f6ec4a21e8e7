package eval

import (
	"context"
	"maps"
	"slices"
	"sort"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime/detect"
)

// iouMatch is the overlap from which a found box counts as the object: the 50 of mAP50.
const iouMatch = 0.5

// runDetect measures mAP50 against the labelled boxes. With a reference, that of the reference and the outputs' relative error too.
func runDetect(ctx context.Context, m *model.Model, d *dataset.Data, ref *model.Model, o Options) (*Report, error) {
	v, err := newPair(m, ref, o)
	if err != nil {
		return nil, err
	}
	defer v.close()
	n := limited(d.Len(), o.Limit)
	found, refFound := make([][]detect.Box, n), make([][]detect.Box, n)
	truth := make([][]dataset.Box, n)
	var cmp comparison
	for i := range n {
		o.progress(i, n)
		img, _, err := d.Image(i)
		if err != nil {
			return nil, err
		}
		out, want, placed, err := v.run(ctx, img)
		if err != nil {
			return nil, err
		}
		if found[i], err = v.m.Decode(out, placed, img); err != nil {
			return nil, err
		}
		truth[i] = d.Boxes(i, img.W, img.H)
		if want == nil {
			continue
		}
		cmp.addVector(flatten(want), flatten(out))
		cmp.endUnit()
		if refFound[i], err = v.ref.Decode(want, placed, img); err != nil {
			return nil, err
		}
	}
	o.progress(n, n)
	precision := newPrecision(found, truth)
	figures := []figure{{name: "map50", of: precision.mean}}
	report := func(p *precision50) *Report {
		return &Report{Task: model.TaskDetect, Data: d.Name(), Samples: n, Metrics: map[string]float64{"map50": p.mean(nil)}}
	}
	r := report(precision)
	if ref != nil {
		refPrecision := newPrecision(refFound, truth)
		figures[0].ref = refPrecision.mean
		r.Reference = report(refPrecision)
		r.Metrics["relative_error"] = cmp.divergence(false).RelError
		figures = append(figures, figure{name: "relative_error", of: quotient(cmp.unitRel, cmp.unitAll, nil)})
	}
	r.addIntervals(n, figures)
	return r, nil
}

// precision50 is what the average precision at an overlap of iouMatch is computed from, for any selection of the images.
type precision50 struct {
	objects [][]int // by class that occurs: objects by image
	hits    [][]hit // by the same: by falling score
}

// hit is a box found.
type hit struct {
	image int
	score float32
	right bool
}

// newPrecision decides which boxes are right, each object found once.
func newPrecision(found [][]detect.Box, truth [][]dataset.Box) *precision50 {
	objects := map[int][]int{}
	for i, boxes := range truth {
		for _, b := range boxes {
			if objects[b.Class] == nil {
				objects[b.Class] = make([]int, len(truth))
			}
			objects[b.Class][i]++
		}
	}
	p := &precision50{}
	// In order: the sum over classes must not depend on a map's.
	for _, class := range slices.Sorted(maps.Keys(objects)) {
		p.objects = append(p.objects, objects[class])
		p.hits = append(p.hits, hitsOf(found, truth, class))
	}
	return p
}

func hitsOf(found [][]detect.Box, truth [][]dataset.Box, class int) []hit {
	var hits []hit
	for i := range found {
		taken := make([]bool, len(truth[i]))
		for _, b := range found[i] {
			if b.Class != class {
				continue
			}
			// The box answers for the object that it overlaps most; a second box for the same one is wrong.
			best, at := float32(iouMatch), -1
			for j, t := range truth[i] {
				if t.Class != class {
					continue
				}
				if v := detect.IoU(b, detect.Box{X1: t.X1, Y1: t.Y1, X2: t.X2, Y2: t.Y2}); v >= best {
					best, at = v, j
				}
			}
			first := at >= 0 && !taken[at]
			if first {
				taken[at] = true
			}
			hits = append(hits, hit{i, b.Score, first})
		}
	}
	sort.SliceStable(hits, func(i, j int) bool { return hits[i].score > hits[j].score })
	return hits
}

// mean returns the mean over the classes that occur of the average precision at 101 recall levels (COCO's), with each image counted
// as often as times says; nil: once.
func (p *precision50) mean(times []int) float64 {
	var sum float64
	classes := 0
	for c := range p.objects {
		objects := 0
		for i, n := range p.objects[c] {
			if times != nil {
				n *= times[i]
			}
			objects += n
		}
		if objects > 0 {
			classes++
			sum += averagePrecision(p.hits[c], objects, times)
		}
	}
	if classes == 0 {
		return 0
	}
	return sum / float64(classes)
}

func averagePrecision(hits []hit, objects int, times []int) float64 {
	precision, recall := make([]float64, 0, len(hits)), make([]float64, 0, len(hits))
	right, all := 0, 0
	for _, h := range hits {
		n := 1
		if times != nil {
			n = times[h.image]
		}
		all += n
		if h.right {
			right += n
		}
		if n > 0 {
			precision = append(precision, float64(right)/float64(all))
			recall = append(recall, float64(right)/float64(objects))
		}
	}
	for i := len(precision) - 2; i >= 0; i-- {
		precision[i] = max(precision[i], precision[i+1])
	}
	var sum float64
	at := 0
	for level := range 101 {
		for at < len(recall) && recall[at] < float64(level)/100 {
			at++
		}
		if at < len(recall) {
			sum += precision[at]
		}
	}
	return sum / 101
}
