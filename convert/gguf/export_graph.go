package gguf

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

func bf16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// exported are the architectures of models that go by another name than ggml's and the config's.
var exported = map[string]string{"mistral": "llama", "mixtral": "llama", "gemma3": "gemma3"}

// architectureOf returns how a model of ours is written.
func architectureOf(name string) (*architecture, error) {
	var known []string
	for i, a := range architectures {
		known = append(known, a.modelType)
		if a.modelType == name || exported[name] == a.name {
			return &architectures[i], nil
		}
	}
	return nil, unsupported("architecture", name+" as GGUF", "dsk writes "+strings.Join(known, ", "))
}

// find returns the initializers that make up a tensor of transformers, in the order in which ggml wants their rows.
func (e *export) find(name string) []string {
	init := e.m.Graph.Init
	stem, suffix, _ := cutLast(name, ".")
	forms := [][]string{{name}, {name + ".t"}, {name + ".q", name + ".k", name + ".v"}, {name + ".gate", name + ".up"}}
	if suffix == "weight" {
		forms = append(forms, []string{stem + ".scale"})
	}
	for _, form := range forms {
		if !slices.ContainsFunc(form, func(n string) bool { return init[n] == nil }) {
			return form
		}
	}
	if !strings.Contains(stem, "%d") {
		return nil
	}
	var stack []string
	for i := range maxExperts {
		n := fmt.Sprintf(stem, i) + "." + suffix
		if init[n] == nil {
			break
		}
		stack = append(stack, n)
	}
	return stack
}

// layers counts the layers by their caches.
func (e *export) layers() int {
	n := 0
	for _, s := range e.m.Graph.States {
		if strings.HasPrefix(s.Input.Name, "cache_k.") {
			n++
		}
	}
	return n
}

// addTensors collects the tensors in ggml's usual order: those outside of the layers, then layer by layer.
func (e *export) addTensors() error {
	for _, stem := range slices.Sorted(maps.Keys(e.arch.top)) {
		e.addTensor(stem, e.arch.top[stem], "")
	}
	for i := range e.layers() {
		for _, stem := range slices.Sorted(maps.Keys(e.arch.block)) {
			if strings.Contains(e.arch.block[stem], "%s") {
				continue // parts that the graph has one by one
			}
			e.addTensor(fmt.Sprintf("blk.%d.%s", i, stem), fmt.Sprintf(e.arch.layer, i)+e.arch.block[stem], stem)
		}
	}
	if len(e.tensors) == 0 {
		return unsupported("model", e.m.Meta.Architecture+" without its weights' names", "convert it anew")
	}
	return nil
}

// addTensor adds weight and bias of a tensor, if the graph has them. block is the tensor's name in its layer.
func (e *export) addTensor(name, from, block string) {
	for _, suffix := range []string{"weight", "bias"} {
		form := e.find(from + "." + suffix)
		if form == nil {
			_, short, _ := strings.Cut(from, ".")
			form = e.find(short + "." + suffix)
		}
		if len(form) == 0 {
			continue
		}
		out := outTensor{name: name + "." + suffix, as: targetF32}
		for _, n := range form {
			if !writable(e.m.Graph.Init[n], e.m.Graph.Init[form[0]]) {
				return // it is missed when the file is read back
			}
			e.used[n] = true
			out.parts = append(out.parts, e.m.Graph.Init[n])
		}
		first := out.parts[0].Shape
		out.shape = slices.Clone(first)
		if strings.Contains(from, "%d") {
			out.shape = append([]int{len(form)}, first...)
		} else {
			out.shape[0] = 0
			for _, p := range out.parts {
				out.shape[0] += p.Shape[0]
			}
		}
		if block == "ffn_gate_inp_shexp" && len(out.shape) == 2 {
			out.shape = out.shape[1:]
		}
		if e.matrix(block, name, out.shape) {
			out.as = e.weights
			if k := out.shape[len(out.shape)-1]; k%elements[out.as.number].block != 0 {
				out.as = targetF16
			}
		}
		if block == "attn_q" || block == "attn_k" {
			if _, ok := e.arch.place[block]; ok {
				out.row = e.turn(block, out.shape[0])
			}
		}
		e.tensors = append(e.tensors, out)
	}
}

