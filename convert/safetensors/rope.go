package safetensors

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// maxTableBytes is the most that the two tables of a rope may take in the file. Above it the
// angles are computed in the graph, once a pass for all layers: a context of 131072 tokens would
// otherwise add tens of megabytes.
const maxTableBytes = 8 << 20

// rope says how queries and keys are rotated (Su et al. 2021): the pair (x[i], x[i+half]) of a head
// turns by position * frequency[i].
type rope struct {
	name        string // of its values in the graph
	headDim     int
	frequency   []float64 // one for each pair that is rotated
	scale       float64   // of cosine and sine: yarn's attention factor
	dynamic     *dynamicRope
	long        *longRope
	interleaved bool // pairs are (x[2i], x[2i+1])
	positions   int  // rows of the tables
	built       bool // its values are in the graph
	cos, sin    string
	byPosition  bool // cos and sin are tables, read by position_ids
}

// dynamicRope makes the base of the frequencies grow with the length ("dynamic NTK"):
//
//	base' = base * (factor*length/original - (factor-1))^(dim/(dim-2))
//
// once length, the tokens so far, exceeds original. All tokens of a pass are rotated for the length at
// its end, and keys in the cache keep the rotation that they were written with, as in transformers;
// so a long prompt depends a little on how it is cut into passes.
type dynamicRope struct{ factor, original float64 }

// longRope has other frequencies once the tokens so far exceed original ("longrope", Ding et al. 2024). As with
// dynamicRope, the length at the end of a pass counts.
type longRope struct {
	frequency []float64
	original  int
}

// readRope reads rope_theta and rope_scaling, and how long the context is that they make of context
// tokens. The first share of each head is rotated: partial_rotary_factor, or defaultShare.
func readRope(c *config, name string, headDim, context int, defaultTheta, defaultShare float64) (*rope, int) {
	share := min(c.positive("partial_rotary_factor", defaultShare), 1)
	return ropeWith(c, name, headDim, int(float64(float64(headDim)*share)), context, defaultTheta)
}

// ropeWith is readRope for heads of which the first rotated elements are.
func ropeWith(c *config, name string, headDim, rotated, context int, defaultTheta float64) (*rope, int) {
	theta := c.positive("rope_theta", defaultTheta)
	scaling := c.sub("rope_scaling")
	where := "rope_scaling"
	if p := c.sub("rope_parameters"); p != nil { // newer configs keep both in one place
		theta = p.positive("rope_theta", theta)
		scaling, where = p, "rope_parameters"
	}
	if headDim > maxHeadDim {
		c.wrong = append(c.wrong, fmt.Sprintf("the size of a head, %d, is above the limit of %d", headDim, maxHeadDim))
		rotated, headDim = 2, 2
	}
	if rotated%2 != 0 || rotated < 2 || rotated > headDim {
		c.wrong = append(c.wrong, fmt.Sprintf("%d elements of a head of %d cannot be rotated: the number is odd, or not between 2 and the head's", rotated, headDim))
		rotated, headDim = 2, max(headDim, 2)
	}
	r := plainRope(name, headDim, rotated, theta)
	if scaling != nil {
		if _, ok := scaling.raw("original_max_position_embeddings"); !ok {
			if v, ok := c.raw("original_max_position_embeddings"); ok {
				scaling.values["original_max_position_embeddings"] = v
			}
		}
		context = r.scaleBy(scaling, ln(theta), context)
		c.merge(where, scaling)
	}
	r.positions = context
	return r, context
}

// plainRope has the frequencies theta^(-2i/rotated).
func plainRope(name string, headDim, rotated int, theta float64) *rope {
	r := &rope{name: name, headDim: headDim, frequency: make([]float64, rotated/2), scale: 1}
	lnTheta := ln(theta)
	for i := range r.frequency {
		r.frequency[i] = exp(-float64(lnTheta * (float64(2*i) / float64(rotated))))
	}
	return r
}

