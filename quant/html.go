package quant

import (
	"fmt"
	"html/template"
	"io"
	"sort"

	"github.com/dsk-toolkit/dsk/model"
)

// WriteHTML writes the report as one page without scripts or outside references.
func (r *Report) WriteHTML(w io.Writer, m *model.Model) error {
	type bar struct {
		TensorReport
		Percent float64
	}
	page := struct {
		Name string
		*Report
		Size   string
		Widths []string
		Rows   []bar
		Values [][3]string
	}{Name: m.Meta.Name, Report: r, Size: fmt.Sprintf("%.2f MB", float64(r.Bytes)/1e6)}
	byBits := map[int]int64{}
	var largest, total int64 = 1, 1
	for _, t := range r.Tensors {
		byBits[t.Bits] += t.Bytes
		largest, total = max(largest, t.Bytes), total+t.Bytes
	}
	for _, bits := range []int{32, 16, 8, 4, 3, 2} {
		if n := byBits[bits]; n > 0 {
			page.Widths = append(page.Widths, fmt.Sprintf("%d bit: %.1f %% of the weights' bytes", bits, 100*float64(n)/float64(total)))
		}
	}
	for _, t := range r.Tensors {
		page.Rows = append(page.Rows, bar{t, 100 * float64(t.Bytes) / float64(largest)})
	}
	if r.Metrics != nil {
		var names []string
		for name := range r.Metrics.Metrics {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			ref := ""
			if r.Reference != nil {
				if v, ok := r.Reference.Metrics[name]; ok {
					ref = fmt.Sprintf("%.6g", v)
				}
			}
			page.Values = append(page.Values, [3]string{name, fmt.Sprintf("%.6g", r.Metrics.Metrics[name]), ref})
		}
	}
	return reportPage.Execute(w, page)
}

var reportPage = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Name}}: quantization</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#222}
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%;margin:1rem 0}
td:nth-child(2){white-space:nowrap}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}
.n{text-align:right}.b{background:#4a7;height:.7rem;display:inline-block}
</style></head><body>
<h1>{{.Name}}</h1>
<p><b>{{.Size}}</b>, {{printf "%.3f" .BitsPerW}} bits per weight, {{printf "%.2f" .RatioVsF32}}x smaller than f32.
Strategy {{.Strategy}}, calibration {{.Calibration}}.</p>
<ul>{{range .Widths}}<li>{{.}}</li>{{end}}</ul>
{{if .Values}}<h2>Quality on {{.Metrics.Data}}, {{.Metrics.Samples}} samples</h2>
<table><tr><th>metric</th><th class="n">quantized</th><th class="n">input model</th></tr>
{{range .Values}}<tr><td>{{index . 0}}</td><td class="n">{{index . 1}}</td><td class="n">{{index . 2}}</td></tr>{{end}}</table>
{{else}}<p>Quality was not measured: no evaluation data was given.</p>{{end}}
<h2>Tensors</h2>
<table><tr><th>name</th><th>shape</th><th class="n">bits</th><th class="n">bytes</th><th></th><th class="n">rel. error</th><th>why</th></tr>
{{range .Rows}}<tr><td>{{.Name}}</td><td>{{.Shape}}</td><td class="n">{{.Bits}}</td><td class="n">{{.Bytes}}</td>
<td style="width:8rem"><span class="b" style="width:{{printf "%.1f" .Percent}}%"></span></td><td class="n">{{printf "%.2g" .RelError}}</td><td>{{.Why}}</td></tr>{{end}}
</table></body></html>
`))
