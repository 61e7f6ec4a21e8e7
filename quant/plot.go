package quant

import (
	"fmt"
	"html/template"

	"github.com/dsk-toolkit/dsk/internal/plot"
)

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
	xAxis := plot.Over(append(x, float64(points[0].Bytes)/1e6), false)
	p := plot.New("size and quality", xAxis, plot.Over(y, true),
		"file size, MB (1 MB = 1,000,000 bytes)", "predicted loss, "+unit, true)
	if at := float64(chosen) / 1e6; chosen > 0 && at >= xAxis.Lo && at <= xAxis.Hi {
		fmt.Fprintf(p, `<line class="chosen" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, p.X(at), p.X(at), plot.Top, plot.Bottom)
		anchor, dx := "start", 6.
		if p.X(at) > plot.Width-140 {
			anchor, dx = "end", -6
		}
		fmt.Fprintf(p, `<text class="tick" x="%.1f" y="%d" text-anchor="%s">this file</text>`, p.X(at)+dx, plot.Top+12, anchor)
	}
	p.Line("curve", x, y, "")
	i := 0
	for _, pt := range points {
		if pt.PredictedLoss > 0 {
			p.Mark("dot", x[i], y[i], 4, fmt.Sprintf("%.3f MB, %.2f bits per weight, 1/%.1f of f32: predicted loss %.4g", x[i], pt.BitsPerW, pt.RatioVsF32, pt.PredictedLoss))
			i++
		}
	}
	return p.HTML()
}

// plotBits shows each layer's width, as a bar.
func plotBits(tensors []TensorReport) template.HTML {
	if len(tensors) == 0 {
		return ""
	}
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
	p := plot.New("bits per layer", plot.Axis{Hi: float64(len(tensors))}, plot.Axis{Hi: float64(top), Marks: marks},
		"layers, in the order of the table", "bits a weight", false)
	width := float64(plot.Right-plot.Left) / float64(len(tensors))
	for i, t := range tensors {
		y := p.Y(float64(min(t.Bits, 32)))
		fmt.Fprintf(p, `<rect class="b%d" x="%.2f" y="%.1f" width="%.2f" height="%.1f"><title>%s: %d bit</title></rect>`,
			t.Bits, p.X(float64(i))+min(1, width/8), y, max(width-min(2, width/4), 0.5), plot.Bottom-y, template.HTMLEscapeString(t.Name), t.Bits)
	}
	return p.HTML()
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
	p := plot.New("error per layer", plot.Axis{Hi: float64(len(tensors))}, plot.Over(append(all, 0), false),
		"layers, in the order of the table", "signal to noise, dB (higher is better)", false)
	for i, t := range tensors {
		x := float64(i) + 0.5
		if t.SQNR != nil && t.Weighted != nil {
			p.Line("stem", []float64{x, x}, []float64{*t.SQNR, *t.Weighted}, "")
		}
		if t.SQNR != nil {
			p.Mark("plain", x, *t.SQNR, 3, fmt.Sprintf("%s: weights %.1f dB", t.Name, *t.SQNR))
		}
		if t.Weighted != nil {
			p.Mark("dot", x, *t.Weighted, 3, fmt.Sprintf("%s: product %.1f dB", t.Name, *t.Weighted))
		}
	}
	return p.HTML()
}