// scaleBy applies a rope_scaling object, as transformers' modeling_rope_utils does.
func (r *rope) scaleBy(s *config, lnTheta float64, context int) int {
	kind := s.text("rope_type", s.text("type", "default"))
	if kind == "default" {
		return context
	}
	known := map[string]bool{"linear": true, "dynamic": true, "yarn": true, "llama3": true, "longrope": true, "su": true, "factors": true}
	if !known[kind] {
		s.unsupported("rope type "+kind, "default, linear, dynamic, yarn, llama3 and longrope are known")
		return context
	}
	if kind == "longrope" || kind == "su" { // the second is its first name
		r.longrope(s, context)
		return context
	}
	if kind == "factors" { // of GGUF files, which have computed what llama3 describes
		r.frequency = r.divided(s, "factors")
		return context
	}
	s.need("factor")
	factor := s.positive("factor", 1)
	original := s.countOr("original_max_position_embeddings", context)
	switch kind {
	case "linear":
		for i := range r.frequency {
			r.frequency[i] /= factor
		}
	case "dynamic":
		if len(r.frequency) < 2 {
			s.wrong = append(s.wrong, "dynamic scaling needs more than 2 rotated elements")
			return context
		}
		r.dynamic = &dynamicRope{factor, float64(context)}
		return extended(context, factor)
	case "yarn":
		r.yarn(s, factor, lnTheta, float64(original))
		return max(context, extended(original, factor))
	case "llama3":
		s.need("original_max_position_embeddings")
		r.llama3(factor, s.positive("low_freq_factor", 1), s.positive("high_freq_factor", 4), float64(original))
	}
	return context
}

// extended returns context times factor, within bounds.
func extended(context int, factor float64) int {
	return int(min(max(math.Floor(float64(float64(context)*factor)), 1), maxCount))
}

// llama3 divides long wavelengths by factor, leaves short ones, and blends between.
func (r *rope) llama3(factor, low, high, original float64) {
	for i, f := range r.frequency {
		wavelength := 2 * math.Pi / f
		switch {
		case wavelength > original/low:
			r.frequency[i] = f / factor
		case wavelength >= original/high:
			smooth := (original/wavelength - low) / (high - low)
			r.frequency[i] = float64((1-smooth)*f)/factor + float64(smooth*f)
		}
	}
}

// yarn divides the frequencies of long wavelengths by factor with a ramp between two numbers of
// rotations, and scales cosine and sine (Peng et al. 2023).
func (r *rope) yarn(s *config, factor, lnTheta, original float64) {
	dim := float64(2 * len(r.frequency))
	// at is the index of the pair that turns so often within the original context.
	at := func(rotations float64) float64 {
		return float64(dim*ln(original/float64(rotations*2*math.Pi))) / float64(2*lnTheta)
	}
	low, high := at(orDefault(s, "beta_fast", 32)), at(orDefault(s, "beta_slow", 1))
	if s.flag("truncate", true) {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, dim-1)
	if low == high {
		high += 0.001 // as the reference does, against a division by 0
	}
	for i, f := range r.frequency {
		ramp := min(max((float64(i)-low)/(high-low), 0), 1)
		r.frequency[i] = float64(f/factor*ramp) + float64(f*(1-ramp))
	}
	r.scale = yarnScale(factor, 1)
	if m, all := s.number("mscale", 0), s.number("mscale_all_dim", 0); m != 0 && all != 0 {
		r.scale = yarnScale(factor, m) / yarnScale(factor, all)
	}
	if _, ok := s.raw("attention_factor"); ok {
		r.scale = s.positive("attention_factor", 1)
	}
}

// yarnScale is 0.1 m ln(factor) + 1.
func yarnScale(factor, m float64) float64 {
	if factor <= 1 {
		return 1
	}
	return float64(float64(0.1*m)*ln(factor)) + 1
}

// longrope divides each frequency by a factor of its own, of which there are two lists, and scales cosine and sine by
// sqrt(1 + ln(context/original) / ln(original)).
func (r *rope) longrope(s *config, context int) {
	original := s.countOr("original_max_position_embeddings", context)
	factor := s.positive("factor", 1)
	if _, ok := s.raw("original_max_position_embeddings"); ok {
		factor = float64(context) / float64(original)
	}
	if factor > 1 && original > 1 {
		r.scale = math.Sqrt(1 + ln(factor)/ln(float64(original)))
	}
	if _, ok := s.raw("attention_factor"); ok {
		r.scale = s.positive("attention_factor", 1)
	}
	r.long = &longRope{r.divided(s, "long_factor"), original}
	r.frequency = r.divided(s, "short_factor")
}

// divided returns the frequencies, each divided by a factor of its own.
func (r *rope) divided(s *config, key string) []float64 {
	s.need(key)
	var factors []float64
	s.get(key, &factors, "a list of numbers")
	out := append([]float64(nil), r.frequency...)
	if len(factors) != len(out) {
		s.wrong = append(s.wrong, fmt.Sprintf("%s has %d elements, want %d", key, len(factors), len(out)))
		return out
	}
	for i, f := range factors {
		if !(f > 0) {
			s.wrong = append(s.wrong, key+" has an element that is not above 0")
			return out
		}
		out[i] /= f
	}
	return out
}

// orDefault reads a number for which 0 and null mean the default.
func orDefault(s *config, key string, def float64) float64 {
	if v := s.number(key, def); v > 0 {
		return v
	}
	return def
}

