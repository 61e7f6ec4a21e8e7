package safetensors

import "github.com/dsk-toolkit/dsk/tensor"

var (
	_ = register(architecture{modelType: "cohere", class: "CohereForCausalLM", name: "cohere", build: buildCohere,
		models: "Command R, Command R+, Aya"})
	_ = register(architecture{modelType: "cohere2", class: "Cohere2ForCausalLM", name: "cohere2", build: buildCohere2,
		models: "Command R7B, Command A"})
)

// readCohere reads what the two have in common: parallel layers with one norm without bias, interleaved rotation, scaled
// logits of a tied head.
func readCohere(b *builder) (d *decoder, inner int, act string) {
	c := b.config
	d, inner, act = readDecoder(b, llamaDefaults{context: 8192, epsKey: "layer_norm_eps", eps: 1e-5, tied: true})
	d.norm.kind = layerNorm
	d.preMLP, d.parallel = "", true
	d.attention.rope.interleaved = true
	d.logitScale = c.positive("logit_scale", 0.0625)
	bias := c.flag("attention_bias", false)
	d.attention.biasQKV, d.attention.biasO = bias, bias
	return d, inner, act
}

// buildCohere lowers CohereForCausalLM (Command R; Cohere 2024).
func buildCohere(b *builder) int {
	d, inner, act := readCohere(b)
	if b.config.flag("use_qk_norm", false) {
		d.attention.normalize = b.normEachHead("q_norm", "k_norm", d.norm, func(prefix string, heads, headDim int) string {
			return b.matrixF32(prefix+".weight", heads, headDim)
		})
	}
	d.gated(b, inner, false, act)
	return d.build(b)
}

// buildCohere2 lowers Cohere2ForCausalLM (Command R7B; Cohere 2024): layers with a sliding window are rotated, the others
// are not.
func buildCohere2(b *builder) int {
	c := b.config
	d, inner, act := readCohere(b)
	window := c.window("sliding_window", 4096)
	pattern := c.countOr("sliding_window_pattern", c.countOr("_sliding_window_pattern", 4))
	sliding := d.sliding(b, func(i int) bool { return (i+1)%pattern != 0 })
	d.byLayer = func(i int, a *attention) {
		if window > 0 && sliding(i) {
			a.window = window
		} else {
			a.rope = nil
		}
	}
	d.gated(b, inner, false, act)
	return d.build(b)
}

// matrixF32 adds a small matrix [n, k] of the checkpoint as F32.
func (b *builder) matrixF32(name string, n, k int) string {
	if w, ok := b.weight(name, n, k); ok {
		t, err := w.vector()
		if err != nil {
			if b.failed == nil {
				b.failed = err
			}
			return name
		}
		b.params += int64(n) * int64(k)
		b.graph.Init[name] = t
	}
	return name
}

// stacked adds vectors [k] of the checkpoint as the rows of a matrix, F32.
func (b *builder) stacked(name string, rows []string, k int) string {
	out := tensor.New(tensor.F32, len(rows), k)
	for i, r := range rows {
		if w, ok := b.weight(r, k); ok {
			t, err := w.vector()
			if err != nil {
				if b.failed == nil {
					b.failed = err
				}
				return name
			}
			copy(out.F32()[i*k:], t.F32())
			b.params += int64(k)
		}
	}
	return b.constant(name, out)
}
