package main

import (
	"context"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/runtime/detect"
	"github.com/dsk-toolkit/dsk/runtime/vision"
)

// imageResult is one image's entry in the output of run.
type imageResult struct {
	File    string         `json:"file"`
	Classes []vision.Class `json:"classes,omitempty"`
	Boxes   []detect.Box   `json:"boxes,omitempty"`
}

func (a *app) runImages(ctx context.Context, m *model.Model, files []string, o *runOptions) error {
	v, err := vision.New(m, runtime.Options{Threads: a.threads})
	if err != nil {
		return err
	}
	defer v.Close()
	names := labels(m)
	results := make([]imageResult, 0, len(files))
	for _, file := range files {
		img, err := dataset.ReadImage(file)
		if err != nil {
			return err
		}
		r := imageResult{File: file}
		if v.Detects() {
			r.Boxes, err = v.Boxes(ctx, img)
		} else {
			r.Classes, err = v.Classify(ctx, img, o.top)
		}
		if err != nil {
			return err
		}
		for i := range r.Classes {
			r.Classes[i].Label = className(names, r.Classes[i].Class)
		}
		results = append(results, r)
		if !a.json {
			a.printImage(r, names)
		}
	}
	if a.json {
		a.printJSON("run", struct {
			Images []imageResult `json:"images"`
		}{results})
	}
	return nil
}

func (a *app) printImage(r imageResult, names []string) {
	a.print("%s", r.File)
	for _, c := range r.Classes {
		a.print("  %5.1f %%  %s", 100*c.Probability, c.Label)
	}
	for _, b := range r.Boxes {
		a.print("  %.3f  %-16s %.0f,%.0f %.0f,%.0f", b.Score, className(names, b.Class), b.X1, b.Y1, b.X2, b.Y2)
	}
}
