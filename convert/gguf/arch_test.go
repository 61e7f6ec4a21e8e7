package gguf

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// array is a tensor of a checkpoint, row-major.
type array struct {
	shape []int
	data  []float32
}

// checkpoint reads the F32 tensors of a safetensors file.
func checkpoint(t *testing.T, path string) map[string]array {
	t.Helper()
	data := read(t, path)
	n := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		DType   string
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(bytes.Replace(data[8:8+n], []byte(`"__metadata__":{"format":"pt"},`), nil, 1), &header); err != nil {
		t.Fatal(err)
	}
	out := map[string]array{}
	for name, h := range header {
		a := array{shape: h.Shape, data: make([]float32, (h.Offsets[1]-h.Offsets[0])/4)}
		if err := binary.Read(bytes.NewReader(data[8+int(n)+h.Offsets[0]:8+int(n)+h.Offsets[1]]), binary.LittleEndian, a.data); err != nil || h.DType != "F32" {
			t.Fatal(name, h.DType, err)
		}
		out[name] = a
	}
	return out
}

// pick makes an array of a shape whose elements are those of a at places.
func (a array) pick(at func(i int) int, shape ...int) array {
	size := 1
	for _, d := range shape {
		size *= d
	}
	out := array{shape, make([]float32, size)}
	for i := range out.data {
		out.data[i] = a.data[at(i)]
	}
	return out
}

// turnRows has a matrix's rows in the order in which llama.cpp wants rotated heads.
func turnRows(a array, heads int) array {
	k, size := a.shape[1], a.shape[0]/heads
	return a.pick(func(i int) int {
		h, r := i/k/size, i/k%size
		return (h*size+r%2*(size/2)+r/2)*k + i%k
	}, a.shape...)
}

// file is a GGUF file in the making.
type file struct {
	meta    []Entry
	names   []string
	tensors map[string]array
}

func (f *file) add(name string, a array) {
	if f.tensors == nil {
		f.tensors = map[string]array{}
	}
	f.names = append(f.names, name)
	f.tensors[name] = a
}

func (f *file) set(key string, v any) { f.meta = append(f.meta, Entry{key, v}) }

// encode writes the file, with those tensors only that keep lets pass.
func (f *file) encode(meta []Entry, keep func(i int) bool) []byte {
	var names []string
	for i, n := range f.names {
		if keep(i) {
			names = append(names, n)
		}
	}
	b := newBuilder(uint64(len(names)), uint64(len(meta)))
	for _, e := range meta {
		b.put(e.Key)
		switch v := e.Value.(type) {
		case []bool:
			b.put(uint32(9), uint32(7), uint64(len(v)))
			for _, one := range v {
				b.put(map[bool]uint8{true: 1}[one])
			}
		case uint16:
			b.put(uint32(typeU16), v)
		case int32:
			b.put(uint32(typeI32), v)
		default:
			putValue(&b.Buffer, v)
		}
	}
	var data bytes.Buffer
	for _, n := range names {
		a := f.tensors[n]
		b.put(n, uint32(len(a.shape)))
		for _, d := range slices.Backward(a.shape) {
			b.put(uint64(d))
		}
		b.put(uint32(0), uint64(data.Len()))
		if err := binary.Write(&data, binary.LittleEndian, a.data); err != nil {
			panic(err)
		}
		data.Write(make([]byte, (32-data.Len()%32)%32))
	}
	b.Write(make([]byte, (32-b.Len()%32)%32))
	return append(b.Bytes(), data.Bytes()...)
}

// renamed adds tensors whose names only differ: pairs of a name of transformers and one of ggml, each with the suffixes that there are.
func (f *file) renamed(w map[string]array, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		for _, suffix := range []string{".weight", ".bias"} {
			if a, ok := w[pairs[i]+suffix]; ok {
				f.add(pairs[i+1]+suffix, a)
			}
		}
	}
}

