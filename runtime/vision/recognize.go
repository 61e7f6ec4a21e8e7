package vision

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime/detect"
)

// Recognize gives a model that an importer brought the detector head that its outputs show, if they do. What could as well be something
// else is left alone: SetHead names such heads.
func Recognize(m *model.Model) {
	if m.Assets[model.AssetDetector] != nil {
		return
	}
	if head := guess(m, ""); head != nil {
		setHead(m, head)
	}
}

// SetHead gives a model a detector head: the name of a kind, whose outputs it must have, or the JSON of a detect.Head. Errors:
// *fault.Usage for an unknown kind or one that the outputs do not fit, those of detect.ParseHead.
func SetHead(m *model.Model, head string) error {
	if strings.HasPrefix(strings.TrimSpace(head), "{") {
		h, err := detect.ParseHead([]byte(head))
		if err == nil {
			setHead(m, h)
		}
		return err
	}
	if !slices.Contains(detect.Kinds(), head) {
		return &fault.Usage{What: fmt.Sprintf("unknown detector head %q: it is one of %s, or a JSON file", head, strings.Join(detect.Kinds(), ", "))}
	}
	h := guess(m, head)
	if h == nil {
		var outputs []string
		for _, o := range m.Graph.Outputs {
			outputs = append(outputs, fmt.Sprintf("%s %v", o.Name, typeOf(m.Graph, o)))
		}
		return &fault.Usage{What: fmt.Sprintf("the outputs are not those of a %s head on an input of known size: %s", head, strings.Join(outputs, ", "))}
	}
	setHead(m, h)
	return nil
}

func setHead(m *model.Model, h *detect.Head) {
	b, err := json.Marshal(h)
	if err != nil {
		return // thresholds that are no numbers, which no head has
	}
	m.Assets[model.AssetDetector] = b
	m.Meta.Task = model.TaskDetect
}

func typeOf(g *model.Graph, v model.Value) model.Type {
	if known, ok := g.Types[v.Name]; ok {
		return known
	}
	return v.Type
}

// guess recognizes a head by the outputs' shapes, of a kind or of any; nil if it is none.
func guess(m *model.Model, kind string) *detect.Head {
	if len(m.Graph.Inputs) != 1 {
		return nil
	}
	_, _, w, h, err := Input(m)
	if err != nil || w == 0 || h == 0 {
		return nil
	}
	shapes := make([][]int, len(m.Graph.Outputs))
	for i, o := range m.Graph.Outputs {
		t := typeOf(m.Graph, o)
		// Images are run one at a time.
		if len(t.Shape) == 3 && !t.Shape[0].IsKnown() {
			t.Shape = append([]model.Dim{model.Known(1)}, t.Shape[1:]...)
		}
		if shapes[i], _ = t.Static(); shapes[i] == nil {
			return nil
		}
	}
	head := detect.GuessKind(kind, shapes, w, h)
	if head == nil || head.Kind != "ssd" && head.Kind != "ultraface" {
		return head
	}
	// Sizes are exponentials of what the network yields: without Exp the graph leaves that to its reader.
	head.Raw = !followsExp(m.Graph, m.Graph.Outputs[head.Output].Name)
	if head.Kind == "ultraface" {
		return head
	}
	// Two outputs of as many rows are no rare thing, and the anchors of raw boxes are unknown.
	if head.Raw {
		if kind == "" {
			return nil
		}
		head.Raw = false
	}
	return head
}

// followsExp reports whether a value depends on an Exp.
func followsExp(g *model.Graph, name string) bool {
	needed := map[string]bool{name: true}
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(out string) bool { return needed[out] }) {
			continue
		}
		if n.Is("", "Exp") {
			return true
		}
		for _, in := range n.Inputs {
			if in != "" {
				needed[in] = true
			}
		}
	}
	return false
}
