// Package convert reads a trained model of whatever format dsk knows. It tells formats by
// what the files hold, not by their names, and leaves the rest to the importers below it.
package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/convert/gguf"
	"github.com/dsk-toolkit/dsk/convert/onnx"
	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The formats that Open reads.
const (
	FormatAuto        = "auto"
	FormatONNX        = "onnx"
	FormatSafetensors = "safetensors"
	FormatGGUF        = "gguf"
)

// Options say how to import. InputShapes, NoFuse, Partial and Verify are of ONNX models only.
type Options struct {
	// Format is one of the formats above; "" is FormatAuto.
	Format string
	// Name names the model; "" stands for the name of its file or folder.
	Name string
	// Version of dsk, for the model's history.
	Version string
	// The others are those of onnx.Options.
	InputShapes map[string][]int
	NoFuse      bool
	Partial     bool
	AnyOperator bool
	Eval        func(n *model.Node, in []*tensor.Tensor) ([]*tensor.Tensor, error)
	Supports    func(domain, op string) bool
	Labels      []string
	Preprocess  json.RawMessage
	Verify      string
}

// Report is the account of an import; exactly one of ONNX, Safetensors and GGUF is set.
type Report struct {
	Format       string              `json:"format"`
	Name         string              `json:"name"`
	Architecture string              `json:"architecture,omitempty"`
	Task         model.Task          `json:"task,omitempty"`
	Parameters   int64               `json:"parameters"`
	SourceBytes  int64               `json:"source_bytes"`
	SourceNodes  int                 `json:"source_nodes,omitempty"` // of an ONNX graph
	Warnings     []string            `json:"warnings,omitempty"`
	ONNX         *onnx.Report        `json:"onnx,omitempty"`
	Safetensors  *safetensors.Report `json:"safetensors,omitempty"`
	GGUF         *gguf.Report        `json:"gguf,omitempty"`
}

// Close unmaps the source. The model's weights are read out of it, so it comes last, after
// the model was written or is no longer needed.
func (r *Report) Close() error {
	if r.ONNX != nil {
		return r.ONNX.Close()
	}
	if r.GGUF != nil {
		return r.GGUF.Close()
	}
	return r.Safetensors.Close()
}

// Open imports the model at path: an ONNX file, a GGUF file, or a folder with (or a file of) a checkpoint
// in the Hugging Face layout. Errors: *fault.Unsupported for formats, architectures and
// operators that dsk does not have, *fault.Format for broken files, *fault.Usage for options
// that do not fit.
func Open(ctx context.Context, path string, o Options) (*model.Model, *Report, error) {
	format := o.Format
	if format == "" || format == FormatAuto {
		var err error
		if path, format, err = sniff(path); err != nil {
			return nil, nil, err
		}
	}
	r := &Report{Format: format}
	var m *model.Model
	var err error
	switch format {
	case FormatONNX:
		m, r.ONNX, err = onnx.Import(ctx, path, onnx.Options{
			InputShapes: o.InputShapes, NoFuse: o.NoFuse, Partial: o.Partial, AnyOperator: o.AnyOperator, Eval: o.Eval, Supports: o.Supports,
			Labels: o.Labels, Preprocess: o.Preprocess, Verify: o.Verify,
		})
		if err == nil {
			r.Warnings, r.SourceNodes = r.ONNX.Warnings, r.ONNX.SourceNodes
		}
	case FormatSafetensors:
		if err := o.onlyONNX(); err != nil {
			return nil, nil, err
		}
		if info, statErr := os.Stat(path); statErr == nil && info.Mode().IsRegular() {
			path = filepath.Dir(path)
		}
		m, r.Safetensors, err = safetensors.Import(ctx, path, safetensors.Options{Name: o.Name})
		if err == nil {
			r.Warnings = r.Safetensors.Warnings
		}
	case FormatGGUF:
		if err := o.onlyONNX(); err != nil {
			return nil, nil, err
		}
		m, r.GGUF, err = gguf.Import(ctx, path, safetensors.Options{Name: o.Name})
		if err == nil {
			r.Warnings = r.GGUF.Warnings
		}
	default:
		return nil, nil, &fault.Usage{What: fmt.Sprintf("unknown format %q: it is one of auto, onnx, safetensors, gguf", format)}
	}
	if err != nil {
		return nil, nil, err
	}
	if o.Name != "" {
		m.Meta.Name = o.Name
	}
	m.Meta.Steps = []model.Step{{Verb: "convert", Version: o.Version, Options: o.history()}}
	r.Name, r.Architecture, r.Task, r.Parameters = m.Meta.Name, m.Meta.Architecture, m.Meta.Task, m.Meta.Parameters
	for _, f := range m.Meta.Source.Files {
		r.SourceBytes += f.Bytes
	}
	return m, r, nil
}

// onlyONNX refuses options that the formats of language models have no use for.
func (o *Options) onlyONNX() error {
	if len(o.InputShapes) > 0 || o.Partial || o.Verify != "" || len(o.Labels) > 0 || len(o.Preprocess) > 0 {
		return &fault.Usage{What: "input shapes, labels, pre-processing, partial conversion and test data are of ONNX models only"}
	}
	return nil
}