// matrix reports whether a tensor is written in the type of matrices; llama.cpp wants some others as F32.
func (e *export) matrix(block, name string, shape []int) bool {
	return len(shape) >= 2 && block != "ffn_gate_inp" && name != "position_embd"
}

// writable reports whether a tensor holds weights, in rows as wide as another's.
func writable(t, like *tensor.Tensor) bool {
	if len(t.Shape) == 0 || len(t.Shape) != len(like.Shape) || t.Len() == 0 {
		return false
	}
	return slices.Equal(t.Shape[1:], like.Shape[1:]) && (t.DType.IsQuantized() || t.DType == tensor.F32 || t.DType == tensor.F16 || t.DType == tensor.BF16)
}

// turn is the inverse of turned.
func (e *export) turn(block string, rows int) func(r int) int {
	key := "q_num_heads"
	if block == "attn_k" {
		key = "kv_num_heads"
	}
	heads := int(e.node("Attention").Int(key, 1))
	if heads < 1 || rows%(2*heads) != 0 {
		return nil // reading it back fails
	}
	half := rows / heads / 2
	return func(r int) int {
		return r/(2*half)*2*half + r%2*half + r%(2*half)/2
	}
}

// node returns the first node of an operator, an empty one if there is none.
func (e *export) node(op string) *model.Node {
	for _, n := range e.m.Graph.Nodes {
		if n.Op == op {
			return n
		}
	}
	return &model.Node{}
}

// addMetadata derives from the graph what transformers has in its config.
func (e *export) addMetadata() error {
	g, name := e.m.Graph, e.arch.name
	set := func(key string, v int) { e.set(name+"."+key, uint32(v)) }
	e.set("general.architecture", name)
	if e.m.Meta.Name != "" {
		e.set("general.name", e.m.Meta.Name)
	}
	if e.m.Meta.License != "" {
		e.set("general.license", e.m.Meta.License)
	}
	e.set("general.file_type", e.weights.fileType)
	if elements[e.weights.number].decode != nil {
		e.set("general.quantization_version", uint32(2))
	}
	shape := func(tensor string) []int {
		for _, t := range e.tensors {
			if t.name == tensor {
				return append(slices.Clone(t.shape), 0, 0)
			}
		}
		return []int{0, 0, 0}
	}
	attention, rotary := e.node("Attention"), e.node("RotaryEmbedding")
	heads, kv := int(attention.Int("q_num_heads", 1)), int(attention.Int("kv_num_heads", 1))
	table := shape("token_embd.weight")
	set("vocab_size", table[0])
	set("context_length", e.m.Meta.LM.ContextLength)
	set("embedding_length", table[1])
	set("block_count", e.layers())
	inner := shape("blk.0.ffn_down.weight")[1]
	if experts := shape("blk.0.ffn_down_exps.weight"); experts[0] > 0 {
		set("expert_count", experts[0])
		if k := g.Init[e.node("TopK").In(1)]; k != nil && k.DType == tensor.I64 && k.Len() == 1 {
			set("expert_used_count", int(tensor.View[int64](k)[0]))
		}
		set("expert_feed_forward_length", experts[2])
		if inner == 0 {
			inner = experts[2]
		}
		if shared := shape("blk.0.ffn_down_shexp.weight"); shared[1] > 0 {
			set("expert_shared_feed_forward_length", shared[1])
		}
	}
	set("feed_forward_length", inner)
	set("attention.head_count", heads)
	set("attention.head_count_kv", kv)
	head := 0
	for _, s := range g.States {
		if d := s.Input.Type.Shape; s.Input.Name == "cache_k.0" && len(d) == 3 && d[2].IsKnown() {
			head = d[2].N / max(kv, 1)
		}
	}
	set("attention.key_length", head)
	set("attention.value_length", head)
	for op, key := range map[string]string{"RMSNormalization": "layer_norm_rms_epsilon", "LayerNormalization": "layer_norm_epsilon"} {
		if n := e.node(op); n.Op != "" {
			e.set(name+".attention."+key, n.Float("epsilon", 1e-5))
		}
	}
	for _, n := range g.Nodes {
		if w := n.Int("local_window_size", 0); n.Op == "Attention" && w > 0 {
			set("attention.sliding_window", int(w))
			break
		}
	}
	if c := attention.Float("softcap", 0); c > 0 {
		e.set(name+".attn_logit_softcapping", c)
	}
	if name == "gptneox" || name == "stablelm" {
		e.set(name+".use_parallel_residual", slices.ContainsFunc(g.Nodes, func(n *model.Node) bool { return n.Name == "layers.0.sum" }))
	}
	e.addFactors(attention)
	if rotary.Op != "" {
		rotated := int(rotary.Int("rotary_embedding_dim", int64(head)))
		set("rope.dimension_count", rotated)
		if g.Init["rope_local.cos"] != nil || g.Init["rope_local.frequency"] != nil {
			if err := e.addRotation("rope_local", name+".rope.freq_base_swa", rotated); err != nil {
				return err
			}
		}
		return e.addRotation("rope", name+".rope.freq_base", rotated)
	}
	return nil
}

