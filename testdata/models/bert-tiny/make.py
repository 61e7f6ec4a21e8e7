"""Makes this folder's BERT of random weights in the layout of sentence-transformers, and prints what its vectors must be, computed
here with numpy in float64: python3 make.py TEXT..."""
import json, math, os, struct, sys
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEADS, INNER, LAYERS, POSITIONS, LONGEST, EPS = 16, 2, 32, 2, 16, 8, 1e-6
words = "[PAD] [UNK] [CLS] [SEP] a red green bicycle house the is blue query : ##s ##es cat dog run ##ning".split()

def config():
    return {
        "config.json": {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": WIDTH, "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS, "intermediate_size": INNER, "hidden_act": "gelu", "layer_norm_eps": EPS,
            "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "vocab_size": len(words), "pad_token_id": 0},
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}],
        "1_Pooling/config.json": {"word_embedding_dimension": WIDTH, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False},
        "sentence_bert_config.json": {"max_seq_length": LONGEST, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": "query: "}, "default_prompt_name": None},
        "tokenizer.json": {"version": "1.0",
            "added_tokens": [{"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                for i, w in enumerate(words[:4])],
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                    {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                "special_tokens": {w: {"id": w, "ids": [words.index(w)], "tokens": [w]} for w in ("[CLS]", "[SEP]")}},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                "vocab": {w: i for i, w in enumerate(words)}}},
    }

def weights():
    rng = np.random.default_rng(7)
    w = {}
    def matrix(name, n, k):
        w[name + ".weight"] = rng.normal(0, 1.5 / math.sqrt(k), (n, k))
        w[name + ".bias"] = rng.normal(0, 0.3, n)
    def norm(name):
        w[name + ".weight"] = 1 + rng.normal(0, 0.25, WIDTH)
        w[name + ".bias"] = rng.normal(0, 0.3, WIDTH)
    for name, n in (("word", len(words)), ("position", POSITIONS), ("token_type", 2)):
        w["embeddings.%s_embeddings.weight" % name] = rng.normal(0, 0.5, (n, WIDTH))
    norm("embeddings.LayerNorm")
    for i in range(LAYERS):
        p = "encoder.layer.%d." % i
        for name in ("query", "key", "value"):
            matrix(p + "attention.self." + name, WIDTH, WIDTH)
        matrix(p + "attention.output.dense", WIDTH, WIDTH)
        norm(p + "attention.output.LayerNorm")
        matrix(p + "intermediate.dense", INNER, WIDTH)
        matrix(p + "output.dense", WIDTH, INNER)
        norm(p + "output.LayerNorm")
    return {k: v.astype(np.float32) for k, v in w.items()}

def save(w):
    header, at = {}, 0
    for k, v in w.items():
        header[k] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [at, at + v.nbytes]}
        at += v.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(here, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in w.values()))

def vector(w, ids):
    w = {k: v.astype(np.float64) for k, v in w.items()}
    def linear(x, name): return x @ w[name + ".weight"].T + w[name + ".bias"]
    def norm(x, name):
        d = x - x.mean(-1, keepdims=True)
        return d / np.sqrt((d * d).mean(-1, keepdims=True) + EPS) * w[name + ".weight"] + w[name + ".bias"]
    e = "embeddings.%s_embeddings.weight"
    x = norm(w[e % "word"][ids] + w[e % "position"][:len(ids)] + w[e % "token_type"][0], "embeddings.LayerNorm")
    for i in range(LAYERS):
        p = "encoder.layer.%d." % i
        q, k, v = (linear(x, p + "attention.self." + n).reshape(len(ids), HEADS, -1).transpose(1, 0, 2) for n in ("query", "key", "value"))
        s = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
        s = np.exp(s - s.max(-1, keepdims=True))
        y = (s / s.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), WIDTH)
        x = norm(x + linear(y, p + "attention.output.dense"), p + "attention.output.LayerNorm")
        h = linear(x, p + "intermediate.dense")
        h = h * 0.5 * (1 + np.vectorize(math.erf)(h / math.sqrt(2)))
        x = norm(x + linear(h, p + "output.dense"), p + "output.LayerNorm")
    m = x.mean(0)
    return m / np.sqrt((m * m).sum())

for name, value in config().items():
    with open(os.path.join(here, name), "w") as f:
        f.write(json.dumps(value) + "\n")
w = weights()
save(w)
for text in sys.argv[1:]:  # words of the vocabulary, as they are
    ids = [words.index(t) for t in ("[CLS] " + text + " [SEP]").split()]
    print(text, ids, [float("%.5f" % v) for v in vector(w, ids)])
