package distill

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"sort"
	"strings"
)

// WriteHTML writes the report as one page without scripts or outside references: figures, and the curves of all runs as SVG.
func (r *Report) WriteHTML(w io.Writer) error {
	page := struct {
		*Report
		Charts []template.HTML
		Values [][3]string
	}{Report: r}
	line := func(run *RunReport) (name, colour string) {
		if run.Control {
			return fmt.Sprintf("control, seed %d", run.Seed), "#c63"
		}
		return fmt.Sprintf("student, seed %d", run.Seed), "#275"
	}
	losses := chart{title: "training loss (of different losses where there is a control)"}
	metrics := map[string]*chart{}
	for i := range r.Runs {
		run := &r.Runs[i]
		name, colour := line(run)
		l := curve{name: name, colour: colour}
		of := map[string]*curve{}
		for _, p := range run.Curve {
			l.add(p.Step, p.Loss)
			for m, v := range p.Eval {
				if of[m] == nil {
					of[m] = &curve{name: name, colour: colour}
				}
				of[m].add(p.Step, v)
			}
		}
		losses.curves = append(losses.curves, l)
		for m, c := range of {
			if metrics[m] == nil {
				metrics[m] = &chart{title: m + " on " + r.EvalData}
			}
			metrics[m].curves = append(metrics[m].curves, *c)
		}
	}
	page.Charts = []template.HTML{losses.svg()}
	var names []string
	for m := range metrics {
		names = append(names, m)
	}
	sort.Strings(names)
	for _, m := range names {
		page.Charts = append(page.Charts, metrics[m].svg())
		control := ""
		if v, ok := r.Control[m]; ok {
			control = fmt.Sprintf("%.5g", v)
		}
		page.Values = append(page.Values, [3]string{m, fmt.Sprintf("%.5g", r.Metrics[m]), control})
	}
	return reportPage.Execute(w, page)
}

// curve is a line of a chart.
type curve struct {
	name, colour string
	x, y         []float64
}

func (c *curve) add(step int, v float64) {
	c.x, c.y = append(c.x, float64(step)), append(c.y, v)
}

// chart is some curves over the steps.
type chart struct {
	title  string
	curves []curve
}

const chartWidth, chartHeight, chartLeft, chartBottom = 720, 240, 64, 28

// svg draws the chart.
func (c *chart) svg() template.HTML {
	right, low, high := 1.0, math.Inf(1), math.Inf(-1)
	for _, l := range c.curves {
		for i, v := range l.y {
			right, low, high = max(right, l.x[i]), min(low, v), max(high, v)
		}
	}
	if low > high {
		return ""
	}
	if low == high {
		high = low + 1
	}
	place := func(x, y float64) string {
		return fmt.Sprintf("%.1f,%.1f", chartLeft+x/right*(chartWidth-chartLeft-8), 8+(high-y)/(high-low)*(chartHeight-chartBottom-8))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<figure><figcaption>%s</figcaption><svg viewBox="0 0 %d %d" role="img">`, template.HTMLEscapeString(c.title), chartWidth, chartHeight)
	for i := range 5 {
		v := low + (high-low)*float64(i)/4
		at := 8 + (high-v)/(high-low)*(chartHeight-chartBottom-8)
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.4g</text>`, chartLeft, at, chartWidth-8, chartLeft-6, at+4, v)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d">0</text><text x="%d" y="%d" text-anchor="end">step %.0f</text>`, chartLeft, chartHeight-8, chartWidth-8, chartHeight-8, right)
	for _, l := range c.curves {
		var points []string
		for i := range l.x {
			points = append(points, place(l.x[i], l.y[i]))
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"><title>%s</title></polyline>`,
			strings.Join(points, " "), l.colour, template.HTMLEscapeString(l.name))
	}
	b.WriteString("</svg></figure>")
	return template.HTML(b.String()) //nolint:gosec // numbers and escaped names
}

var reportPage = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Student}}: training</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}
h1{font-size:1.4rem}table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.25rem .8rem;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}
figure{margin:1.5rem 0}figcaption{font-weight:600}svg{width:100%;font:12px system-ui,sans-serif}.s{color:#275}.c{color:#c63}
</style></head><body>
<h1>{{.Student}}</h1>
<p>{{.Parameters}} parameters, learned from {{if .Teacher}}{{.Teacher}} (alpha {{.Alpha}}, temperature {{.Temperature}}) on {{end}}{{.Data}}, {{.Samples}} samples:
{{.Steps}} steps of {{.Batch}}, {{printf "%.1f" .Epochs}} epochs, {{.Optimizer}} with a rate of {{.Rate}} and a decay of {{.Decay}}.</p>
{{with .Comparison}}<p><b>{{.Metric}}: distilled {{printf "%.5g" .Distilled}}, control {{printf "%.5g" .Control}}</b>, difference {{printf "%+.4g" .Difference}}
(95 % interval {{printf "%+.4g" .Low}} to {{printf "%+.4g" .High}}, p {{printf "%.2g" .P}}, {{.Seeds}} seeds, paired t-test).</p>{{end}}
{{if .Values}}<table><tr><th>on {{.EvalData}}</th><th>student</th><th>control</th></tr>
{{range .Values}}<tr><td>{{index . 0}}</td><td>{{index . 1}}</td><td>{{index . 2}}</td></tr>{{end}}</table>{{end}}
<p><span class="s">students</span>, <span class="c">controls</span></p>
{{range .Charts}}{{.}}
{{end}}
<table><tr><th>seed</th><th></th><th>steps</th><th>loss</th><th>metrics</th></tr>
{{range .Runs}}<tr><td>{{.Seed}}</td><td>{{if .Control}}control{{else}}student{{end}}</td><td>{{.Steps}}</td><td>{{printf "%.4g" .Loss}}</td><td>{{range $k, $v := .Metrics}}{{$k}} {{printf "%.5g" $v}} {{end}}</td></tr>{{end}}</table>
{{if .Tries}}<h2>Tried on a part of the data</h2><table><tr><th>alpha</th><th>temperature</th><th>held-out loss</th></tr>
{{range .Tries}}<tr><td>{{.Alpha}}</td><td>{{.Temperature}}</td><td>{{printf "%.4g" .HeldOut}}</td></tr>{{end}}</table>{{end}}
</body></html>
`))
