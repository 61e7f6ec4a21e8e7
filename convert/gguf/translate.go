package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// translation turns a file's metadata and tensors into a config.json and tensors with the names of transformers.
type translation struct {
	file    *File
	arch    *architecture
	files   []sourceFile
	config  map[string]any
	tensors []safetensors.Tensor
	byName  map[string]*Tensor
	gaps    []fault.Item
	wrong   []string
}

func newTranslation(f *File, files []sourceFile, arch *architecture) *translation {
	t := &translation{file: f, files: files, arch: arch, config: map[string]any{}, byName: map[string]*Tensor{}}
	for i := range f.Tensors {
		t.byName[f.Tensors[i].Name] = &f.Tensors[i]
	}
	return t
}

func (t *translation) err() error {
	if len(t.wrong) > 0 {
		return fault.Formatf("", "%s", strings.Join(t.wrong, "; "))
	}
	if len(t.gaps) > 0 {
		return &fault.Unsupported{Kind: "GGUF " + t.arch.name, Items: t.gaps}
	}
	return nil
}

func (t *translation) has(name string) bool { return t.byName[name] != nil }

// count returns a whole number under a key; an array of equal ones counts as one.
func (f *File) count(key string) (int, bool) {
	switch v := f.Value(key).(type) {
	case uint8:
		return int(v), true
	case int8:
		return int(v), true
	case uint16:
		return int(v), true
	case int16:
		return int(v), true
	case uint32:
		return int(v), true
	case int32:
		return int(v), true
	case uint64:
		return int(min(v, math.MaxInt32)), true
	case int64:
		return int(min(max(v, math.MinInt32), math.MaxInt32)), true
	case []uint32:
		if len(v) > 0 && slices.Min(v) == slices.Max(v) {
			return int(v[0]), true
		}
	case []int32:
		if len(v) > 0 && slices.Min(v) == slices.Max(v) {
			return int(v[0]), true
		}
	}
	return 0, false
}

// key is the full name of a key of the architecture.
func (t *translation) key(name string) string { return t.arch.name + "." + name }

// count returns a whole number of the architecture's metadata. Layers that differ are a gap.
func (t *translation) count(name string) (int, bool) {
	key := t.key(name)
	n, ok := t.file.count(key)
	if v := t.file.Value(key); v != nil && !ok {
		switch v.(type) {
		case []uint32, []int32:
			t.gaps = append(t.gaps, fault.Item{Where: "metadata " + key, What: "layers that differ in " + name})
		default:
			t.wrong = append(t.wrong, fmt.Sprintf("metadata %s is %T, no whole number", key, v))
		}
	}
	return n, ok
}

// number returns a number of the architecture's metadata: a float32 as the decimal fraction that it was written as.
func (t *translation) number(name string) (float64, bool) {
	switch v := t.file.Value(t.key(name)).(type) {
	case nil:
		return 0, false
	case float32:
		f, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
		return f, err == nil
	case float64:
		return v, true
	}
	n, ok := t.count(name)
	return float64(n), ok
}

// takeCount copies a whole number to the config.
func (t *translation) takeCount(to, from string) {
	if n, ok := t.count(from); ok {
		t.config[to] = n
	}
}

// takeNumber copies a number to the config.
func (t *translation) takeNumber(to, from string) {
	if v, ok := t.number(from); ok {
		t.config[to] = v
	}
}

// takeFlag copies a truth value to the config.
func (t *translation) takeFlag(to, from string) {
	if v, ok := t.file.Value(t.key(from)).(bool); ok {
		t.config[to] = v
	}
}

// configCount returns a whole number that is in the config already, or def.
func (t *translation) configCount(key string, def int) int {
	if n, ok := t.config[key].(int); ok {
		return n
	}
	return def
}

// common fills in what all architectures have.
func (t *translation) common() {
	c := t.config
	c["model_type"], c["architectures"] = t.arch.modelType, []string{t.arch.class}
	for _, k := range [][2]string{{"hidden_size", "embedding_length"}, {"num_hidden_layers", "block_count"},
		{"num_attention_heads", "attention.head_count"}, {"num_key_value_heads", "attention.head_count_kv"},
		{"intermediate_size", "feed_forward_length"}, {"max_position_embeddings", "context_length"}} {
		t.takeCount(k[0], k[1])
	}
	if table := t.byName["token_embd.weight"]; table != nil && len(table.Shape) == 2 {
		c["vocab_size"] = table.Shape[0]
	}
	if license := t.file.Text("general.license"); license != "" {
		c["license"] = license
	}
	for _, k := range []string{"layer_norm_rms_epsilon", "layer_norm_epsilon"} {
		for _, to := range []string{"rms_norm_eps", "layer_norm_eps", "norm_eps", "norm_epsilon", "layer_norm_epsilon"} {
			t.takeNumber(to, "attention."+k)
		}
	}
	c["tie_word_embeddings"] = !t.has("output.weight")
	var ends []int
	for _, k := range []string{"eos", "eot", "eom"} {
		if id, ok := t.file.count("tokenizer.ggml." + k + "_token_id"); ok && !slices.Contains(ends, id) {
			ends = append(ends, id)
		}
	}
	if len(ends) > 0 {
		c["eos_token_id"] = ends
	}
	if id, ok := t.file.count("tokenizer.ggml.bos_token_id"); ok {
		c["bos_token_id"] = id
	}
	// Tensors say what transformers has a flag for.
	c["attention_bias"] = t.has("blk.0.attn_q.bias") || t.has("blk.0.attn_qkv.bias")
	c["mlp_bias"] = t.has("blk.0.ffn_up.bias")
	if t.arch.heads != nil {
		t.arch.heads(t)
	} else {
		t.plainHeads()
	}
	t.rotation()
}

