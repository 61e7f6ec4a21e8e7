package gguf

import (
	"maps"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

var (
	mixtralBlock, mixtralPlace = mixture(llamaBlock, llamaPlace, "block_sparse_moe.experts", "block_sparse_moe.gate", "w1", "w3", "w2")
	qwenBlock, qwenPlace       = mixture(normedBlock, nil, "mlp.experts", "mlp.gate", "gate_proj", "up_proj", "down_proj")
	qwenSharedBlock            = with(qwenBlock, "ffn_gate_shexp", "mlp.shared_expert.gate_proj", "ffn_up_shexp", "mlp.shared_expert.up_proj",
		"ffn_down_shexp", "mlp.shared_expert.down_proj", "ffn_gate_inp_shexp", "mlp.shared_expert_gate")
	qwenSharedPlace = func() map[string]placement {
		p := maps.Clone(qwenPlace)
		p["ffn_gate_inp_shexp"] = single
		return p
	}()
	behindBlock   = with(normedBlock, "attn_norm", "", "ffn_norm", "", "post_attention_norm", "post_attention_layernorm", "post_ffw_norm", "post_feedforward_layernorm")
	sandwichBlock = with(normedBlock, "post_attention_norm", "post_attention_layernorm", "ffn_norm", "pre_feedforward_layernorm", "post_ffw_norm", "post_feedforward_layernorm")
)

var _ = register(
	architecture{name: "llama", modelType: "llama", class: "LlamaForCausalLM", top: llamaTop, layer: llamaLayer, block: mixtralBlock, place: mixtralPlace, configure: configureLlama},
	relative("qwen2", "qwen2", "Qwen2ForCausalLM", llamaBlock, nil, nil),
	relative("qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", qwenSharedBlock, qwenSharedPlace, func(t *translation) {
		t.experts("num_experts")
		t.takeCount("shared_expert_intermediate_size", "expert_shared_feed_forward_length")
		t.config["qkv_bias"], t.config["norm_topk_prob"] = t.config["attention_bias"], false
	}),
	relative("qwen3", "qwen3", "Qwen3ForCausalLM", normedBlock, nil, nil),
	relative("qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", qwenBlock, qwenPlace, func(t *translation) {
		t.experts("num_experts")
		t.config["norm_topk_prob"] = true
	}),
	relative("olmo", "olmo", "OlmoForCausalLM", llamaBlock, llamaPlace, func(t *translation) {
		t.takeNumber("clip_qkv", "attention.clamp_kqv")
	}),
	relative("olmo2", "olmo2", "Olmo2ForCausalLM", behindBlock, nil, nil),
	relative("exaone4", "exaone4", "Exaone4ForCausalLM", behindBlock, nil, func(t *translation) {
		t.config["sliding_window"] = nil // in none of the layers
		t.takeCount("sliding_window", "attention.sliding_window")
		t.takePattern("attention.sliding_window_pattern")
	}),
	relative("olmoe", "olmoe", "OlmoeForCausalLM", qwenBlock, qwenPlace, func(t *translation) {
		t.experts("num_experts")
		t.config["norm_topk_prob"] = false
	}),
	relative("granite", "granite", "GraniteForCausalLM", llamaBlock, llamaPlace, configureGranite),
	relative("smollm3", "smollm3", "SmolLM3ForCausalLM", llamaBlock, llamaPlace, nil),
	relative("ernie4_5", "ernie4_5", "Ernie4_5ForCausalLM", llamaBlock, nil, func(t *translation) {
		t.config["use_bias"] = t.config["attention_bias"]
	}),
	relative("gemma", "gemma", "GemmaForCausalLM", llamaBlock, nil, nil),
	relative("gemma2", "gemma2", "Gemma2ForCausalLM", sandwichBlock, nil, func(t *translation) {
		t.config["attn_logit_softcapping"], t.config["final_logit_softcapping"] = 50.0, 30.0
		t.takeNumber("attn_logit_softcapping", "attn_logit_softcapping")
		t.takeNumber("final_logit_softcapping", "final_logit_softcapping")
		t.gemmaScale(46)
	}),
	relative("gemma3", "gemma3_text", "Gemma3ForCausalLM", sandwichBlock, nil, func(t *translation) {
		t.config["rope_theta"] = 1e6
		t.takeNumber("rope_theta", "rope.freq_base")
		t.takeNumber("rope_local_base_freq", "rope.freq_base_swa")
		t.takeCount("sliding_window_pattern", "attention.sliding_window_pattern")
		t.gemmaScale(62)
	}),
	relative("command-r", "cohere", "CohereForCausalLM", with(normedBlock, "ffn_norm", ""), nil, func(t *translation) {
		t.takeNumber("logit_scale", "logit_scale")
		t.config["use_qk_norm"] = t.has("blk.0.attn_q_norm.weight")
		t.config["tie_word_embeddings"] = true
	}),
	relative("cohere2", "cohere2", "Cohere2ForCausalLM", with(llamaBlock, "ffn_norm", ""), nil, func(t *translation) {
		t.takeNumber("logit_scale", "logit_scale")
		t.takeCount("sliding_window", "attention.sliding_window")
		t.config["tie_word_embeddings"] = true
	}),
	relative("glm4", "glm4", "Glm4ForCausalLM", with(llamaBlock, "ffn_gate", "", "ffn_up", "mlp.gate_up_proj",
		"post_attention_norm", "post_self_attn_layernorm", "post_ffw_norm", "post_mlp_layernorm"), nil, nil),
	relative("nemotron", "nemotron", "NemotronForCausalLM", llamaBlock, nil, nil),
	relative("starcoder2", "starcoder2", "Starcoder2ForCausalLM", with(llamaBlock, "ffn_gate", "", "ffn_up", "mlp.c_fc", "ffn_down", "mlp.c_proj"), nil,
		func(t *translation) { t.config["use_bias"] = t.config["attention_bias"] }),
	relative("stablelm", "stablelm", "StableLmForCausalLM", with(normedBlock, "attn_q_norm", "self_attn.q_layernorm.norms.%d", "attn_k_norm", "self_attn.k_layernorm.norms.%d"),
		map[string]placement{"attn_q_norm": eachRow, "attn_k_norm": eachRow}, func(t *translation) {
			t.takeFlag("use_parallel_residual", "use_parallel_residual")
			t.config["use_qkv_bias"], t.config["qk_layernorm"] = t.config["attention_bias"], t.has("blk.0.attn_q_norm.weight")
		}),
	architecture{name: "phi2", modelType: "phi", class: "PhiForCausalLM", layer: llamaLayer,
		top: with(llamaTop, "output_norm", "model.final_layernorm"),
		block: with(llamaBlock, "attn_output", "self_attn.dense", "attn_qkv", "self_attn.%s_proj", "ffn_norm", "", "ffn_gate", "",
			"ffn_up", "mlp.fc1", "ffn_down", "mlp.fc2"),
		place: map[string]placement{"attn_qkv": split}},
	relative("phi3", "phi3", "Phi3ForCausalLM", with(llamaBlock, "attn_qkv", "self_attn.qkv_proj", "ffn_gate", "", "ffn_up", "mlp.gate_up_proj"), nil,
		func(t *translation) { t.takeCount("sliding_window", "attention.sliding_window") }),
)

// configureLlama tells mixtral by its experts.
func configureLlama(t *translation) {
	if n, ok := t.count("expert_count"); ok && n > 0 {
		t.config["model_type"], t.config["architectures"] = "mixtral", []string{"MixtralForCausalLM"}
		t.experts("num_local_experts")
		if t.config["attention_bias"] == true {
			t.gap("tensor blk.0.attn_q.bias", "biases beside experts", "")
		}
	}
}

func configureGranite(t *translation) {
	t.takeNumber("embedding_multiplier", "embedding_scale")
	t.takeNumber("residual_multiplier", "residual_scale")
	t.takeNumber("attention_multiplier", "attention.scale")
	t.takeNumber("logits_scaling", "logit_scale")
}

// takePattern reads which layers have a sliding window: a truth value for each, or after how many layers one has none.
func (t *translation) takePattern(from string) {
	list, ok := t.file.Value(t.key(from)).([]bool)
	if !ok {
		t.takeCount("sliding_window_pattern", from)
		return
	}
	kinds := make([]string, len(list))
	for i, slides := range list {
		if kinds[i] = "full_attention"; slides {
			kinds[i] = "sliding_attention"
		}
	}
	t.config["layer_types"] = kinds
}

// experts reads how many experts there are.
func (t *translation) experts(countKey string) {
	t.takeCount(countKey, "expert_count")
	t.takeCount("num_experts_per_tok", "expert_used_count")
	t.takeCount("moe_intermediate_size", "expert_feed_forward_length")
}

// gemmaScale reads the window, and sets the scale of the scores: that of a head, but that of the width over the heads in
// the largest model, which llama.cpp tells by its layers.
func (t *translation) gemmaScale(largest int) {
	t.takeCount("sliding_window", "attention.sliding_window")
	scale := t.configCount("head_dim", 256)
	if heads := t.configCount("num_attention_heads", 0); heads > 0 && t.configCount("num_hidden_layers", 0) == largest {
		scale = t.configCount("hidden_size", 0) / heads
	}
	t.config["query_pre_attn_scalar"] = scale
}

// gap notes something that dsk does not have.
func (t *translation) gap(where, what, hint string) {
	t.gaps = append(t.gaps, fault.Item{Where: where, What: what, Hint: hint})
}
