package gguf

import "fmt"

// Mixtures of experts whose weights transformers stores otherwise than matrix by matrix, and the attention of deepseek.

var (
	stackedBlock = with(llamaBlock, "ffn_gate", "", "ffn_up", "", "ffn_down", "",
		"ffn_gate_inp", "block_sparse_moe.router.layer", "ffn_gate_exps", "block_sparse_moe.input_linear", "ffn_up_exps", "block_sparse_moe.input_linear",
		"ffn_down_exps", "block_sparse_moe.output_linear")
	ossBlock = with(llamaBlock, "ffn_norm", "", "ffn_gate", "", "ffn_up", "", "ffn_down", "", "post_attention_norm", "post_attention_layernorm",
		"attn_sinks", "self_attn.sinks", "ffn_gate_inp", "mlp.router",
		"ffn_gate_exps", "mlp.experts.gate_up_proj", "ffn_up_exps", "mlp.experts.gate_up_proj", "ffn_down_exps", "mlp.experts.down_proj")
	latentBlock, latentPlace = mixture(with(llamaBlock, "attn_k", "", "attn_v", "",
		"attn_q_a", "self_attn.q_a_proj", "attn_q_a_norm", "self_attn.q_a_layernorm", "attn_q_b", "self_attn.q_b_proj",
		"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa", "attn_kv_a_norm", "self_attn.kv_a_layernorm",
		"attn_kv_b", "self_attn.kv_b_proj", "attn_k_b", "self_attn.kv_b_proj", "attn_v_b", "self_attn.kv_b_proj",
		"ffn_gate_shexp", "mlp.shared_experts.gate_proj", "ffn_up_shexp", "mlp.shared_experts.up_proj", "ffn_down_shexp", "mlp.shared_experts.down_proj",
		"exp_probs_b", "mlp.gate.e_score_correction_bias"),
		map[string]placement{"attn_k_b": latentUp, "attn_v_b": done, "exp_probs_b": bare},
		"mlp.experts", "mlp.gate", "gate_proj", "up_proj", "down_proj")
)

var _ = register(
	relative("granitemoe", "granitemoe", "GraniteMoeForCausalLM", stackedBlock,
		map[string]placement{"attn_q": turned("num_attention_heads"), "attn_k": turned("num_key_value_heads"), "ffn_gate_exps": gateAndUp, "ffn_up_exps": done},
		func(t *translation) {
			configureGranite(t)
			t.experts("num_local_experts")
		}),
	relative("gpt-oss", "gpt_oss", "GptOssForCausalLM", ossBlock,
		map[string]placement{"attn_sinks": bare, "ffn_gate_exps": inTurns, "ffn_up_exps": done, "ffn_down_exps": stackTransposed}, func(t *translation) {
			t.experts("num_local_experts")
			t.takeCount("intermediate_size", "expert_feed_forward_length")
			t.takeCount("sliding_window", "attention.sliding_window")
			if s, ok := t.config["rope_scaling"].(map[string]any); ok {
				s["truncate"] = false // of all models of this kind; the file does not say
			}
		}),
	architecture{name: "deepseek2", modelType: "deepseek_v2", class: "DeepseekV2ForCausalLM", top: llamaTop, layer: llamaLayer, block: latentBlock,
		place: latentPlace, heads: latentHeads, configure: configureDeepSeek},
)

// done is a tensor that another's placement takes along.
func done(t *translation, src *Tensor, _, suffix string) {
	partner := map[string]string{"ffn_up_exps": "ffn_gate_exps", "attn_v_b": "attn_k_b"}
	if t.partner(src, suffix, partner) == nil {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has no counterpart", src.Name))
	}
}

// partner returns the tensor of the same layer that has another's name in its place.
func (t *translation) partner(src *Tensor, suffix string, names map[string]string) *Tensor {
	stem, _, _ := cutLast(src.Name, ".")
	layer, name, _ := cutLast(stem, ".")
	return t.byName[layer+"."+names[name]+"."+suffix]
}

// bare is a tensor whose name in transformers has no suffix.
func bare(t *translation, src *Tensor, name, _ string) { t.add(src, name, part{}) }

