// Package plot draws the plots of HTML reports: SVG whose colours come from the page's style sheet, so that they are readable on dark and on
// light screens, and whose marks and lines carry titles, which browsers show under the pointer.
package plot

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// The frame, in the SVG's units; a page shows it at any size.
const (
	Width  = 900
	Height = 300
	// Left and the others are the edges of what the axes enclose.
	Left   = 76
	Right  = Width - 16
	Top    = 16
	Bottom = Height - 52
)

// Style is the style sheet of a page with plots. A page may add to it.
const Style = `
:root{color-scheme:light dark;--back:#fff;--panel:#f6f7f9;--ink:#1d2430;--soft:#5b6675;--rule:#dde2e8;--accent:#2463c9;--second:#c2571a}
@media (prefers-color-scheme:dark){:root{--back:#14181f;--panel:#1c222b;--ink:#e6eaf0;--soft:#9aa6b5;--rule:#313a46;--accent:#7fb0ff;--second:#f0a35e}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;margin:0 auto;max-width:66rem;padding:2rem 1.25rem 4rem;color:var(--ink);background:var(--back)}
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2.5rem 0 .5rem}p{margin:.4rem 0}.soft{color:var(--soft)}
.cards{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.25rem 0}.card{background:var(--panel);border-radius:.5rem;padding:.7rem 1rem;min-width:9rem;flex:1}
.card b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}.card span{color:var(--soft);font-size:.85rem}
figure{margin:.75rem 0;background:var(--panel);border-radius:.5rem;padding:.75rem}svg{width:100%;height:auto;display:block}
figcaption{color:var(--soft);font-size:.85rem;margin-top:.4rem}
.grid{stroke:var(--rule);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}.tick{font-size:12px;fill:var(--soft)}.label{font-size:13px;fill:var(--ink)}
.curve{fill:none;stroke:var(--accent);stroke-width:2}.dot{fill:var(--accent)}.plain{fill:var(--second)}
.key{display:inline-block;width:.75rem;height:.75rem;border-radius:.2rem;margin-right:.35rem;vertical-align:-1px}.acc{background:var(--accent)}.sec{background:var(--second)}
.legend{display:flex;flex-wrap:wrap;gap:1.1rem;font-size:.9rem;margin:.5rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--rule);vertical-align:top;font-variant-numeric:tabular-nums}
th{color:var(--soft);font-weight:600;white-space:nowrap}.n{text-align:right;white-space:nowrap}td:first-child{overflow-wrap:anywhere}
`

// Axis is a range of values; of a logarithmic one the values' logarithms count.
type Axis struct {
	Lo, Hi float64
	Log    bool
	Marks  []float64 // instead of computed ones
}

// Over is an axis that covers the values with some room.
func Over(values []float64, log bool) Axis {
	a := Axis{Lo: math.Inf(1), Hi: math.Inf(-1), Log: log}
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		if v > 0 || !log {
			a.Lo, a.Hi = min(a.Lo, v), max(a.Hi, v)
		}
	}
	switch {
	case a.Lo > a.Hi:
		a.Lo, a.Hi = 1, 10
	case log:
		a.Lo, a.Hi = a.Lo/1.3, a.Hi*1.3
	default:
		room := 0.05 * (a.Hi - a.Lo)
		if room == 0 {
			room = max(1, math.Abs(a.Hi)*0.05)
		}
		a.Lo, a.Hi = a.Lo-room, a.Hi+room
	}
	return a
}

// at maps a value to the range from..to of pixels.
func (a *Axis) at(v, from, to float64) float64 {
	lo, hi := a.Lo, a.Hi
	if a.Log {
		v, lo, hi = math.Log10(v), math.Log10(lo), math.Log10(hi)
	}
	if hi == lo {
		return (from + to) / 2
	}
	return from + (v-lo)/(hi-lo)*(to-from)
}

