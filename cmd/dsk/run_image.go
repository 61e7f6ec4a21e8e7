package main

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
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
	pictures, err := a.pictureNames(len(files), o)
	if err != nil {
		return err
	}
	v, err := vision.New(m, runtime.Options{Threads: a.threads})
	if err != nil {
		return err
	}
	defer v.Close()
	names := labels(m)
	results := make([]imageResult, 0, len(files))
	var took time.Duration
	for i, file := range files {
		img, err := picture.ReadImage(file)
		if err != nil {
			return err
		}
		r := imageResult{File: file}
		start := time.Now()
		if v.Detects() {
			r.Boxes, err = v.Boxes(ctx, img)
		} else {
			r.Classes, err = v.Classify(ctx, img, o.top)
		}
		if err != nil {
			return err
		}
		took += time.Since(start)
		for i := range r.Classes {
			r.Classes[i].Label = className(names, r.Classes[i].Class)
		}
		for i := range r.Boxes {
			r.Boxes[i].Label = className(names, r.Boxes[i].Class)
		}
		results = append(results, r)
		if pictures != nil {
			if err := a.writePicture(pictures[i], draw(img, r, names, o.annotateScore)); err != nil {
				return err
			}
		}
		if !a.json && o.annotate != "-" {
			a.printImage(r, names)
		}
	}
	rate := float64(len(files)) / max(took.Seconds(), 1e-9)
	switch {
	case a.json:
		a.printJSON("run", struct {
			Images []imageResult `json:"images"`
			Rate   float64       `json:"frames_per_second"`
		}{results, rate})
	case len(files) > 1 && o.annotate != "-":
		a.print("%d images, %.1f frames per second", len(files), rate)
	}
	return nil
}

// pictureVerb is the place of an image's number in the name that --annotate gives.
var pictureVerb = regexp.MustCompile(`%0?[0-9]?d`)

// pictureNames returns the file to draw each of n images in, nil without --annotate. Images are numbered from 1.
func (a *app) pictureNames(n int, o *runOptions) ([]string, error) {
	switch verbs := len(pictureVerb.FindAllString(o.annotate, -1)); {
	case o.annotate == "":
		return nil, nil
	case o.annotate == "-" && (n > 1 || a.json):
		return nil, &fault.Usage{What: "--annotate - writes one picture to standard output and nothing else"}
	case o.annotate != "-" && !strings.EqualFold(filepath.Ext(o.annotate), ".png"):
		return nil, &fault.Usage{What: fmt.Sprintf("--annotate %s: the file must be a .png", o.annotate)}
	case n > 1 && verbs != 1:
		return nil, &fault.Usage{What: fmt.Sprintf("--annotate %s: for %d images the name needs one %%d, the image's number", o.annotate, n)}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = pictureVerb.ReplaceAllStringFunc(o.annotate, func(verb string) string { return fmt.Sprintf(verb, i+1) })
		if err := needOutput(names[i], o.force); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// draw shows a result on its image: all classes, or the boxes that are sure enough.
func draw(img *picture.RGB, r imageResult, names []string, minScore float64) image.Image {
	if r.Classes != nil {
		return vision.DrawClasses(img, r.Classes)
	}
	sure := slices.DeleteFunc(slices.Clone(r.Boxes), func(b detect.Box) bool { return float64(b.Score) < minScore })
	return vision.DrawBoxes(img, sure, func(class int) string { return className(names, class) })
}

// writePicture writes a PNG.
func (a *app) writePicture(path string, img image.Image) error {
	if path == "-" {
		return png.Encode(a.stdout, img)
	}
	return saveFile(path, func(w io.Writer) error { return png.Encode(w, img) })
}

func (a *app) printImage(r imageResult, names []string) {
	a.print("%s", r.File)
	for _, c := range r.Classes {
		a.print("  %5.1f %%  %s", 100*c.Probability, c.Label)
	}
	for _, b := range r.Boxes {
		a.print("  %.3f  %-16s %.0f,%.0f %.0f,%.0f", b.Score, b.Label, b.X1, b.Y1, b.X2, b.Y2)
	}
}
