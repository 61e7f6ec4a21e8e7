package gguf

import "fmt"

// placement adds the tensors of transformers that one of ggml's tensors becomes, where that is more than another name. name is the
// name without its suffix, "weight" or "bias".
type placement func(t *translation, src *Tensor, name, suffix string)

// rowsOf returns how many rows a tensor has; a vector's are its elements.
func rowsOf(src *Tensor) int {
	if len(src.Shape) == 0 {
		return 1
	}
	return src.Shape[0]
}

// turned undoes the order of rows that llama.cpp wants in queries and keys of models of llama's kind: within a head, it has the two
// elements that are rotated together side by side, where transformers has them half a head apart.
func turned(headsKey string) placement {
	return func(t *translation, src *Tensor, name, suffix string) {
		heads := t.configCount(headsKey, t.configCount("num_attention_heads", 1))
		rows := rowsOf(src)
		if heads < 1 || rows%(2*heads) != 0 {
			t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has %d rows, which are not %d heads of even size", src.Name, rows, heads))
			return
		}
		half := rows / heads / 2
		t.add(src, name+"."+suffix, part{row: func(r int) int {
			return r/(2*half)*2*half + r%half*2 + r%(2*half)/half
		}})
	}
}

// regrouped puts rows that are all queries, then all keys, then all values, in the order of transformers: group by group.
func regrouped(t *translation, src *Tensor, name, suffix string) {
	heads := t.configCount("num_attention_heads", 0)
	kv := t.configCount("num_key_value_heads", heads)
	rows := rowsOf(src)
	if heads < 1 || kv < 1 || heads%kv != 0 || rows%(heads+2*kv) != 0 {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has %d rows, which are not %d heads of queries and 2 times %d of keys and values", src.Name, rows, heads, kv))
		return
	}
	size, group := rows/(heads+2*kv), heads/kv
	stride := (group + 2) * size
	t.add(src, name+"."+suffix, part{row: func(r int) int {
		g, at := r/stride, r%stride
		switch {
		case at < group*size:
			return g*group*size + at
		case at < (group+1)*size:
			return heads*size + g*size + at - group*size
		}
		return (heads+kv)*size + g*size + at - (group+1)*size
	}})
}

// split cuts rows that are all queries, then all keys, then all values, into the three tensors that transformers has. The name is
// that of the queries' with %s for q, k and v.
func split(t *translation, src *Tensor, name, suffix string) {
	heads := t.configCount("num_attention_heads", 0)
	kv := t.configCount("num_key_value_heads", heads)
	rows := rowsOf(src)
	if heads < 1 || kv < 1 || rows%(heads+2*kv) != 0 {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has %d rows, which are not %d heads of queries and 2 times %d of keys and values", src.Name, rows, heads, kv))
		return
	}
	size, first := rows/(heads+2*kv), 0
	for i, n := range []int{heads * size, kv * size, kv * size} {
		start := first
		shape := append([]int{n}, src.Shape[min(1, len(src.Shape)):]...)
		t.add(src, fmt.Sprintf(name, "qkv"[i:i+1])+"."+suffix, part{shape: shape, row: func(r int) int { return start + r }})
		first += n
	}
}

// transposed is a weight that transformers stores as [in, out]; biases are as they are.
func transposed(t *translation, src *Tensor, name, suffix string) {
	p := part{}
	if len(src.Shape) == 2 {
		p.shape, p.transposed = []int{src.Shape[1], src.Shape[0]}, true
	}
	t.add(src, name+"."+suffix, p)
}

// experts cuts a stack [experts, n, k] into its matrices; the name has %d for the expert's number.
func experts(t *translation, src *Tensor, name, suffix string) {
	if len(src.Shape) != 3 {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has shape %v, want a stack of matrices", src.Name, src.Shape))
		return
	}
	n := src.Shape[1]
	if src.Shape[0] > maxExperts {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has %d experts, above the limit of %d", src.Name, src.Shape[0], maxExperts))
		return
	}
	for e := range src.Shape[0] {
		out := t.add(src, fmt.Sprintf(name, e)+"."+suffix, part{shape: src.Shape[1:], row: func(r int) int { return e*n + r }})
		out.Bytes /= src.Shape[0]
		out.Offset += e * out.Bytes
	}
}

// maxExperts caps the experts of a layer.
const maxExperts = 4096

// single is a vector [k] that transformers has as a matrix [1, k].
func single(t *translation, src *Tensor, name, suffix string) {
	p := part{}
	if len(src.Shape) == 1 {
		p.shape = []int{1, src.Shape[0]}
	}
	t.add(src, name+"."+suffix, p)
}

// eachRow cuts a matrix into its rows; the name has %d for the row's number.
func eachRow(t *translation, src *Tensor, name, suffix string) {
	if len(src.Shape) != 2 || src.Shape[0] > maxExperts {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has shape %v, want a vector for each head", src.Name, src.Shape))
		return
	}
	for i := range src.Shape[0] {
		t.add(src, fmt.Sprintf(name, i)+"."+suffix, part{shape: src.Shape[1:], row: func(r int) int { return i + r }})
	}
}
