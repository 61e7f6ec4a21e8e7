package tokenizer

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/dlclark/regexp2"
)

const (
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// splitPatterns are those of the tokenizers that people use, as their tokenizer.json writes them or as llama.cpp does.
var splitPatterns = []string{
	patternGPT2, patternLlama3, patternQwen2,
	`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`,
	`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	`[^\r\n\p{L}\p{N}]?(?:(?=\p{L})[^a-z])*(?:(?=\p{L})[^A-Z])+(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|[^\r\n\p{L}\p{N}]?(?:(?=\p{L})[^a-z])+(?:(?=\p{L})[^A-Z])*|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	`[\r\n]`, `\s?[\p{Lu}\p{Ll}\p{Lt}]+`, `\s?\p{L}+`, `\s?\p{P}+`, `\s+$`, `[一-龥ࠀ-一가-퟿]+`, `\p{N}+`, `[0-9][0-9][0-9]`, `\p{N}{1,3}`, `\s+`,
	`\s?[!-/:-~！-／：-～‘-‟　-。]+`, ` ?[^(\s|.,!?…。，、।۔،)]+`, "[\\p{P}\\$\\+<=>\\^~\\|`]+", `[\u1160-\u11FF]`,
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
	`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`,
	`(?=(\d{3})+(?!\d))`, `^\s+|a(?:b|bc)?c|(?!\p{L})[^ ]|(?>a+b?)x`, `a{2,}b{0,1}c*?`, ` {2,}`, `a|ab|abc`, `(?i:[b-d]l|\x53|[^st])`, `[a-c]*b|d?e?`, `.+`,
}

// TestPrograms holds the programs of patterns against a full engine for regular expressions.
func TestPrograms(t *testing.T) {
	alphabet := []rune("ab's'ret'llvmd'S'LLbcdex12345  \t\n\r\n.,!-/|éßÉ狗か가ᅡ\u00a0\u3000\u0301½।„ǅʰ")
	rng := rand.New(rand.NewSource(4))
	programs := 0
	for _, pattern := range splitPatterns {
		prog := compilePattern(pattern)
		if prog == nil {
			t.Logf("%s is no program", pattern)
			continue
		}
		programs++
		re := regexp2.MustCompile(atomicQuantifiers(pattern), regexp2.None)
		find := finder{next: func(s string, from int) match {
			m, ok := prog.find(s, from)
			if !ok {
				t.Fatalf("%s on %q takes too long", pattern, s)
			}
			return m
		}}
		for i := range 1500 {
			text := make([]rune, rng.Intn(16))
			for k := range text {
				text[k] = alphabet[rng.Intn(len(alphabet))]
			}
			s := string(text)
			if i < len(goldenTexts) {
				s = goldenTexts[i]
			}
			want, got := new(parser).findRegexp(re, s), all(find, s)
			if !slices.Equal(got, want) {
				t.Fatalf("%s on %q:\n got %v\nwant %v", pattern, s, got, want)
			}
		}
	}
	if want := len(splitPatterns) - 2; programs != want { // one loops over a group, one is lazy
		t.Errorf("%d programs, want %d", programs, want)
	}
}

// TestFolds: without regard to case the long s is an s, as it is to Oniguruma, which Hugging Face uses.
func TestFolds(t *testing.T) {
	m, _ := compilePattern(patternLlama3).find("'ſa", 0)
	if want := (match{0, 3}); m != want {
		t.Errorf("%v, want %v", m, want)
	}
}

// TestPatternLeftAlone: what is not known is left to the other engine, and nothing is read wrongly.
func TestPatternLeftAlone(t *testing.T) {
	for _, pattern := range []string{`(a|b)*`, `a+?`, `\w+`, `\bx`, `(?<n>a)`, `[a-z-[aeiou]]`, `[[:alpha:]]`, `a{`, `a{2`, `[a`, `(a`, `a)`, `a\`, `\p`, `\p{`, `\p{Nix}`, `\u12`,
		`\x{41}`, `[\s-x]`, `[b-a]`, `[a-\d]`, `*a`, `a**`, `a{3,2}`, `a{2}+`, "\xff", `(?=a)*`, strings.Repeat("(", 100), strings.Repeat("a", 5000)} {
		if compilePattern(pattern) != nil {
			t.Errorf("%s became a program", pattern)
		}
	}
}

// TestProgramStops: a match that would take for ever is given up.
func TestProgramStops(t *testing.T) {
	prog := compilePattern(`a*a*a*a*b` + strings.Repeat("(?:a?|b?)", 300))
	if _, ok := prog.find(strings.Repeat("a", 2000), 0); ok {
		t.Error("the search should have been given up")
	}
}
