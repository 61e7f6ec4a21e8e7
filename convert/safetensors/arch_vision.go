package safetensors

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var (
	_ = registerVision("vit", "ViT", "ViT, DeiT without distillation", readViT, classModel, classImage)
	_ = registerVision("dinov2", "Dinov2", "DINOv2", readDINOv2, classModel, classImage)
	_ = registerVision("clip_vision_model", "CLIPVision", "CLIP's images", readCLIPVision, classModel, classProjected)
)

// The ends of the names of classes of images.
const (
	classImage     = "ForImageClassification"
	classProjected = "ModelWithProjection"
)

const (
	pixelValues = "pixel_values" // F32 [batch, channels, size, size]
	imageEmbeds = "image_embeds" // F32 [batch, projection]
)

// imageEncoder describes a vision transformer (Dosovitskiy et al. 2021): an image is cut into patches, each of which becomes a token
// behind a learned first one. Its graph takes pixel_values of one size.
type imageEncoder struct {
	stack
	size, patch, channels     int
	patches, first, positions string // names behind base: of the patches' product, the first token and the positions
	batched                   bool   // first is stored as [1, 1, width], positions as [1, rows, width]; else without the axes of 1
	biasless                  bool   // the patches' product has no bias
	inputNorm, finalNorm      string // "": none
	outputs                   func(hidden string)
}

func registerVision(modelType, prefix, models string, read func(b *builder, end string) *imageEncoder, ends ...string) struct{} {
	for _, end := range ends {
		register(architecture{modelType: modelType, class: prefix + end, name: modelType, models: models, build: func(b *builder) int {
			return read(b, end).build(b)
		}})
	}
	return struct{}{}
}

func (v *imageEncoder) build(b *builder) int {
	c := b.config
	b.task = model.TaskGraph
	if v.size%v.patch != 0 || v.size/v.patch > maxPatches {
		c.wrong = append(c.wrong, fmt.Sprintf("an image of %d pixels a side is not cut into up to %d patches of %d", v.size, maxPatches, v.patch))
	}
	if v.channels > maxChannels || v.patch > maxPatches {
		c.wrong = append(c.wrong, fmt.Sprintf("patches of %d pixels a side and %d channels are above the limits of %d and %d", v.patch, v.channels, maxPatches, maxChannels))
	}
	side := v.size / v.patch
	v.context = side*side + 1
	if !v.sound(b) {
		return 0
	}
	v.rebase(b, v.patches+".weight")
	v.attend, v.attention.allKeys = b.uncached, true
	hidden := v.embed(b, side)
	if v.inputNorm != "" {
		hidden = b.norm("input_norm", hidden, v.base+v.inputNorm, v.width, v.norm)
	}
	hidden = v.addLayers(b, hidden)
	if v.finalNorm != "" {
		hidden = b.norm("final_norm", hidden, v.base+v.finalNorm, v.width, v.norm)
	}
	v.outputs(hidden)
	return v.context
}

// maxPatches caps the patches along a side of an image, and the pixels along a side of a patch; maxChannels its channels.
const (
	maxPatches  = 1024
	maxChannels = 64
)

