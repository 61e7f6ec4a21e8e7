package quant

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// The plots of the report: SVG of fixed size whose colours come from the page's style sheet, so that they are readable on dark and on
// light screens, and whose marks carry titles, which browsers show under the pointer.

const (
	plotWidth, plotHeight = 900, 300
	plotLeft, plotRight   = 76, 16
	plotTop, plotBottom   = 16, 52
)

// axis maps values to pixels; of a logarithmic one the values' logarithms count.
type axis struct {
	lo, hi   float64
	from, to float64 // pixels
	log      bool
	marks    []float64 // instead of computed ones
}

func (a *axis) at(v float64) float64 {
	lo, hi := a.lo, a.hi
	if a.log {
		v, lo, hi = math.Log10(v), math.Log10(lo), math.Log10(hi)
	}
	if hi == lo {
		return (a.from + a.to) / 2
	}
	return a.from + (v-lo)/(hi-lo)*(a.to-a.from)
}

// newAxis covers the values with some room.
func newAxis(values []float64, from, to float64, log bool) axis {
	a := axis{lo: math.Inf(1), hi: math.Inf(-1), from: from, to: to, log: log}
	for _, v := range values {
		if v > 0 || !log {
			a.lo, a.hi = min(a.lo, v), max(a.hi, v)
		}
	}
	switch {
	case a.lo > a.hi:
		a.lo, a.hi = 1, 10
	case log:
		a.lo, a.hi = a.lo/1.3, a.hi*1.3
	default:
		room := 0.05 * (a.hi - a.lo)
		if room == 0 {
			room = max(1, math.Abs(a.hi)*0.05)
		}
		a.lo, a.hi = a.lo-room, a.hi+room
	}
	return a
}

// ticks are round values within the axis: powers of ten with 2 and 5 between if they are few, or steps of 1, 2 or 5.
func (a *axis) ticks() []float64 {
	var out []float64
	if a.marks != nil {
		return a.marks
	}
	if a.log {
		lo, hi := math.Floor(math.Log10(a.lo)), math.Ceil(math.Log10(a.hi))
		parts := []float64{1}
		if math.Log10(a.hi/a.lo) <= 3 {
			parts = []float64{1, 2, 5}
		}
		for e := lo; e <= hi; e++ {
			for _, p := range parts {
				if v := p * math.Pow(10, e); v >= a.lo && v <= a.hi {
					out = append(out, v)
				}
			}
		}
		return out
	}
	step := math.Pow(10, math.Floor(math.Log10((a.hi-a.lo)/5)))
	for _, p := range []float64{1, 2, 5, 10} {
		if (a.hi-a.lo)/(p*step) <= 7 {
			step *= p
			break
		}
	}
	for v := math.Ceil(a.lo/step) * step; v <= a.hi+step/1e6; v += step {
		out = append(out, v)
	}
	return out
}

// plot is an SVG in the making.
type plot struct {
	strings.Builder
	x, y axis
}

