package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// sentenceEmbedding is the output that holds a text's vector: F32 [batch, dimensions].
const sentenceEmbedding = "sentence_embedding"

// sentence says how a text's vector is made of the vectors of its tokens: what sentence-transformers keeps beside a checkpoint
// in modules.json and the files that it names.
type sentence struct {
	pooling    []string // of poolings, joined in this order
	modules    []sentenceModule
	maxTokens  int // 0: the model's
	prompts    map[string]string
	standard   string // the prompt that is used if none is asked for, "" for none
	dimensions int    // set when the graph is built
}

// meanSentence is what sentence-transformers does where there is no modules.json.
func meanSentence() *sentence { return &sentence{pooling: []string{"mean"}} }

// sentenceModule is what comes behind the pooling: a product, or a normalization of the length to 1.
type sentenceModule struct {
	normalize bool
	weights   string // begins the names of a product's weights
	in, out   int
	bias      bool
	act       string
}

// poolings are the keys of a Pooling module's config.json in the order in which their results are joined.
var poolings = []struct{ key, name string }{
	{"pooling_mode_cls_token", "cls"}, {"pooling_mode_max_tokens", "max"}, {"pooling_mode_mean_tokens", "mean"},
	{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"}, {"pooling_mode_weightedmean_tokens", "weightedmean"}, {"pooling_mode_lasttoken", "lasttoken"},
}

// readSentence reads modules.json and what belongs to it; nil if there is none. Weights of modules are added to w.
func readSentence(dir string, w *checkpoint) (*sentence, error) {
	data, err := readFile(dir, "modules.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []struct{ Path, Type string }
	path := filepath.Join(dir, "modules.json")
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fault.InFile(fault.Formatf("", "%v", err), path)
	}
	s := &sentence{}
	for i, m := range list {
		if m.Path != "" && !filepath.IsLocal(m.Path) {
			return nil, fault.InFile(fault.Formatf(fmt.Sprintf("module %d", i), "its path %q leaves the folder", m.Path), path)
		}
		kind := m.Type[strings.LastIndexByte(m.Type, '.')+1:]
		if err := s.addModule(dir, m.Path, kind, i, w); err != nil {
			return nil, err
		}
	}
	if len(s.pooling) == 0 {
		return nil, fault.InFile(fault.Formatf("", "there is no Pooling module"), path)
	}
	return s, s.readSettings(dir)
}

// addModule reads module number i.
func (s *sentence) addModule(dir, path, kind string, i int, w *checkpoint) error {
	gap := func(what, hint string) error {
		return &fault.Unsupported{File: filepath.Join(dir, "modules.json"), Kind: "module", Items: []fault.Item{{What: what, Hint: hint}}}
	}
	switch kind {
	case "Transformer":
		if i != 0 || path != "" {
			return gap(fmt.Sprintf("Transformer in %q as module %d", path, i), "the checkpoint must lie beside modules.json and come first")
		}
		return nil
	case "Normalize":
		s.modules = append(s.modules, sentenceModule{normalize: true})
		return nil
	case "Dropout":
		return nil
	case "Pooling", "Dense":
	default:
		return gap(kind, "known are Transformer, Pooling, Dense and Normalize")
	}
	folder := filepath.Join(dir, path)
	data, err := readFile(folder, "config.json")
	if err != nil {
		return err
	}
	c, err := readConfig(data)
	if err != nil {
		return fault.InFile(err, filepath.Join(folder, "config.json"))
	}
	if kind == "Pooling" {
		s.readPooling(c)
	} else {
		m := sentenceModule{weights: path + "/linear", in: c.count("in_features"), out: c.count("out_features"), bias: c.flag("bias", true)}
		name := c.text("activation_function", "torch.nn.modules.activation.Tanh")
		known := map[string]string{"Tanh": model.ActTanh, "Identity": model.ActNone, "ReLU": model.ActRelu, "GELU": model.ActGelu, "Sigmoid": model.ActSigmoid, "SiLU": model.ActSwish}
		act, ok := known[name[strings.LastIndexByte(name, '.')+1:]]
		if !ok {
			c.unsupported("activation "+name, "known are Tanh, Identity, ReLU, GELU, Sigmoid and SiLU")
		}
		m.act = act
		s.modules = append(s.modules, m)
		if err := c.err(); err == nil {
			names, _, _, err := weightFiles(folder)
			if err != nil {
				return err
			}
			for _, name := range names {
				if err := w.add(filepath.Join(folder, name), path+"/"); err != nil {
					return err
				}
			}
		}
	}
	return fault.InFile(c.err(), filepath.Join(folder, "config.json"))
}

// readPooling reads a Pooling module, whose newer form names its mode.
func (s *sentence) readPooling(c *config) {
	mode := c.text("pooling_mode", "")
	for _, p := range poolings {
		if c.flag(p.key, p.name == "mean" && mode == "") || mode == p.name {
			s.pooling = append(s.pooling, p.name)
		}
	}
	if len(s.pooling) == 0 {
		c.unsupported("pooling "+named(mode, "of no kind"), "known are cls, max, mean, mean_sqrt_len, weightedmean and lasttoken")
	}
	if !c.flag("include_prompt", true) {
		c.unsupported("include_prompt false", "only pooling over all tokens is known")
	}
}

// readSettings reads the longest text and the prompts.
func (s *sentence) readSettings(dir string) error {
	for _, name := range []string{"sentence_bert_config.json", "config_sentence_transformers.json"} {
		data, err := readFile(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		c, err := readConfig(data)
		if err == nil {
			if _, ok := c.raw("max_seq_length"); ok {
				s.maxTokens = c.countOr("max_seq_length", 0)
			}
			if c.flag("do_lower_case", false) {
				c.unsupported("do_lower_case", "only texts as they are, or as the tokenizer changes them, are known")
			}
			c.get("prompts", &s.prompts, "an object of texts")
			s.standard = c.text("default_prompt_name", s.standard)
			err = c.err()
		}
		if err != nil {
			return fault.InFile(err, filepath.Join(dir, name))
		}
	}
	return nil
}

// addSentence adds the output sentence_embedding, made of hidden [batch, seq, width] and attention_mask: by what modules.json says, or
// else by the mean of the tokens.
func (b *builder) addSentence(hidden string, width int) {
	if b.sentence == nil {
		b.sentence = meanSentence()
	}
	s := b.sentence
	b.task = model.TaskEmbed
	var parts []string
	for _, p := range s.pooling {
		parts = append(parts, b.pooled("sentence."+p, hidden, p))
	}
	x, width := parts[0], width*len(parts)
	if len(parts) > 1 {
		x = b.onnx("Concat", "sentence.pooled", model.Attrs{"axis": model.IntAttr(-1)}, parts...)
	}
	for i, m := range s.modules {
		out := fmt.Sprintf("sentence.%d", i)
		switch {
		case m.normalize:
			x = b.onnx("LpNormalization", out, model.Attrs{"axis": model.IntAttr(-1), "p": model.IntAttr(2)}, x)
		case m.in != width:
			b.wrong = append(b.wrong, fmt.Sprintf("module %s takes %d values, but there are %d", m.weights, m.in, width))
		default:
			x, width = b.linear(out, x, m.weights, m.out, m.in, m.bias, m.act), m.out
		}
	}
	b.onnx("Identity", sentenceEmbedding, nil, x)
	b.output(sentenceEmbedding, tensor.F32, dimBatch, model.Known(width))
	s.dimensions = width
}

// pooled makes [batch, width] of hidden [batch, seq, width].
func (b *builder) pooled(out, hidden, how string) string {
	switch how {
	case "cls":
		return b.tokenAt(out, hidden, 0)
	case "lasttoken":
		count := b.onnx("ReduceSum", out+".count", nil, attentionMask, b.ints(1))
		at := b.onnx("Sub", out+".index", nil, count, b.ints(1))
		return b.onnx("GatherND", out, model.Attrs{"batch_dims": model.IntAttr(1)}, hidden, at)
	case "max":
		tokens := b.onnx("Cast", out+".tokens", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.BOOL))}, attentionMask)
		column := b.onnx("Unsqueeze", out+".column", nil, tokens, b.ints(2))
		seen := b.onnx("Where", out+".seen", nil, column, hidden, b.scalar(-1e9))
		return b.onnx("ReduceMax", out, model.Attrs{"keepdims": model.IntAttr(0)}, seen, b.ints(1))
	}
	return b.meanOfTokens(out, hidden, how)
}

