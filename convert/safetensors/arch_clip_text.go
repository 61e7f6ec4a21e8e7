package safetensors

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var (
	_ = registerCLIPText(classModel)
	_ = registerCLIPText(classProjected)
)

const textEmbeds = "text_embeds" // F32 [batch, projection]

func registerCLIPText(end string) struct{} {
	return register(architecture{modelType: "clip_text_model", class: "CLIPText" + end, name: "clip_text_model", models: "CLIP's texts",
		build: func(b *builder) int { return buildCLIPText(b, end) }})
}

// buildCLIPText lowers the texts' half of CLIP (Radford et al. 2021): tokens see those before them, so that padding behind the text needs no
// mask, and the token that ends it stands for it. The graph takes input_ids alone.
func buildCLIPText(b *builder, end string) int {
	c := b.config
	b.task = model.TaskGraph
	number := c.countOr("num_attention_heads", 8)
	s := &stack{
		width: c.countOr("hidden_size", 512), layers: c.countOr("num_hidden_layers", 12), context: c.countOr("max_position_embeddings", 77),
		base: "text_model.", layer: "encoder.layers.%d.", preAttention: "layer_norm1", preMLP: "layer_norm2",
		norm: norm{kind: layerNorm, bias: true, eps: c.positive("layer_norm_eps", 1e-5)}, attend: b.uncached,
	}
	vocab := c.countOr("vocab_size", 49408)
	s.attention = attention{prefix: "self_attn", heads: number, kvHeads: number, headDim: c.headSize(s.width, number), o: "out_proj", biasQKV: true, biasO: true}
	s.plain(b, "mlp.fc1", "mlp.fc2", c.countOr("intermediate_size", 2048), true, b.activation("hidden_act", "quick_gelu"))
	if !s.sound(b) {
		return 0
	}
	b.input(inputIDs, tensor.I64, dimBatch, dimSeq)
	b.positionsInOrder("")
	x := b.embed("embedding", inputIDs, s.base+"embeddings.token_embedding.weight", vocab, s.width)
	x = b.onnx("Add", "embedding_placed", nil, x, b.embed("position_embedding", positionIDs, s.base+"embeddings.position_embedding.weight", s.context, s.width))
	x = b.norm("final_norm", s.addLayers(b, x), s.base+"final_layer_norm", s.width, s.norm)
	b.outputAs(lastHiddenState, x, dimBatch, dimSeq, model.Known(s.width))
	pooled := b.onnx("GatherND", "pooled", model.Attrs{"batch_dims": model.IntAttr(1)}, x, b.endOfText(c))
	if end == classModel {
		b.outputAs(poolerOutput, pooled, dimBatch, model.Known(s.width))
		return s.context
	}
	size := c.countOr("projection_dim", 512)
	b.linear(textEmbeds, pooled, "text_projection", size, s.width, false, model.ActNone)
	b.output(textEmbeds, tensor.F32, dimBatch, model.Known(size))
	return s.context
}

// endOfText is the place of the first token that ends a text: I64 [batch, 1]. Where the config says 2, as the first releases did by
// mistake, it is the token with the highest id.
func (b *builder) endOfText(c *config) string {
	ids := inputIDs
	if eos := int64(c.number("eos_token_id", 49407)); eos != 2 {
		end := b.constant("end_token", tensor.FromSlice([]int64{eos}, scalarShape...))
		ids = b.onnx("Equal", "is_end", nil, inputIDs, end)
		ids = b.onnx("Cast", "is_end_i64", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.I64))}, ids)
	}
	return b.onnx("ArgMax", "end_place", model.Attrs{"axis": model.IntAttr(1), "keepdims": model.IntAttr(1)}, ids)
}
