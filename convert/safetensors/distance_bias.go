package safetensors

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// distanceBias is a learned bias of the scores by the distance between query and key (T5; Raffel et al. 2020). Distances fall
// into buckets: near ones have their own, the others share them by the logarithm of the distance, up to most.
type distanceBias struct {
	buckets, most int
	heads         int
	bothSides     bool // keys behind the query have half of the buckets; else they are taken for distance 0
}

// bucket returns the bucket of the distance key - query. It computes in F32, as transformers does.
func (d distanceBias) bucket(distance int) int {
	n, buckets, first := -distance, d.buckets, 0
	if d.bothSides {
		buckets /= 2
		if n < 0 {
			n, first = -n, buckets
		}
	}
	exact := buckets / 2
	switch {
	case n <= 0:
		return first
	case n < exact:
		return first + n
	}
	share := float32(ln(float64(float32(n)/float32(exact)))) / float32(ln(float64(d.most)/float64(exact)))
	return first + min(exact+int(float32(share*float32(buckets-exact))), buckets-1)
}

// fits notes what is wrong with the numbers of the config.
func (d distanceBias) fits(c *config) bool {
	if d.buckets < 4 || d.buckets > 1<<16 || d.buckets%2 != 0 || d.most <= d.buckets/2 || d.most > 1<<20 {
		c.wrong = append(c.wrong, "relative_attention_num_buckets and relative_attention_max_distance do not go together")
		return false
	}
	return true
}

// add adds the bias of the distances [queries, keys], or [batch, queries, keys] if batched: F32 [heads, queries, keys] for
// each; table is the checkpoint's [buckets, heads].
func (d distanceBias) add(b *builder, out, table, distances string, batched bool) string {
	if !d.fits(b.config) {
		return out
	}
	// All distances from most on fall into one bucket.
	bucketOf := make([]int64, 2*d.most+1)
	for i := range bucketOf {
		bucketOf[i] = int64(d.bucket(i - d.most))
	}
	ids := b.constant(out+".buckets", tensor.FromSlice(bucketOf, len(bucketOf)))
	byDistance := b.embed(out+".by_distance", ids, table, d.buckets, d.heads)
	limit := func(v int) string {
		name := out + ".least"
		if v > 0 {
			name = out + ".most"
		}
		return b.constant(name, tensor.FromSlice([]int64{int64(v)}, scalarShape...))
	}
	at := b.onnx("Clip", out+".clipped", nil, distances, limit(-d.most), limit(d.most))
	at = b.onnx("Add", out+".rows", nil, at, limit(d.most))
	x := b.onnx("Gather", out+".gathered", model.Attrs{"axis": model.IntAttr(0)}, byDistance, at)
	perm := model.IntsAttr(2, 0, 1)
	if batched {
		perm = model.IntsAttr(0, 3, 1, 2)
	}
	return b.onnx("Transpose", out, model.Attrs{"perm": perm}, x)
}
