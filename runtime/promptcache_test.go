package runtime_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/runtime"
)

// TestPromptCache: a text goes on from saved caches as from computed ones, and damage does not pass.
func TestPromptCache(t *testing.T) {
	m := gutenberg(t)
	tok := gutenbergTokenizer(t, m)
	ctx := context.Background()
	ignore := func(string) error { return nil }
	first := tok.Encode("Produced by Richard Tonsing and the Online Dist", false)
	second := append(slices.Clone(first[:10]), tok.Encode(" of the sea", false)...)
	id, other := [sha256.Size]byte{1}, [sha256.Size]byte{2}
	for _, cache := range []runtime.CacheType{runtime.CacheF32, runtime.CacheF16, runtime.CacheI8} {
		open := func(cache runtime.CacheType, context int) *runtime.Conversation {
			lm, err := runtime.NewLM(m, runtime.Options{Threads: 1, Cache: cache, Context: context})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(lm.Close)
			return runtime.NewConversation(lm)
		}
		generate := func(c *runtime.Conversation, prompt []int32) *runtime.Generation {
			g, err := c.Generate(ctx, tok, prompt, runtime.GenerateOptions{MaxTokens: 8, Sampler: &runtime.Sampler{}}, ignore)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		c := open(cache, 64)
		want := generate(c, first)
		var file bytes.Buffer
		if err := c.Save(&file, id, len(first)); err != nil {
			t.Fatal(err)
		}
		for _, p := range []struct {
			prompt          []int32
			context, cached int
		}{{first, 64, len(first) - 1}, {second, 64, 10}, {second, 40, 10}} {
			fresh := generate(open(cache, p.context), p.prompt)
			c := open(cache, p.context)
			tokens, err := c.Load(file.Bytes(), id)
			if err != nil || !slices.Equal(tokens, first) {
				t.Fatalf("%v, %v", tokens, err)
			}
			g := generate(c, p.prompt)
			if g.CachedTokens != p.cached || !slices.Equal(g.Tokens, fresh.Tokens) {
				t.Errorf("cache %s: %d tokens of the file and %v, want %d and %v", cache, g.CachedTokens, g.Tokens, p.cached, fresh.Tokens)
			}
		}
		var format *fault.Format
		for at := 0; at < file.Len(); at += 1 + file.Len()/97 {
			bad := slices.Clone(file.Bytes())
			bad[at] ^= 4
			c := open(cache, 64)
			if _, err := c.Load(bad, id); !errors.As(err, &format) {
				t.Fatalf("byte %d: %v", at, err)
			}
			if _, err := c.Load(bad[:at], id); !errors.As(err, &format) {
				t.Fatalf("cut to %d bytes: %v", at, err)
			}
			if at == 0 {
				if g := generate(c, first); g.CachedTokens != 0 || !slices.Equal(g.Tokens, want.Tokens) {
					t.Errorf("after a damaged file: %+v", g)
				}
			}
		}
		if _, err := open(cache, 64).Load(file.Bytes(), other); !errors.Is(err, runtime.ErrOtherCache) {
			t.Errorf("another model: %v", err)
		}
		kind := runtime.CacheF16
		if cache == kind {
			kind = runtime.CacheF32
		}
		if _, err := open(kind, 64).Load(file.Bytes(), id); !errors.Is(err, runtime.ErrOtherCache) {
			t.Errorf("another cache type: %v", err)
		}
		short := open(cache, 8)
		if tokens, err := short.Load(file.Bytes(), id); err != nil || len(tokens) != len(first) {
			t.Errorf("a shorter context: %v, %v", tokens, err)
		}
		if g := generate(short, first[:6]); g.CachedTokens != 5 {
			t.Errorf("a shorter context takes %d tokens", g.CachedTokens)
		}
		if err := c.Save(&file, id, 1000); err == nil {
			t.Error("more tokens than there are: no error")
		}
	}
}
