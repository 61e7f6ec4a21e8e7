package quant

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// Device tells how fast a kind of machine computes products with weights of each width. Predictions made of it count products and
// convolutions with constant weights, which are nearly all of the time of the models that dsk is for, and nothing else.
type Device struct {
	Name   string
	Source string // what the rates are from, in words
	// Timed says that the rates are of kernels that were timed on such a machine; without it they are parts of limits, and say nothing
	// about one kernel against another.
	Timed     bool
	Cache     int64          // bytes of the last cache: smaller models are read from there
	Rates     map[int][]Rate // by the weights' bits: 2, 3, 4, 8, 16 and 32
	Depthwise float64        // multiply-adds a second of convolutions in groups; 0: not known
}

// Rate is how fast products with a number of rows are computed. One of Operations and Bytes is set.
type Rate struct {
	Rows       int     // of the operand that is not constant: 1 for a token, pixels for a convolution
	Memory     bool    // the weights come from memory, not from a cache
	Operations float64 // multiply-adds a second
	Bytes      float64 // of weights a second
}

// Latency is the answer to how long a run takes on a device, or a token of a language model.
type Latency struct {
	Device      string  `json:"device"`
	Source      string  `json:"source"`
	PredictedMS float64 `json:"predicted_ms"`
	FloatMS     float64 `json:"float32_ms"` // with the same weights as float32
	// Int8Faster answers whether 8-bit products are faster there than float32; nil where no table of timed kernels tells.
	Int8Faster *bool  `json:"int8_is_faster,omitempty"`
	Answer     string `json:"answer"` // the same in words
}

// reading is one use of a candidate by a product.
type reading struct{ rows int }

// readings finds with how many rows each candidate is read in a run with a batch of 1, or for a token, and how many multiply-adds
// convolutions in groups make. It is a *fault.Usage if shapes are not known.
func (q *quantizer) readings() (map[string][]reading, int64, error) {
	known := map[string]*candidate{}
	for _, c := range q.candidates {
		known[c.name] = c
	}
	g := q.m.Graph.Clone()
	if err := g.Infer(); err != nil {
		return nil, 0, err
	}
	token := q.m.Meta.Task == model.TaskLM || q.m.Meta.Task == model.TaskSeq2Seq || q.m.Meta.Task == model.TaskEmbed || q.m.Meta.Task == model.TaskTextClassify
	out := map[string][]reading{}
	var grouped int64
	for _, n := range g.Nodes {
		for i, name := range n.Inputs {
			w := g.Init[name]
			if w == nil || n.Domain != model.DomainDsk || i == 0 || len(w.Shape) < 2 || n.Op != "Conv" && known[name] == nil {
				continue
			}
			rows := 1
			if !token {
				var err error
				if rows, err = rowsOf(g.Types[n.Outputs[0]].Shape, w.Shape[0]); err != nil {
					return nil, 0, err
				}
			}
			if c := known[name]; c != nil {
				out[name] = append(out[name], reading{rows})
			} else if i == 1 {
				grouped += int64(rows) * int64(w.Len())
			}
		}
	}
	return out, grouped, nil
}

// rowsOf is the number of values of a shape over those of one row, with a batch of 1.
func rowsOf(shape []model.Dim, outputs int) (int, error) {
	n := 1
	for i, d := range shape {
		switch {
		case d.IsKnown():
			n *= d.N
		case i > 0 || len(shape) == 0:
			return 0, &fault.Usage{What: "the model's shapes are not fixed, so that its latency cannot be predicted: convert with --input-shape"}
		}
	}
	return max(1, n/max(outputs, 1)), nil
}

// predictor predicts latencies of a quantizer's choices.
type predictor struct {
	d        *Device
	readings map[string][]reading
	fixed    float64      // seconds that no width changes
	memory   map[int]bool // by bits: all weights of that width together do not fit the cache
}

func (q *quantizer) newPredictor() (*predictor, error) {
	p := &predictor{d: q.o.Device, memory: map[int]bool{}}
	var grouped int64
	var err error
	if p.readings, grouped, err = q.readings(); err != nil {
		return nil, err
	}
	if p.d.Depthwise > 0 {
		p.fixed = float64(grouped) / p.d.Depthwise
	}
	for _, bits := range append(widths[:], 32) {
		var all int64
		for _, c := range q.candidates {
			all += c.bytesAt(bits)
		}
		p.memory[bits] = all > p.d.Cache
	}
	return p, nil
}