// meanOfTokens is the mean of hidden [batch, seq, width] over the tokens that are not masked: "weightedmean" has weights 1, 2, 3, ...,
// and "mean_sqrt_len" divides the sum by the square root of the number of tokens.
func (b *builder) meanOfTokens(out, hidden, how string) string {
	weights := b.onnx("Cast", out+".weights", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.F32))}, attentionMask)
	if how == "weightedmean" {
		place := b.onnx("Add", out+".place", nil, b.steps(""), b.ints(1))
		place = b.onnx("Cast", out+".place_f32", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.F32))}, place)
		weights = b.onnx("Mul", out+".placed", nil, weights, place)
	}
	column := b.onnx("Unsqueeze", out+".column", nil, weights, b.ints(2))
	sum := b.onnx("ReduceSum", out+".sum", model.Attrs{"keepdims": model.IntAttr(0)}, b.onnx("Mul", out+".weighted", nil, hidden, column), b.ints(1))
	total := b.onnx("Max", out+".total", nil, b.onnx("ReduceSum", out+".weight", nil, weights, b.ints(1)), b.scalar(1e-9))
	if how == "mean_sqrt_len" {
		total = b.onnx("Sqrt", out+".root", nil, total)
	}
	return b.onnx("Div", out, nil, sum, total)
}

// textInfo describes an encoder of texts whose graph takes as many tokens as context says.
func (b *builder) textInfo(vocab, context int) *model.TextInfo {
	t := &model.TextInfo{VocabSize: vocab, MaxTokens: context}
	if s := b.sentence; s != nil && b.task == model.TaskEmbed {
		if s.maxTokens > 0 {
			t.MaxTokens = min(context, s.maxTokens)
		}
		t.Pooling, t.Dimensions, t.Prompts, t.DefaultPrompt = strings.Join(s.pooling, "+"), s.dimensions, s.prompts, s.standard
		n := len(s.modules)
		t.Normalized = n > 0 && s.modules[n-1].normalize
	}
	return t
}
