package quant

import (
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestSumsOfConvolutions: the rows added to a convolution's products are those of the places that its receptive fields are from, wherever the
// channels lie.
func TestSumsOfConvolutions(t *testing.T) {
	const images, channels, height, width = 2, 3, 20, 20 // more places than convRows
	value := func(image, place, c int) float32 { return float32(image*10000 + place*10 + c) }
	first, last := tensor.New(tensor.F32, images, channels, height, width), tensor.New(tensor.F32, images, height, width, channels)
	var want []float32
	for image := range images {
		for place := range height * width {
			for c := range channels {
				first.F32()[(image*channels+c)*height*width+place] = value(image, place, c)
				last.F32()[(image*height*width+place)*channels+c] = value(image, place, c)
			}
		}
		for row := range convRows {
			for c := range channels {
				want = append(want, value(image, row*height*width/convRows, c))
			}
		}
	}
	s := &stage{shape: []int{channels, 1, 1, 4}}
	for layout, r := range map[string]*tensor.Tensor{model.LayoutNCHW: first, model.LayoutNHWC: last} {
		n := &model.Node{Op: "Conv", Domain: model.DomainDsk, Attrs: model.Attrs{"layout": model.StringAttr(layout)}}
		if got := s.sums(n, r); !slices.Equal(got, want) {
			t.Errorf("layout %s: %v.., want %v..", layout, got[:6], want[:6])
		}
	}
}
