package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// layer is a convolution of a network.
type layer struct {
	name string
	Window
	c, n int
	act  ActKind
}

// intLayers are the shapes that the integer convolutions of resnet50, yolov5n (640 x 640) and mobilenetv2 have.
func intLayers() []layer {
	var all []layer
	add := func(net string, size, c, n, kernel, stride int, act ActKind) {
		all = append(all, layer{fmt.Sprintf("%s/%dx%d/%d-%d/s%d/%d", net, kernel, kernel, c, n, stride, size), window(size, size, kernel, kernel, stride, 1, (kernel-1)/2), c, n, act})
	}
	for _, s := range [][2]int{{56, 64}, {28, 128}, {14, 256}, {7, 512}} {
		add("resnet50", s[0], s[1]*4, s[1], 1, 1, ActRelu)
		add("resnet50", s[0], s[1], s[1], 3, 1, ActRelu)
		add("resnet50", s[0], s[1], s[1]*4, 1, 1, ActRelu)
		if s[0] > 7 {
			add("resnet50", s[0], s[1]*2, s[1]*2, 3, 2, ActRelu)
			add("resnet50", s[0], s[1]*4, s[1]*8, 1, 2, ActNone)
		}
	}
	add("resnet50", 224, 3, 64, 7, 2, ActRelu)
	add("yolov5n", 640, 3, 16, 6, 2, ActSwish)
	for _, s := range [][2]int{{320, 16}, {160, 32}, {80, 64}, {40, 128}} {
		add("yolov5n", s[0], s[1], s[1]*2, 3, 2, ActSwish)
	}
	for _, s := range [][2]int{{160, 16}, {80, 32}, {40, 64}, {20, 128}} {
		add("yolov5n", s[0], s[1]*2, s[1], 1, 1, ActSwish)
		add("yolov5n", s[0], s[1], s[1], 3, 1, ActSwish)
	}
	for _, s := range [][3]int{{112, 32, 16}, {112, 16, 96}, {56, 24, 144}, {28, 192, 32}, {14, 384, 64}, {14, 96, 576}, {7, 160, 960}, {7, 320, 1280}} {
		add("mobilenetv2", s[0], s[1], s[2], 1, 1, ActClip)
	}
	return all
}

