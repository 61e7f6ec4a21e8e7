package runtime

import (
	"hash/fnv"
	"math"

	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators that draw numbers. A node's generator starts anew with each run, from the attribute seed or else from the
// node's name: the same inputs give the same outputs.

var _ = register("", operands(0, map[string]Binder{"RandomNormal": bindRandom(true), "RandomUniform": bindRandom(false)}))

var _ = register("", operands(1, map[string]Binder{
	"RandomNormalLike":  bindRandom(true),
	"RandomUniformLike": bindRandom(false),
	"Bernoulli":         bindBernoulli,
	"Multinomial":       bindMultinomial,
}))

// twister is the generator MT19937 (Matsumoto and Nishimura, 1998), in the use that NumPy's RandomState and so ONNX's
// reference makes of it.
type twister struct {
	state [624]uint32
	at    int
	spare float64 // the second number of a pair of normal ones
	has   bool
}

func (t *twister) seed(s uint32) {
	for i := range t.state {
		t.state[i] = s
		s = 1812433253*(s^s>>30) + uint32(i) + 1
	}
	t.at, t.has = len(t.state), false
}

func (t *twister) next() uint32 {
	const n, m = 624, 397
	if t.at == n {
		for i := range n {
			y := t.state[i]&0x80000000 | t.state[(i+1)%n]&0x7fffffff
			t.state[i] = t.state[(i+m)%n] ^ y>>1 ^ y&1*0x9908b0df
		}
		t.at = 0
	}
	y := t.state[t.at]
	t.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// uniform returns a number in [0, 1).
func (t *twister) uniform() float64 {
	a, b := t.next()>>5, t.next()>>6
	return (float64(a)*(1<<26) + float64(b)) / (1 << 53)
}

// normal returns a number of the standard normal distribution, by the polar method.
func (t *twister) normal() float64 {
	if t.has {
		t.has = false
		return t.spare
	}
	for {
		x, y := 2*t.uniform()-1, 2*t.uniform()-1
		if r := x*x + y*y; r < 1 && r != 0 {
			f := math.Sqrt(-2 * math.Log(r) / r)
			t.spare, t.has = f*x, true
			return f * y
		}
	}
}

// generator returns the node's generator, not yet seeded, and its seed.
func (b *Bind) generator() (*twister, uint32) {
	if a, ok := b.Node.Attrs["seed"]; ok {
		if a.Int != 0 {
			return &twister{}, uint32(a.Int)
		}
		return &twister{}, uint32(truncate64(float64(a.Float)))
	}
	h := fnv.New32a()
	h.Write([]byte(b.Node.Name))
	return &twister{}, h.Sum32()
}

// bindRandom fills the output with numbers: mean + scale z, or evenly between low and high.
func bindRandom(normal bool) Binder {
	return func(b *Bind) (Run, error) {
		out := b.Out[0]
		store := storerOf(out.DType)
		if store == nil {
			return nil, b.unsupportedType(out.DType)
		}
		g, seed := b.generator()
		first, second := float64(b.Node.Float("low", 0)), float64(b.Node.Float("high", 1))
		if normal {
			first, second = float64(b.Node.Float("mean", 0)), float64(b.Node.Float("scale", 1))
		}
		return simple(func() {
			g.seed(seed)
			for i := range out.Len() {
				if normal {
					store(out, i, first+second*g.normal())
				} else {
					store(out, i, first+(second-first)*g.uniform())
				}
			}
		}), nil
	}
}

// bindBernoulli draws 1 with the probability that each element is.
func bindBernoulli(b *Bind) (Run, error) {
	load, out := loaderOf(b.In[0].DType), b.Out[0]
	store := storerOf(out.DType)
	if out.DType == tensor.BOOL {
		store = func(t *tensor.Tensor, i int, v float64) { t.Data[i] = byte(v) }
	}
	if load == nil || store == nil {
		return nil, b.unsupportedType(b.In[0].DType)
	}
	g, seed := b.generator()
	return simple(func() {
		g.seed(seed)
		for i := range out.Len() {
			v := 0.0
			if g.uniform() < load(b.In[0], i) {
				v = 1
			}
			store(out, i, v)
		}
	}), nil
}

// bindMultinomial draws classes of each row, whose numbers are logarithms of probabilities up to a constant.
func bindMultinomial(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	load, store := loaderOf(in.DType), storerOf(out.DType)
	if load == nil || store == nil || len(in.Shape) != 2 || in.Shape[1] == 0 || len(out.Shape) != 2 || out.Shape[0] != in.Shape[0] {
		return nil, b.errorf("no kernel for %v to %v", in, out)
	}
	g, seed := b.generator()
	classes, samples := in.Shape[1], out.Shape[1]
	return simple(func() {
		g.seed(seed)
		for r := range in.Shape[0] {
			top, total := math.Inf(-1), 0.0
			for c := range classes {
				top = max(top, load(in, r*classes+c))
			}
			for c := range classes {
				total += math.Exp(load(in, r*classes+c) - top)
			}
			for s := range samples {
				left, c := g.uniform()*total, 0
				for ; c < classes-1; c++ {
					if left -= math.Exp(load(in, r*classes+c) - top); left < 0 {
						break
					}
				}
				store(out, r*samples+s, float64(c))
			}
		}
	}), nil
}

// bindDropoutTraining drops elements at random and scales the others up. Outputs: y, the mask of those that stay.
func bindDropoutTraining(b *Bind, ratio float64) (Run, error) {
	load := loaderOf(b.In[0].DType)
	store := storerOf(b.In[0].DType)
	if load == nil || store == nil || !(ratio >= 0 && ratio < 1) {
		return nil, b.errorf("dropout of %g of %v", ratio, b.In[0])
	}
	g, seed := b.generator()
	return simple(func() {
		g.seed(seed)
		for i := range b.In[0].Len() {
			stays := g.uniform() >= ratio
			if b.HasOut(0) {
				v := 0.0
				if stays {
					v = load(b.In[0], i) / (1 - ratio)
				}
				store(b.Out[0], i, v)
			}
			if b.HasOut(1) {
				b.Out[1].Data[i] = 0
				if stays {
					b.Out[1].Data[i] = 1
				}
			}
		}
	}), nil
}
