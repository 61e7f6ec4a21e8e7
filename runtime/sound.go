package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// checkGraph refuses graphs that cannot be planned: broken in their form, or with operators that the runtime lacks, which are
// listed all.
func checkGraph(g *model.Graph) error {
	if err := g.Check(); err != nil {
		return err
	}
	if missing := lacking(g, nil); missing != nil {
		return &fault.Unsupported{Kind: "operator", Items: missing}
	}
	return nil
}

func lacking(g *model.Graph, items []fault.Item) []fault.Item {
	for _, n := range g.Nodes {
		if !Supports(n.Domain, n.Op) {
			items = append(items, fault.Item{Where: n.Name, What: n.Op})
		}
		for _, sub := range n.Subgraphs() {
			items = lacking(sub, items)
		}
	}
	return items
}

// classed gives an error of planning or running a class. What has none comes from a node that cannot compute with its
// operands: the graph is broken, or does not fit the shapes or values of its inputs.
func classed(err error) error {
	var (
		format      *fault.Format
		unsupported *fault.Unsupported
		resource    *fault.Resource
		usage       *fault.Usage
		internal    *internalError
	)
	switch {
	case errors.As(err, &format), errors.As(err, &unsupported), errors.As(err, &resource), errors.As(err, &usage),
		errors.As(err, &internal), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &fault.Format{Offset: -1, Where: "graph", Why: err.Error(),
		Next: "the model is broken, or does not take inputs of these shapes and values; check the inputs, then convert the model again"}
}

// internalError is a panic on the way through a graph: a mistake of ours, which a bad model brought to light.
type internalError struct{ value any }

func (e *internalError) Error() string {
	return fmt.Sprintf("internal error: %v (please report this with the model)", e.value)
}

// guard runs f for callers outside the package: errors get a class, and a panic becomes an error, since one bad model must
// not end a program that runs others.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &internalError{r}
		}
	}()
	if err = f(); err != nil {
		err = classed(err)
	}
	return err
}