// BenchmarkIntConv gives the rate of each layer, and what part it is of the rate of products in registers.
func BenchmarkIntConv(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, l := range intLayers() {
		b.Run(l.name, func(b *testing.B) {
			src, w := randomBytes(r, l.H*l.W*l.c).V, randomLevels(r, l.n*l.KH*l.KW*l.c)
			scale := make([]float32, l.n)
			for i := range scale {
				scale[i] = 0.001
			}
			v := NewIntConv(&l.Window, l.c, l.n, w, scale, nil, Quantized{0.02, 3}, Quantized{}, &Quantized{0.05, 4}, Activation{Kind: l.act, Beta: 6})
			dst, scratch := make([]byte, l.OH*l.OW*l.n), newGuarded(v.ScratchBytes(), uint8(0)).V
			for b.Loop() {
				v.Run(dst, src, nil, 0, v.Units(), 0, v.Panels(), scratch)
			}
			b.ReportMetric(float64(len(dst)*len(w)/l.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
			b.ReportMetric(float64(len(dst))*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gout/s")
		})
	}
}

// BenchmarkPeakInt is the rate of VPDPBUSD, or what else there is, in registers.
func BenchmarkPeakInt(b *testing.B) {
	for _, p := range Peaks() {
		if p.Type == "int8" && p.ISA != "generic" {
			b.Run(p.Name+"/"+p.ISA, func(b *testing.B) {
				done := 0
				for b.Loop() {
					done += p.Run(1 << 14)
				}
				b.ReportMetric(float64(done)/b.Elapsed().Seconds()/1e9, "GMAC/s")
			})
		}
	}
}

// BenchmarkIntProduct has the products of MiniLM and BERT-base, and of one row.
func BenchmarkIntProduct(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, size := range [][3]int{{128, 384, 384}, {128, 384, 1536}, {128, 1536, 384}, {128, 768, 768}, {128, 768, 3072}, {128, 3072, 768}, {1, 768, 3072}} {
		rows, k, n := size[0], size[1], size[2]
		b.Run(fmt.Sprintf("%dx%d/%d", rows, k, n), func(b *testing.B) {
			x, w, scale := randomBytes(r, rows*k).V, randomLevels(r, n*k), make([]float32, n)
			p := NewIntProduct(n, k, w, scale, nil, nil, Activation{})
			dst, scratch := newGuarded(rows*n*4, uint8(0)).V, newGuarded(p.ScratchBytes(), uint8(0)).V
			q := []Quantized{{0.01, 128}}
			for b.Loop() {
				p.Run(dst, x, q, rows, 0, rows, 0, p.Panels(), scratch)
			}
			b.ReportMetric(float64(rows*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}

// BenchmarkIntChannels compares depthwise convolutions of bytes with those of float32, and has pools and the quantizer.
func BenchmarkIntChannels(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	rate := func(b *testing.B, outputs int) {
		b.ReportMetric(float64(outputs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gout/s")
	}
	y := Quantized{0.05, 4}
	for _, size := range [][3]int{{112, 32, 1}, {112, 96, 2}, {56, 144, 1}, {28, 192, 1}, {14, 576, 1}, {7, 960, 1}} {
		g, c := window(size[0], size[0], 3, 3, size[2], 1, 1), size[1]
		name := fmt.Sprintf("3x3/%d/s%d/%d", c, size[2], size[0])
		src, dst := randomBytes(r, g.H*g.W*c).V, make([]uint8, g.OH*g.OW*c)
		b.Run(name+"/int8", func(b *testing.B) {
			scale := make([]float32, c)
			v := NewIntChannelConv(&g, c, randomLevels(r, 9*c), scale, nil, y, y, Activation{Kind: ActClip, Beta: 6})
			for b.Loop() {
				v.Run(dst, src, 0, g.OH)
			}
			rate(b, len(dst))
		})
		b.Run(name+"/f32", func(b *testing.B) {
			v := NewChannelConv(&g, c, randomF32(r, 9*c).V, nil, Activation{Kind: ActClip, Beta: 6})
			x, out := randomF32(r, len(src)).V, make([]float32, len(dst))
			for b.Loop() {
				v.Run(out, x, 0, g.OH)
			}
			rate(b, len(dst))
		})
	}
	for _, l := range []struct {
		name string
		Window
		c    int
		mean bool
	}{{"max/3x3/64/s2/112", window(112, 112, 3, 3, 2, 1, 1), 64, false}, {"max/5x5/128/20", window(20, 20, 5, 5, 1, 1, 2), 128, false},
		{"mean/7x7/2048", window(7, 7, 7, 7, 1, 1, 0), 2048, true}} {
		b.Run(l.name, func(b *testing.B) {
			p := NewIntMaxPool(&l.Window, l.c, y, y)
			if l.mean {
				p = NewIntMeanPool(&l.Window, l.c, y, y, false)
			}
			src, dst := randomBytes(r, l.H*l.W*l.c).V, make([]uint8, l.OH*l.OW*l.c)
			for b.Loop() {
				p.Run(dst, src, 0, l.OH)
			}
			rate(b, len(dst))
		})
	}
	b.Run("quantize", func(b *testing.B) {
		src, dst, q := randomF32(r, 128*768).V, make([]uint8, 128*768), make([]Quantized, 128)
		for b.Loop() {
			QuantizeRows(dst, q, src, 768)
		}
		rate(b, len(dst))
	})
	b.Run("add", func(b *testing.B) {
		a, dst := randomBytes(r, 1<<17).V, make([]uint8, 1<<17)
		for b.Loop() {
			IntAdd(dst, a, a, y, y, y, false)
		}
		rate(b, len(dst))
	})
	b.Run("table", func(b *testing.B) {
		a, dst, m := randomBytes(r, 1<<17).V, make([]uint8, 1<<17), NewByteMap(y, y, Activation{Kind: ActSwish})
		for b.Loop() {
			ByteTable(dst, a, m)
		}
		rate(b, len(dst))
	})
}
