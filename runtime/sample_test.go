package runtime

import (
	"math"
	"slices"
	"testing"
)

func TestSamplerGreedy(t *testing.T) {
	nan := float32(math.NaN())
	inf := float32(math.Inf(-1))
	for _, c := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{1, 3, 2}, 1}, {[]float32{3, 1, 3}, 0}, {[]float32{nan, -5, -4}, 2}, {[]float32{inf, inf}, 0},
		{[]float32{nan, nan}, 0}, {[]float32{nan, inf}, 1}, {nil, 0},
	} {
		if got := (&Sampler{}).Next(c.logits); got != c.want {
			t.Errorf("%v: %d, want %d", c.logits, got, c.want)
		}
	}
}

// TestPenalties: prompt and output count for repetition, the output alone for frequency and presence.
func TestPenalties(t *testing.T) {
	for _, c := range []struct {
		name   string
		s      Sampler
		logits []float32
		want   int32
	}{
		{"none", Sampler{}, []float32{5, 4, 3, 2}, 0},
		{"repetition of the prompt", Sampler{RepetitionPenalty: 2}, []float32{3, 2, 3, 2}, 3},
		{"repetition of what is unlikely", Sampler{RepetitionPenalty: 2}, []float32{-1, -3, -3, -1.5}, 3},
		{"presence", Sampler{PresencePenalty: 2}, []float32{5, 6, 3, 2}, 0},
		{"frequency", Sampler{FrequencyPenalty: 1}, []float32{4, 6, 6, 2}, 2},
		{"frequency counts", Sampler{FrequencyPenalty: 1}, []float32{3, 5, 4.5, 2}, 2},
		{"favoured", Sampler{PresencePenalty: -2}, []float32{5, 4, 3, 2}, 1},
	} {
		c.s.Begin([]int32{3, 3, 3})
		for _, id := range []int32{1, 2, 2} {
			c.s.Accept(id)
		}
		c.s.Begin([]int32{0, 99, -1})
		for _, id := range []int32{1, 1, 2} {
			c.s.Accept(id)
		}
		if got := c.s.Next(c.logits); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestSamplerMasked: what is -Inf is never drawn.
func TestSamplerMasked(t *testing.T) {
	inf := float32(math.Inf(-1))
	for _, s := range []Sampler{{Temperature: 1}, {Temperature: 50, TopK: 3}, {Temperature: 1, TopP: 0.999}, {}} {
		for range 200 {
			if got := s.Next([]float32{inf, 0, inf, 1, inf}); got != 1 && got != 3 {
				t.Fatalf("%+v: %d", s, got)
			}
		}
	}
	if got := (&Sampler{Temperature: 1}).Next([]float32{float32(math.NaN()), inf}); got != 1 {
		t.Errorf("nothing possible: %d", got)
	}
}

// frequencies draws n tokens.
func frequencies(s *Sampler, logits []float32, n int) []float64 {
	f := make([]float64, len(logits))
	for range n {
		f[s.Next(logits)] += 1 / float64(n)
	}
	return f
}

func TestSamplerDistribution(t *testing.T) {
	logits := []float32{1, 0, 2, -1, 2}
	p := make([]float64, len(logits))
	var sum float64
	for i, v := range logits {
		p[i] = math.Exp(float64(v) / 0.5)
		sum += p[i]
	}
	renormalized := func(ids ...int) []float64 {
		out := make([]float64, len(p))
		var sum float64
		for _, i := range ids {
			sum += p[i]
		}
		for _, i := range ids {
			out[i] = p[i] / sum
		}
		return out
	}
	for _, c := range []struct {
		name string
		s    Sampler
		want []float64
	}{
		{"all", Sampler{}, renormalized(0, 1, 2, 3, 4)},
		{"top 1", Sampler{TopK: 1}, renormalized(2)},
		{"top 3", Sampler{TopK: 3}, renormalized(0, 2, 4)},
		{"top p", Sampler{TopP: 0.9}, renormalized(2, 4)},
		{"top p at the boundary", Sampler{TopP: 0.1}, renormalized(2)},
		{"min p", Sampler{MinP: 0.1}, renormalized(0, 2, 4)},
		{"together", Sampler{TopK: 4, TopP: 0.999, MinP: 0.5}, renormalized(2, 4)},
	} {
		c.s.Temperature, c.s.Seed = 0.5, 11
		again := c.s
		got := frequencies(&c.s, logits, 20000)
		for i, want := range c.want {
			if math.Abs(got[i]-want) > 0.015 || want == 0 && got[i] != 0 {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
				break
			}
		}
		if f := frequencies(&again, logits, 20000); !slices.Equal(f, got) {
			t.Errorf("%s: the same seed gives %v and %v", c.name, got, f)
		}
	}
}

func TestSamplerAllocations(t *testing.T) {
	logits := randF32(1, 5000).F32()
	s := Sampler{Temperature: 1, TopK: 40, TopP: 0.9, MinP: 0.01, RepetitionPenalty: 1.1, FrequencyPenalty: 0.5}
	s.Begin([]int32{3, 4})
	s.Next(logits)
	if n := testing.AllocsPerRun(10, func() { s.Next(logits) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSelectTop(t *testing.T) {
	values := randF32(3, 301).F32()
	for i := range values {
		values[i] = float32(math.Round(float64(values[i]) * 40)) // many equal ones
	}
	var all []candidate
	for i, v := range values {
		all = append(all, candidate{int32(i), v})
	}
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, byLogit)
	for _, k := range []int{1, 2, 7, 150, 300} {
		got := slices.Clone(all)
		selectTop(got, k)
		slices.SortFunc(got[:k], byLogit)
		if !slices.Equal(got[:k], sorted[:k]) {
			t.Errorf("the first %d differ", k)
		}
	}
}
