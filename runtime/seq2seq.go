package runtime

import (
	"context"
	"fmt"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The inputs of an encoder-decoder's graph beside those of a language model; see docs/decisions/0006.
const (
	decoderInputIDs = "decoder_input_ids" // I64 [batch, seq]
	sourceLen       = "source_len"        // I64 [batch]: the tokens of input_ids that are no padding
)

// Seq2Seq runs an encoder-decoder: Encode takes a source in, and the LM that it holds then decodes token by token with its
// caches, from the model's start tokens on. It is not safe for concurrent use.
type Seq2Seq struct {
	*LM
	encoder *Session
	model   *model.Model
	length  []int64 // of the source, as the decoder reads it
}

// NewSeq2Seq prepares an encoder-decoder. Its graph is cut in two: what the states that depend on the encoder's inputs alone need, and the
// rest, which reads those states as they were left.
func NewSeq2Seq(m *model.Model, o Options) (*Seq2Seq, error) {
	if m.Meta.LM == nil || m.Meta.Task != model.TaskSeq2Seq {
		return nil, &fault.Usage{What: "the model is no encoder-decoder"}
	}
	if err := checkGraph(m.Graph); err != nil {
		return nil, err
	}
	after := m.Graph.Following(decoderInputIDs, pastLen, logitsIndex)
	var sourceStates, ownStates []model.State
	left := map[string]string{}
	for _, s := range m.Graph.States {
		if after[s.Output] {
			ownStates = append(ownStates, s)
		} else {
			sourceStates = append(sourceStates, s)
			left[s.Output] = s.Input.Name
		}
	}
	var sourceOutputs, ownOutputs []model.Value
	for _, v := range m.Graph.Outputs {
		if after[v.Name] {
			ownOutputs = append(ownOutputs, v)
		} else {
			sourceOutputs = append(sourceOutputs, v)
		}
	}
	s := &Seq2Seq{model: m, length: make([]int64, 1)}
	half := *m
	half.Graph = m.Graph.Part(sourceOutputs, sourceStates, nil)
	var err error
	if s.encoder, err = NewSession(&half, o); err != nil {
		return nil, err
	}
	decoder := *m
	decoder.Graph = m.Graph.Part(ownOutputs, ownStates, left)
	if s.LM, err = newLM(&decoder, o, decoderInputIDs, map[string]*tensor.Tensor{sourceLen: tensor.FromSlice(s.length, 1)}, s.encoder.states); err != nil {
		s.encoder.Close()
		return nil, err
	}
	return s, nil
}

// Close ends both sessions.
func (s *Seq2Seq) Close() {
	s.LM.Close()
	s.encoder.Close()
}

// EncodeTokens takes a text in; see Encode.
func (s *Seq2Seq) EncodeTokens(ctx context.Context, tokens []int32) ([]*tensor.Tensor, error) {
	if len(tokens) == 0 {
		return nil, &fault.Usage{What: "there is no text to encode"}
	}
	if n := s.encoder.ctx; len(tokens) > n {
		return nil, &fault.Usage{What: fmt.Sprintf("a text of %d tokens does not fit the context of %d", len(tokens), n)}
	}
	ids := make([]int64, len(tokens))
	for i, t := range tokens {
		if t < 0 || int(t) >= s.vocab {
			return nil, &fault.Usage{What: fmt.Sprintf("token %d is outside the vocabulary of %d", t, s.vocab)}
		}
		ids[i] = int64(t)
	}
	return s.Encode(ctx, map[string]*tensor.Tensor{
		inputIDs:  tensor.FromSlice(ids, 1, len(ids)),
		sourceLen: tensor.FromSlice([]int64{int64(len(ids))}, 1),
	})
}

// Encode takes a source in, one at a time, as the encoder's inputs by name, and forgets what was decoded. It returns the outputs that depend on
// the source alone, valid until the next call.
func (s *Seq2Seq) Encode(ctx context.Context, in map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	for name, t := range in {
		if len(t.Shape) > 0 && t.Shape[0] != 1 {
			return nil, &fault.Usage{What: fmt.Sprintf("input %q holds %d sources; they are taken one at a time", name, t.Shape[0])}
		}
	}
	out, err := s.encoder.Run(ctx, in)
	if err != nil {
		return nil, err
	}
	if t := in[sourceLen]; t != nil {
		s.length[0] = t.I64()[0]
	}
	s.Rewind(0)
	return out, nil
}

// SourceInputs returns the inputs that Encode takes.
func (s *Seq2Seq) SourceInputs() []model.Value { return s.encoder.model.Graph.Inputs }

// SourceOutputs returns the outputs that Encode gives.
func (s *Seq2Seq) SourceOutputs() []model.Value { return s.encoder.model.Graph.Outputs }

// Start returns the tokens that decoding begins with.
func (s *Seq2Seq) Start() []int32 {
	var ids []int32
	for _, id := range s.model.Meta.LM.Start {
		ids = append(ids, int32(id))
	}
	return ids
}
