package prune

import (
	"context"
	"testing"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// What is noted of channels is so: a product's bias is that of the channels of before, also after a second pruning.
func TestKeptChannels(t *testing.T) {
	ctx := context.Background()
	s := digits(t)
	bias := func(m *model.Model, value string) *tensor.Tensor {
		for _, n := range m.Graph.Nodes {
			if makes(n) && n.Outputs[0] == value && m.Graph.Init[n.In(2)] != nil {
				b, err := grad.Widen(m.Graph.Init[n.In(2)])
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
		}
		return nil
	}
	m := s.m
	for range 2 {
		small, _, err := Apply(ctx, m, Options{Method: Channel, Ratio: 0.3, Round: 2, Calib: s.d, EvalOptions: eval.Options{Limit: 8}, Threads: 2, NoRepair: true})
		if err != nil {
			t.Fatal(err)
		}
		kept, err := model.KeptOf(small)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for name, v := range kept {
			before, after := bias(s.m, v.Of), bias(small, name)
			if before == nil || after == nil || v.Of != name || len(v.Channels) != after.Len() || after.Len() >= before.Len() {
				t.Errorf("%s is %+v, of %v to %v", name, v, before, after)
				continue
			}
			for i, c := range v.Channels {
				if after.F32()[i] != before.F32()[c] {
					t.Errorf("%s: bias %d is %g, that of channel %d was %g", name, i, after.F32()[i], c, before.F32()[c])
				}
			}
			seen++
		}
		if seen < 2 {
			t.Errorf("%d values", seen)
		}
		m = small
	}
	if s.m.Assets[model.AssetKept] != nil {
		t.Error("the model of before has a note")
	}
}

// What is read in the place of the end of a block that was left out is that value of before.
func TestKeptBlocks(t *testing.T) {
	s := open(t, shared+"/models/cifar10-resnet/resnet20.onnx", shared+"/data/cifar10/test", nil)
	small, r, err := Apply(context.Background(), s.m, Options{Method: Layer, Ratio: 0.4, Calib: s.d, EvalOptions: eval.Options{Limit: 4}, Threads: 2, NoRepair: true})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := model.KeptOf(small)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string]bool{}
	for _, v := range kept {
		ends[v.Of] = true
	}
	inner := map[string]bool{} // blocks whose end begins the next one that went too
	gone := map[string]bool{}
	for _, v := range r.Moves {
		gone[v.Name] = true
	}
	for _, b := range blocks(s.m.Graph) {
		inner[b.skip] = gone[b.name]
	}
	for name := range gone {
		if ends[name] == inner[name] {
			t.Errorf("the block that ended in %s: noted %v, followed by another that went %v", name, ends[name], inner[name])
		}
	}
	if len(gone) < 3 || len(ends) == 0 {
		t.Errorf("%d blocks went, noted %v", len(gone), kept)
	}
}