// common adds what all files have.
func (f *file) common(arch string, width, layers, heads, kv, inner, length int) {
	f.set("general.architecture", arch)
	for key, v := range map[string]int{"embedding_length": width, "block_count": layers, "attention.head_count": heads, "attention.head_count_kv": kv,
		"feed_forward_length": inner, "context_length": length} {
		f.set(arch+"."+key, uint32(v))
	}
	f.set("tokenizer.ggml.eos_token_id", uint32(2))
	f.set("tokenizer.ggml.bos_token_id", uint32(1))
}

var goldenFiles = map[string]func(w map[string]array) *file{
	"gptj": func(w map[string]array) *file {
		f := &file{}
		f.common("gptj", 48, 2, 3, 3, 192, 64)
		f.set("gptj.attention.layer_norm_epsilon", float32(1e-3))
		f.set("gptj.rope.dimension_count", uint32(8))
		f.renamed(w, "transformer.wte", "token_embd", "transformer.ln_f", "output_norm", "lm_head", "output")
		for i := range 2 {
			p, q := fmt.Sprintf("transformer.h.%d.", i), fmt.Sprintf("blk.%d.", i)
			f.renamed(w, p+"ln_1", q+"attn_norm", p+"attn.q_proj", q+"attn_q", p+"attn.k_proj", q+"attn_k", p+"attn.v_proj", q+"attn_v",
				p+"attn.out_proj", q+"attn_output", p+"mlp.fc_in", q+"ffn_up", p+"mlp.fc_out", q+"ffn_down")
		}
		return f
	},
	"mpt": func(w map[string]array) *file {
		f := &file{}
		f.common("mpt", 48, 2, 4, 4, 192, 64)
		f.set("mpt.attention.layer_norm_epsilon", float32(1e-3))
		f.set("mpt.attention.max_alibi_bias", float32(8))
		f.renamed(w, "transformer.wte", "token_embd", "transformer.norm_f", "output_norm")
		for i := range 2 {
			p, q := fmt.Sprintf("transformer.blocks.%d.", i), fmt.Sprintf("blk.%d.", i)
			f.renamed(w, p+"norm_1", q+"attn_norm", p+"attn.Wqkv", q+"attn_qkv", p+"attn.out_proj", q+"attn_output", p+"norm_2", q+"ffn_norm",
				p+"ffn.up_proj", q+"ffn_up", p+"ffn.down_proj", q+"ffn_down")
		}
		return f
	},
	"exaone4": func(w map[string]array) *file {
		f := &file{}
		f.common("exaone4", 48, 2, 4, 2, 80, 128)
		f.set("exaone4.attention.layer_norm_rms_epsilon", float32(1e-3))
		f.set("exaone4.rope.freq_base", float32(10000))
		f.set("exaone4.attention.sliding_window", uint32(6))
		f.set("exaone4.attention.sliding_window_pattern", []bool{true, false})
		f.llama(w, 2, 0, 0, "self_attn.q_norm", "attn_q_norm", "self_attn.k_norm", "attn_k_norm", "post_attention_layernorm", "post_attention_norm",
			"post_feedforward_layernorm", "post_ffw_norm", "mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down")
		return f
	},
	"granitemoe": func(w map[string]array) *file {
		f := &file{}
		f.common("granitemoe", 32, 2, 4, 2, 28, 128)
		for key, v := range map[string]float32{"attention.layer_norm_rms_epsilon": 1e-3, "rope.freq_base": 10000, "embedding_scale": 3, "residual_scale": 0.6,
			"attention.scale": 0.3, "logit_scale": 2} {
			f.set("granitemoe."+key, v)
		}
		f.set("granitemoe.expert_count", uint32(4))
		f.set("granitemoe.expert_used_count", uint32(2))
		f.llama(w, 2, 4, 2, "input_layernorm", "attn_norm", "post_attention_layernorm", "ffn_norm", "block_sparse_moe.router.layer", "ffn_gate_inp",
			"block_sparse_moe.output_linear", "ffn_down_exps")
		for i := range 2 {
			both := w[fmt.Sprintf("model.layers.%d.block_sparse_moe.input_linear.weight", i)]
			for half, name := range []string{"gate", "up"} {
				f.add(fmt.Sprintf("blk.%d.ffn_%s_exps.weight", i, name), both.pick(func(at int) int {
					return at/(28*32)*(56*32) + half*28*32 + at%(28*32)
				}, 4, 28, 32))
			}
		}
		return f
	},
	"gpt_oss": func(w map[string]array) *file {
		f := &file{}
		f.common("gpt-oss", 32, 2, 4, 2, 24, 128)
		for key, v := range map[string]float32{"attention.layer_norm_rms_epsilon": 1e-3, "rope.freq_base": 10000, "rope.scaling.factor": 4} {
			f.set("gpt-oss."+key, v)
		}
		for key, v := range map[string]uint32{"attention.key_length": 12, "attention.value_length": 12, "attention.sliding_window": 6, "expert_count": 4,
			"expert_used_count": 2, "expert_feed_forward_length": 24, "rope.scaling.original_context_length": 32} {
			f.set("gpt-oss."+key, v)
		}
		f.set("gpt-oss.rope.scaling.type", "yarn")
		f.llama(w, 2, 0, 0, "input_layernorm", "attn_norm", "post_attention_layernorm", "post_attention_norm", "mlp.router", "ffn_gate_inp")
		const inner, width = 24, 32
		for i := range 2 {
			p, q := fmt.Sprintf("model.layers.%d.", i), fmt.Sprintf("blk.%d.", i)
			f.add(q+"attn_sinks.weight", w[p+"self_attn.sinks"])
			both, bias := w[p+"mlp.experts.gate_up_proj"], w[p+"mlp.experts.gate_up_proj_bias"]
			for turn, name := range []string{"gate", "up"} {
				f.add(q+"ffn_"+name+"_exps.weight", both.pick(func(at int) int {
					e, r, c := at/(inner*width), at/width%inner, at%width
					return (e*width+c)*2*inner + 2*r + turn
				}, 4, inner, width))
				f.add(q+"ffn_"+name+"_exps.bias", bias.pick(func(at int) int { return 2*at + turn }, 4, inner))
			}
			f.add(q+"ffn_down_exps.weight", w[p+"mlp.experts.down_proj"].pick(func(at int) int {
				e, r, c := at/(inner*width), at/inner%width, at%inner
				return (e*inner+c)*width + r
			}, 4, width, inner))
			f.add(q+"ffn_down_exps.bias", w[p+"mlp.experts.down_proj_bias"])
		}
		return f
	},
	"deepseek_v2": func(w map[string]array) *file {
		f := deepseek(w, 20, 0, 4, 2)
		f.set("deepseek2.attention.key_length", uint32(20))
		f.set("deepseek2.attention.value_length", uint32(10))
		f.set("deepseek2.expert_weights_scale", float32(1))
		for i := range 2 {
			f.renamed(w, fmt.Sprintf("model.layers.%d.self_attn.kv_b_proj", i), fmt.Sprintf("blk.%d.attn_kv_b", i))
		}
		return f
	},
	"deepseek_v3": func(w map[string]array) *file {
		f := deepseek(w, 16, 20, 8, 3)
		for key, v := range map[string]uint32{"attention.key_length": 16 + 8, "attention.value_length": 16, "attention.key_length_mla": 20,
			"attention.value_length_mla": 10, "expert_gating_func": 2, "expert_group_count": 4, "expert_group_used_count": 2} {
			f.set("deepseek2."+key, v)
		}
		f.set("deepseek2.expert_weights_scale", float32(1.5))
		f.set("deepseek2.expert_weights_norm", true)
		f.add("blk.1.exp_probs_b.bias", w["model.layers.1.mlp.gate.e_score_correction_bias"])
		const rank, plain, value = 16, 12, 10
		for i := range 2 {
			both := w[fmt.Sprintf("model.layers.%d.self_attn.kv_b_proj.weight", i)]
			f.add(fmt.Sprintf("blk.%d.attn_k_b.weight", i), both.pick(func(at int) int {
				h, r, c := at/(rank*plain), at/plain%rank, at%plain
				return (h*(plain+value)+c)*rank + r
			}, 2, rank, plain))
			f.add(fmt.Sprintf("blk.%d.attn_v_b.weight", i), both.pick(func(at int) int {
				h, r, c := at/(rank*value), at/rank%value, at%rank
				return (h*(plain+value)+plain+r)*rank + c
			}, 2, value, rank))
		}
		return f
	},
}

