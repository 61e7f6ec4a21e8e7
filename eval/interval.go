package eval

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Interval is a 95 % confidence interval of a figure: how far it may be from that of all data like these.
//
// The units that are drawn independently are windows of text and images, not tokens: the tokens of a window share their
// topic and their past, and taken one by one they would make the interval several times too short. So whole units
// are drawn with replacement (Efron, "Bootstrap methods: another look at the jackknife", 1979; of clusters: Davison and
// Hinkley, "Bootstrap methods and their application", 1997, section 3.8). Resampling was preferred to the normal
// approximation because one rule fits all figures: means of a skewed divergence, perplexities, which are exponentials, and
// average precisions, which are no means at all. Quantiles are taken further out for few units, as Hesterberg has it ("What teachers
// should know about the bootstrap", 2015, section 5.3: the expanded percentile interval). The draws come from
// a fixed seed, so the same data give the same interval.
//
// Windows that lie side by side in one work are not quite independent; what the works as such differ by is not in the interval.
type Interval struct {
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Units int     `json:"units"` // windows or images
}

// Change is a figure less that of the reference, on the same units: each draw takes a unit with both of its results,
// so what the units themselves differ by cancels.
type Change struct {
	Value    float64   `json:"value"`
	Interval *Interval `json:"interval_95,omitempty"`
	// Lost and Gained count, for accuracies, the images that only the reference, or only the model, gets right. P is the exact
	// two-sided p-value of McNemar's test ("Note on the sampling error of the difference between correlated
	// proportions or percentages", 1947): how often chance alone splits Lost + Gained at least as unevenly.
	Lost   int      `json:"lost,omitempty"`
	Gained int      `json:"gained,omitempty"`
	P      *float64 `json:"p_value,omitempty"`
}

const (
	// minUnits is the least number of units that an interval is given for.
	minUnits = 5
	// rounds of resampling: the ends of the intervals vary by about 2 % of their length.
	rounds = 2000
	// normal95 is the quantile .975 of the normal distribution.
	normal95 = 1.959963984540054
)

// bootstrap returns intervals for a vector of figures, which fn computes from how many times each unit was drawn; nil for too few
// units. A figure that is not finite in a round has no interval.
func bootstrap(units int, fn func(times []int) []float64) []*Interval {
	if units < minUnits {
		return nil
	}
	rng := rand.NewPCG(0x64736b, uint64(units))
	times := make([]int, units)
	var drawn [][]float64 // by figure
	for range rounds {
		clear(times)
		for range units {
			at, _ := bits.Mul64(rng.Uint64(), uint64(units))
			times[at]++
		}
		for i, v := range fn(times) {
			if i == len(drawn) {
				drawn = append(drawn, make([]float64, 0, rounds))
			}
			drawn[i] = append(drawn[i], v)
		}
	}
	tail := tailOf(units)
	out := make([]*Interval, len(drawn))
	for i, values := range drawn {
		slices.Sort(values)
		low, high := quantile(values, tail), quantile(values, 1-tail)
		if !finite(values[0]) || !finite(values[len(values)-1]) { // NaN sorts first
			continue
		}
		out[i] = &Interval{Low: low, High: high, Units: units}
	}
	return out
}

// tailOf returns the part of the draws beyond each end of an interval: Phi(-sqrt(n/(n-1)) t) with the quantile t of Student's
// distribution of n-1 degrees of freedom, instead of .025.
func tailOf(n int) float64 {
	return 0.5 * math.Erfc(math.Sqrt(float64(n)/float64(n-1))*student95(float64(n-1))/math.Sqrt2)
}

// student95 is the quantile .975 of Student's distribution (Abramowitz and Stegun, 26.7.5; within 0.3 % from 4 degrees on).
func student95(degrees float64) float64 {
	x, v := normal95, degrees
	x2 := x * x
	return x + x*(x2+1)/(4*v) + x*(5*x2*x2+16*x2+3)/(96*v*v) + x*(3*x2*x2*x2+19*x2*x2+17*x2-15)/(384*v*v*v)
}

