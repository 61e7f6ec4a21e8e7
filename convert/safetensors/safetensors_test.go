package safetensors

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// testTensor is a tensor to write: its elements' bytes and what the header says of them.
type testTensor struct {
	name, dtype string
	shape       []int
	data        []byte
}

// encode writes a safetensors file; pad adds blanks to the header, which shifts the elements.
func encode(tensors []testTensor, pad int) []byte {
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var body []byte
	for _, t := range tensors {
		header[t.name] = map[string]any{"dtype": t.dtype, "shape": t.shape, "data_offsets": []int{len(body), len(body) + len(t.data)}}
		body = append(body, t.data...)
	}
	text, _ := json.Marshal(header)
	text = append(text, strings.Repeat(" ", pad)...)
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(out, text...), body...)
}

// fill makes numbers that tell elements apart.
func fill(name, dtype string, shape ...int) testTensor {
	n, _ := tensor.NumElements(shape)
	t := testTensor{name: name, dtype: dtype, shape: shape}
	for i := range n {
		v := float32(i%251)/64 - 1
		bits := math.Float32bits(v)
		switch dtype {
		case "F32":
			t.data = binary.LittleEndian.AppendUint32(t.data, bits)
		case "BF16":
			t.data = binary.LittleEndian.AppendUint16(t.data, uint16(bits>>16))
		default:
			t.data = binary.LittleEndian.AppendUint16(t.data, kernels.F32ToF16(v))
		}
	}
	return t
}

var tinyConfig = map[string]any{
	"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_size": 12, "intermediate_size": 20,
	"num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 21,
	"max_position_embeddings": 8, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": []int{2, 99},
}

func with(config map[string]any, pairs ...any) map[string]any {
	out := map[string]any{}
	for k, v := range config {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(out, pairs[i].(string))
		} else {
			out[pairs[i].(string)] = pairs[i+1]
		}
	}
	return out
}

func tinyTensors(dtype string) []testTensor {
	out := []testTensor{fill("model.embed_tokens.weight", dtype, 21, 12)}
	for i := range 2 {
		p := fmt.Sprintf("model.layers.%d.", i)
		out = append(out,
			fill(p+"input_layernorm.weight", dtype, 12), fill(p+"post_attention_layernorm.weight", dtype, 12),
			fill(p+"self_attn.q_proj.weight", dtype, 12, 12), fill(p+"self_attn.k_proj.weight", dtype, 4, 12),
			fill(p+"self_attn.v_proj.weight", dtype, 4, 12), fill(p+"self_attn.o_proj.weight", dtype, 12, 12),
			fill(p+"mlp.gate_proj.weight", dtype, 20, 12), fill(p+"mlp.up_proj.weight", dtype, 20, 12),
			fill(p+"mlp.down_proj.weight", dtype, 12, 20))
	}
	return append(out, fill("model.norm.weight", dtype, 12))
}

