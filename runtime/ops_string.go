package runtime

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", operands(2, map[string]Binder{"StringConcat": bindStringConcat}))

var _ = register("", dense(map[string]Binder{
	"StringSplit":      bindStringSplit,
	"StringNormalizer": bindStringNormalizer,
	"RegexFullMatch":   bindRegexFullMatch,
	"TfIdfVectorizer":  bindTfIdf,
}))

// needStrings checks that input i is a tensor of strings.
func (b *Bind) needStrings(i int) error {
	if !b.Has(i) || b.In[i].DType != tensor.STRING {
		return b.errorf("input %d is no tensor of strings", i)
	}
	return nil
}

func bindStringConcat(b *Bind) (Run, error) {
	for i := range 2 {
		if err := b.needStrings(i); err != nil {
			return nil, err
		}
	}
	return bindRows(b, 64, pairRow(func(x, y uint64) uint64 {
		return tensor.Intern(tensor.InternedString(x) + tensor.InternedString(y))
	}))
}

// bindStringSplit cuts strings at a delimiter, or at runs of white space without one, into at most maxsplit+1 parts. Outputs:
// the parts, filled up with empty strings, and their numbers.
func bindStringSplit(b *Bind) (Run, error) {
	if err := b.needStrings(0); err != nil {
		return nil, err
	}
	delimiter, most := b.Node.Str("delimiter", ""), -1
	if b.Node.Has("maxsplit") {
		if most = int(b.Node.Int("maxsplit", 0)); most < 0 {
			return nil, b.errorf("maxsplit %d", most)
		}
		most++
	}
	return func() error {
		texts := b.In[0].Strings()
		parts := make([][]string, len(texts))
		counts := tensor.New(tensor.I64, b.In[0].Shape...)
		width := 0
		for i, s := range texts {
			switch {
			case delimiter == "":
				parts[i] = fields(s, most)
			case s != "":
				parts[i] = strings.SplitN(s, delimiter, most)
			}
			counts.I64()[i] = int64(len(parts[i]))
			width = max(width, len(parts[i]))
		}
		if err := room(24*width*len(texts), "the parts of strings"); err != nil {
			return err
		}
		all := make([]string, 0, width*len(texts))
		for _, p := range parts {
			all = append(append(all, p...), make([]string, width-len(p))...)
		}
		b.SetOut(0, tensor.FromStrings(all, append(slices.Clone(b.In[0].Shape), width)...))
		b.SetOut(1, counts)
		return nil
	}, nil
}

// fields splits at white space into at most n parts (-1: all); the last keeps what white space it has inside.
func fields(s string, n int) []string {
	var out []string
	for s = strings.TrimSpace(s); s != ""; {
		at := strings.IndexFunc(s, isSpace)
		if at < 0 || n > 0 && len(out) == n-1 {
			return append(out, s)
		}
		out = append(out, s[:at])
		s = strings.TrimLeftFunc(s[at:], isSpace)
	}
	return out
}

func isSpace(r rune) bool { return strings.TrimSpace(string(r)) == "" }

// bindStringNormalizer changes case and leaves stop words out; what is left of nothing is one empty string.
func bindStringNormalizer(b *Bind) (Run, error) {
	if err := b.needStrings(0); err != nil {
		return nil, err
	}
	in := b.In[0]
	if n := len(in.Shape); n != 1 && (n != 2 || in.Shape[0] != 1) {
		return nil, b.errorf("%v is neither a vector nor one row", in)
	}
	change := func(s string) string { return s }
	switch action := b.Node.Str("case_change_action", "NONE"); action {
	case "NONE":
	case "LOWER":
		change = strings.ToLower
	case "UPPER":
		change = strings.ToUpper
	default:
		return nil, b.errorf("case_change_action %q", action)
	}
	sensitive := b.Node.Int("is_case_sensitive", 0) != 0
	fold := func(s string) string {
		if sensitive {
			return s
		}
		return strings.ToLower(s)
	}
	stop := map[string]bool{}
	for _, s := range b.Node.Attrs["stopwords"].Strs {
		stop[fold(s)] = true
	}
	return func() error {
		var out []string
		for _, s := range in.Strings() {
			if !stop[fold(s)] {
				out = append(out, change(s))
			}
		}
		if len(out) == 0 {
			out = []string{""}
		}
		shape := slices.Clone(in.Shape)
		shape[len(shape)-1] = len(out)
		b.SetOut(0, tensor.FromStrings(out, shape...))
		return nil
	}, nil
}