// llama adds tensors of llama's names and those of each layer in pairs; heads, if not 0, has queries and keys turned.
func (f *file) llama(w map[string]array, layers, heads, kv int, pairs ...string) {
	f.renamed(w, "model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output")
	for i := range layers {
		p, q := fmt.Sprintf("model.layers.%d.", i), fmt.Sprintf("blk.%d.", i)
		if heads > 0 {
			f.add(q+"attn_q.weight", turnRows(w[p+"self_attn.q_proj.weight"], heads))
			f.add(q+"attn_k.weight", turnRows(w[p+"self_attn.k_proj.weight"], kv))
		} else {
			f.renamed(w, p+"self_attn.q_proj", q+"attn_q", p+"self_attn.k_proj", q+"attn_k")
		}
		f.renamed(w, p+"self_attn.v_proj", q+"attn_v", p+"self_attn.o_proj", q+"attn_output")
		for j := 0; j < len(pairs); j += 2 {
			f.renamed(w, p+pairs[j], q+pairs[j+1])
		}
	}
}

// deepseek is what the versions have in common: the first of two layers is dense.
func deepseek(w map[string]array, inner, rank, experts, used int) *file {
	f := &file{}
	kv := 2
	if rank > 0 {
		kv = 1 // of the newer form
		f.set("deepseek2.attention.q_lora_rank", uint32(rank))
	}
	f.common("deepseek2", 32, 2, 2, kv, 64, 128)
	f.set("deepseek2.attention.layer_norm_rms_epsilon", float32(1e-3))
	f.set("deepseek2.rope.freq_base", float32(10000))
	shared := 2
	if rank > 0 {
		shared = 1
	}
	for key, v := range map[string]int{"attention.kv_lora_rank": 16, "rope.dimension_count": 8, "expert_count": experts, "expert_used_count": used,
		"expert_feed_forward_length": inner, "expert_shared_count": shared, "leading_dense_block_count": 1} {
		f.set("deepseek2."+key, uint32(v))
	}
	f.llama(w, 2, 0, 0, "input_layernorm", "attn_norm", "post_attention_layernorm", "ffn_norm", "mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up",
		"mlp.down_proj", "ffn_down", "self_attn.q_a_proj", "attn_q_a", "self_attn.q_a_layernorm", "attn_q_a_norm", "self_attn.q_b_proj", "attn_q_b",
		"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa", "self_attn.kv_a_layernorm", "attn_kv_a_norm", "mlp.gate", "ffn_gate_inp",
		"mlp.shared_experts.gate_proj", "ffn_gate_shexp", "mlp.shared_experts.up_proj", "ffn_up_shexp", "mlp.shared_experts.down_proj", "ffn_down_shexp")
	for _, part := range []string{"gate", "up", "down"} {
		stack := array{shape: []int{experts}}
		for e := range experts {
			a := w[fmt.Sprintf("model.layers.1.mlp.experts.%d.%s_proj.weight", e, part)]
			stack.shape, stack.data = append(stack.shape[:1], a.shape...), append(stack.data, a.data...)
		}
		f.add("blk.1.ffn_"+part+"_exps.weight", stack)
	}
	return f
}

