package onnx

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lowered returns the graph of a model as text, before anything is inferred or rewritten.
func lowered(t *testing.T, data []byte) string {
	t.Helper()
	p, err := decodeModel(data)
	if err != nil {
		t.Fatal(err)
	}
	g, err := (&Report{}).lower(p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(); err != nil {
		t.Error(err)
	}
	if err := g.Infer(); err != nil {
		t.Error(err)
	}
	return dump(g)
}

// TestOldForms has one case for every form that opset 27 does not have any more.
func TestOldForms(t *testing.T) {
	x := valueMsg("x", 1, 2, 3, 4, 5)
	in := func(names ...string) []string { return names }
	axes := attrInts("axes", 1)
	for name, c := range map[string]struct {
		opset  int64
		node   message
		inits  []message
		inputs []message
		out    message
		want   string
	}{
		"squeeze": {
			11, nodeMsg("Squeeze", "n", in("x"), in("y"), axes), nil, []message{valueMsg("x", 1, 2, 1, 4)}, nil,
			"y = Squeeze(x, [1])",
		},
		"unsqueeze":  {11, nodeMsg("Unsqueeze", "n", in("x"), in("y"), axes), nil, nil, nil, "y = Unsqueeze(x, [1])"},
		"reduce sum": {11, nodeMsg("ReduceSum", "n", in("x"), in("y"), axes, attrInt("keepdims", 0)), nil, nil, nil, "y = ReduceSum(x, [1]) keepdims=0"},
		"reduce max": {13, nodeMsg("ReduceMax", "n", in("x"), in("y"), axes), nil, nil, nil, "y = ReduceMax(x, [1])"},
		"reduce all": {11, nodeMsg("ReduceMean", "n", in("x"), in("y")), nil, nil, nil, "y = ReduceMean(x)"},
		"split": {
			11, nodeMsg("Split", "n", in("x"), in("y", "z"), attrInt("axis", 2), attrInts("split", 1, 3)), nil, nil, nil,
			"y, z = Split(x, [1 3]) axis=2",
		},
		"split equally": {13, nodeMsg("Split", "n", in("x"), in("y", "z")), nil, nil, nil, "y, z = Split(x) num_outputs=2"},
		"slice": {
			9, nodeMsg("Slice", "n", in("x"), in("y"), attrInts("starts", 0, 1), attrInts("ends", 1, 2), attrInts("axes", 0, 3)), nil, nil, nil,
			"y = Slice(x, [0 1], [1 2], [0 3])",
		},
		"pad": {
			10, nodeMsg("Pad", "n", in("x"), in("y"), attrInts("pads", 0, 0, 1, 1, 0, 0, 1, 1), attrFloat("value", 2)), nil, nil, nil,
			"y = Pad(x, [0 0 1 1 0 0 1 1], [2])",
		},
		"pad with zeros": {
			1, nodeMsg("Pad", "n", in("x"), in("y"), attrInts("paddings", 0, 0, 1, 1, 0, 0, 1, 1), attrFloat("value", 0)), nil, nil, nil,
			"y = Pad(x, [0 0 1 1 0 0 1 1])",
		},
		"clip":      {6, nodeMsg("Clip", "n", in("x"), in("y"), attrFloat("max", 6), attrFloat("min", 0)), nil, nil, nil, "y = Clip(x, [0], [6])"},
		"clip half": {6, nodeMsg("Clip", "n", in("x"), in("y"), attrFloat("max", 6)), nil, []message{valueMsg("x", 10, 2)}, valueMsg("y", 10, 2), "y = Clip(x, , F16[])"},
		"reshape":   {4, nodeMsg("Reshape", "n", in("x"), in("y"), attrInts("shape", 6, -1), attrInts("consumed_inputs", 0)), nil, nil, nil, "y = Reshape(x, [6 -1])"},
		"cast":      {5, nodeMsg("Cast", "n", in("x"), in("y"), attrStr("to", "INT64")), nil, nil, valueMsg("y", 7, 2, 3, 4, 5), "y = Cast(x) to=7"},
		"concat":    {1, nodeMsg("Concat", "n", in("x", "x"), in("y")), nil, nil, nil, "y = Concat(x, x) axis=1"},
		"topk": {
			9, nodeMsg("TopK", "n", in("x"), in("y", "i"), attrInt("k", 2)), nil, nil, nil, "y, i = TopK(x, [2])",
		},
		"scatter": {
			9, nodeMsg("Scatter", "n", in("x", "i", "u"), in("y"), attrInt("axis", 0)), nil,
			[]message{valueMsg("x", 1, 3), valueMsg("i", 7, 1), valueMsg("u", 1, 1)}, nil, "y = ScatterElements(x, i, u) axis=0",
		},
		"broadcast": {
			6, nodeMsg("Add", "n", in("x", "b"), in("y"), attrInt("broadcast", 1), attrInt("axis", 1)), nil,
			[]message{x, valueMsg("b", 1, 3)}, nil, "n/Unsqueeze = Unsqueeze(b, [1 2])\ny = Add(x, n/Unsqueeze)",
		},
		"broadcast last": {
			6, nodeMsg("Mul", "n", in("x", "b"), in("y"), attrInt("broadcast", 1)), nil, []message{x, valueMsg("b", 1, 5)}, nil, "y = Mul(x, b)",
		},
		"prelu": {
			6, nodeMsg("PRelu", "n", in("x", "b"), in("y")), nil, []message{x, valueMsg("b", 1, 3)}, nil,
			"n/Unsqueeze = Unsqueeze(b, [1 2])\ny = PRelu(x, n/Unsqueeze)",
		},
		"dropout": {9, nodeMsg("Dropout", "n", in("x"), in("y", "mask"), attrFloat("ratio", .5)), nil, nil, nil, "y = Identity(x)"},
		"softmax of the last axis": {
			11, nodeMsg("Softmax", "n", in("x"), in("y")), nil, []message{valueMsg("x", 1, -1, 10)}, nil, "y = Softmax(x) axis=1",
		},
		"softmax of a column": {
			11, nodeMsg("LogSoftmax", "n", in("x"), in("y")), nil, []message{valueMsg("x", 1, -1, 10, 1, 1)}, nil, "y = LogSoftmax(x) axis=1",
		},
		"softmax of rows": {
			11, nodeMsg("Softmax", "n", in("x"), in("y"), attrInt("axis", 2)), nil, nil, nil,
			"n/Shape = Shape(x)\nn/Flatten = Flatten(x) axis=2\nn/Softmax = Softmax(n/Flatten) axis=-1\ny = Reshape(n/Softmax, n/Shape)",
		},
		"softmax": {13, nodeMsg("Softmax", "n", in("x"), in("y"), attrInt("axis", 2)), nil, nil, nil, "y = Softmax(x) axis=2"},
		"batch norm": {
			7, nodeMsg("BatchNormalization", "n", in("x", "b", "b", "b", "b"), in("y", "m"), attrFloat("momentum", .9), attrInt("spatial", 1)), nil,
			[]message{x, valueMsg("b", 1, 3)}, nil, "y = BatchNormalization(x, b, b, b, b)",
		},
		"group norm": {
			18, nodeMsg("GroupNormalization", "n", in("x", "b", "b"), in("y"), attrInt("num_groups", 2)), nil,
			[]message{valueMsg("x", 1, 1, 4, 5), valueMsg("b", 1, 2)}, nil,
			"n/Unsqueeze = Unsqueeze(b, [1])\nn/Expand = Expand(n/Unsqueeze, [2 2])\nn/Reshape = Reshape(n/Expand, [-1])\n" +
				"n/Unsqueeze_1 = Unsqueeze(b, [1])\nn/Expand_1 = Expand(n/Unsqueeze_1, [2 2])\nn/Reshape_1 = Reshape(n/Expand_1, [-1])\n" +
				"y = GroupNormalization(x, n/Reshape, n/Reshape_1) num_groups=2",
		},
		"upsample 7": {
			7, nodeMsg("Upsample", "n", in("x"), in("y"), message(nil).str(1, "scales").bytes(7, float32s(1, 1, 2, 2)).num(20, kindFloats)), nil, nil, nil,
			"y = Resize(x, , [1 1 2 2]) coordinate_transformation_mode=asymmetric mode=nearest nearest_mode=floor",
		},
		"upsample 9": {
			9, nodeMsg("Upsample", "n", in("x", "s"), in("y"), attrStr("mode", "linear")), []message{tensorMsg("s", 1, float32s(1, 1, 2, 2), 4)}, nil, nil,
			"y = Resize(x, , [1 1 2 2]) coordinate_transformation_mode=asymmetric mode=linear",
		},
		"resize 10": {
			10, nodeMsg("Resize", "n", in("x", "s"), in("y")), []message{tensorMsg("s", 1, float32s(1, 1, .5, .5), 4)}, nil, nil,
			"y = Resize(x, , [1 1 0.5 0.5]) coordinate_transformation_mode=asymmetric mode=nearest nearest_mode=ceil",
		},
		"resize 11": {
			11, nodeMsg("Resize", "n", in("x", "e", "e", "s"), in("y"), attrStr("coordinate_transformation_mode", "tf_half_pixel_for_nn"), attrStr("nearest_mode", "floor")),
			[]message{tensorMsg("e", 1, nil, 0), tensorMsg("s", 7, int64s(2, 3, 8, 8), 4)}, nil, nil,
			"y = Resize(x, , , [2 3 8 8]) coordinate_transformation_mode=half_pixel nearest_mode=round_prefer_ceil",
		},
		"grid sample": {
			16, nodeMsg("GridSample", "n", in("x", "b"), in("y"), attrStr("mode", "bicubic")), nil, []message{x, valueMsg("b", 1, 2, 4, 4, 2)}, nil,
			"y = GridSample(x, b) mode=cubic",
		},
		"roi align": {
			10, nodeMsg("RoiAlign", "n", in("x", "r", "i"), in("y")), nil, []message{x, valueMsg("r", 1, 1, 4), valueMsg("i", 7, 1)}, nil,
			"y = RoiAlign(x, r, i) coordinate_transformation_mode=output_half_pixel",
		},
		"lp pool": {1, nodeMsg("GlobalLpPool", "n", in("x"), in("y"), attrFloat("p", 1)), nil, nil, nil, "y = GlobalLpPool(x) p=1"},
		"selu":    {1, nodeMsg("Selu", "n", in("x"), in("y")), nil, nil, nil, "y = Selu(x) alpha=1.6732 gamma=1.0507"},
		"affine":  {1, nodeMsg("Affine", "n", in("x"), in("y"), attrFloat("alpha", 2), attrFloat("beta", 1)), nil, nil, nil, "n/Mul = Mul(x, [2])\ny = Add(n/Mul, [1])"},
		"tile": {
			1, nodeMsg("Tile", "n", in("x", "k", "a"), in("y")), []message{tensorMsg("k", 7, int64s(3), 1), tensorMsg("a", 7, int64s(1), 1)}, nil, nil,
			"y = Tile(x, [1 3 1 1])",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := graphSpec{nodes: []message{c.node}, inits: c.inits, inputs: c.inputs, outputs: []message{c.out}}
			if g.inputs == nil {
				g.inputs = []message{x}
			}
			if c.out == nil {
				g.outputs[0] = message(nil).str(1, "y")
			}
			if strings.HasPrefix(name, "split") {
				g.outputs = append(g.outputs, message(nil).str(1, "z"))
			}
			if d := cmp.Diff(c.want+"\n", lowered(t, modelMsg(c.opset, g))); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestSubgraphs checks that names become unique over all graphs and constants move up.
func TestSubgraphs(t *testing.T) {
	branch := func(v float32) message {
		return graphSpec{
			nodes: []message{
				nodeMsg("Constant", "", nil, []string{"k"}, attrTensor("value", tensorMsg("", 1, float32s(v), 1))),
				nodeMsg("Add", "add", []string{"x", "k"}, []string{"t"}),
				nodeMsg("Mul", "mul", []string{"t", "w"}, []string{"y"}),
			},
			inits:   []message{tensorMsg("w", 1, float32s(v+1), 1)},
			outputs: []message{valueMsg("y", 1, 2), valueMsg("x", 1, 2)},
		}.message()
	}
	p, err := decodeModel(modelMsg(13, graphSpec{
		nodes: []message{
			nodeMsg("If", "if", []string{"c"}, []string{"y", "z"}, attrGraph("then_branch", branch(1)), attrGraph("else_branch", branch(3))),
		},
		inputs:  []message{valueMsg("c", 9), valueMsg("x", 1, 2)},
		outputs: []message{valueMsg("y", 1, 2), valueMsg("z", 1, 2)},
	}))
	if err != nil {
		t.Fatal(err)
	}
	g, err := (&Report{}).lower(p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(); err != nil {
		t.Error(err)
	}
	got := map[string]float32{}
	for name, w := range g.Init {
		got[name] = w.F32()[0]
	}
	if d := cmp.Diff(map[string]float32{"k": 1, "w": 2, "k_1": 3, "w_1": 4}, got); d != "" {
		t.Error(d)
	}
	other := g.Nodes[0].Attrs["else_branch"].Graph
	other.Init = g.Init
	want := "t_1 = Add(x, [3])\ny_2 = Mul(t_1, [4])\nif/else_branch/x/Identity = Identity(x)\n"
	if d := cmp.Diff(want, dump(other)); d != "" {
		t.Error(d)
	}
	if out := other.Outputs; out[0].Name != "y_2" || out[1].Name != "if/else_branch/x/Identity" {
		t.Errorf("outputs of the branch: %v", out)
	}
}

// TestFunctions checks that model-local functions are put in the place of their calls.
func TestFunctions(t *testing.T) {
	fn := message(nil).str(1, "ScaledAdd").str(4, "a").str(4, "b").str(4, "rest").str(5, "sum").str(5, "first").str(10, "local")
	fn = fn.bytes(7, nodeMsg("Constant", "", nil, []string{"k"}, attrRef("value_float", "scale", kindFloat)))
	fn = fn.bytes(7, nodeMsg("Mul", "m", []string{"b", "k"}, []string{"t"}))
	fn = fn.bytes(7, nodeMsg("Clip", "c", []string{"t", "rest"}, []string{"u"}))
	fn = fn.bytes(7, nodeMsg("Add", "s", []string{"a", "u"}, []string{"sum"}))
	fn = fn.bytes(7, nodeMsg("Identity", "", []string{"a"}, []string{"unused"}))
	fn = fn.bytes(7, nodeMsg("Neg", "", []string{"sum"}, []string{"first"}))
	fn = fn.bytes(9, message(nil).str(1, "").num(2, 13))
	fn = fn.bytes(11, attrFloat("scale", 7))
	call := func(name, out string, attrs ...message) message {
		return nodeMsg("ScaledAdd", name, []string{"x", "x"}, []string{out}, attrs...).str(7, "local")
	}
	got := lowered(t, modelMsg(11, graphSpec{
		nodes:   []message{call("f1", "t", attrFloat("scale", 3)), call("f2", "y"), nodeMsg("Squeeze", "", []string{"t"}, []string{"z"}, attrInts("axes", 0))},
		inputs:  []message{valueMsg("x", 1, 1, 2)},
		outputs: []message{valueMsg("y", 1, 1, 2), valueMsg("z", 1, 2)},
	}, fn))
	want := `t_1 = Mul(x, [3])
u = Clip(t_1)
t = Add(x, u)
t_2 = Mul(x, [7])
u_1 = Clip(t_2)
y = Add(x, u_1)
z = Squeeze(t, [0])
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	recursive := message(nil).str(1, "ScaledAdd").str(4, "a").str(5, "b").str(10, "local")
	recursive = recursive.bytes(7, nodeMsg("ScaledAdd", "", []string{"a"}, []string{"b"}).str(7, "local"))
	p, err := decodeModel(modelMsg(11, graphSpec{
		nodes:   []message{nodeMsg("ScaledAdd", "", []string{"x"}, []string{"y"}).str(7, "local")},
		inputs:  []message{valueMsg("x", 1, 1, 2)},
		outputs: []message{valueMsg("y", 1, 1, 2)},
	}, recursive))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Report{}).lower(p, Options{}); err == nil || !strings.Contains(err.Error(), "call each other") {
		t.Errorf("a function that calls itself: %v", err)
	}
}

// TestOrder checks that nodes out of order are sorted and that the others stay.
func TestOrder(t *testing.T) {
	got := lowered(t, modelMsg(13, graphSpec{
		nodes: []message{
			nodeMsg("Neg", "", []string{"b"}, []string{"y"}),
			nodeMsg("Abs", "", []string{"x"}, []string{"a"}),
			nodeMsg("Exp", "", []string{"a"}, []string{"b"}),
		},
		inputs:  []message{valueMsg("x", 1, 2)},
		outputs: []message{valueMsg("y", 1, 2)},
	}))
	if want := "a = Abs(x)\nb = Exp(a)\ny = Neg(b)\n"; got != want {
		t.Errorf("got %s", got)
	}
}

// TestOldScan checks the scan of opset 8, which runs over a batch.
func TestOldScan(t *testing.T) {
	body := graphSpec{
		nodes:   []message{nodeMsg("Add", "", []string{"s", "v"}, []string{"s2"}), nodeMsg("Identity", "", []string{"s2"}, []string{"o"})},
		inputs:  []message{valueMsg("s", 1, 2), valueMsg("v", 1, 2)},
		outputs: []message{valueMsg("s2", 1, 2), valueMsg("o", 1, 2)},
	}.message()
	p, err := decodeModel(modelMsg(8, graphSpec{
		nodes:   []message{nodeMsg("Scan", "scan", []string{"", "init", "x"}, []string{"y", "z"}, attrGraph("body", body), attrInt("num_scan_inputs", 1))},
		inputs:  []message{valueMsg("init", 1, 3, 2), valueMsg("x", 1, 3, 5, 2)},
		outputs: []message{valueMsg("y", 1, 3, 2), valueMsg("z", 1, 3, 5, 2)},
	}))
	if err != nil {
		t.Fatal(err)
	}
	g, err := (&Report{}).lower(p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(); err != nil {
		t.Error(err)
	}
	if err := g.Infer(); err != nil {
		t.Fatal(err)
	}
	if got := g.Types["y"].String() + g.Types["z"].String(); got != "F32[3,2]F32[3,5,2]" {
		t.Errorf("outputs are %s", got)
	}
	outer := g.Nodes[0]
	if outer.Int("num_scan_inputs", 0) != 2 || len(outer.Attrs["body"].Graph.Nodes) != 1 || outer.Attrs["body"].Graph.Nodes[0].Op != "Scan" {
		t.Errorf("got %v", outer)
	}
}

// TestLastConstant checks what becomes of a constant that is given twice.
func TestLastConstant(t *testing.T) {
	constant := func(v float32) message {
		return nodeMsg("Constant", "", nil, []string{"k"}, attrTensor("value", tensorMsg("", 1, float32s(v), 1)))
	}
	got := lowered(t, modelMsg(13, graphSpec{
		nodes:   []message{constant(1), nodeMsg("Add", "", []string{"x", "k"}, []string{"y"}), constant(2)},
		inputs:  []message{valueMsg("x", 1, 2)},
		outputs: []message{valueMsg("y", 1, 2)},
	}))
	if want := "y = Add(x, [2])\n"; got != want {
		t.Errorf("got %s", got)
	}
}

// TestInitializersAmongInputs checks that weights, which old models list as inputs, are none.
func TestInitializersAmongInputs(t *testing.T) {
	m, _, err := importBytes(modelMsg(13, graphSpec{
		nodes:   []message{nodeMsg("Add", "", []string{"x", "w"}, []string{"y"})},
		inits:   []message{tensorMsg("w", 1, float32s(1), 1)},
		inputs:  []message{valueMsg("x", 1, 2), valueMsg("w", 1, 1)},
		outputs: []message{valueMsg("y", 1, 2)},
	}), Options{NoFuse: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Graph.Inputs) != 1 || m.Graph.Inputs[0].Name != "x" || m.Graph.Inputs[0].Type.String() != "F32[2]" {
		t.Errorf("inputs: %v", m.Graph.Inputs)
	}
}