// plainHeads reads the size of a head; keys and values must have the same.
func (t *translation) plainHeads() {
	size, ok := t.count("attention.key_length")
	value, ok2 := t.count("attention.value_length")
	if ok && ok2 && size != value {
		t.gaps = append(t.gaps, fault.Item{Where: "metadata " + t.key("attention.value_length"), What: fmt.Sprintf("values of %d elements with keys of %d", value, size)})
	}
	if !ok {
		heads := t.configCount("num_attention_heads", 0)
		if heads < 1 {
			return // the config's reader reports it
		}
		size = t.configCount("hidden_size", 0) / heads
	}
	t.config["head_dim"] = size
	if rotated, ok := t.count("rope.dimension_count"); ok && size > 0 && rotated != size {
		// As a fraction that gives the number back when it is multiplied with size and rounded down.
		t.config["partial_rotary_factor"] = (float64(rotated) + 0.5) / float64(size)
	}
}

// rotation reads how positions are rotated.
func (t *translation) rotation() {
	t.takeNumber("rope_theta", "rope.freq_base")
	kind := t.file.Text(t.key("rope.scaling.type"))
	factor, scaled := t.number("rope.scaling.factor")
	if old, ok := t.number("rope.scale_linear"); ok && !scaled {
		kind, factor, scaled = "linear", old, true
	}
	scaling := map[string]any{"rope_type": kind}
	original, hasOriginal := t.count("rope.scaling.original_context_length")
	if hasOriginal {
		scaling["original_max_position_embeddings"] = original
	}
	short, long := t.values("rope_factors_short.weight"), t.values("rope_factors_long.weight")
	switch {
	case short != nil && long != nil:
		scaling["rope_type"], scaling["short_factor"], scaling["long_factor"] = "longrope", short, long
		if v, ok := t.number("rope.scaling.attn_factor"); ok {
			scaling["attention_factor"] = v
		}
	case t.has("rope_freqs.weight"):
		if kind != "" && kind != "none" {
			t.gaps = append(t.gaps, fault.Item{Where: "metadata " + t.key("rope.scaling.type"), What: kind + " together with rope_freqs.weight"})
		}
		scaling["rope_type"], scaling["factors"] = "factors", t.values("rope_freqs.weight")
	case kind == "" || kind == "none" || !scaled || factor == 1:
		return
	case kind == "linear":
		scaling["factor"] = factor
	case kind == "yarn":
		scaling["factor"] = factor
		for to, from := range map[string]string{"beta_fast": "yarn_beta_fast", "beta_slow": "yarn_beta_slow", "attention_factor": "yarn_attn_factor"} {
			if v, ok := t.number("rope.scaling." + from); ok {
				scaling[to] = v
			}
		}
	default:
		t.gaps = append(t.gaps, fault.Item{Where: "metadata " + t.key("rope.scaling.type"), What: kind, Hint: "known are linear, yarn and longrope"})
		return
	}
	t.config["rope_scaling"] = scaling
}

// maxValues caps a small tensor that becomes a part of the config.
const maxValues = 1 << 16

// values returns the elements of a small F32 tensor, nil if there is none.
func (t *translation) values(name string) []float64 {
	src := t.byName[name]
	if src == nil {
		return nil
	}
	if src.Type != "F32" || src.Bytes > 4*maxValues {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s is %s %v, want a few F32", name, src.Type, src.Shape))
		return nil
	}
	out := make([]float64, 0, src.Bytes/4)
	for data := t.bytes(src); len(data) > 0; data = data[4:] {
		v := float64(math.Float32frombits(binary.LittleEndian.Uint32(data)))
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has an element that is NaN or infinite", name))
			return nil
		}
		out = append(out, v)
	}
	return out
}

func (t *translation) bytes(src *Tensor) []byte {
	return t.files[src.part].mapping.Data[src.Offset : src.Offset+src.Bytes]
}

