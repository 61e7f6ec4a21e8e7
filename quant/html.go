package quant

import (
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/plot"
	"github.com/dsk-toolkit/dsk/model"
)

// share is the part of the weights' bytes that have one width.
type share struct {
	Bits    int
	Bytes   int64
	Percent float64
}

// reportValue is a line of the table of quality.
type reportValue struct{ Name, Value, Reference, Sure string }

// reportData is what the page shows.
type reportData struct {
	Name, Size          string
	R                   *Report
	Values              []reportValue
	Shares              []share
	Curve, Bits, Errors template.HTML
	LossUnit            string
}

// lossUnit says what a predicted loss is: on the axis, and in words.
func lossUnit(calibrated bool) (axis, words string) {
	if calibrated {
		return "mean KL, nats", "mean KL divergence in nats from the input model's output on calibration data, or the output's relative error where it is no distribution"
	}
	return "relative error", "the sum of the products' relative errors, since no calibration data were given"
}

// WriteHTML writes the report as one page without scripts or outside references. m gives its name.
func (r *Report) WriteHTML(w io.Writer, m *model.Model) error {
	axis, words := lossUnit(!r.dataFree())
	page := reportData{Name: m.Meta.Name, R: r, Size: fmt.Sprintf("%.3f MB", float64(r.Bytes)/1e6), Values: reportValues(r.Metrics),
		Curve: plotCurve(r.Curve, axis, r.Bytes), Bits: plotBits(r.Tensors), Errors: plotErrors(r.Tensors), LossUnit: words}
	byBits := map[int]int64{}
	var total int64
	for _, t := range r.Tensors {
		byBits[t.Bits] += t.Bytes
		total += t.Bytes
	}
	for _, bits := range slices.Backward(slices.Sorted(maps.Keys(byBits))) {
		page.Shares = append(page.Shares, share{bits, byBits[bits], 100 * float64(byBits[bits]) / float64(max(total, 1))})
	}
	return reportPage.Execute(w, page)
}

// WritePlanHTML writes a plan's curve as one page. calibrated says what the loss is (Plan).
func WritePlanHTML(w io.Writer, m *model.Model, points []Point, calibrated bool) error {
	axis, words := lossUnit(calibrated)
	return reportPage.Execute(w, reportData{Name: m.Meta.Name, R: &Report{Curve: points}, Curve: plotCurve(points, axis, 0), LossUnit: words})
}

