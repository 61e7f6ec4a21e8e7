package runtime

import (
	"math"
	"slices"
)

// TokenScore is a token and the natural logarithm of its probability.
type TokenScore struct {
	ID      int32
	Logprob float64
}

// TokenScores are the model's own opinion of a place in the output, before penalties, temperature and constraints: the token that was
// chosen, and the likeliest ones, most likely first.
type TokenScores struct {
	TokenScore
	Top []TokenScore
}

// scorer keeps a place's logits, which a constraint may change.
type scorer struct {
	logits []float32
	norm   float64 // log of the sum of the logits' exponentials
}

func newScorer(logits []float32) *scorer {
	s := &scorer{logits: slices.Clone(logits)}
	best := float64(slices.Max(logits))
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v) - best)
	}
	s.norm = best + math.Log(sum)
	return s
}

func (s *scorer) of(id int32, top int) TokenScores {
	score := func(id int32) TokenScore { return TokenScore{id, float64(s.logits[id]) - s.norm} }
	out := TokenScores{TokenScore: score(id)}
	if top = min(top, len(s.logits)); top == 0 {
		return out
	}
	all := make([]candidate, len(s.logits))
	for i, v := range s.logits {
		all[i] = candidate{int32(i), v}
	}
	selectTop(all, top)
	slices.SortFunc(all[:top], byLogit)
	for _, c := range all[:top] {
		out.Top = append(out.Top, score(c.id))
	}
	return out
}