// folder writes files into a new folder: []byte as they are, others as JSON.
func folder(t *testing.T, files map[string]any) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tiny")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		data, ok := content.([]byte)
		if !ok {
			data, _ = json.Marshal(content)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func importDir(t *testing.T, dir string) (*model.Model, *Report) {
	t.Helper()
	m, r, err := Import(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return m, r
}

func TestImport(t *testing.T) {
	for _, dtype := range []string{"F32", "BF16", "F16"} {
		for pad := range 4 { // elements that are not aligned
			tensors := tinyTensors(dtype)
			dir := folder(t, map[string]any{"config.json": tinyConfig, "model.safetensors": encode(append(tensors, fill("extra", dtype, 3)), pad)})
			m, r := importDir(t, dir)
			if m.Meta.Parameters != 21*12+2*(12*2+12*12*2+4*12*2+20*12*3)+12 || m.Meta.Task != model.TaskLM || m.Meta.Name != "tiny" {
				t.Errorf("%s: metadata %+v", dtype, m.Meta)
			}
			if lm := m.Meta.LM; lm.VocabSize != 21 || lm.ContextLength != 8 || !slices.Equal(lm.BOS, []int{1}) || !slices.Equal(lm.EOS, []int{2}) {
				t.Errorf("%s: %+v", dtype, lm)
			}
			if !slices.Equal(r.Unused, []string{"extra"}) || len(r.Warnings) != 2 {
				t.Errorf("%s: unused %v, warnings %q", dtype, r.Unused, r.Warnings)
			}
			for _, src := range tensors {
				checkWeight(t, m.Graph.Init[src.name], src)
			}
			data, _ := os.ReadFile(filepath.Join(dir, "model.safetensors"))
			sum := sha256.Sum256(data)
			if f := m.Meta.Source.Files; len(f) != 2 || f[0].Name != "config.json" || f[1].SHA256 != hex.EncodeToString(sum[:]) || f[1].Bytes != int64(len(data)) {
				t.Errorf("source %+v", f)
			}
			if got := m.Graph.Outputs[0].Type.String(); got != "F32[batch,n,21]" {
				t.Errorf("logits are %s", got)
			}
			if got := m.Graph.Types[positionIDs].String(); got != "I64[batch,seq]" {
				t.Errorf("position_ids are %s", got)
			}
			if len(m.Graph.States) != 4 {
				t.Errorf("%d states", len(m.Graph.States))
			}
			heads := 0
			for _, n := range m.Graph.Nodes {
				if slices.Contains(n.Inputs, "model.embed_tokens.weight") {
					heads++
				}
			}
			if heads != 2 {
				t.Errorf("the embedding is used %d times, want 2", heads)
			}
		}
	}
}

// checkWeight compares an initializer with the elements that it came from.
func checkWeight(t *testing.T, got *tensor.Tensor, src testTensor) {
	t.Helper()
	if got == nil {
		t.Fatalf("%s is not in the graph", src.name)
	}
	if len(src.shape) == 1 {
		if got.DType != tensor.F32 || got.Layout != tensor.RowMajor || got.F32()[1] != 1.0/64-1 {
			t.Errorf("%s: %v", src.name, got)
		}
		return
	}
	if got.DType.String() != src.dtype || got.Layout != tensor.Panel16 || !got.IsDeferred() {
		t.Fatalf("%s: %v, deferred %v", src.name, got, got.IsDeferred())
	}
	buf := make([]byte, got.Bytes())
	if err := got.Fill(buf); err != nil {
		t.Fatal(err)
	}
	size := got.DType.Size()
	n, k := src.shape[0], src.shape[1]
	for r := range (n + 15) / 16 * 16 {
		for c := range k {
			want := make([]byte, size)
			if r < n {
				want = src.data[(r*k+c)*size:][:size]
			}
			if have := buf[((r/16*k+c)*16+r%16)*size:][:size]; string(have) != string(want) {
				t.Fatalf("%s[%d,%d] is %x, want %x", src.name, r, c, have, want)
			}
		}
	}
}

func TestSharded(t *testing.T) {
	tensors := tinyTensors("F32")
	index := map[string]string{}
	for i, x := range tensors {
		index[x.name] = fmt.Sprintf("part-%d.safetensors", i/10)
	}
	files := map[string]any{"config.json": tinyConfig, "model.safetensors.index.json": map[string]any{"weight_map": index},
		"part-0.safetensors": encode(tensors[:10], 0), "part-1.safetensors": encode(tensors[10:], 1)}
	m, _ := importDir(t, folder(t, files))
	if len(m.Meta.Source.Files) != 3 || m.Meta.Source.Files[2].Name != "part-1.safetensors" {
		t.Errorf("source %+v", m.Meta.Source)
	}
	for _, src := range tensors {
		checkWeight(t, m.Graph.Init[src.name], src)
	}
	for name, change := range map[string]func(){
		"a shard is missing":    func() { delete(files, "part-1.safetensors") },
		"outside the folder":    func() { index["model.norm.weight"] = "../part-1.safetensors" },
		"absolute":              func() { index["model.norm.weight"] = "/etc/passwd" },
		"in another shard":      func() { index["model.norm.weight"] = "part-0.safetensors" },
		"index without tensors": func() { files["model.safetensors.index.json"] = []byte(`{"weight_map":{}}`) },
		"broken index":          func() { files["model.safetensors.index.json"] = []byte(`{"weight_map":`) },
	} {
		saved, part := index["model.norm.weight"], files["part-1.safetensors"]
		change()
		wantFormat(t, name, folder(t, files))
		index["model.norm.weight"], files["part-1.safetensors"] = saved, part
		files["model.safetensors.index.json"] = map[string]any{"weight_map": index}
	}
}

// wantFormat imports and demands a *fault.Format that mentions all of says.
func wantFormat(t *testing.T, name, dir string, says ...string) {
	t.Helper()
	m, r, err := Import(context.Background(), dir, Options{})
	if err == nil {
		for _, init := range sortedInit(m) {
			if loadErr := m.Graph.Init[init].Load(); loadErr != nil {
				err = loadErr
				break
			}
		}
		r.Close()
	}
	var f *fault.Format
	if !errors.As(err, &f) {
		t.Errorf("%s: error %v is no *fault.Format", name, err)
		return
	}
	for _, s := range append(says, filepath.Base(dir)) {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s: error %q does not say %q", name, err, s)
		}
	}
}

func sortedInit(m *model.Model) []string {
	var names []string
	for name := range m.Graph.Init {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func TestBrokenFolders(t *testing.T) {
	good := encode(tinyTensors("BF16"), 0)
	poison := func(name, dtype string, at int, bits ...byte) []byte {
		tensors := tinyTensors(dtype)
		for _, x := range tensors {
			if x.name == name {
				copy(x.data[at*len(bits):], bits)
			}
		}
		return encode(tensors, 1)
	}
	for name, c := range map[string]struct {
		files map[string]any
		says  []string
	}{
		"no config":      {map[string]any{"model.safetensors": good}, []string{"config.json"}},
		"empty config":   {map[string]any{"config.json": []byte{}, "model.safetensors": good}, []string{"config.json"}},
		"null config":    {map[string]any{"config.json": []byte("null"), "model.safetensors": good}, []string{"config.json"}},
		"no weights":     {map[string]any{"config.json": tinyConfig}, []string{"model.safetensors"}},
		"many weights":   {map[string]any{"config.json": tinyConfig, "a.safetensors": good, "b.safetensors": good}, []string{"index"}},
		"empty weights":  {map[string]any{"config.json": tinyConfig, "model.safetensors": []byte{}}, nil},
		"keys missing":   {map[string]any{"config.json": with(tinyConfig, "hidden_size", nil, "vocab_size", nil), "model.safetensors": good}, []string{"hidden_size, vocab_size"}},
		"negative":       {map[string]any{"config.json": with(tinyConfig, "hidden_size", -4), "model.safetensors": good}, []string{"hidden_size"}},
		"text":           {map[string]any{"config.json": with(tinyConfig, "num_hidden_layers", "two"), "model.safetensors": good}, []string{"num_hidden_layers"}},
		"layers huge":    {map[string]any{"config.json": with(tinyConfig, "num_hidden_layers", 1<<23), "model.safetensors": good}, []string{"layers"}},
		"heads":          {map[string]any{"config.json": with(tinyConfig, "num_key_value_heads", 2), "model.safetensors": good}, []string{"num_key_value_heads"}},
		"head huge":      {map[string]any{"config.json": with(tinyConfig, "head_dim", 1<<20), "model.safetensors": good}, []string{"size of a head"}},
		"odd head":       {map[string]any{"config.json": with(tinyConfig, "head_dim", 3), "model.safetensors": good}, []string{"odd"}},
		"wrong shape":    {map[string]any{"config.json": with(tinyConfig, "intermediate_size", 24), "model.safetensors": good}, []string{"model.layers.0.mlp.gate_proj.weight", "[24 12]"}},
		"tensors gone":   {map[string]any{"config.json": with(tinyConfig, "num_hidden_layers", 3), "model.safetensors": good}, []string{"9 tensors are missing", "model.layers.2.self_attn.q_proj.weight"}},
		"head missing":   {map[string]any{"config.json": with(tinyConfig, "tie_word_embeddings", false), "model.safetensors": good}, []string{"lm_head.weight"}},
		"bad tokenizer":  {map[string]any{"config.json": tinyConfig, "model.safetensors": good, "tokenizer.json": []byte{}}, []string{"tokenizer.json"}},
		"nan in matrix":  {map[string]any{"config.json": tinyConfig, "model.safetensors": poison("model.layers.1.mlp.up_proj.weight", "BF16", 17, 0xc0, 0x7f)}, []string{"model.layers.1.mlp.up_proj.weight", "element 17"}},
		"inf in matrix":  {map[string]any{"config.json": tinyConfig, "model.safetensors": poison("model.embed_tokens.weight", "F32", 3, 0, 0, 0x80, 0xff)}, []string{"model.embed_tokens.weight", "element 3"}},
		"nan in f16":     {map[string]any{"config.json": tinyConfig, "model.safetensors": poison("model.embed_tokens.weight", "F16", 5, 1, 0x7c)}, []string{"model.embed_tokens.weight", "element 5"}},
		"nan in norm":    {map[string]any{"config.json": tinyConfig, "model.safetensors": poison("model.norm.weight", "F32", 2, 1, 0, 0x80, 0x7f)}, []string{"model.norm.weight", "element 2"}},
		"bad generation": {map[string]any{"config.json": tinyConfig, "model.safetensors": good, "generation_config.json": []byte("[]")}, []string{"generation_config.json"}},
		"bad scaling":    {map[string]any{"config.json": with(tinyConfig, "rope_scaling", map[string]any{"type": "llama3", "factor": 0}), "model.safetensors": good}, []string{"rope_scaling.factor", "rope_scaling.original_max_position_embeddings"}},
	} {
		wantFormat(t, name, folder(t, c.files), c.says...)
	}
}

func TestUnsupported(t *testing.T) {
	good := encode(tinyTensors("F32"), 0)
	for name, c := range map[string]struct {
		config map[string]any
		data   []byte
		says   []string
	}{
		"type":      {with(tinyConfig, "model_type", "lama", "architectures", []string{"LamaForCausalLM"}), good, []string{"lama (LamaForCausalLM)", "llama (LlamaForCausalLM)"}},
		"class":     {with(tinyConfig, "architectures", []string{"LlamaForSequenceClassification"}), good, []string{"LlamaForSequenceClassification"}},
		"both":      {with(tinyConfig, "hidden_act", "mish", "rope_scaling", map[string]any{"type": "spiral"}), good, []string{"mish", "spiral"}},
		"quantized": {with(tinyConfig, "quantization_config", map[string]any{"quant_method": "gptq"}), good, []string{"gptq"}},
		"integers":  {tinyConfig, encode(append(tinyTensors("F32")[1:], testTensor{"model.embed_tokens.weight", "I8", []int{21, 12}, make([]byte, 252)}), 0), []string{"I8", "model.embed_tokens.weight"}},
	} {
		_, _, err := Import(context.Background(), folder(t, map[string]any{"config.json": c.config, "model.safetensors": c.data}), Options{})
		var u *fault.Unsupported
		if !errors.As(err, &u) {
			t.Errorf("%s: error %v is no *fault.Unsupported", name, err)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: error %q does not say %q", name, err, s)
			}
		}
	}
}

func TestSideFiles(t *testing.T) {
	token := []byte(`{"model":{"type":"WordLevel","vocab":{"a":0,"b":1},"unk_token":"a"},"pre_tokenizer":{"type":"WhitespaceSplit"}}`)
	m, r := importDir(t, folder(t, map[string]any{
		"config.json": tinyConfig, "weights.safetensors": encode(tinyTensors("F32"), 0), "tokenizer.json": token,
		"generation_config.json": map[string]any{"eos_token_id": 7, "bos_token_id": 3},
		"tokenizer_config.json":  map[string]any{"chat_template": []any{map[string]string{"name": "rag", "template": "no"}, map[string]string{"name": "default", "template": "{{ yes }}"}}},
		"README.md":              []byte("---\nlanguage: en\nlicense: apache-2.0\n---\n# Tiny\n"),
	}))
	if string(m.Assets[model.AssetTokenizer]) != string(token) || len(m.Assets[model.AssetTokenGolden]) == 0 || string(m.Assets[model.AssetChatTemplate]) != "{{ yes }}" {
		t.Errorf("assets %q", m.AssetNames())
	}
	if m.Meta.License != "apache-2.0" || !slices.Equal(m.Meta.LM.EOS, []int{7}) || !slices.Equal(m.Meta.LM.BOS, []int{3}) {
		t.Errorf("metadata %+v %+v", m.Meta, m.Meta.LM)
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "weights.safetensors") {
		t.Errorf("warnings %q", r.Warnings)
	}
}

// TestUntied imports a head of its own, biases, and a head that the config does not mention.
func TestUntied(t *testing.T) {
	tensors := append(tinyTensors("F32"), fill("lm_head.weight", "F32", 21, 12))
	m, r := importDir(t, folder(t, map[string]any{"config.json": with(tinyConfig, "tie_word_embeddings", nil), "model.safetensors": encode(tensors, 0)}))
	if len(r.Unused) != 0 || m.Graph.Init["lm_head.weight"] == nil {
		t.Errorf("unused %v", r.Unused)
	}
	_, r = importDir(t, folder(t, map[string]any{"config.json": with(tinyConfig, "tie_word_embeddings", nil), "model.safetensors": encode(tensors[:len(tensors)-1], 0)}))
	if len(r.Warnings) != 2 || !strings.Contains(r.Warnings[0], "lm_head.weight") {
		t.Errorf("warnings %q", r.Warnings)
	}
	for i := range 2 {
		p := fmt.Sprintf("model.layers.%d.", i)
		for name, n := range map[string]int{"self_attn.q_proj": 12, "self_attn.k_proj": 4, "self_attn.v_proj": 4, "self_attn.o_proj": 12, "mlp.gate_proj": 20, "mlp.up_proj": 20, "mlp.down_proj": 12} {
			tensors = append(tensors, fill(p+name+".bias", "F32", n))
		}
	}
	m, r = importDir(t, folder(t, map[string]any{"config.json": with(tinyConfig, "tie_word_embeddings", false, "attention_bias", true, "mlp_bias", true), "model.safetensors": encode(tensors, 0)}))
	biased := 0
	for _, n := range m.Graph.Nodes {
		if n.Op == "Linear" && n.In(2) != "" {
			biased++
		}
	}
	if len(r.Unused) != 0 || biased != 14 {
		t.Errorf("%d biases; unused %v", biased, r.Unused)
	}
}

// TestMistral: the window is an attribute of Attention, and null or one as wide as the context is none.
func TestMistral(t *testing.T) {
	for window, want := range map[any]int64{3: 3, 8: 0, nil: 0} {
		config := with(tinyConfig, "model_type", "mistral", "architectures", []string{"MistralForCausalLM"})
		config["sliding_window"] = window
		m, _ := importDir(t, folder(t, map[string]any{"config.json": config, "model.safetensors": encode(tinyTensors("BF16"), 0)}))
		for _, n := range m.Graph.Nodes {
			if n.Op == "Attention" && n.Int("local_window_size", 0) != want {
				t.Errorf("window %v: attribute %d", window, n.Int("local_window_size", 0))
			}
		}
	}
}

func TestSharedModels(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	shared := filepath.Join(dir, "..", "shared", "models")
	for name, params := range map[string]int64{
		"gutenberg-9M": 8918272, "gutenberg-1M": 0, "stories260K": 260032, "arch-golden/llama": 55536, "arch-golden/llama-bias": 52752, "arch-golden/mistral": 52464,
		"arch-golden/llama-rope-dynamic": 52464, "arch-golden/llama-rope-linear": 52464, "arch-golden/llama-rope-llama3": 57072, "arch-golden/llama-rope-yarn": 50928,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(shared, filepath.FromSlash(name))
			if _, err := os.Stat(path); err != nil {
				t.Skipf("../shared/models/%s is not here", name)
			}
			m, r := importDir(t, path)
			if params != 0 && r.Parameters != params || len(r.Unused) > 0 {
				t.Errorf("%d parameters, want %d; unused %v", r.Parameters, params, r.Unused)
			}
			for _, init := range sortedInit(m) {
				if err := m.Graph.Init[init].Load(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