// translate gives every tensor its name, or keeps the one that it has, so that it is reported.
func (t *translation) translate() {
	for i := range t.file.Tensors {
		src := &t.file.Tensors[i]
		if strings.HasPrefix(src.Name, "rope_f") { // they are in the config
			continue
		}
		stem, suffix, _ := cutLast(src.Name, ".")
		name, place := t.arch.top[stem], placement(nil)
		if rest, ok := strings.CutPrefix(stem, "blk."); ok {
			number, part, _ := strings.Cut(rest, ".")
			if layer, err := strconv.Atoi(number); err == nil && t.arch.block[part] != "" {
				name = fmt.Sprintf(t.arch.layer, layer) + t.arch.block[part]
				place = t.arch.place[part]
			}
		}
		switch {
		case name == "":
			t.add(src, src.Name, part{})
		case place != nil:
			place(t, src, name, suffix)
		default:
			t.add(src, name+"."+suffix, part{})
		}
	}
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// part says which part of a tensor a tensor of transformers is, and how it lies there.
type part struct {
	shape      []int           // of the part as transformers has it; nil: the tensor's own
	row        func(r int) int // which row of the tensor row r is; nil: itself. A vector's rows are its elements
	transposed bool
}

// add adds a part of a tensor under a name of transformers. What it returns is good until the next call.
func (t *translation) add(src *Tensor, name string, p part) *safetensors.Tensor {
	e, known := elementsByName[src.Type]
	out := safetensors.Tensor{Name: name, Type: src.Type, Shape: src.Shape, File: src.part, Offset: src.Offset, Bytes: max(src.Bytes, 0), Transposed: p.transposed}
	if known && e.decode != nil {
		out.DType = tensor.F32
	} else if known {
		out.DType = e.plain
	}
	if p.shape != nil {
		out.Shape = p.shape
	}
	if out.DType != tensor.Invalid {
		out.Read = t.reader(src, e, out.DType, p.row)
	}
	t.tensors = append(t.tensors, out)
	return &t.tensors[len(t.tensors)-1]
}

// addJoined adds a tensor of transformers that lies in several: its row r is row at of the source that pick names. All have rows of the
// same length, and of the same type of numbers.
func (t *translation) addJoined(name string, sources []*Tensor, shape []int, transposed bool, pick func(r int) (source, at int)) {
	first := t.add(sources[0], name, part{shape: shape, transposed: transposed})
	if first.Read == nil {
		return
	}
	reads := []func(dst []byte, first int) error{first.Read}
	for _, src := range sources[1:] {
		e, known := elementsByName[src.Type]
		dt := e.plain
		if e.decode != nil {
			dt = tensor.F32
		}
		like := sources[0]
		if !known || dt != first.DType || len(src.Shape) != len(like.Shape) || src.Shape[len(src.Shape)-1] != like.Shape[len(like.Shape)-1] {
			t.gap("tensor "+src.Name, fmt.Sprintf("%s %v beside %s %v of %s", src.Type, src.Shape, like.Type, like.Shape, like.Name), "")
			return
		}
		reads = append(reads, t.reader(src, e, dt, nil))
	}
	row := sources[0].Shape[len(sources[0].Shape)-1] * first.DType.Size()
	if row == 0 {
		return
	}
	first.Read = func(dst []byte, from int) error {
		for i := 0; i < len(dst)/row; i++ {
			source, at := pick(from + i)
			if err := reads[source](dst[i*row:(i+1)*row], at); err != nil {
				return err
			}
		}
		return nil
	}
}

// reader returns the function that makes rows of a tensor.
func (t *translation) reader(src *Tensor, e element, dt tensor.DType, row func(r int) int) func(dst []byte, first int) error {
	data, size := t.bytes(src), dt.Size()
	if len(src.Shape) < 2 {
		return func(dst []byte, first int) error {
			all := make([]byte, len(data)/e.bytes*e.block*size)
			decodeBlocks(all, data, e)
			if row == nil {
				copy(dst, all[min(first*size, len(all)):])
				return nil
			}
			for i := 0; i < len(dst)/size; i++ {
				at := row(first + i)
				if at < 0 || at >= len(all)/size {
					return fault.Formatf("tensor "+src.Name, "element %d of %d is called for", at, len(all)/size)
				}
				copy(dst[i*size:(i+1)*size], all[at*size:])
			}
			return nil
		}
	}
	k := src.Shape[len(src.Shape)-1]
	if k == 0 {
		return func([]byte, int) error { return nil }
	}
	from, to := k/e.block*e.bytes, k*size
	n := len(data) / from
	return func(dst []byte, first int) error {
		for i := 0; i < len(dst)/to; i++ {
			at := first + i
			if row != nil {
				at = row(at)
			}
			if at < 0 || at >= n {
				return fault.Formatf("tensor "+src.Name, "row %d of %d is called for", at, n)
			}
			decodeBlocks(dst[i*to:(i+1)*to], data[at*from:(at+1)*from], e)
		}
		return nil
	}
}

// decodeBlocks writes the elements of whole blocks as they are, or as F32.
func decodeBlocks(dst, src []byte, e element) {
	if e.decode == nil {
		copy(dst, src)
		return
	}
	var room [256]float32
	block := room[:e.block]
	for ; len(src) > 0; src = src[e.bytes:] {
		e.decode(block, src[:e.bytes])
		for _, v := range block {
			binary.LittleEndian.PutUint32(dst, math.Float32bits(v))
			dst = dst[4:]
		}
	}
}
