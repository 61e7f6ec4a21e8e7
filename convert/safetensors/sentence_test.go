package safetensors

import (
	"errors"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

var (
	transformerModule = map[string]any{"path": "", "type": "sentence_transformers.models.Transformer"}
	poolingModule     = map[string]any{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
	denseModule       = map[string]any{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
	normalizeModule   = map[string]any{"path": "3_Normalize", "type": "sentence_transformers.models.Normalize"}
)

// TestSentenceOfDecoder imports a language model that sentence-transformers makes vectors with: no caches, no head.
func TestSentenceOfDecoder(t *testing.T) {
	m, r := importDir(t, folder(t, map[string]any{"config.json": tinyConfig, "model.safetensors": encode(tinyTensors("F32"), 0),
		"modules.json":                      []any{transformerModule, poolingModule, denseModule, normalizeModule},
		"1_Pooling/config.json":             map[string]any{"pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true},
		"2_Dense/config.json":               map[string]any{"in_features": 12, "out_features": 5, "bias": false, "activation_function": "torch.nn.modules.linear.Identity"},
		"2_Dense/model.safetensors":         encode([]testTensor{fill("linear.weight", "F32", 5, 12)}, 0),
		"sentence_bert_config.json":         map[string]any{"max_seq_length": 6},
		"config_sentence_transformers.json": map[string]any{"prompts": map[string]string{"query": "q: "}, "default_prompt_name": "query"},
	}))
	if m.Meta.Task != model.TaskEmbed || m.Meta.LM != nil || len(m.Graph.States) != 0 || len(r.Unused) != 0 {
		t.Errorf("task %s, %d states, unused %v", m.Meta.Task, len(m.Graph.States), r.Unused)
	}
	text := m.Meta.Text
	if text == nil || text.VocabSize != 21 || text.MaxTokens != 6 || text.Pooling != "lasttoken" || text.Dimensions != 5 || !text.Normalized ||
		text.Prompts["query"] != "q: " || text.DefaultPrompt != "query" {
		t.Errorf("text %+v", text)
	}
	if len(m.Graph.Outputs) != 2 || m.Graph.Outputs[1].Name != "sentence_embedding" || m.Graph.Outputs[1].Type.String() != "F32[batch,5]" {
		t.Errorf("outputs %v", m.Graph.Outputs)
	}
}

// TestHeadless imports a language model whose class has no head: names without their first part, the mean of the tokens.
func TestHeadless(t *testing.T) {
	tensors := tinyTensors("F32")
	for i := range tensors {
		tensors[i].name = strings.TrimPrefix(tensors[i].name, "model.")
	}
	m, r := importDir(t, folder(t, map[string]any{"config.json": with(tinyConfig, "architectures", []string{"LlamaModel"}), "model.safetensors": encode(tensors, 0)}))
	if m.Meta.Task != model.TaskEmbed || m.Meta.Text == nil || m.Meta.Text.Pooling != "mean" || m.Meta.Text.Dimensions != 12 || len(r.Unused) != 0 {
		t.Errorf("task %s, text %+v, unused %v", m.Meta.Task, m.Meta.Text, r.Unused)
	}
}

// TestBrokenModules: each fault of modules.json and what belongs to it has its class.
func TestBrokenModules(t *testing.T) {
	for _, c := range []struct {
		name        string
		files       map[string]any
		unsupported bool
		says        string
	}{
		{"no list", map[string]any{"modules.json": map[string]any{}}, false, "modules.json"},
		{"no pooling", map[string]any{"modules.json": []any{transformerModule}}, false, "no Pooling"},
		{"a path out of the folder", map[string]any{"modules.json": []any{map[string]any{"path": "../x", "type": "Pooling"}}}, false, "leaves the folder"},
		{"an unknown module", map[string]any{"modules.json": []any{map[string]any{"path": "", "type": "a.CNN"}}}, true, "CNN"},
		{"a checkpoint elsewhere", map[string]any{"modules.json": []any{map[string]any{"path": "0_Transformer", "type": "Transformer"}}}, true, "0_Transformer"},
		{"an unknown pooling", map[string]any{"modules.json": []any{transformerModule, poolingModule}, "1_Pooling/config.json": map[string]any{"pooling_mode": "median"}}, true, "median"},
		{"an unknown activation", map[string]any{"modules.json": []any{transformerModule, poolingModule, denseModule}, "1_Pooling/config.json": map[string]any{"pooling_mode": "mean"},
			"2_Dense/config.json": map[string]any{"in_features": 12, "out_features": 5, "activation_function": "torch.nn.Softsign"}}, true, "Softsign"},
		{"a product of another width", map[string]any{"modules.json": []any{transformerModule, poolingModule, denseModule}, "1_Pooling/config.json": map[string]any{"pooling_mode": "mean"},
			"2_Dense/config.json": map[string]any{"in_features": 7, "out_features": 5, "bias": false}, "2_Dense/model.safetensors": encode([]testTensor{fill("linear.weight", "F32", 5, 7)}, 0)}, false, "takes 7 values"},
		{"a product without weights", map[string]any{"modules.json": []any{transformerModule, poolingModule, denseModule}, "1_Pooling/config.json": map[string]any{"pooling_mode": "mean"},
			"2_Dense/config.json": map[string]any{"in_features": 12, "out_features": 5}}, false, "2_Dense"},
	} {
		c.files["config.json"], c.files["model.safetensors"] = tinyConfig, encode(tinyTensors("F32"), 0)
		_, r, err := Import(t.Context(), folder(t, c.files), Options{})
		if err == nil {
			r.Close()
		}
		var format *fault.Format
		var unsupported *fault.Unsupported
		if c.unsupported && !errors.As(err, &unsupported) || !c.unsupported && !errors.As(err, &format) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.says)
		}
	}
}