// pair returns the shape of a stack of gates [experts, ...] and the stack of ups beside it, nil if there is none of the same shape.
func (t *translation) pair(src *Tensor, suffix string, rank int) *Tensor {
	up := t.partner(src, suffix, map[string]string{"ffn_gate_exps": "ffn_up_exps"})
	if up == nil || len(src.Shape) != rank || len(up.Shape) != rank || up.Shape[0] != src.Shape[0] || up.Shape[1] != src.Shape[1] || src.Shape[1] < 1 {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s of shape %v has no counterpart", src.Name, src.Shape))
		return nil
	}
	return up
}

// gateAndUp joins stacks [experts, inner, width] of gates and ups: for each expert, the gate's rows, then the up's.
func gateAndUp(t *translation, src *Tensor, name, suffix string) {
	up := t.pair(src, suffix, 3)
	if up == nil {
		return
	}
	inner := src.Shape[1]
	t.addJoined(name+"."+suffix, []*Tensor{src, up}, []int{src.Shape[0], 2 * inner, src.Shape[2]}, false, func(r int) (int, int) {
		e, i := r/(2*inner), r%(2*inner)
		return i / inner, e*inner + i%inner
	})
}

// inTurns joins stacks of gates and ups, whose rows transformers has in turns as columns: weights [experts, width, 2 inner] and biases
// [experts, 2 inner].
func inTurns(t *translation, src *Tensor, name, suffix string) {
	if suffix == "bias" {
		t.biasesInTurns(src, name)
		return
	}
	up := t.pair(src, suffix, 3)
	if up == nil {
		return
	}
	inner, width := src.Shape[1], src.Shape[2]
	size := max(2*inner*width, 1)
	t.addJoined(name, []*Tensor{src, up}, []int{src.Shape[0], width, 2 * inner}, true, func(r int) (int, int) {
		e, i := r/size, r%size
		return i % 2, e*inner + i/2
	})
}

// biasesInTurns are F32, as all vectors are.
func (t *translation) biasesInTurns(gate *Tensor, name string) {
	up := t.pair(gate, "bias", 2)
	if up == nil {
		return
	}
	if gate.Type != "F32" || up.Type != "F32" {
		t.gap("tensor "+gate.Name, "biases as "+gate.Type+" and "+up.Type, "biases are F32")
		return
	}
	out := t.add(gate, name+"_bias", part{shape: []int{gate.Shape[0], 2 * gate.Shape[1]}})
	parts := [2][]byte{t.bytes(gate), t.bytes(up)}
	out.Read = func(dst []byte, first int) error {
		at := first * gate.Shape[1]
		for i := 0; i < len(dst)/4; i++ {
			copy(dst[4*i:4*i+4], parts[(at+i)%2][(at+i)/2*4:])
		}
		return nil
	}
}

// stackTransposed is a stack [experts, n, k] that transformers has as [experts, k, n]; biases are as they are.
func stackTransposed(t *translation, src *Tensor, name, suffix string) {
	if suffix == "bias" {
		t.add(src, name+"_bias", part{})
		return
	}
	if len(src.Shape) != 3 {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has shape %v, want a stack of matrices", src.Name, src.Shape))
		return
	}
	n, size := src.Shape[1], max(src.Shape[1]*src.Shape[2], 1)
	t.add(src, name, part{shape: []int{src.Shape[0], src.Shape[2], n}, transposed: true, row: func(r int) int { return r/size*n + r%size }})
}

// latentHeads reads the parts of a head of multi-head latent attention. Newer files have, beside the sizes of what the caches hold, those of the heads
// under names of their own; older ones have the heads' under the plain names.
func latentHeads(t *translation) {
	c := t.config
	key, ok := t.count("attention.key_length_mla")
	value, ok2 := t.count("attention.value_length_mla")
	if !ok || !ok2 {
		key, ok = t.count("attention.key_length")
		value, ok2 = t.count("attention.value_length")
	}
	rotated, ok3 := t.count("rope.dimension_count")
	if !ok || !ok2 || !ok3 || rotated < 1 || key <= rotated || value < 1 {
		t.wrong = append(t.wrong, fmt.Sprintf("keys of %d, values of %d and %d rotated elements are no heads of latent attention", key, value, rotated))
		return
	}
	c["qk_rope_head_dim"], c["qk_nope_head_dim"], c["v_head_dim"] = rotated, key-rotated, value
	c["q_lora_rank"] = nil
	t.takeCount("q_lora_rank", "attention.q_lora_rank")
	t.takeCount("kv_lora_rank", "attention.kv_lora_rank")
	delete(c, "num_key_value_heads")
}

