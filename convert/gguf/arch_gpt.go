package gguf

var gptBlock = map[string]string{
	"attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
}

var gptTop = map[string]string{
	"token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output_norm": "transformer.ln_f", "output": "lm_head",
}

var neoxBlock = map[string]string{
	"attn_norm": "input_layernorm", "attn_qkv": "attention.query_key_value", "attn_output": "attention.dense", "ffn_norm": "post_attention_layernorm",
	"ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h",
}

var bloomBlock = with(neoxBlock, "attn_qkv", "self_attention.query_key_value", "attn_output", "self_attention.dense")

var bloomTop = map[string]string{
	"token_embd": "transformer.word_embeddings", "token_embd_norm": "transformer.word_embeddings_layernorm", "output_norm": "transformer.ln_f", "output": "lm_head",
}

var _ = register(
	architecture{name: "gpt2", modelType: "gpt2", class: "GPT2LMHeadModel", top: gptTop, layer: "transformer.h.%d.", block: gptBlock,
		place: map[string]placement{"attn_qkv": transposed, "attn_output": transposed, "ffn_up": transposed, "ffn_down": transposed}, configure: configureGPT2},
	architecture{name: "gptj", modelType: "gptj", class: "GPTJForCausalLM", layer: "transformer.h.%d.", top: with(gptTop, "position_embd", ""),
		block: with(gptBlock, "ffn_norm", "", "attn_qkv", "", "attn_q", "attn.q_proj", "attn_k", "attn.k_proj", "attn_v", "attn.v_proj", "attn_output", "attn.out_proj",
			"ffn_up", "mlp.fc_in", "ffn_down", "mlp.fc_out"),
		configure: func(t *translation) {
			configureGPT2(t)
			t.config["rotary_dim"] = nil // the whole head
			t.takeCount("rotary_dim", "rope.dimension_count")
		}},
	architecture{name: "mpt", modelType: "mpt", class: "MptForCausalLM", layer: "transformer.blocks.%d.",
		top: map[string]string{"token_embd": "transformer.wte", "output_norm": "transformer.norm_f", "output": "lm_head"},
		block: map[string]string{"attn_norm": "norm_1", "attn_qkv": "attn.Wqkv", "attn_output": "attn.out_proj", "ffn_norm": "norm_2",
			"ffn_up": "ffn.up_proj", "ffn_down": "ffn.down_proj"}, configure: configureMPT},
	architecture{name: "starcoder", modelType: "gpt_bigcode", class: "GPTBigCodeForCausalLM", top: gptTop, layer: "transformer.h.%d.", block: gptBlock,
		configure: func(t *translation) { t.config["multi_query"] = true; configureGPT2(t) }},
	architecture{name: "gptneox", modelType: "gpt_neox", class: "GPTNeoXForCausalLM", layer: "gpt_neox.layers.%d.", block: neoxBlock,
		top:   map[string]string{"token_embd": "gpt_neox.embed_in", "output_norm": "gpt_neox.final_layer_norm", "output": "embed_out"},
		place: map[string]placement{"attn_qkv": regrouped},
		configure: func(t *translation) {
			t.takeFlag("use_parallel_residual", "use_parallel_residual")
			t.takeNumber("rotary_emb_base", "rope.freq_base")
			t.config["rotary_pct"] = 1.0
			if share, ok := t.config["partial_rotary_factor"]; ok {
				t.config["rotary_pct"] = share
			}
		}},
	architecture{name: "bloom", modelType: "bloom", class: "BloomForCausalLM", layer: "transformer.h.%d.", block: bloomBlock, top: bloomTop,
		place: map[string]placement{"attn_qkv": regrouped},
		configure: func(t *translation) {
			t.takeCount("n_head", "attention.head_count")
			t.takeCount("n_layer", "block_count")
			t.takeCount("seq_length", "context_length")
			t.wide()
		}},
	architecture{name: "falcon", modelType: "falcon", class: "FalconForCausalLM", layer: "transformer.h.%d.",
		top:   with(bloomTop, "token_embd_norm", ""),
		block: with(bloomBlock, "ffn_norm", "", "attn_norm_2", "ln_attn"),
		place: map[string]placement{"attn_qkv": regrouped, "attn_norm": falconNorm}, configure: configureFalcon},
)

// configureGPT2 repeats the keys that the gpts call otherwise.
func configureGPT2(t *translation) {
	t.takeCount("n_embd", "embedding_length")
	t.takeCount("n_layer", "block_count")
	t.takeCount("n_head", "attention.head_count")
	t.takeCount("n_inner", "feed_forward_length")
	t.takeCount("n_positions", "context_length")
}

// configureMPT reads what mpt calls otherwise. Its MLP is always four times as wide.
func configureMPT(t *translation) {
	t.takeCount("d_model", "embedding_length")
	t.takeCount("n_heads", "attention.head_count")
	t.takeCount("n_layers", "block_count")
	t.takeCount("max_seq_len", "context_length")
	t.wide()
	attention := map[string]any{"alibi": true}
	if v, ok := t.number("attention.max_alibi_bias"); ok {
		attention["alibi"], attention["alibi_bias_max"] = v != 0, v
	}
	if v, ok := t.number("attention.clamp_kqv"); ok && v != 0 {
		attention["clip_qkv"] = v
	}
	t.config["attn_config"] = attention
}

// wide notes an MLP that is not four times as wide as the model.
func (t *translation) wide() {
	if n, ok := t.count("feed_forward_length"); ok && n != 4*t.configCount("hidden_size", 0) {
		t.gap("metadata "+t.key("feed_forward_length"), "an MLP that is not four times as wide as the model", "")
	}
}

// configureFalcon tells the form with groups by its second norm.
func configureFalcon(t *translation) {
	kv, ok := t.count("attention.head_count_kv")
	grouped := t.has("blk.0.attn_norm_2.weight")
	t.config["new_decoder_architecture"], t.config["multi_query"], t.config["parallel_attn"] = grouped, true, true
	if grouped {
		t.config["num_kv_heads"] = kv
	} else if ok && kv != 1 {
		t.gap("metadata "+t.key("attention.head_count_kv"), "heads of keys and values without a second norm", "")
	}
	t.config["bias"] = t.has("blk.0.attn_qkv.bias")
	t.config["alibi"] = false
}

// falconNorm is the norm of the MLP where there are two.
func falconNorm(t *translation, src *Tensor, name, suffix string) {
	if t.config["new_decoder_architecture"] == true {
		name = name[:len(name)-len("input_layernorm")] + "ln_mlp"
	}
	t.add(src, name+"."+suffix, part{})
}
