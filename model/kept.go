package model

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// AssetKept has the Kept of a pruned model.
const AssetKept = "kept.json"

// Kept says what of the model of before the values of a pruned one are, by name. A value that is not in it is the one of before with the same name,
// whole.
type Kept map[string]KeptValue

// KeptValue is what a value is of the model of before.
type KeptValue struct {
	// Of is the value of before in whose place this is read: one of another name where what lay between both was left out.
	Of string `json:"of"`
	// Channels are the numbers of the channels that are left; nil: all.
	Channels []int `json:"channels,omitempty"`
}

// After returns what is kept of the model before an earlier pruning.
func (k Kept) After(earlier Kept) Kept {
	all := Kept{}
	for name, v := range earlier {
		if _, again := k[name]; !again {
			all[name] = v
		}
	}
	for name, v := range k {
		before, cut := earlier[v.Of]
		if !cut {
			all[name] = v
			continue
		}
		switch {
		case v.Channels == nil:
			v.Channels = before.Channels
		case before.Channels != nil:
			channels := make([]int, len(v.Channels))
			for i, c := range v.Channels {
				channels[i] = before.Channels[c]
			}
			v.Channels = channels
		}
		v.Of = before.Of
		all[name] = v
	}
	return all
}

// Store makes k an asset of the model, whose map of assets it changes.
func (k Kept) Store(m *Model) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if m.Assets == nil {
		m.Assets = map[string][]byte{}
	}
	m.Assets[AssetKept] = b
	return nil
}

// KeptOf reads a model's asset; without one nothing was left out. A wrong asset is a *fault.Format.
func KeptOf(m *Model) (Kept, error) {
	b := m.Assets[AssetKept]
	if b == nil {
		return Kept{}, nil
	}
	var k Kept
	bad := func(why string) error {
		return &fault.Format{Offset: -1, Where: AssetKept, Why: why, Next: "prune the model again"}
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return nil, bad(err.Error())
	}
	for name, v := range k {
		if v.Of == "" || slices.ContainsFunc(v.Channels, func(c int) bool { return c < 0 }) {
			return nil, bad(fmt.Sprintf("%s is %v of %q", name, v.Channels, v.Of))
		}
	}
	return k, nil
}
