package distill

import (
	"fmt"
	"math"
	"strings"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// llama builds a decoder (Touvron et al. 2023) with the inputs and caches of an imported one.
func (b *builder) llama(words []string, t Target) (model.Meta, error) {
	size := map[string]int{"hidden": 0, "layers": 0, "heads": 0, "kv": 0, "inner": 0, "ctx": t.Context, "vocab": t.Vocab}
	meta := model.Meta{Task: model.TaskLM, Architecture: "llama"}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if _, known := size[key]; !known {
			return meta, fmt.Errorf("%q is none of hidden=, layers=, heads=, kv=, inner=, ctx=, vocab=", w)
		}
		n, err := number(value)
		if err != nil {
			return meta, err
		}
		size[key] = n
	}
	def := func(key string, n int) {
		if size[key] == 0 {
			size[key] = n
		}
	}
	if t.Height > 0 && t.Vocab < 1 {
		return meta, fmt.Errorf("this is a language model, but what it would learn from are pictures: try \"conv 16,32,64 x2\"")
	}
	def("heads", max(size["hidden"]/32, 1))
	def("kv", size["heads"])
	def("inner", 3*size["hidden"])
	for _, key := range []string{"hidden", "layers", "ctx", "vocab"} {
		if size[key] < 1 {
			return meta, fmt.Errorf("%s= is missing", key)
		}
	}
	d := &decoder{builder: b, hidden: size["hidden"], heads: size["heads"], kv: size["kv"], inner: size["inner"], ctx: size["ctx"]}
	if d.hidden%(2*d.heads) != 0 || d.heads%d.kv != 0 {
		return meta, fmt.Errorf("hidden=%d, heads=%d, kv=%d: a head needs an even width, and kv divides heads", d.hidden, d.heads, d.kv)
	}
	if size["layers"] > maxRepeats {
		return meta, fmt.Errorf("layers=%d is above %d", size["layers"], maxRepeats)
	}
	d.size = d.hidden / d.heads
	d.build(size["layers"], size["vocab"])
	meta.LM = &model.LMInfo{VocabSize: size["vocab"], ContextLength: d.ctx}
	return meta, nil
}

// decoder is what the layers of a llama have in common.
type decoder struct {
	*builder
	hidden, heads, kv, size, inner, ctx int
}

// initial is the deviation of a decoder's weights (Radford et al. 2019).
const initial = 0.02

func (d *decoder) build(layers, vocab int) {
	g := d.graph
	input := func(name string, dims ...model.Dim) {
		g.Inputs = append(g.Inputs, model.Value{Name: name, Type: model.Type{DType: tensor.I64, Shape: dims}})
	}
	batch := model.Sym("batch")
	input("input_ids", batch, model.Sym("seq"))
	input("past_len", batch)
	input("logits_index", model.Sym("n"))
	d.node("Shape", "seq_len", model.Attrs{"start": model.IntAttr(1), "end": model.IntAttr(2)}, "input_ids")
	d.node("Add", "kv_len", nil, "past_len", "seq_len")
	zero, one := d.constant("zero", tensor.FromSlice([]int64{0})), d.constant("one", tensor.FromSlice([]int64{1}))
	d.node("Squeeze", "seq_count", nil, "seq_len")
	d.node("Range", "seq_steps", nil, zero, "seq_count", one)
	d.node("Unsqueeze", "first_position", nil, "past_len", d.constant("axis_1", tensor.FromSlice([]int64{1}, 1)))
	d.node("Add", "position_ids", nil, "first_position", "seq_steps")
	d.rope()
	table := d.normal("embedding.weight", initial, vocab, d.hidden)
	x := d.node("Gather", "embedding", nil, table, "input_ids")
	for i := range layers {
		x = d.layer(fmt.Sprintf("layers.%d.", i), i, x, layers)
	}
	x = d.node("Gather", "head.hidden", model.Attrs{"axis": model.IntAttr(1)}, x, "logits_index")
	d.linear("logits", d.norm("final_norm", x), table)
	g.Outputs = []model.Value{{Name: "logits"}}
}

// rope adds the tables of the rotary embedding, cosines and sines F32 [ctx, size/2] of position * 10000^(-2i/size).
func (d *decoder) rope() {
	half := d.size / 2
	cos, sin := d.table("rope.cos", d.ctx, half), d.table("rope.sin", d.ctx, half)
	for at := range sin {
		angle := float64(at/half) * math.Pow(10000, -float64(at%half)/float64(half))
		cos[at], sin[at] = float32(math.Cos(angle)), float32(math.Sin(angle))
	}
}

func (d *decoder) norm(name, x string) string {
	return d.node("RMSNormalization", name, model.Attrs{"axis": model.IntAttr(-1), "epsilon": model.FloatAttr(1e-5)}, x,
		d.filled(name+".weight", 1, d.hidden))
}

// layer adds attention and the gated MLP, each behind a norm and added to x. Products that are added to x begin smaller the
// more layers there are.
func (d *decoder) layer(at string, i int, x string, layers int) string {
	out := initial / math.Sqrt(2*float64(layers))
	project := func(name, x string, deviation float64, n, k int) string {
		return d.linear(at+name, x, d.normal(at+name+".weight", deviation, n, k))
	}
	h := d.norm(at+"attention_norm", x)
	q := project("q", h, initial, d.heads*d.size, d.hidden)
	k := project("k", h, initial, d.kv*d.size, d.hidden)
	v := project("v", h, initial, d.kv*d.size, d.hidden)
	rotate := func(x string, heads int) string {
		return d.node("RotaryEmbedding", x+"_rotated", model.Attrs{"num_heads": model.IntAttr(int64(heads))}, x, "rope.cos", "rope.sin", "position_ids")
	}
	k, v = d.cache("k", i, rotate(k, d.kv)), d.cache("v", i, v)
	y := d.node("Attention", at+"heads", model.Attrs{"q_num_heads": model.IntAttr(int64(d.heads)),
		"kv_num_heads": model.IntAttr(int64(d.kv)), "is_causal": model.IntAttr(1)}, rotate(q, d.heads), k, v, "", "", "", "kv_len")
	x = d.node("Add", at+"attention_sum", nil, x, project("o", y, out, d.hidden, d.heads*d.size))
	h = d.norm(at+"mlp_norm", x)
	gate := d.node("Swish", at+"gate_act", nil, project("gate", h, initial, d.inner, d.hidden))
	both := d.node("Mul", at+"gated", nil, gate, project("up", h, initial, d.inner, d.hidden))
	return d.node("Add", at+"mlp_sum", nil, x, project("down", both, out, d.hidden, d.inner))
}

// cache adds a state of a layer, to which a pass adds update.
func (d *decoder) cache(kind string, layer int, update string) string {
	in := fmt.Sprintf("cache_%s.%d", kind, layer)
	shape := []model.Dim{model.Sym("batch"), model.Sym("ctx"), model.Known(d.kv * d.size)}
	d.graph.States = append(d.graph.States, model.State{Input: model.Value{Name: in, Type: model.Type{DType: tensor.F32, Shape: shape}}, Output: in + ".new"})
	return d.node("TensorScatter", in+".new", model.Attrs{"axis": model.IntAttr(-2)}, in, update, "past_len")
}
