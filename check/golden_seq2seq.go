package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// runSeq2Seq compares an encoder-decoder source by source, without padding: what the encoder gives, the logits over
// the given tokens, and the greedy tokens after the start token.
func (g *golden) runSeq2Seq(ctx context.Context, m *model.Model, o Options) (string, error) {
	if len(g.DecoderInputIDs) == 0 {
		return "", fault.Formatf("golden.json", "decoder_input_ids is missing")
	}
	s, err := runtime.NewSeq2Seq(m, runtime.Options{Threads: o.Threads})
	if err != nil {
		return "", err
	}
	defer s.Close()
	c, hidden := g.comparison(), g.comparison()
	for row, ids := range g.DecoderInputIDs {
		out, err := g.encode(ctx, s, row)
		if err != nil {
			return "", err
		}
		for i, v := range s.SourceOutputs() {
			want, ok := g.Extra[v.Name]
			if !ok {
				continue
			}
			if len(want.Shape) != 3 || want.Shape[0] != len(g.DecoderInputIDs) || len(out[i].F32()) > want.Shape[1]*want.Shape[2] {
				return "", fmt.Errorf("%s has the shape %v for each source, want %v for all", v.Name, out[i].Shape, want.Shape)
			}
			hidden.at = row * want.Shape[1] * want.Shape[2]
			if err := hidden.part(&want, out[i].F32()); err != nil {
				return "", err
			}
		}
		logits, err := s.All(ctx, ids)
		if err != nil {
			return "", err
		}
		if err := c.part(&g.Output, logits); err != nil {
			return "", err
		}
		if row >= len(g.Greedy) {
			continue
		}
		s.Rewind(0)
		if logits, err = s.Next(ctx, s.Start()); err != nil {
			return "", err
		}
		if err := greedy(ctx, s.Next, logits, g.Greedy[row]); err != nil {
			return "", err
		}
	}
	c.worst = max(c.worst, hidden.worst)
	return c.report("logits and encoder", len(g.Greedy) > 0, &g.Output)
}

// encode takes in source number row: its tokens less the padding behind them, or its features.
func (g *golden) encode(ctx context.Context, s *runtime.Seq2Seq, row int) ([]*tensor.Tensor, error) {
	if len(g.InputIDs) > 0 {
		if row >= len(g.InputIDs) {
			return nil, fault.Formatf("golden.json", "there is no source for row %d", row)
		}
		ids := g.InputIDs[row]
		if row < len(g.AttentionMask) {
			if end := slices.Index(g.AttentionMask[row], 0); end >= 0 && end <= len(ids) {
				ids = ids[:end]
			}
		}
		return s.EncodeTokens(ctx, ids)
	}
	given, err := g.inputs()
	if err != nil {
		return nil, err
	}
	in := map[string]*tensor.Tensor{}
	for _, v := range s.SourceInputs() {
		all := given[v.Name]
		if all == nil || row >= all.Shape[0] {
			return nil, fmt.Errorf("golden.json has no %s for source %d", v.Name, row)
		}
		n := all.Len() / all.Shape[0]
		in[v.Name] = tensor.FromSlice(all.F32()[row*n:(row+1)*n], append([]int{1}, all.Shape[1:]...)...)
	}
	return s.Encode(ctx, in)
}