// bytesAt is size, for float32 too.
func (c *candidate) bytesAt(bits int) int64 {
	if bits == 32 {
		return 4 * int64(c.n) * int64(c.k)
	}
	return c.size(bits)
}

// seconds is how long a run reads a candidate in a width.
func (p *predictor) seconds(c *candidate, bits int) float64 {
	var sum float64
	for _, r := range p.readings[c.name] {
		rate, ok := p.d.rate(bits, r.rows, p.memory[bits])
		if !ok {
			return math.Inf(1)
		}
		if rate.Bytes > 0 {
			sum += float64(float64(c.bytesAt(bits)) / rate.Bytes * math.Ceil(float64(r.rows)/float64(max(rate.Rows, 1))))
		} else {
			sum += float64(r.rows) * float64(c.n) * float64(c.k) / rate.Operations
		}
	}
	return sum
}

// rate is the one for the nearest number of rows, from the right place.
func (d *Device) rate(bits, rows int, memory bool) (best Rate, ok bool) {
	far := math.Inf(1)
	for _, r := range d.Rates[bits] {
		distance := math.Abs(math.Log(float64(max(r.Rows, 1)) / float64(max(rows, 1))))
		if r.Bytes > 0 && r.Memory != memory {
			distance += 0.5 // a figure from elsewhere is better than one of a product that computes more than it reads
		}
		if distance < far {
			best, far, ok = r, distance, true
		}
	}
	return best, ok
}

// total predicts a run with widths that choose gives.
func (p *predictor) total(q *quantizer, choose func(*candidate) int) float64 {
	sum := p.fixed
	for _, c := range q.candidates {
		sum += p.seconds(c, choose(c))
	}
	return sum
}

// latency predicts the present choice and compares it with float32.
func (q *quantizer) latency() (*Latency, error) {
	p, err := q.newPredictor()
	if err != nil {
		return nil, err
	}
	chosen := func(c *candidate) int { return storedBits(c.choice.bits) }
	l := &Latency{Device: p.d.Name, Source: p.d.Source,
		PredictedMS: 1e3 * p.total(q, chosen),
		FloatMS:     1e3 * p.total(q, func(*candidate) int { return 32 })}
	if math.IsInf(l.PredictedMS, 0) || math.IsInf(l.FloatMS, 0) {
		return nil, &fault.Usage{What: fmt.Sprintf("the table of %s has no rates for all widths: make it with dsk bench kernels --json without --filter", p.d.Name)}
	}
	unit := "a run"
	if q.m.Meta.Task == model.TaskLM {
		unit = "a token"
	}
	if !p.d.Timed {
		l.Answer = fmt.Sprintf("%.3g ms %s predicted on %s from %s; whether 8-bit products are faster there than float32 is not known: time its kernels with dsk bench kernels --json and give that file",
			l.PredictedMS, unit, p.d.Name, p.d.Source)
		return l, nil
	}
	if q.o.ActBits == 32 {
		l.Answer = fmt.Sprintf("products run in float32 (--act-bits 32): nothing is predicted to be faster on %s", p.d.Name)
		l.PredictedMS = l.FloatMS
		return l, nil
	}
	int8 := 1e3 * p.total(q, func(*candidate) int { return 8 })
	l.Int8Faster = ptr(int8 < l.FloatMS)
	word := "faster"
	if !*l.Int8Faster {
		word = "not faster: consider --act-bits 32"
	}
	l.Answer = fmt.Sprintf("%.3g ms %s predicted on %s from %s; with all weights at 8 bit %.3g ms, as float32 %.3g ms: int8 is %s there",
		l.PredictedMS, unit, p.d.Name, p.d.Source, int8, l.FloatMS, word)
	return l, nil
}

// mixes is how many ways of weighing time against bytes are tried where both are bounded.
const mixes = 16