// latentUp joins what newer files have in two: for each head, k_b [rank, plain], which is turned back, and v_b [value, rank].
func latentUp(t *translation, src *Tensor, name, suffix string) {
	v := t.partner(src, suffix, map[string]string{"attn_k_b": "attn_v_b"})
	heads, plain, value, rank := t.configCount("num_attention_heads", 0), t.configCount("qk_nope_head_dim", 0), t.configCount("v_head_dim", 0), t.configCount("kv_lora_rank", 0)
	if v == nil || !sameShape(src.Shape, heads, rank, plain) || !sameShape(v.Shape, heads, value, rank) || heads*plain*value*rank == 0 {
		t.wrong = append(t.wrong, fmt.Sprintf("tensor %s has shape %v, want %d heads of %d x %d, and beside it %d x %d", src.Name, src.Shape, heads, rank, plain, value, rank))
		return
	}
	keys, values := elementsByName[src.Type], elementsByName[v.Type]
	if keys.decode == nil && keys.plain == 0 || values.decode == nil && values.plain == 0 {
		t.gap("tensor "+src.Name, src.Type+" and "+v.Type, "")
		return
	}
	out := t.add(src, name+"."+suffix, part{shape: []int{heads * (plain + value), rank}})
	out.DType = floatType
	k := &widened{t: t, src: src, e: keys}
	w := &widened{t: t, src: v, e: values}
	out.Read = func(dst []byte, first int) error {
		for i := 0; i < len(dst)/(4*rank); i++ {
			row := dst[i*4*rank : (i+1)*4*rank]
			head, r := (first+i)/(plain+value), (first+i)%(plain+value)
			if head >= heads {
				return nil
			}
			if r >= plain {
				w.rows(head, value, rank).copyRow(row, r-plain)
			} else {
				k.rows(head, rank, plain).copyColumn(row, r)
			}
		}
		return nil
	}
}

func sameShape(shape []int, want ...int) bool {
	if len(shape) != len(want) {
		return false
	}
	for i, n := range want {
		if shape[i] != n {
			return false
		}
	}
	return true
}

// configureDeepSeek tells the version by how the router scores.
func configureDeepSeek(t *translation) {
	c := t.config
	t.experts("n_routed_experts")
	t.takeCount("n_shared_experts", "expert_shared_count")
	t.takeCount("first_k_dense_replace", "leading_dense_block_count")
	t.takeNumber("routed_scaling_factor", "expert_weights_scale")
	t.takeCount("n_group", "expert_group_count")
	t.takeCount("topk_group", "expert_group_used_count")
	c["norm_topk_prob"] = false
	t.takeFlag("norm_topk_prob", "expert_weights_norm")
	const softmax, sigmoid = 1, 2
	switch kind, ok := t.count("expert_gating_func"); {
	case kind == sigmoid:
		c["model_type"], c["architectures"] = "deepseek_v3", []string{"DeepseekV3ForCausalLM"}
	case ok && kind != softmax:
		t.gap("metadata "+t.key("expert_gating_func"), fmt.Sprintf("scores of kind %d", kind), "known are 1, softmax, and 2, sigmoid")
	case c["norm_topk_prob"] == true:
		t.gap("metadata "+t.key("expert_weights_norm"), "normalized weights of a softmax", "")
	default:
		if t.configCount("n_group", 1) > 1 {
			c["topk_method"] = "group_limited_greedy"
		}
	}
	if s, ok := c["rope_scaling"].(map[string]any); ok {
		if m, ok := t.number("rope.scaling.yarn_log_multiplier"); ok && m != 0 {
			s["mscale"], s["mscale_all_dim"] = 10*m, 10*m
		}
	}
}
