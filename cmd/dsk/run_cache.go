package main

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/runtime"
)

// promptCache is the file of --prompt-cache.
type promptCache struct {
	path  string // "": none
	model [sha256.Size]byte
	held  []int32 // what the file holds
}

// load takes up what the file holds. No file is an empty one, and one of another model is left out with a warning.
func (p *promptCache) load(a *app, c *runtime.Conversation) error {
	if p.path == "" {
		return nil
	}
	b, err := os.ReadFile(p.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p.held, err = c.Load(b, p.model)
	if errors.Is(err, runtime.ErrOtherCache) {
		a.warn("%s: %v; it is made anew", p.path, err)
		return nil
	}
	return fault.InFile(err, p.path)
}

// save writes the file anew if it does not hold all of the prompt, which the conversation has just taken in.
func (p *promptCache) save(c *runtime.Conversation, prompt []int32) error {
	if p.path == "" || len(p.held) >= len(prompt) && slices.Equal(p.held[:len(prompt)], prompt) {
		return nil
	}
	if err := saveFile(p.path, func(w io.Writer) error { return c.Save(w, p.model, len(prompt)) }); err != nil {
		return err
	}
	p.held = slices.Clone(prompt)
	return nil
}