// addFactors writes the factors that some architectures have in places of their own.
func (e *export) addFactors(attention *model.Node) {
	name := e.arch.name
	switch name {
	case "granite":
		e.set(name+".embedding_scale", e.factor("embedding_scaled"))
		e.set(name+".residual_scale", e.factor("layers.0.attention_sum_scaled"))
		e.set(name+".attention.scale", attention.Float("scale", 1))
		e.set(name+".logit_scale", float32(near(1/float64(e.factor("logits")), 6)))
	case "command-r", "cohere2":
		e.set(name+".logit_scale", e.factor("logits"))
	case "gemma2":
		e.set(name+".final_logit_softcapping", e.factor("logits.share"))
	}
}

// factor returns the constant operand of the node that makes a value; 1 if there is none.
func (e *export) factor(value string) float32 {
	for _, n := range e.m.Graph.Nodes {
		if len(n.Outputs) == 1 && n.Outputs[0] == value && (n.Op == "Mul" || n.Op == "Div") {
			if t := e.m.Graph.Init[n.In(1)]; t != nil && t.DType == tensor.F32 && t.Len() == 1 && !t.IsDeferred() {
				return t.Align().F32()[0]
			}
		}
	}
	return 1
}

// near rounds to so many decimal digits: what was written as a short number comes back as it was.
func near(v float64, digits int) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	if err != nil {
		return v
	}
	return r
}

// addRotation writes the base of the frequencies, and what they are divided by.
func (e *export) addRotation(table, key string, rotated int) error {
	freq := e.frequencies(table)
	if len(freq) != rotated/2 || len(freq) < 2 {
		return unsupported("GGUF "+e.arch.name, "a rotation that depends on the length", "only rotations with frequencies of their own are written")
	}
	half := len(freq)
	// The base follows best from the slowest pair, if all were divided by the same; else from the second.
	factor := near(1/freq[0], 6)
	base := near(math.Exp(-math.Log(freq[half-1]*factor)*float64(half)/float64(half-1)), 6)
	plain := func(i int) float64 { return math.Pow(base, -float64(i)/float64(half)) / factor }
	same := true
	for i, f := range freq {
		same = same && math.Abs(f/plain(i)-1) < 1e-4
	}
	if !same {
		factor, base = 1, near(math.Exp(-math.Log(freq[1])*float64(half)), 4)
		factors := tensor.New(tensor.F32, half)
		for i, f := range freq {
			factors.F32()[i] = float32(near(plain(i)/f, 6))
		}
		e.tensors = append(e.tensors, outTensor{name: "rope_freqs.weight", shape: []int{half}, as: targetF32, parts: []*tensor.Tensor{factors}})
	}
	e.set(key, float32(base))
	if factor != 1 {
		e.set(e.arch.name+".rope.scaling.type", "linear")
		e.set(e.arch.name+".rope.scaling.factor", float32(factor))
	}
	return nil
}

