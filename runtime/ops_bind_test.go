package runtime

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// testOp is one operator to bind by itself, with the output's shape as the plan would infer it.
type testOp struct {
	domain, op string
	attrs      model.Attrs
	in         []*tensor.Tensor
	constant   []int // inputs whose values are known at bind
	state      []int // inputs that are a session's state
	out        []*tensor.Tensor
	threads    int
}

func (o *testOp) bind(t testing.TB) (*Bind, Run, error) {
	n := &model.Node{Domain: o.domain, Op: o.op, Name: "op", Attrs: o.attrs,
		Inputs: make([]string, len(o.in)), Outputs: make([]string, len(o.out))}
	pool := kernels.NewPool(max(o.threads, 1))
	t.Cleanup(pool.Close)
	b := newBind(n, o.in, o.out, pool, make([]bool, len(o.in)), &scope{})
	for _, i := range o.constant {
		b.constant[i] = true
	}
	for _, i := range o.state {
		b.state[i] = true
	}
	run, err := bindNode(b)
	if err != nil {
		return b, nil, err
	}
	for _, s := range b.scratch {
		s.Data = tensor.AlignedBytes(s.Shape[0])
		for i := range s.Data {
			s.Data[i] = 0xa5 // undefined, and a NaN for none
		}
	}
	for i, out := range b.Out {
		switch {
		case out == nil:
		case b.alias[i] >= 0:
			out.Data = b.In[b.alias[i]].Data
		default:
			out.Data = tensor.AlignedBytes(out.Bytes())
		}
	}
	return b, run, nil
}

// run binds and runs the operator.
func (o *testOp) run(t testing.TB) {
	t.Helper()
	_, run, err := o.bind(t)
	if err != nil {
		t.Fatal(err)
	}
	if run != nil {
		err = run()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// allocs counts what a run allocates: the least of a few counts, because the Go runtime itself allocates a little
// for goroutines that go to sleep after AllocsPerRun has changed GOMAXPROCS. What a run allocates is in every count.
func (o *testOp) allocs(t *testing.T) float64 {
	t.Helper()
	_, run, err := o.bind(t)
	if err != nil {
		t.Fatal(err)
	}
	least := math.Inf(1)
	for range 3 {
		least = min(least, testing.AllocsPerRun(5, func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		}))
		if least == 0 {
			break
		}
	}
	return least
}

// randF32 is a tensor of reproducible numbers in [-1, 1).
func randF32(seed uint64, shape ...int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 7))
	x := tensor.New(tensor.F32, shape...)
	for i := range x.F32() {
		x.F32()[i] = r.Float32()*2 - 1
	}
	return x
}

func emptyF32(shape ...int) *tensor.Tensor { return &tensor.Tensor{DType: tensor.F32, Shape: shape} }

// nearF32 compares with values computed in double precision.
func nearF32(t testing.TB, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= tol*(1+math.Abs(w))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], w)
		}
	}
}
