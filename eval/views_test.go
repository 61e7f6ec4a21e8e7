package eval

import (
	"bytes"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset/picture"
)

// A view is a part of the image, mirrored or not, the same each time.
func TestViewsAreParts(t *testing.T) {
	img := &picture.RGB{W: 40, H: 24, Pix: make([]byte, 3*40*24)}
	for i := range img.Pix {
		img.Pix[i] = byte(i * i / 7)
	}
	for number := range 8 {
		v := view(img, 3, number)
		if again := view(img, 3, number); !bytes.Equal(v.Pix, again.Pix) {
			t.Errorf("view %d differs from itself", number)
		}
		if v.W < img.W/2 || v.W > img.W || v.H < img.H/2 || v.H > img.H {
			t.Errorf("view %d has %d x %d pixels", number, v.W, v.H)
		}
		if number%2 == 1 {
			v = v.Mirror()
		}
		found := false
		for y := range img.H - v.H + 1 {
			for x := range img.W - v.W + 1 {
				found = found || bytes.Equal(img.Crop(x, y, v.W, v.H).Pix, v.Pix)
			}
		}
		if !found {
			t.Errorf("view %d is no part of the image", number)
		}
	}
}