// TestGoldenFiles writes golden models as llama.cpp's converter lays them out and demands the logits of the checkpoint, bit for bit; those are held to
// transformers' elsewhere.
func TestGoldenFiles(t *testing.T) {
	for name, describe := range goldenFiles {
		t.Run(name, func(t *testing.T) {
			dir := shared(t, "models/arch-golden/"+name)
			f := describe(checkpoint(t, filepath.Join(dir, "model.safetensors")))
			back, err := importBytes(t, f.encode(f.meta, func(int) bool { return true }))
			if err != nil {
				t.Fatal(err)
			}
			want := imported(t, dir)
			if back.Meta.Architecture != want.Meta.Architecture || back.Meta.Parameters != want.Meta.Parameters {
				t.Errorf("%s of %d parameters, want %s of %d", back.Meta.Architecture, back.Meta.Parameters, want.Meta.Architecture, want.Meta.Parameters)
			}
			if !slices.Equal(logits(t, back), logits(t, want)) {
				t.Error("the logits differ")
			}
		})
	}
}

// splitModel writes a model of one layer in three parts.
func splitModel(t *testing.T, dir string, change func(part int, meta []Entry) []Entry) []string {
	t.Helper()
	f := &file{}
	f.common("llama", 32, 1, 2, 2, 32, 16)
	f.set("llama.attention.layer_norm_rms_epsilon", float32(1e-5))
	for _, x := range tinyTensors() {
		if x.Name == "token_embd.weight" {
			x.Shape = []int{16, 32}
		}
		size := 1
		for _, d := range x.Shape {
			size *= d
		}
		a := array{x.Shape, make([]float32, size)}
		for i := range a.data {
			a.data[i] = float32(i%17-8) / 32
		}
		f.add(x.Name, a)
	}
	var paths []string
	for part := range 3 {
		meta := []Entry{{"split.no", uint16(part)}, {"split.count", uint16(3)}, {"split.tensors.count", int32(len(f.names))}}
		if part == 0 {
			meta = append(slices.Clone(f.meta), meta...)
		}
		if change != nil {
			meta = change(part, meta)
		}
		path := filepath.Join(dir, fmt.Sprintf("m-%05d-of-00003.gguf", part+1))
		if err := os.WriteFile(path, f.encode(meta, func(i int) bool { return i%3 == part }), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// TestParts opens a split model by any of its parts.
func TestParts(t *testing.T) {
	open := func(path string) (*model.Model, error) {
		m, r, err := Import(context.Background(), path, safetensors.Options{})
		if err == nil {
			t.Cleanup(func() { r.Close() })
		}
		return m, err
	}
	paths := splitModel(t, t.TempDir(), nil)
	var first []float32
	for _, path := range paths {
		m, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		if m.Meta.Name != "m" || len(m.Meta.Source.Files) != 3 {
			t.Errorf("%s: name %q, %d files", path, m.Meta.Name, len(m.Meta.Source.Files))
		}
		got := logits(t, m)
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Errorf("%s gives other logits", path)
		}
	}
	bad := func(why string, spoil func(dir string) string) {
		t.Helper()
		_, err := open(spoil(t.TempDir()))
		if !errors.As(err, new(*fault.Format)) || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
	bad("m-00002-of-00003.gguf, m-00003-of-00003.gguf", func(dir string) string {
		p := splitModel(t, dir, nil)
		if err := errors.Join(os.Remove(p[1]), os.Remove(p[2])); err != nil {
			t.Fatal(err)
		}
		return p[0]
	})
	bad("name", func(dir string) string {
		p := splitModel(t, dir, nil)
		if err := os.Rename(p[1], filepath.Join(dir, "part.gguf")); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "part.gguf")
	})
	replace := func(part int, key string, v any) func(int, []Entry) []Entry {
		return func(p int, meta []Entry) []Entry {
			for i := range meta {
				if p == part && meta[i].Key == key {
					meta[i].Value = v
				}
			}
			return meta
		}
	}
	bad("no part 2 of 3", func(dir string) string { return splitModel(t, dir, replace(1, "split.no", uint16(0)))[2] })
	bad("says 4 parts", func(dir string) string { return splitModel(t, dir, replace(0, "split.count", uint16(4)))[0] })
	bad("tensors", func(dir string) string { return splitModel(t, dir, replace(0, "split.tensors.count", int32(99)))[0] })
}
