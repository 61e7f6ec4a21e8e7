//go:build accuracy

package accuracy

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The synthetic model: 303 million weights in BF16, 607 MB.
const (
	bigHidden, bigFFN, bigLayers = 1024, 4096, 19
	bigHeads, bigKVHeads         = 16, 8
	bigVocab                     = 4096
)

// bigCheckpoint writes a folder in the Hugging Face layout with random BF16 weights and the tokenizer of gutenberg-1M.
func bigCheckpoint(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(workDir, "big")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tokenizer, err := os.ReadFile(filepath.Join("..", "testdata/models/gutenberg-1M/tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_size": bigHidden, "intermediate_size": bigFFN,
		"num_hidden_layers": bigLayers, "num_attention_heads": bigHeads, "num_key_value_heads": bigKVHeads, "head_dim": bigHidden / bigHeads,
		"hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 256, "vocab_size": bigVocab,
		"tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 0, "torch_dtype": "bfloat16",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"tokenizer.json": tokenizer, "config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	writeSafetensors(t, filepath.Join(dir, "model.safetensors"), bigTensors())
	return dir
}

type shaped struct {
	name  string
	shape []int
}

func bigTensors() []shaped {
	kv := bigHidden / bigHeads * bigKVHeads
	list := []shaped{{"model.embed_tokens.weight", []int{bigVocab, bigHidden}}, {"model.norm.weight", []int{bigHidden}}}
	for i := range bigLayers {
		layer := func(name string, shape ...int) {
			list = append(list, shaped{fmt.Sprintf("model.layers.%d.%s.weight", i, name), shape})
		}
		layer("input_layernorm", bigHidden)
		layer("post_attention_layernorm", bigHidden)
		layer("self_attn.q_proj", bigHidden, bigHidden)
		layer("self_attn.k_proj", kv, bigHidden)
		layer("self_attn.v_proj", kv, bigHidden)
		layer("self_attn.o_proj", bigHidden, bigHidden)
		layer("mlp.gate_proj", bigFFN, bigHidden)
		layer("mlp.up_proj", bigFFN, bigHidden)
		layer("mlp.down_proj", bigHidden, bigFFN)
	}
	return list
}

// writeSafetensors writes small random BF16 values: a header of 8 bytes' length, JSON, then the tensors.
func writeSafetensors(t *testing.T, path string, list []shaped) {
	t.Helper()
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header := map[string]entry{}
	at := 0
	for _, s := range list {
		n := 2
		for _, d := range s.shape {
			n *= d
		}
		header[s.name] = entry{"BF16", s.shape, [2]int{at, at + n}}
		at += n
	}
	head, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(head))))
	w.Write(head)
	rng := rand.New(rand.NewPCG(1, 2))
	var two [2]byte
	for range at / 2 {
		// Sign and low mantissa bits at random, an exponent of 2^-6: magnitudes of 1/64 to 1/32.
		binary.LittleEndian.PutUint16(two[:], uint16(rng.Uint32())&0x807f|0x3c80)
		w.Write(two[:])
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// watch runs a command and returns its output, its wall time, and the largest resident memory seen: all of it, and
// the part that is no file's page.
func watch(t *testing.T, args ...string) (out []byte, wall time.Duration, peak, anonymous int64) {
	t.Helper()
	cmd := exec.Command(dskPath, args...)
	var buf strings.Builder
	cmd.Stdout, cmd.Stderr = &buf, os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("dsk %v: %v", args, err)
			}
			return []byte(buf.String()), time.Since(start), peak, anonymous
		case <-time.After(2 * time.Millisecond):
			anonymous = max(anonymous, statusBytes(cmd.Process.Pid, "RssAnon:"))
			peak = max(peak, statusBytes(cmd.Process.Pid, "VmHWM:"))
		}
	}
}

// statusBytes reads a size of a process from Linux's /proc; 0 when it has ended.
func statusBytes(pid int, key string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n * 1024
		}
	}
	return 0
}

// TestLargeModel converts and runs a model of 600 MB: memory, and the time before the first product starts.
func TestLargeModel(t *testing.T) {
	file := filepath.Join(workDir, "big.dsk")
	dir := bigCheckpoint(t)
	_, wall, _, anonymous := watch(t, "convert", dir, "-o", file)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes converted in %.1f s", info.Size(), wall.Seconds())
	// The largest tensor has 8 MiB.
	atMost(t, "convert: resident memory beyond the mapped source, MB", float64(anonymous)/1e6, 8.4+200)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}

	best := time.Hour
	for range 5 {
		out, wall, peak, anonymous := watch(t, "run", file, "It was", "--max-tokens", "1", "--json")
		var r struct {
			Prompt   float64 `json:"prompt_seconds"`
			Generate float64 `json:"generate_seconds"`
		}
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		// What is neither prompt nor generation is start, opening, planning and exit.
		rest := wall - time.Duration((r.Prompt+r.Generate)*1e9)
		best = min(best, rest)
		t.Logf("wall %v, prompt %.3f s, all else %v, resident %.1f MB of which anonymous %.1f MB", wall, r.Prompt, rest, float64(peak)/1e6, float64(anonymous)/1e6)
		if anonymous > 100e6 {
			t.Errorf("%d bytes of resident memory are no pages of the file, want at most 100 MB", anonymous)
		}
	}
	atMost(t, "run: milliseconds from process start to the first product, and exit", float64(best.Microseconds())/1e3, 50)
	t.Cleanup(func() { os.Remove(file) })
}
