package safetensors

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// goldenFolders returns the folders of the reference models of language models.
func goldenFolders(t *testing.T) []string {
	t.Helper()
	dirs, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "models", "arch-golden", "*", "config.json"))
	if len(dirs) == 0 {
		t.Skip("../shared/models/arch-golden is not there")
	}
	for i, d := range dirs {
		dirs[i] = filepath.Dir(d)
	}
	return dirs
}

// TestHostileConfig changes each key of each architecture's config to values that do not fit: whatever comes of it, it
// must come soon and be no panic.
func TestHostileConfig(t *testing.T) {
	known := map[string]bool{}
	for _, a := range architectures {
		known[a.modelType] = true
	}
	for _, dir := range goldenFolders(t) {
		data, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		var config map[string]any
		if err := json.Unmarshal(data, &config); err != nil {
			t.Fatal(err)
		}
		kind, _ := config["model_type"].(string)
		if !known[kind] {
			continue
		}
		delete(known, kind) // one model of each
		weights, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		at := folder(t, map[string]any{"model.safetensors": weights})
		for key := range config {
			if key == "model_type" || key == "architectures" {
				continue
			}
			for _, v := range []any{16777216, nil} {
				changed, _ := json.Marshal(with(config, key, v))
				if v == nil {
					changed, _ = json.Marshal(config)
					changed = []byte(strings.Replace(string(changed), fmt.Sprintf("%q:", key), fmt.Sprintf("%q:null,\"was_%s\":", key, key), 1))
				}
				if err := os.WriteFile(filepath.Join(at, "config.json"), changed, 0o644); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, r, err := Import(context.Background(), at, Options{})
				if err == nil {
					r.Close()
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("%s: %s = %v took %v", filepath.Base(dir), key, v, took)
				}
			}
		}
	}
}

// under puts prefix before names, and drops those with a part.
func under(prefix, drop string) func(name string) string {
	return func(name string) string {
		if drop != "" && strings.Contains(name, drop) {
			return ""
		}
		return prefix + name
	}
}

