package vision

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/runtime/detect"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// scaleSide is how many pixels of an image's shorter side are drawn upon in single-width lines and letters:
// larger images get larger ones.
const scaleSide = 480

// textPad is the space around letters, in pixels of the font.
const textPad = 2

// canvas is an image that is drawn upon.
type canvas struct {
	*image.NRGBA
	scale int // pixels per pixel of the font
}

func newCanvas(img *picture.RGB) *canvas {
	c := &canvas{image.NewNRGBA(image.Rect(0, 0, img.W, img.H)), max(1, min(img.W, img.H)/scaleSide)}
	for i := range img.W * img.H {
		copy(c.Pix[4*i:], img.Pix[3*i:3*i+3])
		c.Pix[4*i+3] = 255
	}
	return c
}

// DrawBoxes returns a copy of an image with boxes, in its pixels, and their names and scores drawn
// on it. The best boxes lie on top.
func DrawBoxes(img *picture.RGB, boxes []detect.Box, name func(class int) string) image.Image {
	c := newCanvas(img)
	for i := len(boxes) - 1; i >= 0; i-- {
		c.frame(c.pixels(boxes[i]), classColor(boxes[i].Class))
	}
	for i := len(boxes) - 1; i >= 0; i-- {
		b := boxes[i]
		at := c.pixels(b)
		text := fmt.Sprintf("%s %.2f", name(b.Class), b.Score)
		size := c.textSize(text)
		// Above the box, or inside it where there is no room above.
		corner := image.Pt(at.Min.X, at.Min.Y-size.Y)
		if corner.Y < 0 {
			corner.Y = at.Min.Y
		}
		corner.X = max(0, min(corner.X, c.Rect.Max.X-size.X))
		c.text(corner, text, classColor(b.Class))
	}
	return c.NRGBA
}

// DrawClasses returns a copy of an image with the names and probabilities of classes in its corner.
func DrawClasses(img *picture.RGB, classes []Class) image.Image {
	c := newCanvas(img)
	at := image.Pt(0, 0)
	for _, k := range classes {
		text := fmt.Sprintf("%5.1f %% %s", 100*k.Probability, k.Label)
		c.text(at, text, classColor(k.Class))
		at.Y += c.textSize(text).Y
	}
	return c.NRGBA
}

// pixels returns the part of the canvas that a box covers. Coordinates that are no numbers count as 0.
func (c *canvas) pixels(b detect.Box) image.Rectangle {
	px := func(v float32, most int) int {
		if v != v {
			return 0
		}
		return int(math.Round(float64(min(max(v, 0), float32(most)))))
	}
	return image.Rect(px(b.X1, c.Rect.Max.X), px(b.Y1, c.Rect.Max.Y), px(b.X2, c.Rect.Max.X), px(b.Y2, c.Rect.Max.Y))
}

// frame draws the edge of r, inwards.
func (c *canvas) frame(r image.Rectangle, col color.NRGBA) {
	w := 1 + c.scale
	inner := image.Rectangle{r.Min.Add(image.Pt(w, w)), r.Max.Sub(image.Pt(w, w))}
	if inner.Min.X >= inner.Max.X || inner.Min.Y >= inner.Max.Y {
		c.fill(r, col)
		return
	}
	c.fill(image.Rect(r.Min.X, r.Min.Y, r.Max.X, inner.Min.Y), col)
	c.fill(image.Rect(r.Min.X, inner.Max.Y, r.Max.X, r.Max.Y), col)
	c.fill(image.Rect(r.Min.X, inner.Min.Y, inner.Min.X, inner.Max.Y), col)
	c.fill(image.Rect(inner.Max.X, inner.Min.Y, r.Max.X, inner.Max.Y), col)
}

func (c *canvas) fill(r image.Rectangle, col color.NRGBA) {
	draw.Draw(c.NRGBA, r, image.NewUniform(col), image.Point{}, draw.Src)
}

// textSize is the size of a line of text with its background.
func (c *canvas) textSize(s string) image.Point {
	face := basicfont.Face7x13
	return image.Pt(font.MeasureString(face, s).Ceil()+2*textPad, face.Height+2*textPad).Mul(c.scale)
}

// text writes a line with its upper left corner at p, on a background of the given colour.
func (c *canvas) text(p image.Point, s string, back color.NRGBA) {
	size := c.textSize(s)
	c.fill(image.Rectangle{p, p.Add(size)}, back)
	small := image.NewAlpha(image.Rectangle{Max: size.Div(c.scale)})
	d := font.Drawer{Dst: small, Src: image.Opaque, Face: basicfont.Face7x13,
		Dot: fixed.P(textPad, textPad+basicfont.Face7x13.Ascent)}
	d.DrawString(s)
	ink := color.NRGBA{A: 255}
	if luminance(back) < 128 {
		ink = color.NRGBA{255, 255, 255, 255}
	}
	for y := range small.Rect.Max.Y {
		for x := range small.Rect.Max.X {
			if small.Pix[small.PixOffset(x, y)] >= 128 {
				q := p.Add(image.Pt(x, y).Mul(c.scale))
				c.fill(image.Rectangle{q, q.Add(image.Pt(c.scale, c.scale))}, ink)
			}
		}
	}
}

// luminance is how bright a colour looks, 0..255 (ITU-R BT.601).
func luminance(c color.NRGBA) int { return (299*int(c.R) + 587*int(c.G) + 114*int(c.B)) / 1000 }

// classColor gives each class a bright colour; successive classes are a golden section of the
// colour wheel apart.
func classColor(class int) color.NRGBA {
	const wheel = 1530 // six edges of the colour cube, 255 steps each
	h := (class*946 + 120) % wheel
	if h < 0 {
		h += wheel
	}
	up := uint8(h % 255)
	down := 255 - up
	switch h / 255 {
	case 0:
		return color.NRGBA{255, up, 0, 255}
	case 1:
		return color.NRGBA{down, 255, 0, 255}
	case 2:
		return color.NRGBA{0, 255, up, 255}
	case 3:
		return color.NRGBA{0, down, 255, 255}
	case 4:
		return color.NRGBA{up, 0, 255, 255}
	}
	return color.NRGBA{255, 0, down, 255}
}
