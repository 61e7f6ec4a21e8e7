package gguf

import "maps"

// architecture says how ggml's names of one family of models become those of transformers.
type architecture struct {
	name             string // general.architecture
	modelType, class string // of the config.json
	// top and block give the names of transformers, without .weight and .bias, for tensors outside of the layers and in them;
	// layer, with the layer's number, comes before the latter.
	top   map[string]string
	layer string
	block map[string]string
	// place says how tensors of layers are placed that are not simply renamed.
	place map[string]placement
	// heads reads the sizes of heads, if not as plainHeads does.
	heads func(t *translation)
	// configure adds to the config what only this family has.
	configure func(t *translation)
}

var architectures []architecture

func register(list ...architecture) struct{} {
	architectures = append(architectures, list...)
	return struct{}{}
}

// with returns a copy of names with others added; pairs are a name of ggml and one of transformers, which is "" to take the name out.
func with(names map[string]string, pairs ...string) map[string]string {
	out := maps.Clone(names)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(out, pairs[i])
		} else {
			out[pairs[i]] = pairs[i+1]
		}
	}
	return out
}

// The names of llama and its relatives.
var (
	llamaTop   = map[string]string{"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
	llamaLayer = "model.layers.%d."
	llamaBlock = map[string]string{
		"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
		"attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
		"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
	}
	normedBlock = with(llamaBlock, "attn_q_norm", "self_attn.q_norm", "attn_k_norm", "self_attn.k_norm")
	// llamaPlace: see turned.
	llamaPlace = map[string]placement{"attn_q": turned("num_attention_heads"), "attn_k": turned("num_key_value_heads")}
)

// relative is an architecture with llama's names.
func relative(name, modelType, class string, block map[string]string, place map[string]placement, configure func(t *translation)) architecture {
	return architecture{name: name, modelType: modelType, class: class, top: llamaTop, layer: llamaLayer, block: block, place: place, configure: configure}
}

// mixture returns a block's names and placements for experts under prefix, whose parts have the given names, and a router.
func mixture(block map[string]string, place map[string]placement, prefix, router, gate, up, down string) (map[string]string, map[string]placement) {
	p := maps.Clone(place)
	if p == nil {
		p = map[string]placement{}
	}
	for _, part := range []string{"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"} {
		p[part] = experts
	}
	return with(block, "ffn_gate_inp", router, "ffn_gate_exps", prefix+".%d."+gate, "ffn_up_exps", prefix+".%d."+up, "ffn_down_exps", prefix+".%d."+down), p
}
