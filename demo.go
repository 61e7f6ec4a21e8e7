// Package dsk embeds the models and data of "dsk demo". The toolkit's packages lie below this folder; docs/architecture.md
// is the map.
package dsk

import "embed"

// Demo holds a language model of 4 bits, a digit classifier as ONNX with images, and a text.
//
//go:embed testdata/models/digits-cnn testdata/models/gutenberg-1M-4bit.dsk testdata/text/text.txt
var Demo embed.FS