func reportValues(r *eval.Report) []reportValue {
	if r == nil {
		return nil
	}
	var out []reportValue
	for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
		v := reportValue{Name: name, Value: fmt.Sprintf("%.5g", r.Metrics[name]), Sure: r.Sure(name)}
		if r.Reference != nil {
			if ref, ok := r.Reference.Metrics[name]; ok {
				v.Reference = fmt.Sprintf("%.5g", ref)
			}
		}
		out = append(out, v)
	}
	return out
}

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"db": func(v *float64) string {
		if v == nil {
			return "–"
		}
		return fmt.Sprintf("%.1f", *v)
	},
	"digits": func(v *float64) string { return fmt.Sprintf("%.4g", *v) },
	"mb":     func(n int64) string { return fmt.Sprintf("%.3f", float64(n)/1e6) },
	"dims": func(shape []int) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", " × "), "[]")
	},
}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{{.Name}}: quantization</title>
<style>` + plot.Style + `:root{--b2:#b3261e;--b3:#c7741a;--b4:#b59f00;--b8:#2e8b57;--b16:#2463c9;--b32:#7a4fb5}
@media (prefers-color-scheme:dark){:root{--b2:#f2736b;--b3:#f0a35e;--b4:#e3cf4a;--b8:#6fcf97;--b16:#7fb0ff;--b32:#c3a3f0}}
.stem{stroke:var(--rule);stroke-width:1.5;fill:none}.chosen{stroke:var(--second);stroke-width:1.5;stroke-dasharray:4 4}
.b2{fill:var(--b2);background:var(--b2)}.b3{fill:var(--b3);background:var(--b3)}.b4{fill:var(--b4);background:var(--b4)}.b8{fill:var(--b8);background:var(--b8)}.b16{fill:var(--b16);background:var(--b16)}.b32{fill:var(--b32);background:var(--b32)}
.strip{display:flex;height:1rem;border-radius:.3rem;overflow:hidden}
</style></head><body>
<h1>{{.Name}}</h1>
{{if .R.Bytes}}<p class="soft">strategy {{.R.Strategy}} · calibration {{.R.Calibration}} · {{len .R.Tensors}} tensors · {{.R.Measurements}} measurements of sensitivity</p>
<div class="cards">
<div class="card"><b>{{.Size}}</b><span>whole file</span></div>
<div class="card"><b>{{printf "%.3f" .R.BitsPerW}}</b><span>bits per weight</span></div>
<div class="card"><b>{{printf "%.2f" .R.RatioVsF32}}×</b><span>smaller than float32</span></div>
{{if .R.MeanKL}}<div class="card"><b>{{digits .R.MeanKL}}</b><span>mean KL, nats{{with .R.KLInterval}} (95 %: {{printf "%.3g" .Low}} to {{printf "%.3g" .High}}){{end}}</span></div>{{end}}
{{if .R.Agreement}}<div class="card"><b>{{digits .R.Agreement}}</b><span>top-1 agreement{{with .R.AgreementInterval}} (95 %: {{printf "%.3f" .Low}} to {{printf "%.3f" .High}}){{end}}</span></div>{{end}}
</div>
{{with .R.Latency}}<p>{{.Answer}}.</p>{{end}}
<h2>Quality</h2>
{{if .Values}}<p class="soft">Measured on {{.R.Metrics.Data}}, {{.R.Metrics.Samples}} samples{{if .R.Metrics.Windows}} in {{.R.Metrics.Windows}} windows{{end}}, which influenced no choice. Intervals draw whole windows or images.</p>
<div class="wide"><table><tr><th>metric</th><th class="n">quantized</th><th class="n">input model</th><th>how sure</th></tr>
{{range .Values}}<tr><td>{{.Name}}</td><td class="n">{{.Value}}</td><td class="n">{{.Reference}}</td><td class="soft">{{.Sure}}</td></tr>{{end}}</table></div>
{{else}}<p>Not measured: no evaluation data was given.</p>{{end}}{{end}}
{{if .Curve}}<h2>Size and quality</h2>
<figure>{{.Curve}}<figcaption>What each budget would buy, predicted from the measured sensitivity of each tensor. Loss: {{.LossUnit}}.</figcaption></figure>
<div class="wide"><table><tr><th class="n">MB</th><th class="n">bits per weight</th><th class="n">times smaller</th><th class="n">predicted loss</th><th class="n">predicted ms</th></tr>
{{range .R.Curve}}<tr><td class="n">{{mb .Bytes}}</td><td class="n">{{printf "%.3f" .BitsPerW}}</td><td class="n">{{printf "%.2f" .RatioVsF32}}</td><td class="n">{{printf "%.4g" .PredictedLoss}}</td><td class="n">{{if .PredictedMS}}{{printf "%.3g" .PredictedMS}}{{else}}–{{end}}</td></tr>{{end}}</table></div>{{end}}
{{if .Shares}}<h2>Bits per layer</h2>
<div class="strip">{{range .Shares}}<div class="b{{.Bits}}" style="width:{{printf "%.2f" .Percent}}%" title="{{.Bits}} bit"></div>{{end}}</div>
<div class="legend">{{range .Shares}}<span><i class="key b{{.Bits}}"></i>{{.Bits}} bit: {{mb .Bytes}} MB, {{printf "%.1f" .Percent}} %</span>{{end}}</div>
<figure>{{.Bits}}</figure>{{end}}
{{if .Errors}}<h2>Error per layer</h2>
<div class="legend"><span><i class="key acc"></i>product, as far as its inputs are known</span><span><i class="key sec"></i>weights</span></div>
<figure>{{.Errors}}<figcaption>Signal-to-quantization-noise ratio: 10 lg of the mean square over the mean squared error. 6 dB are a bit.</figcaption></figure>{{end}}
{{if .R.Tensors}}<h2>Tensors</h2>
<div class="wide"><table><tr><th>name</th><th>shape</th><th class="n">bits</th><th class="n">bytes</th><th class="n">weights, dB</th><th class="n">product, dB</th><th>why</th></tr>
{{range .R.Tensors}}<tr><td>{{.Name}}</td><td class="n">{{dims .Shape}}</td><td class="n"><i class="key b{{.Bits}}"></i>{{.Bits}}</td><td class="n">{{.Bytes}}</td><td class="n">{{db .SQNR}}</td><td class="n">{{db .Weighted}}</td><td>{{.Why}}</td></tr>{{end}}
</table></div>{{end}}
</body></html>
`))
