// Package picture reads images and makes of them what a model takes: it decodes, resizes and crops as Pillow does, and normalizes.
package picture

import (
	"bufio"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // decoders register themselves
	_ "image/png"
	"os"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// decodedBytes is what a decoded pixel takes at most: 8 in package image, 3 as RGB.
const decodedBytes = 11

// maxPixels bounds the size of an image that is decoded.
const maxPixels = 1 << 28

// RGB is an image of three bytes a pixel, row by row. Gray images have equal channels.
type RGB struct {
	W, H int
	Pix  []byte // (H, W, 3)
}

// ReadImage decodes a PNG or JPEG file, or one of another form whose decoder the program registers with package image.
func ReadImage(path string) (*RGB, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	bad := func(why string) error {
		return &fault.Format{File: path, Offset: -1, Where: "image", Why: why,
			Next: "give a PNG or JPEG file that is whole (dsk reads GIF and BMP, too; the runner of a bundle does not)"}
	}
	cfg, _, err := image.DecodeConfig(bufio.NewReader(f))
	if err != nil {
		return nil, bad(err.Error())
	}
	if cfg.Width < 1 || cfg.Height < 1 || cfg.Width > maxPixels/cfg.Height {
		return nil, bad(fmt.Sprintf("its size of %d x %d is out of range", cfg.Width, cfg.Height))
	}
	if err := tensor.Room(cfg.Width*cfg.Height*decodedBytes, "decoding "+path); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	img, _, err := image.Decode(bufio.NewReader(f))
	if err != nil {
		return nil, bad(err.Error())
	}
	return FromImage(img), nil
}

// FromImage converts a decoded image. Transparency is dropped, not blended, as PIL's
// convert("RGB") does.
func FromImage(img image.Image) *RGB {
	switch src := img.(type) {
	case *image.YCbCr:
		return fromYCbCr(src)
	case *image.Gray:
		return fromGray(src)
	case *image.NRGBA:
		return fromNRGBA(src)
	}
	b := img.Bounds()
	out := &RGB{W: b.Dx(), H: b.Dy(), Pix: make([]byte, 3*b.Dx()*b.Dy())}
	i := 0
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			out.Pix[i], out.Pix[i+1], out.Pix[i+2] = c.R, c.G, c.B
			i += 3
		}
	}
	return out
}

func fromNRGBA(src *image.NRGBA) *RGB {
	b := src.Bounds()
	out := &RGB{W: b.Dx(), H: b.Dy(), Pix: make([]byte, 0, 3*b.Dx()*b.Dy())}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		row := src.Pix[src.PixOffset(b.Min.X, y):][:4*b.Dx()]
		for ; len(row) > 0; row = row[4:] {
			out.Pix = append(out.Pix, row[0], row[1], row[2])
		}
	}
	return out
}

func fromGray(src *image.Gray) *RGB {
	b := src.Bounds()
	out := &RGB{W: b.Dx(), H: b.Dy(), Pix: make([]byte, 0, 3*b.Dx()*b.Dy())}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for _, v := range src.Pix[src.PixOffset(b.Min.X, y):][:b.Dx()] {
			out.Pix = append(out.Pix, v, v, v)
		}
	}
	return out
}
