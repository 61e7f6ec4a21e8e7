package onnx

import (
	"fmt"
	"sort"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// advice names the known way around for operators that have one.
var advice = map[string]string{
	"SequenceConstruct":  "export without sequences: use Concat or Stack on tensors",
	"SplitToSequence":    "export without sequences: use Split",
	"SequenceAt":         "export without sequences: use Gather",
	"ConcatFromSequence": "export without sequences: use Concat",
	"StringNormalizer":   "do the text processing before the model",
	"TfIdfVectorizer":    "do the text processing before the model",
	"RegexFullMatch":     "do the text processing before the model",
	"ImageDecoder":       "decode the image before the model",
	"RandomNormal":       "give the noise as an input",
	"RandomUniform":      "give the noise as an input",
	"RandomNormalLike":   "give the noise as an input",
	"RandomUniformLike":  "give the noise as an input",
	"Multinomial":        "sample from the scores outside of the model",
	"Bernoulli":          "give the noise as an input",
	"ATen":               "export with operator_export_type=ONNX",
}

// hint says what is nearest to an operator that is not supported.
func (im *importer) hint(domain, op string) string {
	if h := advice[op]; h != "" {
		return h
	}
	if domain != "" && model.KnownOp("", op) {
		return "the standard operator " + op + " is supported"
	}
	best, distance := "", max(1, len(op)/3)+1
	candidates := append(model.KnownOps(""), sortedKeys(replaced)...)
	if domain == domainMicrosoft {
		candidates = append(candidates, sortedKeys(microsoftRules)...)
	}
	for _, k := range candidates {
		if d := editDistance(strings.ToLower(op), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "the nearest supported operator is " + best
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// editDistance is the number of letters to insert, delete or replace to make b of a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// collapse joins items that differ only in where they are.
func collapse(items []fault.Item) []fault.Item {
	first := map[fault.Item]int{}
	var out []fault.Item
	var counts []int
	for _, it := range items {
		key := it
		key.Where = ""
		i, ok := first[key]
		if !ok {
			first[key] = len(out)
			out = append(out, it)
			counts = append(counts, 1)
			continue
		}
		counts[i]++
	}
	for i, n := range counts {
		if n > 1 {
			out[i].Where += fmt.Sprintf(" and %d more", n-1)
		}
	}
	return out
}
