package distill

import (
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/plot"
)

// reportChart is a plot with its heading.
type reportChart struct {
	Title              string
	Students, Controls int // curves
	SVG                template.HTML
}

// reportValue is a line of the table of metrics.
type reportValue struct{ Name, Student, Control string }

// WriteHTML writes the report as one page without scripts or outside references: figures, and the curves of all runs as SVG.
func (r *Report) WriteHTML(w io.Writer) error {
	page := struct {
		*Report
		Speed  func(*Timing) string
		Charts []reportChart
		Values []reportValue
	}{Report: r, Speed: r.speed}
	add := func(title, label string, value func(run *RunReport, p *Point) (float64, bool)) {
		if c := r.chart(title, label, value); c.SVG != "" {
			page.Charts = append(page.Charts, c)
		}
	}
	for _, control := range []bool{false, true} {
		title, label := "Training loss", r.lossLabel()
		if control {
			title, label = "Training loss of the controls", hardLoss
		}
		add(title, label, func(run *RunReport, p *Point) (float64, bool) { return p.Loss, run.Control == control })
	}
	for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
		v := reportValue{Name: name, Student: fmt.Sprintf("%.5g", r.Metrics[name])}
		if c, ok := r.Control[name]; ok {
			v.Control = fmt.Sprintf("%.5g", c)
		}
		page.Values = append(page.Values, v)
		add(name+" on "+r.EvalData, metricLabel(name), func(_ *RunReport, p *Point) (float64, bool) {
			v, ok := p.Eval[name]
			return v, ok
		})
	}
	add("Learning rate", "rate", func(run *RunReport, p *Point) (float64, bool) { return p.Rate, run == &r.Runs[0] })
	return reportPage.Execute(w, page)
}

// hardLoss is what a loss against labels alone is.
const hardLoss = "cross-entropy, nats"

func (r *Report) lossLabel() string {
	switch {
	case r.Teacher == "":
		return hardLoss
	case r.Feature != "":
		return "alpha T² KL + (1-alpha) CE + features"
	}
	return "alpha T² KL + (1-alpha) CE, nats"
}

// metricLabel says what a metric's axis shows.
func metricLabel(name string) string {
	switch name {
	case "top1", "top5":
		return "share that is right (more is better)"
	case "perplexity":
		return "perplexity (less is better)"
	case "bits_per_byte":
		return "bits a byte (less is better)"
	}
	return name
}

// speed says how many pictures or tokens a run took in a second.
func (r *Report) speed(t *Timing) string {
	if t == nil {
		return "–"
	}
	if r.Context > 0 {
		return fmt.Sprintf("%.0f tokens/s", t.SamplesPerSecond*float64(r.Context))
	}
	return fmt.Sprintf("%.0f pictures/s", t.SamplesPerSecond)
}

// mostDots is how many points of a curve are shown one by one.
const mostDots = 20

// chart draws a value of all runs that have it over the steps; its SVG is empty if none has it twice.
func (r *Report) chart(title, label string, value func(run *RunReport, p *Point) (float64, bool)) reportChart {
	c := reportChart{Title: title}
	type curve struct {
		class, title string
		x, y         []float64
	}
	var list []curve
	var all []float64
	last := 1.0
	for i := range r.Runs {
		run := &r.Runs[i]
		l := curve{title: fmt.Sprintf("student, seed %d", run.Seed)}
		if run.Control {
			l.class, l.title = " control", fmt.Sprintf("control, seed %d", run.Seed)
		}
		for j := range run.Curve {
			p := &run.Curve[j]
			if v, ok := value(run, p); ok {
				l.x, l.y = append(l.x, float64(p.Step)), append(l.y, v)
				last = max(last, float64(p.Step))
			}
		}
		if len(l.x) < 2 {
			continue
		}
		if run.Control {
			c.Controls++
		} else {
			c.Students++
		}
		list, all = append(list, l), append(all, l.y...)
	}
	if list == nil {
		return c
	}
	p := plot.New(title, plot.Axis{Hi: last}, plot.Over(all, false), "steps", label, true)
	for _, l := range list {
		p.Line("curve"+l.class, l.x, l.y, l.title)
		if len(l.x) > mostDots {
			continue
		}
		for i := range l.x {
			p.Mark("dot"+l.class, l.x[i], l.y[i], 3, fmt.Sprintf("%s, step %.0f: %.5g", l.title, l.x[i], l.y[i]))
		}
	}
	c.SVG = p.HTML()
	return c
}