// embed adds the tokens of an image: the first, and one a patch in rows from the top left.
func (v *imageEncoder) embed(b *builder, side int) string {
	b.input(pixelValues, tensor.F32, dimBatch, model.Known(v.channels), model.Known(v.size), model.Known(v.size))
	n, p, ch := int64(side), int64(v.patch), int64(v.channels)
	x := b.onnx("Reshape", "patches.cut", nil, pixelValues, b.ints(0, ch, n, p, n, p))
	x = b.onnx("Transpose", "patches.apart", model.Attrs{"perm": model.IntsAttr(0, 2, 4, 1, 3, 5)}, x)
	x = b.onnx("Reshape", "patches", nil, x, b.ints(0, n*n, ch*p*p))
	// A convolution with the stride of its kernel is a product of each patch; the weight [width, channels, patch, patch] is its matrix.
	name := v.base + v.patches
	pixels := v.channels * v.patch * v.patch
	weight := view{shape: []int{v.width, v.channels, v.patch, v.patch}, n: v.width, k: pixels, row: func(r int) int { return r * pixels }, step: 1}
	in := []string{x, b.matrixView(name+".weight.flat", name+".weight", weight)}
	if !v.biasless {
		in = append(in, b.vector(name+".bias", v.width))
	}
	x = b.product("patch_embedding", model.ActNone, in...)
	firstShape, tableShape := []int{v.width}, []int{v.context, v.width}
	if v.batched {
		firstShape, tableShape = []int{1, 1, v.width}, []int{1, v.context, v.width}
	}
	first := b.table(v.base+v.first, 1, v.width, firstShape...)
	batch := b.onnx("Shape", "batch_size", model.Attrs{"start": model.IntAttr(0), "end": model.IntAttr(1)}, pixelValues)
	shape := b.onnx("Concat", "first_token.shape", model.Attrs{"axis": model.IntAttr(0)}, batch, b.ints(1, int64(v.width)))
	first = b.onnx("Expand", "first_token", nil, first, shape)
	x = b.onnx("Concat", "embedding", model.Attrs{"axis": model.IntAttr(1)}, first, x)
	return b.onnx("Add", "embedding_placed", nil, x, b.table(v.base+v.positions, v.context, v.width, tableShape...))
}

// table adds the checkpoint's tensor of the shape as F32 [rows, width].
func (b *builder) table(name string, rows, width int, shape ...int) string {
	w, ok := b.weight(name, shape...)
	if !ok {
		return name
	}
	t, err := w.vector()
	if err != nil {
		if b.failed == nil {
			b.failed = err
		}
		return name
	}
	b.params += int64(rows) * int64(width)
	return b.constant(name, &tensor.Tensor{DType: tensor.F32, Shape: []int{rows, width}, Data: t.Data})
}

// readViT reads ViT (Dosovitskiy et al. 2021).
func readViT(b *builder, end string) *imageEncoder {
	return readViTWith(b, end, b.config.count("intermediate_size"))
}

// readViTWith reads a ViT whose MLPs are inner wide.
func readViTWith(b *builder, end string, inner int) *imageEncoder {
	c := b.config
	number := c.count("num_attention_heads")
	v := &imageEncoder{
		stack: stack{
			width: c.count("hidden_size"), layers: c.count("num_hidden_layers"), base: "vit.", layer: "encoder.layer.%d.",
			preAttention: "layernorm_before", preMLP: "layernorm_after", norm: norm{kind: layerNorm, bias: true, eps: c.positive("layer_norm_eps", 1e-12)},
		},
		size: c.countOr("image_size", 224), patch: c.countOr("patch_size", 16), channels: c.countOr("num_channels", 3),
		patches: "embeddings.patch_embeddings.projection", first: "embeddings.cls_token", positions: "embeddings.position_embeddings", batched: true,
		finalNorm: "layernorm",
	}
	v.attention = attention{prefix: "attention", heads: number, kvHeads: number, headDim: c.headSize(v.width, number),
		q: "attention.query", k: "attention.key", v: "attention.value", o: "output.dense", biasQKV: c.flag("qkv_bias", true), biasO: true}
	act := b.activation("hidden_act", "gelu")
	v.plain(b, "intermediate.dense", "output.dense", inner, true, act)
	v.outputs = func(hidden string) {
		if end == classImage {
			b.imageClasses(b.tokenAt("first", hidden, 0), v.width)
			return
		}
		b.outputAs(lastHiddenState, hidden, dimBatch, model.Known(v.context), model.Known(v.width))
		if pooler := v.base + "pooler.dense"; b.has(pooler + ".weight") {
			size := c.countOr("pooler_output_size", v.width)
			b.linear(poolerOutput, b.tokenAt("first", hidden, 0), pooler, size, v.width, true, b.activation("pooler_act", "tanh"))
			b.output(poolerOutput, tensor.F32, dimBatch, model.Known(size))
		}
	}
	return v
}

// imageClasses adds the classes of an image.
func (b *builder) imageClasses(x string, width int) {
	b.task, b.labels = model.TaskClassify, b.config.labels()
	b.linear(logits, x, "classifier", len(b.labels), width, true, model.ActNone)
	b.output(logits, tensor.F32, dimBatch, model.Known(len(b.labels)))
}

