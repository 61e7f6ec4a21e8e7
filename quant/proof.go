package quant

import (
	"cmp"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
)

// AssetProof is the asset that tells, in every quantized file, what the quantization cost: a Proof as JSON.
const AssetProof = "quantization.json"

// Proof is what Apply measured of the model that it made, with figures to four digits.
type Proof struct {
	Calibration string                 `json:"calibration"`
	Evaluation  *eval.Report           `json:"evaluation,omitempty"` // on data that influenced nothing
	Tensors     map[string]TensorProof `json:"tensors,omitempty"`
}

// TensorProof is the signal-to-noise ratio of a tensor in dB, 10 lg(sum of squares / sum of squared errors): SQNR of the weights
// as they are, and Weighted of the product's result as far as the product's inputs are known (TensorReport.RelError).
type TensorProof struct {
	Bits     int      `json:"bits"`
	SQNR     *float64 `json:"sqnr_db,omitempty"` // nil: no error at all
	Weighted *float64 `json:"sqnr_weighted_db,omitempty"`
}

// ReadProof returns the proof that a model carries, nil if it has none.
func ReadProof(m *model.Model) (*Proof, error) {
	b, ok := m.Assets[AssetProof]
	if !ok {
		return nil, nil
	}
	p := &Proof{}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fault.Formatf("asset "+AssetProof, "%v", err)
	}
	return p, nil
}

// proof is the report in short.
func (r *Report) proof() *Proof {
	p := &Proof{Calibration: r.Calibration, Evaluation: rounded(r.Metrics), Tensors: map[string]TensorProof{}}
	for _, t := range r.Tensors {
		if t.SQNR != nil || t.Weighted != nil {
			p.Tensors[t.Name] = TensorProof{Bits: t.Bits, SQNR: digits4(t.SQNR), Weighted: digits4(t.Weighted)}
		}
	}
	return p
}

// attach stores the proof in the model, and leaves out of it what the budget has no room for: size has counted on as much
// as it takes as a rule.
func (p *Proof) attach(m *model.Model, budget int64) error {
	for _, drop := range []func(){func() {}, func() { p.Tensors = nil }, func() { p.Evaluation = nil }} {
		drop()
		b, err := json.Marshal(p)
		if err != nil {
			return err
		}
		m.Assets[AssetProof] = b
		size, err := dskfile.Size(m)
		if err != nil || budget == 0 || size <= budget {
			return err
		}
	}
	delete(m.Assets, AssetProof)
	return nil
}

// evaluationRoom is about how many bytes an evaluation takes in a proof.
const evaluationRoom = 900

// reserve stores something as large as the proof will be, of figures that compress no better.
func (q *quantizer) reserve(m *model.Model) {
	rng := rand.New(rand.NewPCG(1, 2))
	figure := func() *float64 { return digits4(ptr(10 + 40*rng.Float64())) }
	p := Proof{Calibration: q.calibrationName(), Tensors: map[string]TensorProof{}}
	for _, c := range q.candidates {
		p.Tensors[c.name] = TensorProof{Bits: storedBits(c.choice.bits), SQNR: figure(), Weighted: figure()}
	}
	if q.o.Eval != nil {
		room := make([]byte, evaluationRoom)
		for i := range room {
			room[i] = byte('0' + rng.IntN(40))
		}
		p.Calibration += string(room)
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic("quant: " + err.Error()) // finite numbers and names
	}
	m.Assets[AssetProof] = b
}

// findSignals sets what the report says of the candidates' signal-to-noise ratios.
func (t *TensorReport) findSignals(c *candidate) {
	t.SQNR, t.Weighted = decibels(c.choice.plain), decibels(c.choice.err)
}

// decibels turns a relative squared error into a signal-to-noise ratio; nil if there is no error.
func decibels(relative float64) *float64 {
	if relative <= 0 || math.IsNaN(relative) || math.IsInf(relative, 0) {
		return nil
	}
	return ptr(-10 * math.Log10(relative))
}

func ptr[T any](v T) *T { return &v }

// digits4 rounds to four digits, so that files with figures measured on different machines are mostly equal all the same.
func digits4(v *float64) *float64 {
	if v == nil {
		return nil
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(*v, 'g', 4, 64), 64)
	if err != nil || math.IsNaN(short) || math.IsInf(short, 0) {
		return nil
	}
	return &short
}

// rounded is a copy of a report with figures to four digits.
func rounded(r *eval.Report) *eval.Report {
	if r == nil {
		return nil
	}
	out := *r
	out.Reference = rounded(r.Reference)
	out.Metrics = map[string]float64{}
	for name, v := range r.Metrics {
		if short := digits4(&v); short != nil {
			out.Metrics[name] = *short
		}
	}
	interval := func(in *eval.Interval) *eval.Interval {
		if in == nil {
			return nil
		}
		low, high := digits4(&in.Low), digits4(&in.High)
		if low == nil || high == nil {
			return nil
		}
		return &eval.Interval{Low: *low, High: *high, Units: in.Units}
	}
	out.Intervals, out.Changes = nil, nil
	for name, in := range r.Intervals {
		if short := interval(in); short != nil {
			if out.Intervals == nil {
				out.Intervals = map[string]*eval.Interval{}
			}
			out.Intervals[name] = short
		}
	}
	for name, c := range r.Changes {
		value := digits4(&c.Value)
		if value == nil {
			continue
		}
		if out.Changes == nil {
			out.Changes = map[string]*eval.Change{}
		}
		out.Changes[name] = &eval.Change{Value: *value, Interval: interval(c.Interval), Lost: c.Lost, Gained: c.Gained, P: digits4(c.P)}
	}
	return &out
}

// byNumber compares names so that layer 2 comes before layer 10: runs of digits count as numbers.
func byNumber(a, b string) int {
	digits := func(s string) int {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		return n
	}
	for x, y := a, b; x != "" && y != ""; {
		i, j := digits(x), digits(y)
		if i == 0 || j == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		if c := cmp.Or(cmp.Compare(i, j), cmp.Compare(x[:i], y[:j])); c != 0 {
			return c
		}
		x, y = x[i:], y[j:]
	}
	return cmp.Compare(a, b)
}
