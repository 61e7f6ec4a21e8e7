package quant

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

// TestReportPage: the page has the three plots, with their units, nothing in it that is fetched, and its SVG is well formed.
func TestReportPage(t *testing.T) {
	m, images := digits(t), data(t, "models/digits-cnn/images")
	m.Meta.Name = "<digits>"
	_, r, err := Apply(context.Background(), m, Options{Strategy: Adaptive, TargetRatio: 5, Eval: images,
		Device: evenDevice(map[int]float64{2: 1e9, 3: 1e9, 4: 1e9, 8: 1e9, 16: 1e9, 32: 1e9})})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Curve) < 5 || r.Curve[0].PredictedMS <= 0 {
		t.Errorf("the curve: %+v", r.Curve)
	}
	var page bytes.Buffer
	if err := r.WriteHTML(&page, m); err != nil {
		t.Fatal(err)
	}
	s := page.String()
	for _, want := range []string{"file size, MB", "predicted loss, relative error", "bits a weight", "signal to noise, dB", "this file", "&lt;digits&gt;", "prefers-color-scheme:dark", "conv13", "95 % interval"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if strings.Contains(s, "%!") {
		t.Error("a value was formatted wrongly")
	}
	if got := regexp.MustCompile(`<script|<link|src=|href=|url\(|@import|http`).FindString(s); got != "" {
		t.Errorf("the page refers to something: %q", got)
	}
	plots := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(s, -1)
	if len(plots) != 3 {
		t.Fatalf("%d plots", len(plots))
	}
	for _, p := range plots {
		d := xml.NewDecoder(strings.NewReader(p))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %.200s", err, p)
			}
		}
		if strings.Contains(p, "NaN") || strings.Contains(p, "Inf") {
			t.Errorf("numbers that are none: %.300s", p)
		}
	}
	page.Reset()
	if err := WritePlanHTML(&page, m, r.Curve, false); err != nil || strings.Count(page.String(), "<svg") != 1 || strings.Contains(page.String(), "Bits per layer") {
		t.Errorf("the plan's page: %v, %d plots", err, strings.Count(page.String(), "<svg"))
	}
}

func TestByNumber(t *testing.T) {
	if byNumber("layers.2.x", "layers.10.x") >= 0 || byNumber("a", "b") >= 0 || byNumber("a1", "a1") != 0 || byNumber("a01", "a1") == 0 {
		t.Error("names are not in order")
	}
}