// frequencies reads the frequencies of a rotation: a constant, or the angles of its tables at position 1. It returns nil if they
// are not to be had, or if cosine and sine are scaled.
func (e *export) frequencies(table string) []float64 {
	init := e.m.Graph.Init
	var out []float64
	if f := init[table+".frequency"]; f != nil && f.DType == tensor.F32 && init[table+".frequency_long"] == nil && init[table+".exponents"] == nil {
		if loaded, err := f.Loaded(); err == nil {
			for _, v := range loaded.F32() {
				out = append(out, float64(v))
			}
		}
		return out
	}
	cos, sin := init[table+".cos"], init[table+".sin"]
	if cos == nil || sin == nil || cos.DType != tensor.F32 || sin.DType != tensor.F32 || len(cos.Shape) != 2 || !tensor.SameShape(cos.Shape, sin.Shape) || cos.Shape[0] < 2 {
		return nil
	}
	c, err := cos.Loaded()
	if err != nil {
		return nil
	}
	s, err := sin.Loaded()
	if err != nil {
		return nil
	}
	half := cos.Shape[1]
	for i := range half {
		x, y := float64(c.F32()[half+i]), float64(s.F32()[half+i])
		if math.Abs(math.Hypot(x, y)-1) > 1e-5 {
			return nil
		}
		out = append(out, math.Atan2(y, x))
	}
	return out
}

// difference says in what the graph of the file that was written differs from the model's, "" if in nothing. Names may lack
// the first part, which some checkpoints are saved without.
func (e *export) difference(back *model.Model) string {
	base, _, _ := strings.Cut(e.arch.layer, ".")
	one := func(name string) string {
		name = strings.TrimPrefix(name, base+".")
		if stem, ok := strings.CutSuffix(name, ".scale"); ok { // norms that are kept less 1 elsewhere
			name = stem + ".weight"
		}
		return name
	}
	short := func(names []string) []string {
		out := slices.Clone(names)
		for i, n := range out {
			out[i] = one(n)
		}
		return out
	}
	a, b := e.m.Graph, back.Graph
	here, there := withoutCasts(a.Nodes), withoutCasts(b.Nodes)
	for i := range max(len(here), len(there)) {
		if i >= len(here) || i >= len(there) {
			return fmt.Sprintf("a graph of %d nodes, which reads back with %d", len(here), len(there))
		}
		x, y := here[i], there[i]
		if x.Domain != y.Domain || x.Op != y.Op || !slices.Equal(short(x.Inputs), short(y.Inputs)) || !slices.Equal(x.Outputs, y.Outputs) || !sameAttrs(x.Attrs, y.Attrs) {
			return fmt.Sprintf("node %s (%s)", x.Name, x.Op)
		}
	}
	init := map[string]*tensor.Tensor{}
	for n, t := range b.Init {
		init[one(n)] = t
	}
	for _, n := range slices.Sorted(maps.Keys(a.Init)) {
		x, y := a.Init[n], init[one(n)]
		if y == nil || !tensor.SameShape(x.Shape, y.Shape) || !e.used[n] && !sameConstant(x, y) {
			return "constant " + n
		}
	}
	return ""
}

// withoutCasts leaves out the casts of rows that were looked up: whether there are any depends on the table's element type.
func withoutCasts(nodes []*model.Node) []*model.Node {
	var out []*model.Node
	for _, n := range nodes {
		if last := len(out) - 1; n.Op == "Cast" && last >= 0 && out[last].Op == "Gather" && slices.Equal(out[last].Outputs, n.Inputs) {
			merged := *out[last]
			merged.Outputs = n.Outputs
			out[last] = &merged
			continue
		}
		out = append(out, n)
	}
	return out
}

func sameAttrs(a, b model.Attrs) bool {
	return maps.EqualFunc(a, b, func(x, y model.Attr) bool {
		if x.Tensor != nil && y.Tensor != nil && !sameConstant(x.Tensor, y.Tensor) {
			return false
		}
		x.Tensor, y.Tensor = nil, nil
		return reflect.DeepEqual(x, y)
	})
}

// sameConstant compares constants; tables of angles may differ by the rounding of a factor.
func sameConstant(a, b *tensor.Tensor) bool {
	x, err := a.Loaded()
	if err != nil {
		return false
	}
	y, err := b.Loaded()
	if err != nil || x.DType != y.DType || !tensor.SameShape(x.Shape, y.Shape) {
		return false
	}
	if x.DType != tensor.F32 {
		return slices.Equal(x.Data, y.Data)
	}
	return slices.EqualFunc(x.F32(), y.F32(), func(v, w float32) bool {
		return math.Abs(float64(v-w)) <= 1e-4*max(1, math.Abs(float64(v)))
	})
}

// gapError is for what the tokenizer cannot be written with.
func (e *export) gapError(what, hint string) error {
	return &fault.Unsupported{Kind: "tokenizer", Items: []fault.Item{{What: what, Hint: hint}}}
}
