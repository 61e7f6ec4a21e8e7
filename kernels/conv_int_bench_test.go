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