// history returns the options that change the model, as its history keeps them.
func (o *Options) history() map[string]string {
	h := map[string]string{}
	if o.NoFuse {
		h["no-fuse"] = "true"
	}
	if o.Partial {
		h["partial"] = "true"
	}
	var shapes []string
	for _, name := range slices.Sorted(maps.Keys(o.InputShapes)) {
		shape := strings.Trim(strings.ReplaceAll(fmt.Sprint(o.InputShapes[name]), " ", ","), "[]")
		shapes = append(shapes, name+"="+shape)
	}
	if len(shapes) > 0 {
		h["input-shape"] = strings.Join(shapes, " ")
	}
	if len(h) == 0 {
		return nil
	}
	return h
}

func unsupportedFormat(path, what, hint string) error {
	return &fault.Unsupported{File: path, Kind: "format", Items: []fault.Item{{What: what, Hint: hint}}}
}

// magics are the first bytes of formats that are often taken for a model that dsk reads.
var magics = []struct{ magic, what, hint string }{
	{"\x89DSK", "a .dsk file", "it is converted already"},
	{"PK\x03\x04", "a PyTorch or other zip archive", "save the weights as safetensors, or export with torch.onnx.export"},
	{"\x80\x02", "a Python pickle", "save the weights as safetensors, or export with torch.onnx.export"},
	{"\x80\x03", "a Python pickle", "save the weights as safetensors, or export with torch.onnx.export"},
	{"\x80\x04", "a Python pickle", "save the weights as safetensors, or export with torch.onnx.export"},
	{"\x89HDF", "HDF5 (Keras)", "export with tf2onnx"},
}

// sniff tells the format of path, and what file or folder in it to read.
func sniff(path string) (file, format string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", "", err
	}
	if info.IsDir() {
		return sniffFolder(path)
	}
	if !info.Mode().IsRegular() {
		return "", "", &fs.PathError{Op: "open", Path: path, Err: errors.New("is not a regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", "", err
	}
	head = head[:n]
	if strings.HasPrefix(string(head), gguf.Magic) {
		return path, FormatGGUF, nil
	}
	for _, m := range magics {
		if strings.HasPrefix(string(head), m.magic) {
			return "", "", unsupportedFormat(path, m.what, m.hint)
		}
	}
	switch {
	// Flatbuffers have their mark behind an offset.
	case len(head) >= 8 && string(head[4:8]) == "ORTM":
		return "", "", unsupportedFormat(path, "ONNX Runtime's ORT format", "convert the .onnx file that it was made from")
	case len(head) >= 8 && string(head[4:8]) == "TFL3":
		return "", "", unsupportedFormat(path, "TensorFlow Lite", "export with tf2onnx")
	case len(head) >= 9 && head[8] == '{' && head[6] == 0 && head[7] == 0, filepath.Ext(path) == ".safetensors":
		return path, FormatSafetensors, nil
	case filepath.Base(path) == "config.json":
		return filepath.Dir(path), FormatSafetensors, nil
	case filepath.Ext(path) == ".onnx", looksLikeONNX(head):
		return path, FormatONNX, nil
	}
	return "", "", &fault.Format{
		File: path, Offset: 0, Why: "this is neither an ONNX model nor a safetensors or GGUF file",
		Next: "give a .onnx file or a folder with config.json and *.safetensors; --format names the format of an unusual file",
	}
}

// looksLikeONNX reports whether a file starts as a ModelProto does: with the IR version, a
// small number, and then another field.
func looksLikeONNX(head []byte) bool {
	if len(head) < 3 || head[0] != 1<<3 || head[1] == 0 || head[1] > 100 {
		return false
	}
	field, wire := head[2]>>3, head[2]&7
	return field >= 2 && (wire == 0 || wire == 2)
}

// sniffFolder prefers a checkpoint to an ONNX file beside it.
func sniffFolder(dir string) (file, format string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", "", err
	}
	var models []string
	checkpoint, config := false, false
	for _, e := range entries {
		switch name := e.Name(); {
		case name == "config.json":
			config = true
		case strings.HasSuffix(name, ".safetensors"), strings.HasSuffix(name, ".safetensors.index.json"):
			checkpoint = true
		case strings.HasSuffix(name, ".onnx"):
			models = append(models, name)
		}
	}
	switch {
	case checkpoint:
		return dir, FormatSafetensors, nil
	case len(models) == 1:
		return filepath.Join(dir, models[0]), FormatONNX, nil
	case slices.Contains(models, "model.onnx"):
		return filepath.Join(dir, "model.onnx"), FormatONNX, nil
	case len(models) > 1:
		return "", "", &fault.Usage{What: fmt.Sprintf("%s holds several models, name one: %s", dir, strings.Join(models, ", "))}
	case config:
		return dir, FormatSafetensors, nil
	}
	return "", "", &fault.Format{
		File: dir, Offset: -1, Why: "the folder has neither *.safetensors nor an .onnx file",
		Next: "give a .onnx file or a folder with config.json and *.safetensors",
	}
}