// bindRegexFullMatch tells which strings a pattern matches as a whole. The syntax is RE2's.
func bindRegexFullMatch(b *Bind) (Run, error) {
	if err := b.needStrings(0); err != nil {
		return nil, err
	}
	re, err := newFullMatcher(b.Node.Str("pattern", ""))
	if err != nil {
		return nil, b.errorf("pattern: %w", err)
	}
	return simple(func() {
		out := tensor.View[bool](b.Out[0])
		for i, s := range b.In[0].Strings() {
			out[i] = re.match(s)
		}
	}), nil
}

// tfidf counts n-grams. A pool holds the grams of all lengths, those of length n from counts[n-1] on.
type tfidf struct {
	grams            map[string]int // a gram's items as text, to its number
	least, most      int            // lengths
	skips            int
	column           []int64   // of a gram
	weight           []float32 // of a gram; nil: 1
	binary, weighted bool
}

// bindTfIdf counts how often the grams of a pool occur in each row, with up to max_skip_count items left out between
// neighbours, always as many; as a count, as 1, or weighted.
func bindTfIdf(b *Bind) (Run, error) {
	if !b.Has(0) || !b.HasOut(0) || b.Out[0].Shape == nil {
		return nil, b.errorf("input 0 is missing")
	}
	n := b.Node
	t := &tfidf{
		grams: map[string]int{}, least: int(n.Int("min_gram_length", 1)), most: int(n.Int("max_gram_length", 1)),
		skips: int(n.Int("max_skip_count", 0)), column: n.Ints("ngram_indexes"), weight: n.Floats("weights"),
	}
	switch mode := n.Str("mode", "TF"); mode {
	case "TF":
	case "IDF":
		t.binary, t.weighted = true, true
	case "TFIDF":
		t.weighted = true
	default:
		return nil, b.errorf("mode %q", mode)
	}
	pool := n.Attrs["pool_strings"].Strs
	if pool == nil {
		for _, v := range n.Ints("pool_int64s") {
			pool = append(pool, strconv.FormatInt(v, 10))
		}
	} else if b.In[0].DType != tensor.STRING {
		return nil, b.errorf("a pool of strings for %v", b.In[0])
	}
	counts := n.Ints("ngram_counts")
	for i, from := range counts {
		to := int64(len(pool))
		if i+1 < len(counts) {
			to = counts[i+1]
		}
		if from < 0 || from > to || to > int64(len(pool)) || (to-from)%int64(i+1) != 0 {
			return nil, b.errorf("ngram_counts %v of %d items", counts, len(pool))
		}
		for ; from < to; from += int64(i + 1) {
			t.grams[gram(pool[from:from+int64(i+1)], 0, 1, i+1)] = len(t.grams)
		}
	}
	if t.least < 1 || t.most < t.least || t.skips < 0 || len(t.column) < len(t.grams) || t.weighted && t.weight != nil && len(t.weight) < len(t.grams) {
		return nil, b.errorf("lengths %d to %d, %d skips, %d indexes for %d grams", t.least, t.most, t.skips, len(t.column), len(t.grams))
	}
	width := b.Out[0].Shape[len(b.Out[0].Shape)-1]
	for _, c := range t.column {
		if c < 0 || c >= int64(width) {
			return nil, b.errorf("ngram_indexes has %d", c)
		}
	}
	return func() error {
		items, err := itemsOf(b.In[0])
		if err != nil {
			return err
		}
		out := b.Out[0].F32()
		clear(out)
		if width == 0 {
			return nil
		}
		rows := len(out) / width
		for r := range rows {
			t.count(out[r*width:(r+1)*width], items[r*len(items)/rows:(r+1)*len(items)/rows])
		}
		return nil
	}, nil
}

