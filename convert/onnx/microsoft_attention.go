package onnx

import (
	"math"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// dim returns dimension i of a value as a vector of one integer, computed when it runs.
func (l *lowering) dim(value string, i int64) string {
	return l.apply("Shape", model.Attrs{"start": model.IntAttr(i), "end": model.IntAttr(i + 1)}, value)
}

// count returns 0, 1, ... up to a vector of one integer.
func (l *lowering) count(length string) string {
	scalar := l.apply("Squeeze", nil, length, l.ints("axes", 0))
	zero := l.constant("zero", tensor.FromSlice([]int64{0}))
	one := l.constant("one", tensor.FromSlice([]int64{1}))
	return l.apply("Range", nil, zero, scalar, one)
}

func (l *lowering) cast(value string, to tensor.DType) string {
	return l.apply("Cast", model.Attrs{"to": model.IntAttr(model.ElemCode(to))}, value)
}

var swapHeads = model.Attrs{"perm": model.IntsAttr(0, 2, 1, 3)}

// heads turns [batch, seq, n*size] to [batch, n, seq, size].
func (l *lowering) heads(value string, n int64) string {
	return l.apply("Transpose", swapHeads, l.apply("Reshape", nil, value, l.ints("heads", 0, 0, n, -1)))
}

// lowerMSRotary: the order of inputs differs; one position stands for it and those after it; the
// number of heads follows from the caches.
func lowerMSRotary(l *lowering) error {
	if s, ok := l.attrs["scale"]; ok && s.Float != 1 || l.attrs["is_packed_batching"].Int != 0 {
		return l.reject("com.microsoft.RotaryEmbedding with a scale or packed batches", "")
	}
	x, cos, sin := l.in(0), l.in(2), l.in(3)
	rank := l.rank(x)
	if rank != 3 && rank != 4 {
		return l.reject("com.microsoft.RotaryEmbedding of an unknown rank", "fix the input's shape")
	}
	attrs := model.Attrs{}
	for _, k := range []string{"interleaved", "rotary_embedding_dim"} {
		if a, ok := l.attrs[k]; ok {
			attrs[k] = a
		}
	}
	positions := l.in(1)
	if r := l.rank(positions); r == 0 || r == 1 {
		seq := l.dim(x, int64(rank)-2)
		if rank == 3 {
			seq = l.dim(x, 1)
		}
		positions = l.apply("Add", nil, l.count(seq), positions)
		positions = l.apply("Expand", nil, positions, l.apply("Concat", model.Attrs{"axis": model.IntAttr(0)}, l.dim(x, 0), seq))
	}
	if rank == 4 {
		l.to("RotaryEmbedding", attrs, x, cos, sin, positions)
		return nil
	}
	if n, ok := l.attrs["num_heads"]; ok && n.Int > 0 {
		attrs["num_heads"] = n
		l.to("RotaryEmbedding", attrs, x, cos, sin, positions)
		return nil
	}
	size := l.apply("Mul", nil, l.dim(cos, 1), l.ints("two", 2))
	shape := l.apply("Concat", model.Attrs{"axis": model.IntAttr(0)}, l.ints("front", 0, 0, -1), size)
	y := l.apply("Transpose", swapHeads, l.apply("Reshape", nil, x, shape))
	y = l.apply("Transpose", swapHeads, l.apply("RotaryEmbedding", attrs, y, cos, sin, positions))
	l.to("Reshape", nil, y, l.apply("Shape", nil, x))
	return nil
}

// paddingMask turns a mask [batch, keys] of ones and zeros to what is added to the scores,
// [batch, 1, 1, keys], and adds a bias to that; either may be "".
func (l *lowering) paddingMask(mask, bias string, like tensor.DType) (string, error) {
	if mask == "" {
		return bias, nil
	}
	filter := float64(-10000)
	if a, ok := l.attrs["mask_filter_value"]; ok {
		filter = float64(a.Float)
	}
	hidden, err := l.scalar("hidden", like, filter)
	if err != nil {
		return "", err
	}
	zero, err := l.scalar("zero", like, 0)
	if err != nil {
		return "", err
	}
	m := l.apply("Where", nil, l.cast(mask, tensor.BOOL), zero, hidden)
	m = l.apply("Unsqueeze", nil, m, l.ints("axes", 1, 2))
	if bias != "" {
		m = l.apply("Add", nil, m, bias)
	}
	return m, nil
}

// attentionAttrs returns those of ONNX Attention.
func (l *lowering) attentionAttrs(heads, kvHeads int64) model.Attrs {
	attrs := model.Attrs{"q_num_heads": model.IntAttr(heads), "kv_num_heads": model.IntAttr(kvHeads)}
	if s, ok := l.attrs["scale"]; ok && s.Float != 0 {
		attrs["scale"] = s
	}
	if s, ok := l.attrs["softcap"]; ok && s.Float > 0 {
		attrs["softcap"] = s
	}
	if l.attrs["unidirectional"].Int != 0 {
		attrs["is_causal"] = model.IntAttr(1)
	}
	return attrs
}

// lowerMultiHeadAttention: query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value.
func lowerMultiHeadAttention(l *lowering) error {
	q, k, v := l.in(0), l.in(1), l.in(2)
	heads := l.attrs["num_heads"].Int
	switch {
	case heads <= 0:
		return l.broken("num_heads is %d", heads)
	case k == "" || v == "" || l.rank(q) != 3 || l.rank(k) != l.rank(v) || l.rank(k) != 3 && l.rank(k) != 4:
		return l.reject("MultiHeadAttention of packed keys", "export query, key and value apart")
	case l.rank(k) == 4 && l.in(3) != "":
		return l.reject("MultiHeadAttention with a bias of cached keys", "")
	case l.in(4) != "" && l.rank(l.in(4)) != 2:
		return l.reject("MultiHeadAttention with a mask of lengths", "")
	case len(l.inputs) > 8 || len(l.outputs) > 3:
		return l.reject("MultiHeadAttention with a shared cache", "")
	}
	if bias := l.in(3); bias != "" {
		sizes := l.apply("Concat", model.Attrs{"axis": model.IntAttr(0)}, l.dim(q, 2), l.dim(k, 2), l.dim(v, 2))
		var parts []string
		for range 3 {
			parts = append(parts, l.im.unique(l.path+"/bias"))
		}
		l.emit("", "Split", l.path+"/Split", []string{bias, sizes}, parts, model.Attrs{"axis": model.IntAttr(0)})
		q, k, v = l.apply("Add", nil, q, parts[0]), l.apply("Add", nil, k, parts[1]), l.apply("Add", nil, v, parts[2])
	}
	mask, err := l.paddingMask(l.in(4), l.in(5), l.dtype(q))
	if err != nil {
		return err
	}
	// Without present keys as outputs, ONNX Runtime 1.30 looks at past ones only where there is a bias.
	pastKey, pastValue := l.in(6), l.in(7)
	if len(l.outputs) == 1 && mask == "" {
		pastKey, pastValue = "", ""
	}
	attrs := l.attentionAttrs(heads, heads)
	if l.rank(k) == 3 {
		l.to("Attention", attrs, q, k, v, mask, pastKey, pastValue)
		return nil
	}
	// The keys have their heads apart already.
	delete(attrs, "q_num_heads")
	delete(attrs, "kv_num_heads")
	y := l.im.unique(l.path + "/Attention")
	outputs := append([]string{y}, l.outputs[1:]...)
	l.emit("", "Attention", y, []string{l.heads(q, heads), k, v, mask, pastKey, pastValue}, outputs, attrs)
	l.outputs = l.outputs[:1]
	l.to("Reshape", nil, l.apply("Transpose", swapHeads, y), l.ints("merge", 0, 0, -1))
	return nil
}

// lowerMSAttention: input, weights, bias, mask_index, past, attention_bias.
func lowerMSAttention(l *lowering) error {
	heads := l.attrs["num_heads"].Int
	switch {
	case heads <= 0:
		return l.broken("num_heads is %d", heads)
	case l.in(4) != "" || len(l.inputs) > 6 || len(l.outputs) > 1 || l.attrs["do_rotary"].Int != 0:
		return l.reject("com.microsoft.Attention with a cache or rotation", "export without the fusion of attention")
	case l.in(3) != "" && l.rank(l.in(3)) != 2:
		return l.reject("com.microsoft.Attention with a mask of lengths", "export without the fusion of attention")
	}
	x := l.apply("MatMul", nil, l.in(0), l.in(1))
	if b := l.in(2); b != "" {
		x = l.apply("Add", nil, x, b)
	}
	var parts []string
	for range 3 {
		parts = append(parts, l.im.unique(l.path+"/qkv"))
	}
	split := []string{x}
	attrs := model.Attrs{"axis": model.IntAttr(2)}
	if sizes := l.attrs["qkv_hidden_sizes"].Ints; len(sizes) == 3 {
		split = append(split, l.ints("sizes", sizes...))
	} else {
		attrs["num_outputs"] = model.IntAttr(3)
	}
	l.emit("", "Split", l.path+"/Split", split, parts, attrs)
	mask, err := l.paddingMask(l.in(3), l.in(5), l.dtype(l.in(0)))
	if err != nil {
		return err
	}
	l.to("Attention", l.attentionAttrs(heads, heads), parts[0], parts[1], parts[2], mask)
	return nil
}

// lowerGroupQueryAttention: query, key, value, past_key, past_value, seqlens_k (keys without the
// last one, by batch), total_sequence_length, cos_cache, sin_cache, position_ids, attention_bias.
// New keys go behind those that a batch has; query t sees the keys up to its own position,
// and the last local_window_size of them.
func lowerGroupQueryAttention(l *lowering) error {
	heads, kv := l.attrs["num_heads"].Int, l.attrs["kv_num_heads"].Int
	switch {
	case heads <= 0 || kv <= 0 || heads%kv != 0:
		return l.broken("%d heads of queries, %d of keys", heads, kv)
	case len(l.inputs) > 11 || l.attrs["smooth_softmax"].Int == 1 || len(l.outputs) > 3:
		return l.reject("GroupQueryAttention with sinks or scores as output", "")
	case l.in(5) == "" || l.in(6) == "":
		return l.broken("the lengths are missing")
	}
	q, k, v := l.in(0), l.in(1), l.in(2)
	dt := l.dtype(q)
	if k == "" {
		size := l.apply("Div", nil, l.dim(q, 2), l.ints("heads", heads+2*kv))
		sizes := l.apply("Mul", nil, size, l.ints("parts", heads, kv, kv))
		parts := []string{l.im.unique(l.path + "/q"), l.im.unique(l.path + "/k"), l.im.unique(l.path + "/v")}
		l.emit("", "Split", l.path+"/Split", []string{q, sizes}, parts, model.Attrs{"axis": model.IntAttr(2)})
		q, k, v = parts[0], parts[1], parts[2]
	}
	seq := l.dim(q, 1)
	one, zero := l.ints("one", 1), l.ints("zero", 0)
	lengths := l.apply("Reshape", nil, l.cast(l.in(5), tensor.I64), l.ints("flat", -1))
	start := l.apply("Max", nil, l.apply("Sub", nil, l.apply("Add", nil, lengths, one), seq), zero)
	// positions [batch, seq]
	positions := l.apply("Add", nil, l.apply("Unsqueeze", nil, start, one), l.count(seq))
	if l.attrs["do_rotary"].Int != 0 {
		at := l.in(9)
		if at == "" {
			at = positions
		}
		rotate := func(x string, n int64) string {
			attrs := model.Attrs{"num_heads": model.IntAttr(n), "interleaved": model.IntAttr(l.attrs["rotary_interleaved"].Int)}
			return l.apply("RotaryEmbedding", attrs, x, l.in(7), l.in(8), at)
		}
		q, k = rotate(q, heads), rotate(k, kv)
	}
	q, k, v = l.heads(q, heads), l.heads(k, kv), l.heads(v, kv)
	if l.in(3) != "" {
		total := l.apply("Reshape", nil, l.cast(l.in(6), tensor.I64), one)
		k, v = l.extended(l.in(3), k, total, start), l.extended(l.in(4), v, total, start)
	}
	for i, cache := range []string{k, v} {
		if i+1 < len(l.outputs) && l.outputs[i+1] != "" {
			l.emit("", "Identity", l.outputs[i+1], []string{cache}, []string{l.outputs[i+1]}, nil)
		}
	}
	// hidden [batch, 1, seq, keys]
	row := l.apply("Unsqueeze", nil, positions, l.ints("row", 1, 3))
	ahead := l.apply("Sub", nil, row, l.count(l.dim(k, 2)))
	mask := l.apply("GreaterOrEqual", nil, ahead, zero)
	if w := l.attrs["local_window_size"].Int; w > 0 {
		mask = l.apply("And", nil, mask, l.apply("Less", nil, ahead, l.ints("window", w)))
	}
	if bias := l.in(10); bias != "" {
		hidden, err := l.scalar("hidden", dt, math.Inf(-1))
		if err != nil {
			return err
		}
		mask = l.apply("Where", nil, mask, bias, hidden)
	}
	attrs := l.attentionAttrs(heads, kv)
	delete(attrs, "q_num_heads")
	delete(attrs, "kv_num_heads")
	y := l.apply("Transpose", swapHeads, l.apply("Attention", attrs, q, k, v, mask))
	l.outputs = l.outputs[:1]
	l.to("Reshape", nil, y, l.ints("merge", 0, 0, -1))
	return nil
}

// extended returns a cache [batch, heads, len, size] made as long as total, with the new
// entries at start.
func (l *lowering) extended(cache, entries, total, start string) string {
	grow := l.apply("Max", nil, l.apply("Sub", nil, total, l.dim(cache, 2)), l.ints("zero", 0))
	pads := l.apply("Concat", model.Attrs{"axis": model.IntAttr(0)}, l.ints("before", 0, 0, 0, 0, 0, 0), grow, l.ints("after", 0))
	return l.apply("TensorScatter", model.Attrs{"axis": model.IntAttr(-2)}, l.apply("Pad", nil, cache, pads), entries, start)
}
