package prune

import (
	"maps"

	"github.com/dsk-toolkit/dsk/model"
)

// storeKept notes in the pruned model which values and channels of the model of before its products make, so that a training can compare them.
// from is what is left of the weights, dropped are the values that ended blocks that were left out.
func storeKept(before, after *model.Model, from origin, dropped []string) error {
	next := map[string]string{} // by a value, the one that is read in its place
	for _, b := range blocks(before.Graph) {
		for _, name := range dropped {
			if b.name == name {
				next[b.skip] = name
			}
		}
	}
	kept := model.Kept{}
	for _, n := range after.Graph.Nodes {
		if !makes(n) {
			continue
		}
		v := model.KeptValue{Of: n.Outputs[0]}
		for next[v.Of] != "" {
			v.Of = next[v.Of]
		}
		if cut := from[n.In(1)]; cut != nil && len(cut[0]) < before.Graph.Init[n.In(1)].Shape[0] {
			v.Channels = cut[0]
		}
		if v.Of != n.Outputs[0] || v.Channels != nil {
			kept[n.Outputs[0]] = v
		}
	}
	earlier, err := model.KeptOf(before)
	if err != nil {
		return err
	}
	after.Assets = maps.Clone(after.Assets)
	return kept.After(earlier).Store(after)
}