// itemsOf returns the elements of a tensor of strings or integers as text.
func itemsOf(t *tensor.Tensor) ([]string, error) {
	if t.DType == tensor.STRING {
		return t.Strings(), nil
	}
	v, err := intsOf(t)
	out := make([]string, len(v))
	for i, x := range v {
		out[i] = strconv.Itoa(x)
	}
	return out, err
}

// gram returns the key of n items from at on, step apart.
func gram(items []string, at, step, n int) string {
	var key strings.Builder
	for i := range n {
		s := items[at+i*step]
		fmt.Fprintf(&key, "%d:%s", len(s), s)
	}
	return key.String()
}

func (t *tfidf) count(row []float32, items []string) {
	for n := t.least; n <= min(t.most, len(items)); n++ {
		for skip := 0; skip <= t.skips; skip++ {
			// A step that leaves no second item in the row finds nothing more.
			if n == 1 && skip > 0 || skip > len(items) {
				break
			}
			for at := 0; at+(n-1)*(skip+1) < len(items); at++ {
				k, ok := t.grams[gram(items, at, skip+1, n)]
				if !ok {
					continue
				}
				w := float32(1)
				if t.weighted && t.weight != nil {
					w = t.weight[k]
				}
				c := t.column[k]
				if t.binary {
					row[c] = w
				} else {
					row[c] += w
				}
			}
		}
	}
}

// castFromString binds a cast of strings: numbers as Go and ONNX write them, "NaN" and "INF".
func castFromString(b *Bind) (Run, error) {
	store := storerOf(b.Out[0].DType)
	whole := b.Out[0].DType.IsInteger()
	if store == nil {
		return nil, b.unsupportedType(b.Out[0].DType)
	}
	return func() error {
		for i, s := range b.In[0].Strings() {
			if v, err := strconv.ParseInt(s, 10, 64); err == nil && whole {
				storeInt(b.Out[0], i, v)
				continue
			}
			v, err := strconv.ParseFloat(s, 64)
			if err != nil && !math.IsInf(v, 0) {
				return fmt.Errorf("%q is no number", s)
			}
			store(b.Out[0], i, v)
		}
		return nil
	}, nil
}

// castToString binds a cast to strings: the shortest digits that give the number again, in the forms of NumPy.
func castToString(b *Bind) (Run, error) {
	in := b.In[0]
	load, bits := loaderOf(in.DType), 64
	var text func(i int) string
	switch {
	case in.DType == tensor.BOOL:
		text = func(i int) string { return []string{"False", "True"}[in.Data[i]&1] }
	case in.DType == tensor.U64:
		text = func(i int) string { return strconv.FormatUint(tensor.View[uint64](in)[i], 10) }
	case in.DType.IsInteger():
		text = func(i int) string { return strconv.FormatInt(loadInt(in, i), 10) }
	case load != nil:
		if in.DType != tensor.F64 {
			bits = 32
		}
		text = func(i int) string { return formatFloat(load(in, i), bits) }
	default:
		return nil, b.unsupportedType(in.DType)
	}
	return simple(func() {
		out := tensor.View[uint64](b.Out[0])
		for i := range out {
			out[i] = tensor.Intern(text(i))
		}
	}), nil
}

// formatFloat writes 0.5, 1000000.0, 1e-07, nan, inf.
func formatFloat(v float64, bits int) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "nan"
	case math.IsInf(v, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(v, 'g', -1, 64)), "+")
	case a != 0 && (a < 1e-4 || a >= 1e16):
		return strconv.FormatFloat(v, 'e', -1, bits)
	}
	s := strconv.FormatFloat(v, 'f', -1, bits)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
