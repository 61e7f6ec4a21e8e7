package eval

import (
	"context"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestWatch: a run ends with the node after which its observer wants no more, and the next input runs all the same.
func TestWatch(t *testing.T) {
	m, text := open(t, "models/gutenberg-1M", convert.Options{}), data(t, "text/text.txt")
	p, err := NewProbe(context.Background(), m, text, Options{Context: 32, Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	const enough = 7
	seen := map[int]int{}
	var order []int
	see := func(i int, n *model.Node, in []*tensor.Tensor) bool {
		if seen[i]++; seen[i] == 1 {
			order = append(order, i)
		}
		return seen[i] < enough
	}
	// Compare takes all five windows, so Watch does too.
	if err := p.Watch(context.Background(), m, see); err != nil {
		t.Fatal(err)
	}
	for at, i := range order {
		if at != i || seen[i] != enough {
			t.Errorf("input %d ran as number %d and showed %d nodes, want %d", i, at, seen[i], enough)
		}
	}
	if len(order) != 5 {
		t.Errorf("%d inputs ran, want 5", len(order))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Watch(ctx, m, see); err == nil {
		t.Error("a cancelled watch is no error")
	}
}