// outputAs makes a value an output of the graph under another name.
func (b *builder) outputAs(name, value string, shape ...model.Dim) {
	b.onnx("Identity", name, nil, value)
	b.output(name, tensor.F32, shape...)
}

// readDINOv2 reads DINOv2 (Oquab et al. 2023): ViT with factors behind attention and MLP. Its graph takes images of image_size, the size
// that the positions were trained for; transformers would interpolate them for others.
func readDINOv2(b *builder, end string) *imageEncoder {
	c := b.config
	v := readViTWith(b, end, c.countOr("hidden_size", 768)*c.countOr("mlp_ratio", 4))
	v.base, v.preAttention, v.preMLP, v.attentionScale, v.mlpScale = "dinov2.", "norm1", "norm2", "layer_scale1.lambda1", "layer_scale2.lambda1"
	v.norm.eps = c.positive("layer_norm_eps", 1e-6)
	inner := v.width * c.countOr("mlp_ratio", 4)
	if c.flag("use_swiglu_ffn", false) {
		inner = (inner*2/3 + 7) / 8 * 8
		v.gatedFused(b, "mlp.weights_in", "mlp.weights_out", inner, true, model.ActSwish)
	} else {
		v.plain(b, "mlp.fc1", "mlp.fc2", inner, true, b.activation("hidden_act", "gelu"))
	}
	delete(b.weights.unused, "embeddings.mask_token") // of training
	delete(b.weights.unused, "dinov2.embeddings.mask_token")
	v.outputs = func(hidden string) {
		first := b.tokenAt("first", hidden, 0)
		if end == classModel {
			b.outputAs(lastHiddenState, hidden, dimBatch, model.Known(v.context), model.Known(v.width))
			b.outputAs(poolerOutput, first, dimBatch, model.Known(v.width))
			return
		}
		rest := b.onnx("Slice", "patch_tokens", nil, hidden, b.ints(1), b.ints(int64(v.context)), b.ints(1))
		mean := b.onnx("ReduceMean", "patch_mean", model.Attrs{"keepdims": model.IntAttr(0)}, rest, b.ints(1))
		b.imageClasses(b.onnx("Concat", "first_and_mean", model.Attrs{"axis": model.IntAttr(-1)}, first, mean), 2*v.width)
	}
	return v
}

// readCLIPVision reads the images' half of CLIP (Radford et al. 2021).
func readCLIPVision(b *builder, end string) *imageEncoder {
	c := b.config
	number := c.countOr("num_attention_heads", 12)
	v := &imageEncoder{
		stack: stack{
			width: c.countOr("hidden_size", 768), layers: c.countOr("num_hidden_layers", 12), base: "vision_model.", layer: "encoder.layers.%d.",
			preAttention: "layer_norm1", preMLP: "layer_norm2", norm: norm{kind: layerNorm, bias: true, eps: c.positive("layer_norm_eps", 1e-5)},
		},
		size: c.countOr("image_size", 224), patch: c.countOr("patch_size", 32), channels: c.countOr("num_channels", 3),
		patches: "embeddings.patch_embedding", first: "embeddings.class_embedding", positions: "embeddings.position_embedding.weight",
		biasless: true, inputNorm: "pre_layrnorm", // as it is written in checkpoints
	}
	v.attention = attention{prefix: "self_attn", heads: number, kvHeads: number, headDim: c.headSize(v.width, number), o: "out_proj", biasQKV: true, biasO: true}
	act := b.activation("hidden_act", "quick_gelu")
	v.plain(b, "mlp.fc1", "mlp.fc2", c.countOr("intermediate_size", 3072), true, act)
	v.outputs = func(hidden string) {
		b.outputAs(lastHiddenState, hidden, dimBatch, model.Known(v.context), model.Known(v.width))
		pooled := b.norm("pooled", b.tokenAt("first", hidden, 0), v.base+"post_layernorm", v.width, v.norm)
		if end == classModel {
			b.outputAs(poolerOutput, pooled, dimBatch, model.Known(v.width))
			return
		}
		size := c.countOr("projection_dim", 512)
		b.linear(imageEmbeds, pooled, "visual_projection", size, v.width, false, model.ActNone)
		b.output(imageEmbeds, tensor.F32, dimBatch, model.Known(size))
	}
	return v
}