// newPlot draws the frame, grid lines with their values, and the axes' labels.
func newPlot(title string, x, y axis, xLabel, yLabel string, xTicks bool) *plot {
	p := &plot{x: x, y: y}
	fmt.Fprintf(p, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, plotHeight, template.HTMLEscapeString(title))
	bottom := float64(plotHeight - plotBottom)
	for _, v := range y.ticks() {
		fmt.Fprintf(p, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, plotLeft, plotWidth-plotRight, y.at(v), y.at(v))
		fmt.Fprintf(p, `<text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`, plotLeft-8, y.at(v)+4, short(v))
	}
	if xTicks {
		for _, v := range x.ticks() {
			fmt.Fprintf(p, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%.1f"/>`, x.at(v), x.at(v), plotTop, bottom)
			fmt.Fprintf(p, `<text class="tick" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, x.at(v), bottom+18, short(v))
		}
	}
	fmt.Fprintf(p, `<line class="axis" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, plotLeft, plotWidth-plotRight, bottom, bottom)
	fmt.Fprintf(p, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%.1f"/>`, plotLeft, plotLeft, plotTop, bottom)
	fmt.Fprintf(p, `<text class="label" x="%d" y="%d" text-anchor="middle">%s</text>`, (plotLeft+plotWidth-plotRight)/2, plotHeight-10, template.HTMLEscapeString(xLabel))
	fmt.Fprintf(p, `<text class="label" transform="translate(16 %.0f) rotate(-90)" text-anchor="middle">%s</text>`, (plotTop+bottom)/2, template.HTMLEscapeString(yLabel))
	return p
}

func (p *plot) mark(class string, x, y, r float64, title string) {
	fmt.Fprintf(p, `<circle class="%s" cx="%.1f" cy="%.1f" r="%g"><title>%s</title></circle>`, class, p.x.at(x), p.y.at(y), r, template.HTMLEscapeString(title))
}

func (p *plot) line(class string, x, y []float64) {
	fmt.Fprintf(p, `<polyline class="%s" points="`, class)
	for i := range x {
		fmt.Fprintf(p, "%.1f,%.1f ", p.x.at(x[i]), p.y.at(y[i]))
	}
	p.WriteString(`"/>`)
}

func (p *plot) html() template.HTML {
	// All text in it was escaped on the way.
	return template.HTML(p.String() + "</svg>") //nolint:gosec
}

// short writes a tick's value.
func short(v float64) string {
	if math.Abs(v) < 1e-9 {
		return "0"
	}
	return strings.Replace(fmt.Sprintf("%.4g", v), "e-0", "e-", 1)
}

func plotX() (from, to float64) { return plotLeft, plotWidth - plotRight }
func plotY() (from, to float64) { return plotHeight - plotBottom, plotTop }

// plotCurve shows the predicted loss of budgets over the file's size; chosen is the file that was made, 0 for none.
func plotCurve(points []Point, unit string, chosen int64) template.HTML {
	if len(points) < 2 {
		return ""
	}
	var x, y []float64
	for _, p := range points {
		if p.PredictedLoss > 0 {
			x, y = append(x, float64(p.Bytes)/1e6), append(y, p.PredictedLoss)
		}
	}
	xFrom, xTo := plotX()
	yFrom, yTo := plotY()
	p := newPlot("size and quality", newAxis(append(x, float64(points[0].Bytes)/1e6), xFrom, xTo, false), newAxis(y, yFrom, yTo, true),
		"file size, MB (1 MB = 1,000,000 bytes)", "predicted loss, "+unit, true)
	if at := float64(chosen) / 1e6; chosen > 0 && at >= p.x.lo && at <= p.x.hi {
		fmt.Fprintf(p, `<line class="chosen" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, p.x.at(at), p.x.at(at), plotTop, plotHeight-plotBottom)
		anchor, dx := "start", 6.
		if p.x.at(at) > plotWidth-140 {
			anchor, dx = "end", -6
		}
		fmt.Fprintf(p, `<text class="tick" x="%.1f" y="%d" text-anchor="%s">this file</text>`, p.x.at(at)+dx, plotTop+12, anchor)
	}
	p.line("curve", x, y)
	i := 0
	for _, pt := range points {
		if pt.PredictedLoss > 0 {
			p.mark("dot", x[i], y[i], 4, fmt.Sprintf("%.3f MB, %.2f bits per weight, 1/%.1f of f32: predicted loss %.4g", x[i], pt.BitsPerW, pt.RatioVsF32, pt.PredictedLoss))
			i++
		}
	}
	return p.html()
}

// plotBits shows each layer's width, as a bar.
func plotBits(tensors []TensorReport) template.HTML {
	if len(tensors) == 0 {
		return ""
	}
	xFrom, xTo := plotX()
	yFrom, yTo := plotY()
	top := 8
	for _, t := range tensors {
		top = max(top, min(t.Bits, 32))
	}
	marks := []float64{0}
	for _, bits := range []int{2, 4, 8, 16, 32} {
		if bits <= top {
			marks = append(marks, float64(bits))
		}
	}
	p := newPlot("bits per layer", axis{lo: 0, hi: float64(len(tensors)), from: xFrom, to: xTo}, axis{lo: 0, hi: float64(top), from: yFrom, to: yTo, marks: marks},
		"layers, in the order of the table", "bits a weight", false)
	width := (xTo - xFrom) / float64(len(tensors))
	for i, t := range tensors {
		y := p.y.at(float64(min(t.Bits, 32)))
		fmt.Fprintf(p, `<rect class="b%d" x="%.2f" y="%.1f" width="%.2f" height="%.1f"><title>%s: %d bit</title></rect>`,
			t.Bits, p.x.at(float64(i))+min(1, width/8), y, max(width-min(2, width/4), 0.5), yFrom-y, template.HTMLEscapeString(t.Name), t.Bits)
	}
	return p.html()
}

// plotErrors shows each layer's signal-to-noise ratios.
func plotErrors(tensors []TensorReport) template.HTML {
	var all []float64
	for _, t := range tensors {
		for _, v := range []*float64{t.SQNR, t.Weighted} {
			if v != nil {
				all = append(all, *v)
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	xFrom, xTo := plotX()
	yFrom, yTo := plotY()
	p := newPlot("error per layer", axis{lo: 0, hi: float64(len(tensors)), from: xFrom, to: xTo}, newAxis(append(all, 0), yFrom, yTo, false),
		"layers, in the order of the table", "signal to noise, dB (higher is better)", false)
	for i, t := range tensors {
		x := float64(i) + 0.5
		if t.SQNR != nil && t.Weighted != nil {
			p.line("stem", []float64{x, x}, []float64{*t.SQNR, *t.Weighted})
		}
		if t.SQNR != nil {
			p.mark("plain", x, *t.SQNR, 3, fmt.Sprintf("%s: weights %.1f dB", t.Name, *t.SQNR))
		}
		if t.Weighted != nil {
			p.mark("dot", x, *t.Weighted, 3, fmt.Sprintf("%s: product %.1f dB", t.Name, *t.Weighted))
		}
	}
	return p.html()
}
