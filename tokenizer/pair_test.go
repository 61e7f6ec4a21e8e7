package tokenizer

import (
	"slices"
	"testing"
)

func TestPairs(t *testing.T) {
	const vocab = `"pre_tokenizer":{"type":"WhitespaceSplit"},"model":{"type":"WordLevel","vocab":{"a":0,"[C]":1,"[S]":2,"b":3,"c":4}}`
	template := `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[C]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
		"pair":[{"SpecialToken":{"id":"[C]","type_id":0}},{"Sequence":{"id":"B","type_id":2}},{"SpecialToken":{"id":"[S]","type_id":1}},{"Sequence":{"id":"A","type_id":1}}],
		"special_tokens":{"[C]":{"id":"[C]","ids":[1]},"[S]":{"id":"[S]","ids":[2,2]}}}`
	for _, c := range []struct {
		part       string
		ids, kinds []int32
	}{
		{`null`, []int32{0, 3, 4}, []int32{0, 0, 1}},
		{`{"type":"ByteLevel"}`, []int32{0, 3, 4}, []int32{0, 0, 1}},
		{`{"type":"BertProcessing","cls":["[C]",1],"sep":["[S]",2]}`, []int32{1, 0, 3, 2, 4, 2}, []int32{0, 0, 0, 0, 1, 1}},
		{`{"type":"RobertaProcessing","cls":["[C]",1],"sep":["[S]",2],"trim_offsets":true,"add_prefix_space":true}`, []int32{1, 0, 3, 2, 2, 4, 2}, make([]int32, 7)},
		{template, []int32{1, 4, 2, 2, 0, 3}, []int32{0, 2, 1, 1, 1, 1}},
		{`{"type":"Sequence","processors":[` + template + `,{"type":"ByteLevel"}]}`, []int32{1, 4, 2, 2, 0, 3}, []int32{0, 2, 1, 1, 1, 1}},
	} {
		tok := mustParse(t, []byte(`{"post_processor":`+c.part+`,`+vocab+`}`))
		ids, kinds, cut := tok.EncodePair("a b", "c", 0)
		if !slices.Equal(ids, c.ids) || !slices.Equal(kinds, c.kinds) || cut {
			t.Errorf("%s: %v of kinds %v, cut %v", c.part, ids, kinds, cut)
		}
	}
	// The longer text is cut until both are as long, then one by one.
	tok := mustParse(t, []byte(`{"post_processor":{"type":"BertProcessing","cls":["[C]",1],"sep":["[S]",2]},`+vocab+`}`))
	for most, want := range map[int][]int32{7: {1, 0, 0, 2, 3, 3, 2}, 6: {1, 0, 2, 3, 3, 2}, 5: {1, 0, 2, 3, 2}, 4: {1, 2, 3, 2}, 2: {1, 2, 2}} {
		if ids, kinds, cut := tok.EncodePair("a a a a", "b b", most); !slices.Equal(ids, want) || len(kinds) != len(ids) || !cut {
			t.Errorf("at most %d: %v", most, ids)
		}
	}
	for _, bad := range []string{`[{"Sequence":{"id":"A"}}]`, `[{"Sequence":{"id":"A"}},{"Sequence":{"id":"A"}},{"Sequence":{"id":"B"}}]`, `[{"SpecialToken":{"id":"x"}}]`, `[{}]`, `3`} {
		if _, err := Parse([]byte(`{"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}}],"pair":` + bad + `,"special_tokens":{}},` + vocab + `}`)); err == nil {
			t.Errorf("the template %s is taken", bad)
		}
	}
}
