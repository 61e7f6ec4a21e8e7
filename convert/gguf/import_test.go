package gguf

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// tinyLlama makes the parts of a llama file of one layer: width 32, 2 heads, 8 tokens. change replaces metadata, nil takes it away.
func tinyLlama(change map[string]any, tensors ...Tensor) []byte {
	meta := map[string]any{"general.architecture": "llama", "llama.context_length": uint32(16), "llama.embedding_length": uint32(32),
		"llama.block_count": uint32(1), "llama.feed_forward_length": uint32(32), "llama.attention.head_count": uint32(2),
		"llama.attention.layer_norm_rms_epsilon": float32(1e-5)}
	for k, v := range change {
		meta[k] = v
	}
	if tensors == nil {
		tensors = tinyTensors()
	}
	var entries []Entry
	for k, v := range meta {
		if v != nil {
			entries = append(entries, Entry{k, v})
		}
	}
	b := newBuilder(uint64(len(tensors)), uint64(len(entries)))
	for _, e := range entries {
		b.put(e.Key)
		putValue(&b.Buffer, e.Value)
	}
	numbers := map[string]uint32{}
	for n, e := range elements {
		numbers[e.name] = n
	}
	offset := 0
	for _, t := range tensors {
		b.put(t.Name, uint32(len(t.Shape)))
		size := 1
		for i := len(t.Shape) - 1; i >= 0; i-- {
			b.put(uint64(t.Shape[i]))
			size *= t.Shape[i]
		}
		e := elementsByName[t.Type]
		b.put(numbers[t.Type], uint64(offset))
		offset += (size/e.block*e.bytes + 31) / 32 * 32
	}
	b.Write(make([]byte, (32-b.Len()%32)%32+offset))
	return b.Bytes()
}

func tinyTensors() []Tensor {
	list := []Tensor{{Name: "token_embd.weight", Type: "Q8_0", Shape: []int{8, 32}}, {Name: "output_norm.weight", Type: "F32", Shape: []int{32}}}
	for _, n := range []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"} {
		list = append(list, Tensor{Name: "blk.0." + n + ".weight", Type: "Q4_0", Shape: []int{32, 32}})
	}
	for _, n := range []string{"attn_norm", "ffn_norm"} {
		list = append(list, Tensor{Name: "blk.0." + n + ".weight", Type: "F32", Shape: []int{32}})
	}
	return list
}

