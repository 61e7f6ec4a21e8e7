package distill_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/kernels/blas"
	"github.com/dsk-toolkit/dsk/model"
	dskruntime "github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// counted counts what goes through blas32: multiply-adds of matrix products, and the time in them.
type counted struct {
	gonumblas.Float32
	macs    float64
	elapsed time.Duration
}

func (c *counted) Sgemm(tA, tB gonumblas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, y []float32, ldy int) {
	begin := time.Now()
	c.Float32.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, y, ldy)
	c.elapsed += time.Since(begin)
	c.macs += float64(m) * float64(n) * float64(k)
}

// benchSteps measures training steps with dsk's products and with those of gonum alone, on one thread. The figures beside the
// time are samples a second; the share of the time that is spent in matrix products, and thousand millions of multiply-adds that they do
// in a second of the whole step and of their own time.
func benchSteps(b *testing.B, spec string, target distill.Target, rows, seq int) {
	m, err := distill.FromSpec(spec, target)
	if err != nil {
		b.Fatal(err)
	}
	shapes := map[string][]int{"input": {rows, target.Channels, target.Height, target.Width}}
	var fixed map[string]*tensor.Tensor
	in := map[string]*tensor.Tensor{"input": tensor.New(tensor.F32, shapes["input"]...)}
	classes, labels := target.Classes, make([]int32, rows)
	if target.Vocab > 0 {
		if shapes, fixed, err = grad.Sequence(m.Graph, rows, seq); err != nil {
			b.Fatal(err)
		}
		ids := tensor.New(tensor.I64, rows, seq)
		classes, labels = target.Vocab, make([]int32, rows*seq)
		for i := range labels {
			ids.I64()[i], labels[i] = int64(i*7%classes), int32((i+1)*7%classes)
		}
		in = map[string]*tensor.Tensor{"input_ids": ids}
	} else {
		for i := range labels {
			labels[i] = int32(i % classes)
		}
		for i := range in["input"].F32() {
			in["input"].F32()[i] = float32(i%17)/8 - 1
		}
	}
	for _, impl := range []string{"dsk", "gonum"} {
		b.Run(impl, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // gonum's products take all there are
			pool := kernels.NewPool(1)
			defer pool.Close()
			before := blas32.Implementation()
			defer blas32.Use(before)
			count := &counted{Float32: blas.New(pool)}
			if impl == "gonum" {
				count.Float32 = gonum.Implementation{}
			}
			blas32.Use(count)
			tape, err := grad.New(m.Graph, grad.Options{Shapes: shapes, Fixed: fixed, BatchStats: true, Eval: dskruntime.Eval, Pool: pool})
			if err != nil {
				b.Fatal(err)
			}
			tr := &distill.Trainer{Tape: tape, Loss: distill.NewLoss(len(labels), classes, pool), Output: "logits", Clip: 1,
				Optimizer: distill.NewSGD(tape.Params(), 0.9, 0, true), Schedule: distill.Schedule{Peak: 1e-4, Total: 1 << 30}}
			// The first step also touches all memory for the first time.
			if _, err := tr.Step(in, labels, nil); err != nil {
				b.Fatal(err)
			}
			steps := 0
			*count = counted{Float32: count.Float32}
			for b.Loop() {
				if _, err := tr.Step(in, labels, nil); err != nil {
					b.Fatal(err)
				}
				steps++
			}
			seconds := b.Elapsed().Seconds()
			b.ReportMetric(float64(steps*rows)/seconds, "samples/s")
			b.ReportMetric(100*count.elapsed.Seconds()/seconds, "%-in-products")
			b.ReportMetric(count.macs/seconds/1e9, "GMAC/s")
			b.ReportMetric(count.macs/count.elapsed.Seconds()/1e9, "GMAC/s-in-products")
		})
	}
}

// BenchmarkStepResidual measures training steps of a residual net in the form that files have: channels last, normalizations, sums and
// activations in the convolutions. The multiply-adds are those of the convolutions: forward, by the weights and by the pictures.
func BenchmarkStepResidual(b *testing.B) {
	const rows = 64
	m, err := distill.FromSpec("conv 16,32,64 x11 res", distill.Target{Channels: 3, Height: 32, Width: 32, Classes: 10})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := model.Rewrite(m.Graph, model.RewriteOptions{Eval: dskruntime.Eval}); err != nil {
		b.Fatal(err)
	}
	if err := m.Graph.Infer(); err != nil {
		b.Fatal(err)
	}
	var macs float64
	for _, n := range m.Graph.Nodes {
		if n.Is(model.DomainDsk, "Conv") {
			w, y := m.Graph.Init[n.In(1)].Shape, m.Graph.Types[n.Outputs[0]].Shape
			passes := 3
			if n.In(0) == "input" {
				passes = 2
			}
			macs += float64(passes * rows * y[1].N * y[2].N * w[0] * w[1] * w[2] * w[3])
		}
	}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprint(threads), func(b *testing.B) {
			pool := kernels.NewPool(threads)
			defer pool.Close()
			in := map[string]*tensor.Tensor{"input": tensor.New(tensor.F32, rows, 3, 32, 32)}
			labels := make([]int32, rows)
			for i := range in["input"].F32() {
				in["input"].F32()[i] = float32(i%17)/8 - 1
			}
			for i := range labels {
				labels[i] = int32(i % 10)
			}
			tape, err := grad.New(m.Graph, grad.Options{Shapes: map[string][]int{"input": in["input"].Shape}, Eval: dskruntime.Eval, Pool: pool})
			if err != nil {
				b.Fatal(err)
			}
			tr := &distill.Trainer{Tape: tape, Loss: distill.NewLoss(rows, 10, pool), Output: "logits", Clip: 1,
				Optimizer: distill.NewSGD(tape.Params(), 0.9, 0, true), Schedule: distill.Schedule{Peak: 1e-4, Total: 1 << 30}}
			for b.Loop() {
				if _, err := tr.Step(in, labels, nil); err != nil {
					b.Fatal(err)
				}
			}
			seconds := b.Elapsed().Seconds()
			b.ReportMetric(float64(b.N*rows)/seconds, "samples/s")
			b.ReportMetric(float64(b.N)*macs/seconds/1e9, "GMAC/s")
		})
	}
}

func BenchmarkStepPictures(b *testing.B) {
	benchSteps(b, "conv 16,32,64 x2", distill.Target{Channels: 1, Height: 28, Width: 28, Classes: 10}, 64, 0)
}

func BenchmarkStepWide(b *testing.B) {
	benchSteps(b, "conv 64,128 x2", distill.Target{Channels: 3, Height: 16, Width: 16, Classes: 10}, 32, 0)
}

func BenchmarkStepDecoder(b *testing.B) {
	benchSteps(b, "llama hidden=128 layers=4 heads=4 kv=2", distill.Target{Vocab: 4096, Context: 256}, 8, 128)
}