// ticks are round values within the axis: powers of ten with 2 and 5 between if they are few, or steps of 1, 2 or 5.
func (a *Axis) ticks() []float64 {
	var out []float64
	if a.Marks != nil {
		return a.Marks
	}
	if !(a.Lo < a.Hi) {
		return []float64{a.Lo}
	}
	if a.Log {
		lo, hi := math.Floor(math.Log10(a.Lo)), math.Ceil(math.Log10(a.Hi))
		parts := []float64{1}
		if math.Log10(a.Hi/a.Lo) <= 3 {
			parts = []float64{1, 2, 5}
		}
		for e := lo; e <= hi; e++ {
			for _, p := range parts {
				if v := p * math.Pow(10, e); v >= a.Lo && v <= a.Hi {
					out = append(out, v)
				}
			}
		}
		return out
	}
	step := math.Pow(10, math.Floor(math.Log10((a.Hi-a.Lo)/5)))
	for _, p := range []float64{1, 2, 5, 10} {
		if (a.Hi-a.Lo)/(p*step) <= 7 {
			step *= p
			break
		}
	}
	for v := math.Ceil(a.Lo/step) * step; v <= a.Hi+step/1e6; v += step {
		out = append(out, v)
	}
	return out
}

// Plot is an SVG in the making. What is written to it must be escaped.
type Plot struct {
	strings.Builder
	x, y Axis
}

// New draws the frame, grid lines with their values (across only with xTicks), and the axes' labels.
func New(title string, x, y Axis, xLabel, yLabel string, xTicks bool) *Plot {
	p := &Plot{x: x, y: y}
	fmt.Fprintf(p, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, Width, Height, template.HTMLEscapeString(title))
	for _, v := range y.ticks() {
		fmt.Fprintf(p, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, Left, Right, p.Y(v), p.Y(v))
		fmt.Fprintf(p, `<text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`, Left-8, p.Y(v)+4, short(v))
	}
	if xTicks {
		for _, v := range x.ticks() {
			fmt.Fprintf(p, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, p.X(v), p.X(v), Top, Bottom)
			fmt.Fprintf(p, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s</text>`, p.X(v), Bottom+18, short(v))
		}
	}
	fmt.Fprintf(p, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`, Left, Right, Bottom, Bottom)
	fmt.Fprintf(p, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`, Left, Left, Top, Bottom)
	fmt.Fprintf(p, `<text class="label" x="%d" y="%d" text-anchor="middle">%s</text>`, (Left+Right)/2, Height-10, template.HTMLEscapeString(xLabel))
	fmt.Fprintf(p, `<text class="label" transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`, (Top+Bottom)/2, template.HTMLEscapeString(yLabel))
	return p
}

// X is where a value lies across.
func (p *Plot) X(v float64) float64 { return p.x.at(v, Left, Right) }

// Y is where a value lies, from above.
func (p *Plot) Y(v float64) float64 { return p.y.at(v, Bottom, Top) }

// Mark draws a dot of a class of the style sheet.
func (p *Plot) Mark(class string, x, y, r float64, title string) {
	fmt.Fprintf(p, `<circle class="%s" cx="%.1f" cy="%.1f" r="%g"><title>%s</title></circle>`, class, p.X(x), p.Y(y), r, template.HTMLEscapeString(title))
}

// Line draws a line of a class of the style sheet. title may be empty.
func (p *Plot) Line(class string, x, y []float64, title string) {
	fmt.Fprintf(p, `<polyline class="%s" points="`, class)
	for i := range x {
		fmt.Fprintf(p, "%.1f,%.1f ", p.X(x[i]), p.Y(y[i]))
	}
	if title == "" {
		p.WriteString(`"/>`)
		return
	}
	fmt.Fprintf(p, `"><title>%s</title></polyline>`, template.HTMLEscapeString(title))
}

// HTML ends the SVG.
func (p *Plot) HTML() template.HTML {
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