// importBytes imports a file and makes all of its weights.
func importBytes(t testing.TB, data []byte) (*model.Model, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	m, r, err := Import(context.Background(), path, safetensors.Options{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for _, w := range m.Graph.Init {
		if err := w.Load(); err != nil {
			return m, err
		}
	}
	return m, nil
}

func with1(name, typ string, shape ...int) []Tensor {
	return append(tinyTensors(), Tensor{Name: name, Type: typ, Shape: shape})
}

func TestImport(t *testing.T) {
	m, err := importBytes(t, tinyLlama(nil))
	if err != nil {
		t.Fatal(err)
	}
	if m.Meta.Architecture != "llama" || m.Meta.LM.VocabSize != 8 || m.Meta.LM.ContextLength != 16 || m.Meta.Parameters != 8*32+7*32*32+3*32 || m.Meta.Name != "m" {
		t.Errorf("%+v, %+v", m.Meta, m.Meta.LM)
	}
	biased, err := importBytes(t, tinyLlama(nil, append(with1("blk.0.attn_q.bias", "F32", 32),
		Tensor{Name: "blk.0.attn_k.bias", Type: "F16", Shape: []int{32}}, Tensor{Name: "blk.0.attn_v.bias", Type: "BF16", Shape: []int{32}},
		Tensor{Name: "blk.0.attn_output.bias", Type: "F32", Shape: []int{32}}, Tensor{Name: "rope_freqs.weight", Type: "F32", Shape: []int{8}})...))
	if err == nil || !strings.Contains(err.Error(), "factors has an element that is not above 0") {
		t.Errorf("factors of 0: %v, %v", biased, err)
	}
}

func TestImportRefuses(t *testing.T) {
	format, unsup, usage := &fault.Format{}, &fault.Unsupported{}, &fault.Usage{}
	for name, c := range map[string]struct {
		data []byte
		want error
		why  string
	}{
		"no architecture":      {tinyLlama(map[string]any{"general.architecture": nil}), format, "general.architecture"},
		"unknown architecture": {tinyLlama(map[string]any{"general.architecture": "qwen9"}), unsup, "qwen9"},
		"a part":               {tinyLlama(map[string]any{"split.count": uint32(3)}), format, "one of 3 parts"},
		"no weights":           {tinyLlama(nil, []Tensor{}...), usage, "no weights"},
		"only a vocabulary":    {vocabularyFile("gpt2", nil), usage, "no weights"},
		"no heads":             {tinyLlama(map[string]any{"llama.attention.head_count": nil}), format, "num_attention_heads"},
		"heads as text":        {tinyLlama(map[string]any{"llama.attention.head_count": "two"}), format, "no whole number"},
		"no head":              {tinyLlama(map[string]any{"llama.attention.head_count": uint32(0)}), format, "0 heads"},
		"odd heads":            {tinyLlama(map[string]any{"llama.attention.head_count": uint32(5)}), format, "heads"},
		"many layers":          {tinyLlama(map[string]any{"llama.block_count": uint32(1e9)}), format, "num_hidden_layers"},
		"more layers":          {tinyLlama(map[string]any{"llama.block_count": uint32(9)}), format, "missing"},
		"layers that differ":   {tinyLlama(map[string]any{"llama.attention.head_count": []int32{2, 4}}), unsup, "differ"},
		"another width":        {tinyLlama(map[string]any{"llama.embedding_length": uint32(64)}), format, "has shape"},
		"huge width":           {tinyLlama(map[string]any{"llama.embedding_length": uint32(1 << 31)}), format, "hidden_size"},
		"no epsilon":           {tinyLlama(map[string]any{"llama.attention.layer_norm_rms_epsilon": float32(-1)}), format, "rms_norm_eps"},
		"endless epsilon":      {tinyLlama(map[string]any{"llama.attention.layer_norm_rms_epsilon": float32(math.Inf(1))}), format, "metadata"},
		"another rotation":     {tinyLlama(map[string]any{"llama.rope.scaling.type": "spiral", "llama.rope.scaling.factor": float32(2)}), unsup, "spiral"},
		"an unknown tensor":    {tinyLlama(nil, with1("blk.0.attn_gate.weight", "F32", 32)...), unsup, "blk.0.attn_gate.weight"},
		"integers":             {tinyLlama(nil, append(tinyTensors()[1:], Tensor{Name: "token_embd.weight", Type: "I32", Shape: []int{8, 32}})...), unsup, "I32"},
		"experts":              {tinyLlama(map[string]any{"llama.expert_count": uint32(9), "llama.expert_used_count": uint32(20)}), format, "experts"},
		"factors":              {tinyLlama(nil, with1("rope_freqs.weight", "F32", 3)...), format, "factors has 3 elements"},
		"many factors":         {tinyLlama(nil, with1("rope_freqs.weight", "F32", 1<<17)...), format, "want a few"},
		"longrope":             {tinyLlama(nil, append(with1("rope_factors_short.weight", "F32", 8), Tensor{Name: "rope_factors_long.weight", Type: "F32", Shape: []int{9}})...), format, "elements"},
		"broken vocabulary":    {tinyLlama(map[string]any{"tokenizer.ggml.model": "llama"}), format, "tokens"},
	} {
		_, err := importBytes(t, c.data)
		ok := false
		switch c.want.(type) {
		case *fault.Unsupported:
			ok = errors.As(err, &unsup)
		case *fault.Usage:
			ok = errors.As(err, &usage)
		case *fault.Format:
			ok = errors.As(err, &format)
		}
		if !ok || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %T with %q", name, err, c.want, c.why)
		}
	}
}

// TestImportNaN has weights that are no numbers: they are found when they are made.
func TestImportNaN(t *testing.T) {
	data := tinyLlama(nil)
	f, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"blk.0.ffn_up.weight", "blk.0.attn_norm.weight"} {
		broken := append([]byte(nil), data...)
		for _, w := range f.Tensors {
			if w.Name == name {
				binary.LittleEndian.PutUint32(broken[w.Offset:], 0x7fc07e00)
			}
		}
		var bad *fault.Format
		if _, err := importBytes(t, broken); !errors.As(err, &bad) || !strings.Contains(err.Error(), "NaN") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mustBeKind reports errors that are of no class.
func mustBeKind(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.As(err, new(*fault.Format)) || errors.As(err, new(*fault.Unsupported)) || errors.As(err, new(*fault.Usage)) || errors.As(err, new(*fault.Resource)) {
		return
	}
	t.Errorf("%s: an error without a class: %v", what, err)
}

// TestImportBroken cuts a file off and changes its bytes: no change ends the program, or takes much memory.
func TestImportBroken(t *testing.T) {
	data := tinyLlama(nil)
	for n := 1; n < len(data); n += 37 {
		_, err := importBytes(t, data[:n])
		if err == nil {
			t.Errorf("%d of %d bytes are taken for a whole file", n, len(data))
		}
		mustBeKind(t, "cut", err)
	}
	header := len(data) - 8*1024
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	runs := 0
	for at := 4; at < header; at += 3 {
		broken := append([]byte(nil), data...)
		broken[at] ^= byte(1 + at%255)
		_, err := importBytes(t, broken)
		mustBeKind(t, "changed", err)
		runs++
	}
	goruntime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) / uint64(max(runs, 1)); used > 100*uint64(len(data)) {
		t.Errorf("%d bytes are allocated for a file of %d", used, len(data))
	}
}

func FuzzImport(f *testing.F) {
	f.Add(tinyLlama(nil))
	f.Add(tinyLlama(map[string]any{"general.architecture": "gemma2"}))
	f.Add(vocabularyFile("llama", nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := importBytes(t, data)
		if len(data) > 0 {
			mustBeKind(t, "fuzzed", err)
		}
	})
}
