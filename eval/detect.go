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

// runDetect measures mAP50 against the labelled boxes. With a reference, the outputs' relative error too.
func runDetect(ctx context.Context, m *model.Model, d *dataset.Data, ref *model.Model, o Options) (*Report, error) {
	v, err := newPair(m, ref, o)
	if err != nil {
		return nil, err
	}
	defer v.close()
	n := limited(d.Len(), o.Limit)
	found := make([][]detect.Box, n)
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
		if want != nil {
			cmp.addVector(flatten(want), flatten(out))
		}
	}
	o.progress(n, n)
	r := &Report{Task: model.TaskDetect, Data: d.Name(), Samples: n,
		Metrics: map[string]float64{"map50": meanAP(found, truth)}}
	if ref != nil {
		r.Metrics["relative_error"] = cmp.divergence(false).RelError
	}
	return r, nil
}

// meanAP returns the mean over the classes that occur of the average precision at 101 recall
// levels (COCO's), each object found once.
func meanAP(found [][]detect.Box, truth [][]dataset.Box) float64 {
	objects := map[int]int{}
	for _, boxes := range truth {
		for _, b := range boxes {
			objects[b.Class]++
		}
	}
	if len(objects) == 0 {
		return 0
	}
	var sum float64
	// In order: the sum must not depend on a map's.
	for _, class := range slices.Sorted(maps.Keys(objects)) {
		sum += averagePrecision(found, truth, class, objects[class])
	}
	return sum / float64(len(objects))
}

type hit struct {
	score float32
	right bool
}

func averagePrecision(found [][]detect.Box, truth [][]dataset.Box, class, objects int) float64 {
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
			hits = append(hits, hit{b.Score, first})
		}
	}
	sort.SliceStable(hits, func(i, j int) bool { return hits[i].score > hits[j].score })
	precision := make([]float64, len(hits))
	recall := make([]float64, len(hits))
	right := 0
	for i, h := range hits {
		if h.right {
			right++
		}
		precision[i] = float64(right) / float64(i+1)
		recall[i] = float64(right) / float64(objects)
	}
	for i := len(hits) - 2; i >= 0; i-- {
		precision[i] = max(precision[i], precision[i+1])
	}
	var sum float64
	for level := range 101 {
		i := sort.SearchFloat64s(recall, float64(level)/100)
		if i < len(hits) {
			sum += precision[i]
		}
	}
	return sum / 101
}