// quantile interpolates in sorted values.
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-2)
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// figure is a metric as a function of the units drawn.
type figure struct {
	name string
	of   func(times []int) float64
	ref  func(times []int) float64 // the reference's; nil: there is none
	part bool                      // a fraction of positions or images
}

// widen makes good what resampling cannot see: where all units have a fraction of 0 or of 1, all draws have it too. The exact
// interval of a proportion has its other end where that outcome has the probability .025 (Clopper and Pearson, "The use of confidence or
// fiducial limits illustrated in the case of the binomial", 1934).
func (in *Interval) widen() {
	if in == nil || in.Low != in.High {
		return
	}
	reach := 1 - math.Pow(0.025, 1/float64(in.Units))
	switch in.Low {
	case 1:
		in.Low = 1 - reach
	case 0:
		in.High = reach
	}
}

// widenChange is widen for a difference of fractions in which no unit differs.
func (in *Interval) widenChange() {
	if in != nil && in.Low == 0 && in.High == 0 {
		in.High = 1 - math.Pow(0.025, 1/float64(in.Units))
		in.Low = -in.High
	}
}

// quotient is sum of above over sum of below, by unit, and f of it if f is not nil.
func quotient(above, below []float64, f func(float64) float64) func([]int) float64 {
	return func(times []int) float64 {
		var a, b float64
		for i, t := range times {
			if t != 0 {
				a += float64(t) * above[i]
				b += float64(t) * below[i]
			}
		}
		if f == nil {
			return a / b
		}
		return f(a / b)
	}
}

// addIntervals adds the intervals of the figures to the report, and their changes where there is a reference.
func (r *Report) addIntervals(units int, figures []figure) {
	all := make([]float64, 0, 2*len(figures))
	intervals := bootstrap(units, func(times []int) []float64 {
		all = all[:0]
		for _, f := range figures {
			v := f.of(times)
			all = append(all, v)
			if f.ref != nil {
				all = append(all, v-f.ref(times))
			}
		}
		return all
	})
	once := make([]int, units)
	for i := range once {
		once[i] = 1
	}
	next := func() (in *Interval) {
		if len(intervals) > 0 {
			in, intervals = intervals[0], intervals[1:]
		}
		return in
	}
	for _, f := range figures {
		if in := next(); in != nil {
			if f.part {
				in.widen()
			}
			if r.Intervals == nil {
				r.Intervals = map[string]*Interval{}
			}
			r.Intervals[f.name] = in
		}
		if f.ref == nil {
			continue
		}
		if r.Changes == nil {
			r.Changes = map[string]*Change{}
		}
		in := next()
		if f.part {
			in.widenChange()
		}
		r.Changes[f.name] = &Change{Value: f.of(once) - f.ref(once), Interval: in}
	}
}

// mcnemar returns the exact two-sided p-value of a split of lost + gained coins: twice the binomial's tail at the smaller part.
func mcnemar(lost, gained int) float64 {
	n, k := lost+gained, min(lost, gained)
	logChoose := func(i int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(i + 1))
		c, _ := math.Lgamma(float64(n - i + 1))
		return a - b - c
	}
	var tail float64
	for i := range k + 1 {
		tail += math.Exp(logChoose(i) - float64(n)*math.Ln2)
	}
	return min(2*tail, 1)
}

// Sure says in words how sure a metric is: its interval and, where the reference has it too, the change. "" if nothing is known.
func (r *Report) Sure(name string) string {
	s := ""
	if in := r.Intervals[name]; in != nil {
		s = fmt.Sprintf("95 %% interval %.4g..%.4g", in.Low, in.High)
	}
	c := r.Changes[name]
	if c == nil {
		return s
	}
	if s != "" {
		s += ", "
	}
	s += fmt.Sprintf("change %+.4g", c.Value)
	if c.Interval != nil {
		s += fmt.Sprintf(" (%+.4g..%+.4g)", c.Interval.Low, c.Interval.High)
	}
	if c.P != nil {
		s += fmt.Sprintf(", %d lost %d gained, p=%.2g", c.Lost, c.Gained, *c.P)
	}
	return s
}