// rotate adds RotaryEmbedding on x [batch, seq, heads*headDim].
func (b *builder) rotate(out, x string, r *rope, heads int) string {
	if !r.built {
		r.built = true
		half := len(r.frequency)
		if r.dynamic == nil && r.long == nil && r.positions <= maxTableBytes/8/half {
			r.tables(b)
		} else {
			r.angles(b)
		}
	}
	in := []string{x, r.cos, r.sin}
	if r.byPosition {
		in = append(in, positionIDs)
	}
	attrs := model.Attrs{"num_heads": model.IntAttr(int64(heads)), "interleaved": model.IntAttr(0)}
	if r.interleaved {
		attrs["interleaved"] = model.IntAttr(1)
	}
	if rotated := 2 * len(r.frequency); rotated < r.headDim {
		attrs["rotary_embedding_dim"] = model.IntAttr(int64(rotated))
	}
	return b.onnx("RotaryEmbedding", out, attrs, in...)
}

// tables adds the cosines and sines of all positions: F32 [positions, half].
func (r *rope) tables(b *builder) {
	half := len(r.frequency)
	cos, sin := make([]float32, r.positions*half), make([]float32, r.positions*half)
	for p := range r.positions {
		for i, f := range r.frequency {
			c, s := cosSin(float64(float64(p) * f))
			cos[p*half+i], sin[p*half+i] = float32(float64(c*r.scale)), float32(float64(s*r.scale))
		}
	}
	r.cos = b.constant(r.name+".cos", tensor.FromSlice(cos, r.positions, half))
	r.sin = b.constant(r.name+".sin", tensor.FromSlice(sin, r.positions, half))
	r.byPosition = true
}

// angles adds nodes that compute cosines and sines of the pass's own positions: F32
// [batch, seq, half]. A dynamic rope's frequencies are base^(-2i/dim) times growth^(-2i/(dim-2)),
// with growth the expression in parentheses of dynamicRope.
func (r *rope) angles(b *builder) {
	half := len(r.frequency)
	toF32 := model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.F32))}
	name := func(s string) string { return r.name + "." + s }
	scalar := func(n string, v float64) string {
		return b.constant(name(n), tensor.FromSlice([]float32{float32(v)}, scalarShape...))
	}
	vector := func(n string, v []float64) string {
		t := tensor.New(tensor.F32, half)
		for i, f := range v {
			t.F32()[i] = float32(f)
		}
		return b.constant(name(n), t)
	}
	freq := vector("frequency", r.frequency)
	longest := func() string {
		return b.onnx("ReduceMax", name("longest"), model.Attrs{"keepdims": model.IntAttr(0)}, kvLen)
	}
	if l := r.long; l != nil {
		original := b.constant(name("original"), tensor.FromSlice([]int64{int64(l.original)}, scalarShape...))
		isLong := b.onnx("Greater", name("is_long"), nil, longest(), original)
		freq = b.onnx("Where", name("frequency_used"), nil, isLong, vector("frequency_long", l.frequency), freq)
	}
	if d := r.dynamic; d != nil {
		length := longest()
		length = b.onnx("Cast", name("length"), toF32, length)
		length = b.onnx("Max", name("length_used"), nil, length, scalar("original", d.original))
		growth := b.onnx("Mul", name("stretch"), nil, length, scalar("factor", d.factor/d.original))
		growth = b.onnx("Sub", name("growth"), nil, growth, scalar("factor_less_1", d.factor-1))
		exponent := make([]float32, half)
		for i := range exponent {
			exponent[i] = float32(-float64(2*i) / float64(2*half-2))
		}
		powers := b.onnx("Pow", name("powers"), nil, growth, b.constant(name("exponents"), tensor.FromSlice(exponent, half)))
		freq = b.onnx("Mul", name("frequency_used"), nil, freq, powers)
	}
	axis := b.constant(name("axis_2"), tensor.FromSlice([]int64{2}, 1))
	positions := b.onnx("Cast", name("positions"), toF32, positionIDs)
	positions = b.onnx("Unsqueeze", name("positions_column"), nil, positions, axis)
	angle := b.onnx("Mul", name("angle"), nil, positions, freq)
	r.cos = b.onnx("Cos", name("cos"), nil, angle)
	r.sin = b.onnx("Sin", name("sin"), nil, angle)
	if r.scale != 1 {
		scale := scalar("scale", r.scale)
		r.cos = b.onnx("Mul", name("cos_scaled"), nil, r.cos, scale)
		r.sin = b.onnx("Mul", name("sin_scaled"), nil, r.sin, scale)
	}
}
