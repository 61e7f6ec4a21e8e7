package gguf

// preTokenizer says how a byte-level BPE vocabulary splits text before it merges. tokenizer.ggml.pre names it; what the
// names stand for is defined by llama.cpp (src/llama-vocab.cpp), whose ids ours must equal.
type preTokenizer struct {
	// patterns cut the text one after the other; a match is a piece, and so is what lies between two.
	patterns     []string
	ignoreMerges bool // a piece that is a token is that token
	addBOS       bool // unless the metadata say otherwise
}

const (
	patternGPT2    = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2   = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternHan     = `[一-龥ࠀ-一가-퟿]+`
	patternHanKana = `[一-龥぀-ゟ゠-ヿ]+`
	contractions   = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?`
	// Words in which upper case comes first, as o200k has them.
	casedWord  = `[^\r\n\p{L}\p{N}]?(?:(?=\p{L})[^a-z])*(?:(?=\p{L})[^A-Z])+`
	casedUpper = `[^\r\n\p{L}\p{N}]?(?:(?=\p{L})[^a-z])+(?:(?=\p{L})[^A-Z])*`
	casedRest  = `| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

var (
	preGPT2   = preTokenizer{patterns: []string{patternGPT2}}
	preDigits = preTokenizer{patterns: []string{`\p{N}`, patternGPT2}}
	preLlama3 = preTokenizer{patterns: []string{patternLlama3}}
	preQwen2  = preTokenizer{patterns: []string{patternQwen2}}
	preBloom  = preTokenizer{patterns: []string{` ?[^(\s|.,!?…。，、।۔،)]+`}}
	preGPT4o  = preTokenizer{patterns: []string{casedWord + contractions + `|` + casedUpper + contractions + `|\p{N}{1,3}` + casedRest}}
	// What llama.cpp does where a file does not name its pre-tokenizer.
	preUnnamed = preTokenizer{patterns: []string{`[\p{P}\$\+<=>\^~\|]+`, patternGPT2, `\p{N}+`, `[0-9][0-9][0-9]`}}

	preLlama3Whole = preTokenizer{patterns: preLlama3.patterns, ignoreMerges: true, addBOS: true}
	preTekken      = preTokenizer{patterns: []string{casedWord + `|` + casedUpper + `|\p{N}` + casedRest}, ignoreMerges: true, addBOS: true}
	preFalcon      = preTokenizer{patterns: []string{"[\\p{P}\\$\\+<=>\\^~\\|`]+", patternGPT2, `[0-9][0-9][0-9]`}}
	preDeepseekLLM = preTokenizer{patterns: []string{
		`[\r\n]`, `\s?[\p{Lu}\p{Ll}\p{Lt}]+`, `\s?[!-/:-~！-／：-～‘-‟　-。]+`, `\s+$`, patternHan, `\p{N}+`}}
	preDeepseekCoder = preTokenizer{patterns: []string{`[\r\n]`, `\s?\p{L}+`, `\s?\p{P}+`, patternHan, `\p{N}`}}
	preDeepseekV3    = preTokenizer{patterns: []string{`\p{N}{1,3}`, patternHanKana,
		"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}}
)

var preTokenizers = map[string]preTokenizer{
	"": preUnnamed, "default": preUnnamed,

	"gpt-2": preGPT2, "phi-2": preGPT2, "mpt": preGPT2, "olmo": preGPT2, "jais": preGPT2, "trillion": preGPT2,
	"granite-docling": preGPT2, "exaone4": preGPT2, "gigachat": preGPT2, "mellum": preGPT2, "modern-bert": preGPT2,
	"a.x-4.0": preGPT2, "roberta-bpe": preGPT2, "jina-es": preGPT2, "jina-de": preGPT2, "jina-v1-en": preGPT2,
	"jina-v2-es": preGPT2, "jina-v2-de": preGPT2, "jina-v2-code": preGPT2,

	"starcoder": preDigits, "refact": preDigits, "command-r": preDigits, "smollm": preDigits, "codeshell": preDigits,
	"exaone": preDigits, "minerva-7b": preDigits,

	"llama3": preLlama3Whole, "llama-v3": preLlama3Whole, "llama-bpe": preLlama3Whole, "falcon3": preLlama3Whole,
	"falcon-h1": preLlama3Whole, "pixtral": preLlama3Whole, "midm-2.0": preLlama3Whole, "lfm2": preLlama3Whole,
	"dbrx": preLlama3, "smaug-bpe": preLlama3, "chatglm-bpe": preLlama3, "glm4": preLlama3,

	"qwen2": preQwen2, "deepseek-r1-qwen": preQwen2, "stablelm2": preQwen2, "megrez": preQwen2, "hunyuan": preQwen2,
	"grok-2": preQwen2, "kormo": preQwen2, "solar-open": preQwen2,

	"deepseek-llm": preDeepseekLLM, "deepseek-coder": preDeepseekCoder, "deepseek-v3": preDeepseekV3,
	"hunyuan-dense": preDeepseekV3, "falcon": preFalcon, "tekken": preTekken, "gpt-4o": preGPT4o, "llama4": preGPT4o,
	"kanana2": preGPT4o, "bloom": preBloom, "poro-chat": preBloom, "gpt3-finnish": preBloom,
	"viking": {patterns: []string{preBloom.patterns[0], `\p{N}`}},
}