// TestOptions imports forms of architectures that no reference model has: every tensor must be used, none must lack.
func TestOptions(t *testing.T) {
	layers := func(format string, shape ...int) []testTensor {
		var out []testTensor
		for i := range 2 {
			out = append(out, fill(fmt.Sprintf(format, i), "F32", shape...))
		}
		return out
	}
	for _, c := range []struct {
		model  string
		config []any                    // keys and values
		rename func(name string) string // "" drops the tensor; nil: as it is
		add    [][]testTensor
	}{
		{model: "cohere", config: []any{"use_qk_norm", true}, add: [][]testTensor{
			layers("model.layers.%d.self_attn.q_norm.weight", 4, 12), layers("model.layers.%d.self_attn.k_norm.weight", 2, 12)}},
		{model: "phi", config: []any{"qk_layernorm", true}, add: [][]testTensor{
			layers("model.layers.%d.self_attn.q_layernorm.weight", 12), layers("model.layers.%d.self_attn.q_layernorm.bias", 12),
			layers("model.layers.%d.self_attn.k_layernorm.weight", 12), layers("model.layers.%d.self_attn.k_layernorm.bias", 12)}},
		{model: "stablelm", config: []any{"qk_layernorm", true, "use_parallel_residual", true},
			rename: func(name string) string {
				if strings.Contains(name, "post_attention_layernorm") {
					return ""
				}
				return name
			},
			add: [][]testTensor{
				layers("model.layers.%d.self_attn.q_layernorm.norms.0.weight", 16), layers("model.layers.%d.self_attn.q_layernorm.norms.1.weight", 16),
				layers("model.layers.%d.self_attn.q_layernorm.norms.2.weight", 16), layers("model.layers.%d.self_attn.q_layernorm.norms.3.weight", 16),
				layers("model.layers.%d.self_attn.k_layernorm.norms.0.weight", 16), layers("model.layers.%d.self_attn.k_layernorm.norms.1.weight", 16)}},
		{model: "gpt2", config: []any{"scale_attn_by_inverse_layer_idx", true, "scale_attn_weights", false},
			rename: func(name string) string { return strings.TrimPrefix(name, "transformer.") },
			add:    [][]testTensor{layers("h.%d.attn.bias", 1, 1, 64, 64)}},
		{model: "gpt_bigcode", config: []any{"multi_query", false},
			rename: func(name string) string {
				if strings.Contains(name, "c_attn") {
					return ""
				}
				return name
			},
			add: [][]testTensor{layers("transformer.h.%d.attn.c_attn.weight", 144, 48), layers("transformer.h.%d.attn.c_attn.bias", 144)}},
		{model: "bloom", config: []any{"apply_residual_connection_post_layernorm", true}},
		{model: "olmo", config: []any{"clip_qkv", 2.5}},
		{model: "opt", config: []any{"do_layer_norm_before", false, "word_embed_proj_dim", 32},
			rename: func(name string) string {
				if name == "model.decoder.final_layer_norm.weight" || name == "model.decoder.final_layer_norm.bias" || strings.Contains(name, "embed_tokens") {
					return ""
				}
				return strings.TrimPrefix(name, "model.")
			},
			add: [][]testTensor{{fill("decoder.embed_tokens.weight", "F32", 160, 32), fill("decoder.project_in.weight", "F32", 48, 32), fill("decoder.project_out.weight", "F32", 32, 48)}}},
		{model: "falcon-new", config: []any{"num_ln_in_parallel_attn", 1},
			rename: func(name string) string {
				if strings.Contains(name, "ln_mlp") {
					return ""
				}
				return strings.Replace(name, "ln_attn", "input_layernorm", 1)
			}},
		{model: "qwen2_moe", config: []any{"mlp_only_layers", []int{0}},
			rename: func(name string) string {
				if strings.HasPrefix(name, "model.layers.0.mlp.") {
					return ""
				}
				return name
			},
			add: [][]testTensor{{fill("model.layers.0.mlp.gate_proj.weight", "F32", 48, 32), fill("model.layers.0.mlp.up_proj.weight", "F32", 48, 32), fill("model.layers.0.mlp.down_proj.weight", "F32", 32, 48)}}},
		{model: "deepseek_v2", config: []any{"topk_method", "group_limited_greedy", "n_group", 2, "topk_group", 1,
			"rope_scaling", map[string]any{"type": "yarn", "factor": 4, "original_max_position_embeddings": 32, "mscale": 0.707, "mscale_all_dim": 0.707}}},
		{model: "starcoder2", config: []any{"sliding_window", 6, "use_bias", false},
			rename: func(name string) string {
				if strings.HasSuffix(name, ".bias") && !strings.Contains(name, "norm") {
					return ""
				}
				return name
			}},
		{model: "phi3", config: []any{"partial_rotary_factor", 0.5, "sliding_window", 6}},
		{model: "bert", config: []any{"architectures", []string{"BertForTokenClassification"}}, rename: under("bert.", "pooler"),
			add: [][]testTensor{{fill("classifier.weight", "F32", 2, 48), fill("classifier.bias", "F32", 2)}}},
		{model: "bert", config: []any{"architectures", []string{"BertForQuestionAnswering"}},
			rename: func(name string) string {
				name = strings.NewReplacer("LayerNorm.weight", "LayerNorm.gamma", "LayerNorm.bias", "LayerNorm.beta").Replace(name)
				return under("bert.", "pooler")(name)
			},
			add: [][]testTensor{{fill("qa_outputs.weight", "F32", 2, 48), fill("qa_outputs.bias", "F32", 2)}}},
		{model: "electra", config: []any{"architectures", []string{"ElectraForSequenceClassification"}, "id2label", map[string]string{"0": "no", "1": "yes", "2": "so"}},
			rename: under("electra.", ""),
			add: [][]testTensor{{fill("classifier.dense.weight", "F32", 48, 48), fill("classifier.dense.bias", "F32", 48),
				fill("classifier.out_proj.weight", "F32", 3, 48), fill("classifier.out_proj.bias", "F32", 3)}}},
		{model: "electra", config: []any{"architectures", []string{"ElectraForMaskedLM"}}, rename: under("electra.", ""),
			add: [][]testTensor{{fill("generator_predictions.dense.weight", "F32", 24, 48), fill("generator_predictions.dense.bias", "F32", 24),
				fill("generator_predictions.LayerNorm.weight", "F32", 24), fill("generator_predictions.LayerNorm.bias", "F32", 24), fill("generator_lm_head.bias", "F32", 160)}}},
		{model: "distilbert", config: []any{"architectures", []string{"DistilBertForSequenceClassification"}}, rename: under("distilbert.", ""),
			add: [][]testTensor{{fill("pre_classifier.weight", "F32", 48, 48), fill("pre_classifier.bias", "F32", 48), fill("classifier.weight", "F32", 2, 48), fill("classifier.bias", "F32", 2)}}},
		{model: "mpnet", config: []any{"architectures", []string{"MPNetForSequenceClassification"}}, rename: under("mpnet.", "pooler"),
			add: [][]testTensor{{fill("classifier.dense.weight", "F32", 48, 48), fill("classifier.dense.bias", "F32", 48),
				fill("classifier.out_proj.weight", "F32", 2, 48), fill("classifier.out_proj.bias", "F32", 2)}}},
		{model: "modernbert", config: []any{"architectures", []string{"ModernBertForSequenceClassification"}, "classifier_pooling", "mean"}, rename: under("model.", ""),
			add: [][]testTensor{{fill("head.dense.weight", "F32", 48, 48), fill("head.norm.weight", "F32", 48), fill("classifier.weight", "F32", 2, 48), fill("classifier.bias", "F32", 2)}}},
		{model: "modernbert", config: []any{"layer_types", []string{"sliding_attention", "full_attention", "sliding_attention"},
			"rope_parameters", map[string]any{"full_attention": map[string]any{"rope_theta": 1e5}, "sliding_attention": map[string]any{"rope_theta": 1e4}}}},
		{model: "t5", config: []any{"architectures", []string{"T5EncoderModel"}}, rename: under("", "decoder.")},
		{model: "bart", config: []any{"scale_embedding", true},
			add: [][]testTensor{{fill("model.encoder.embed_tokens.weight", "F32", 150, 32), fill("model.decoder.embed_tokens.weight", "F32", 150, 32)}}},
		{model: "dinov2", config: []any{"use_swiglu_ffn", true}, rename: under("", ".mlp."),
			add: [][]testTensor{layers("encoder.layer.%d.mlp.weights_in.weight", 128, 48), layers("encoder.layer.%d.mlp.weights_in.bias", 128),
				layers("encoder.layer.%d.mlp.weights_out.weight", 48, 64), layers("encoder.layer.%d.mlp.weights_out.bias", 48)}},
		{model: "dinov2", config: []any{"architectures", []string{"Dinov2ForImageClassification"}}, rename: under("dinov2.", ""),
			add: [][]testTensor{{fill("classifier.weight", "F32", 2, 96), fill("classifier.bias", "F32", 2)}}},
		{model: "clip-text", config: []any{"architectures", []string{"CLIPTextModel"}, "eos_token_id", 2}, rename: under("", "text_projection")},
		{model: "clip-vision", config: []any{"architectures", []string{"CLIPVisionModel"}}, rename: under("", "visual_projection")},
		{model: "gemma3_text", config: []any{"attn_logit_softcapping", 4, "final_logit_softcapping", 6, "rope_scaling", map[string]any{"rope_type": "linear", "factor": 8}}},
	} {
		t.Run(c.model, func(t *testing.T) {
			i := slices.IndexFunc(goldenFolders(t), func(d string) bool { return filepath.Base(d) == c.model })
			if i < 0 {
				t.Skip("there is no such reference model")
			}
			dir := goldenFolders(t)[i]
			data, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			var config map[string]any
			if err := json.Unmarshal(data, &config); err != nil {
				t.Fatal(err)
			}
			weights, _, err := openCheckpoint(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer weights.close()
			var tensors []testTensor
			for name, w := range weights.tensors {
				if c.rename != nil {
					name = c.rename(name)
				}
				if name != "" {
					tensors = append(tensors, testTensor{name, w.Type, w.Shape, w.bytes()})
				}
			}
			for _, a := range c.add {
				tensors = append(tensors, a...)
			}
			_, r := importDir(t, folder(t, map[string]any{"config.json": with(config, c.config...), "model.safetensors": encode(tensors, 0)}))
			if len(r.Unused) > 0 {
				t.Errorf("unused: %v", r.Unused)
			}
		})
	}
}
