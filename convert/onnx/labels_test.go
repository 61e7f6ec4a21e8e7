package onnx

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
)

func TestParseLabels(t *testing.T) {
	for text, want := range map[string][]string{
		`{0: 'person', 1: 'stop sign', 2: "driver's"}`: {"person", "stop sign", "driver's"},
		`{"1": "b", "0": "a"}`:                         {"a", "b"},
		`['a', 'b\'s', ]`:                              {"a", "b's"},
		` [ "é\u00e9" ] `:                              {"éé"},
		`{}`:                                           nil,
		`{0: 'a', 2: 'c'}`:                             nil,
		`{0: 'a', 0: 'b'}`:                             nil,
		`['a' 'b']`:                                    nil,
		`['a', 1]`:                                     nil,
		`['a'] x`:                                      nil,
		`['a`:                                          nil,
		`["a\nb"]`:                                     nil,
		`person`:                                       nil,
		``:                                             nil,
	} {
		if got := parseLabels(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func labelsAsset(t *testing.T, data []byte, o Options) (string, []string) {
	t.Helper()
	m, r, err := Import(context.Background(), writeModel(t, data), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return string(m.Assets[model.AssetLabels]), r.Warnings
}

// Names given by hand go before those of the file.
func TestLabelsOfMetadata(t *testing.T) {
	data := tiny().bytes(14, message(nil).str(1, "names").str(2, "{0: 'cat', 1: 'dog', 2: 'owl'}"))
	if got, _ := labelsAsset(t, data, Options{}); got != "cat\ndog\nowl\n" {
		t.Errorf("labels are %q", got)
	}
	if got, _ := labelsAsset(t, data, Options{Labels: []string{"x"}}); got != "x\n" {
		t.Errorf("labels are %q", got)
	}
}

// scikit-learn's classifiers end in a list of maps, which is a matrix here.
func TestZipMap(t *testing.T) {
	classes := message(nil).str(1, "classlabels_strings").str(9, "yes").str(9, "no").num(20, kindStrings)
	kinds := message(nil).bytes(1, message(nil).num(1, 8).bytes(2, message(nil).bytes(1, message(nil).num(1, 1))))
	maps := message(nil).bytes(4, message(nil).bytes(1, message(nil).bytes(5, kinds)))
	g := graphSpec{
		nodes: []message{
			nodeMsg("Softmax", "prob", []string{"x"}, []string{"p"}),
			nodeMsg("ZipMap", "zip", []string{"p"}, []string{"y"}, classes).str(7, model.DomainML),
		},
		inputs:  []message{valueMsg("x", 1, -1, 2)},
		outputs: []message{message(nil).str(1, "y").bytes(2, maps)},
	}
	data := modelMsg(13, g).bytes(8, message(nil).str(1, model.DomainML).num(2, 3))
	m, r, err := Import(context.Background(), writeModel(t, data), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := string(m.Assets[model.AssetLabels]); got != "yes\nno\n" {
		t.Errorf("labels are %q", got)
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "matrix of scores") {
		t.Errorf("warnings %q", r.Warnings)
	}
	if out := m.Graph.Outputs[0]; out.Name != "y" || out.Type.DType.String() != "F32" || len(out.Type.Shape) != 2 {
		t.Errorf("output %v", out)
	}
}