// fitLatency chooses the widths of the least predicted loss whose predicted latency, and file, stay within the limits. Each way of
// weighing seconds against bytes gives one sum to spend, which allocate does; the best of those that keep both limits is taken.
func (q *quantizer) fitLatency(ctx context.Context) error {
	p, err := q.newPredictor()
	if err != nil {
		return err
	}
	limit := q.o.MaxLatency / 1e3
	chosen := func(c *candidate) int { return storedBits(c.choice.bits) }
	for _, c := range q.candidates {
		c.choice = slices.MinFunc(c.options, func(a, b option) int { return cmp.Compare(p.seconds(c, a.bits), p.seconds(c, b.bits)) })
	}
	if least := p.total(q, chosen); !(least <= limit) {
		return &fault.Gate{What: fmt.Sprintf("a latency of %g ms on %s cannot be met: the best found is %.4g ms, predicted from %s",
			q.o.MaxLatency, p.d.Name, 1e3*least, p.d.Source)}
	}
	room, err := q.byteRoom()
	if err != nil {
		return err
	}
	var best []choice
	least := math.Inf(1)
	for mix := range mixes + 1 {
		if err := ctx.Err(); err != nil {
			return err
		}
		ok, err := q.spendMixed(p, limit, room, float64(mix)/mixes)
		if err != nil {
			return err
		}
		loss := 0.
		for _, c := range q.candidates {
			loss += float64(c.sens * c.choice.err)
		}
		if ok && loss < least {
			least, best = loss, q.choices()
		}
	}
	if best == nil {
		return &fault.Gate{What: fmt.Sprintf("a latency of %g ms on %s and %d bytes of weights cannot both be met: give a larger target", q.o.MaxLatency, p.d.Name, room)}
	}
	q.restore(best)
	if err := q.doNoHarm(ctx); err != nil {
		return err
	}
	if p.total(q, chosen) > limit {
		q.restore(best)
	}
	for _, c := range q.candidates {
		c.why = fmt.Sprintf("%s, %.3g ms predicted", c.why, 1e3*p.seconds(c, c.choice.bits))
	}
	return nil
}

// byteRoom is how many bytes the weights may take.
func (q *quantizer) byteRoom() (int64, error) {
	want := q.budget()
	if want == 0 {
		return q.defaultRoom(), nil
	}
	allocate(q.candidates, 0)
	smallest, err := q.size()
	if err != nil {
		return 0, err
	}
	if smallest > want {
		return 0, &fault.Gate{What: fmt.Sprintf("the target of %d bytes cannot be met: with every weight at 2 bit the file has %d bytes", want, smallest)}
	}
	return q.weightBytes() + want - smallest, nil
}

// costUnit is the integer that a whole limit is in the sums of spendMixed.
const costUnit = 1 << 40

// spendMixed allocates by share of the latency and of the bytes, and reports whether both limits hold.
func (q *quantizer) spendMixed(p *predictor, limit float64, room int64, share float64) (bool, error) {
	measured := make([][]option, len(q.candidates))
	for i, c := range q.candidates {
		measured[i] = c.options
		costs := make([]option, len(c.options))
		for j, o := range c.options {
			// A width without a rate, or one that no limit allows, costs as much as there is, even if time does not count.
			cost := math.Inf(1)
			if seconds := p.seconds(c, o.bits); !math.IsInf(seconds, 0) {
				cost = share*seconds/max(limit-p.fixed, 1e-12) + (1-share)*float64(o.bytes)/float64(room)
			}
			costs[j] = o
			costs[j].bytes = int64(min(cost, 1<<20) * costUnit)
		}
		slices.SortStableFunc(costs, func(a, b option) int { return cmp.Compare(b.bytes, a.bytes) })
		c.options = costs
	}
	restore := func() {
		for i, c := range q.candidates {
			c.options = measured[i]
			for _, o := range c.options {
				if o.bits == c.choice.bits {
					c.choice = o
				}
			}
		}
	}
	scale := 1.
	for range 60 {
		allocate(q.candidates, int64(scale*costUnit))
		costs := make([][]option, len(q.candidates))
		for i, c := range q.candidates {
			costs[i] = c.options
		}
		restore()
		over := p.total(q, func(c *candidate) int { return c.choice.bits }) / limit
		over = max(over, float64(q.weightBytes())/float64(room))
		if want := q.budget(); want > 0 && over <= 1 {
			size, err := q.size()
			if err != nil {
				return false, err
			}
			over = float64(size) / float64(want)
		}
		if over <= 1 {
			return true, nil
		}
		scale *= min(0.995, 1/over)
		for i, c := range q.candidates {
			c.options = costs[i]
		}
	}
	restore()
	return false, nil
}