var reportPage = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{{.Student}}: training</title>
<style>` + plot.Style + `.curve{stroke-opacity:.8}.curve.control{stroke:var(--second)}.dot.control{fill:var(--second)}</style></head><body>
<h1>{{.Student}}</h1>
<p class="soft">{{if .Teacher}}taught by {{.Teacher}}, alpha {{.Alpha}}, temperature {{.Temperature}}{{if .Feature}}, features {{.Feature}}{{end}} · {{end}}{{.Data}}, {{.Samples}} {{if .Context}}windows of {{.Context}} tokens{{else}}pictures{{end}} ·
{{.Optimizer}}, rate {{.Rate}}, decay {{.Decay}}</p>
<div class="cards">
<div class="card"><b>{{.Parameters}}</b><span>parameters</span></div>
<div class="card"><b>{{.Steps}} × {{.Batch}}</b><span>steps of samples, {{printf "%.1f" .Epochs}} epochs</span></div>
{{with .Comparison}}<div class="card"><b>{{printf "%.5g" .Distilled}}</b><span>{{.Metric}} distilled, mean of {{.Seeds}} seeds</span></div>
<div class="card"><b>{{printf "%.5g" .Control}}</b><span>{{.Metric}} of the controls, which had the labels alone</span></div>
<div class="card"><b>{{printf "%+.4g" .Difference}}</b><span>{{if eq .P 1.0}}the same for all seeds{{else}}95 %: {{printf "%+.4g" .Low}} to {{printf "%+.4g" .High}}, p {{printf "%.2g" .P}} (paired t-test){{end}}</span></div>
{{else}}{{range .Values}}<div class="card"><b>{{.Student}}</b><span>{{.Name}}{{if .Control}}, control {{.Control}}{{end}}</span></div>{{end}}{{end}}
</div>
{{if .Values}}<h2>The student of the file</h2>
<p class="soft">Measured on {{.EvalData}}, which chose nothing. The file has the first seed's student, not the best.</p>
<div class="wide"><table><tr><th>metric</th><th class="n">student</th>{{if .Control}}<th class="n">control</th>{{end}}</tr>
{{range .Values}}<tr><td>{{.Name}}</td><td class="n">{{.Student}}</td>{{if $.Control}}<td class="n">{{.Control}}</td>{{end}}</tr>
{{end}}</table></div>{{else}}<p>Not measured: no evaluation data was given.</p>{{end}}
{{range .Charts}}<h2>{{.Title}}</h2>
<div class="legend">{{if .Students}}<span><i class="key acc"></i>student{{if gt .Students 1}}, {{.Students}} seeds{{end}}</span>{{end}}{{if .Controls}}<span><i class="key sec"></i>control{{if gt .Controls 1}}, {{.Controls}} seeds{{end}}</span>{{end}}</div>
<figure>{{.SVG}}</figure>
{{end}}
<h2>Runs</h2>
<div class="wide"><table><tr><th class="n">seed</th><th>run</th><th class="n">steps</th><th class="n">loss at the end</th><th>metrics</th><th class="n">speed</th></tr>
{{range .Runs}}<tr><td class="n">{{.Seed}}</td><td>{{if .Control}}control{{else}}student{{end}}</td><td class="n">{{.Steps}}</td><td class="n">{{printf "%.4g" .Loss}}</td><td>{{range $k, $v := .Metrics}}{{$k}} {{printf "%.5g" $v}} {{end}}</td><td class="n">{{call $.Speed .Timing}}</td></tr>
{{end}}</table></div>
{{if .Tries}}<h2>Tried on a part of the data</h2>
<p class="soft">Short trainings on seven eighths of the samples. The loss is the cross-entropy of the others, in nats.</p>
<div class="wide"><table><tr><th class="n">alpha</th><th class="n">temperature</th><th class="n">held-out loss</th></tr>
{{range .Tries}}<tr><td class="n">{{.Alpha}}</td><td class="n">{{.Temperature}}</td><td class="n">{{printf "%.4g" .HeldOut}}</td></tr>
{{end}}</table></div>{{end}}
</body></html>
`))
