package model

import (
	"fmt"
	"strconv"
	"strings"
)

// optionalOutputs are the operators whose outputs but the first may be absent.
var optionalOutputs = map[string]bool{
	"Dropout": true, "MaxPool": true, "BatchNormalization": true, "LayerNormalization": true, "Unique": true,
	"LSTM": true, "GRU": true, "RNN": true, "Attention": true,
}

// deadCode removes nodes, optional outputs and initializers that nothing reads.
func (r *rewriter) deadCode() (int, error) {
	count := 0
	for i := len(r.g.Nodes) - 1; i >= 0; i-- {
		n := r.g.Nodes[i]
		wanted := false
		for j, out := range n.Outputs {
			switch {
			case out == "":
			case r.kept[out] || len(r.users[out]) > 0:
				wanted = true
			case j > 0 && optionalOutputs[n.Op]:
				r.edit(n, func() { n.Outputs[j] = "" })
				count++
			}
		}
		for len(n.Outputs) > 1 && n.Outputs[len(n.Outputs)-1] == "" {
			n.Outputs = n.Outputs[:len(n.Outputs)-1]
		}
		if !wanted {
			r.replace([]*Node{n})
			count++
		}
	}
	if r.parent == nil {
		for _, name := range sortedKeys(r.g.Init) {
			if len(r.users[name]) == 0 && !r.kept[name] {
				delete(r.g.Init, name)
				delete(r.g.Types, name)
				count++
			}
		}
	}
	return count, nil
}

// random are the operators whose equal nodes give different results.
var random = map[string]bool{
	"RandomNormal": true, "RandomNormalLike": true, "RandomUniform": true, "RandomUniformLike": true,
	"Bernoulli": true, "Multinomial": true, "Dropout": true,
}

// commonNodes merges nodes that compute the same: old exporters repeat themselves, and chains are
// found only where each value is made once.
func (r *rewriter) commonNodes() (int, error) {
	count := 0
	first := map[string]*Node{}
	err := r.live(func(n *Node) error {
		key, ok := nodeKey(n)
		if !ok || random[n.Op] {
			return nil
		}
		old := first[key]
		if old == nil || len(old.Outputs) != len(n.Outputs) {
			first[key] = n
			return nil
		}
		for i, out := range n.Outputs {
			if r.kept[out] || (out == "") != (old.Outputs[i] == "") {
				return nil
			}
		}
		outs := n.Outputs
		r.replace([]*Node{n})
		for i, out := range outs {
			if out != "" {
				r.renameUses(out, old.Outputs[i])
			}
		}
		count++
		return nil
	})
	return count, err
}

// nodeKey is equal for nodes that compute the same; false if the node has attributes that are
// not compared.
func nodeKey(n *Node) (string, bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %q", n.Domain, n.Op, n.Inputs)
	for _, k := range sortedKeys(n.Attrs) {
		a := n.Attrs[k]
		if a.Graph != nil || a.Tensor != nil {
			return "", false
		}
		fmt.Fprintf(&b, " %s:%d %d %s %q %v %v %q", k, a.Kind, a.Int,
			strconv.FormatFloat(float64(a.Float), 'g', -1, 32), a.Str, a.Ints, a.Floats, a.Strs)
	}
	return b.String(), true
}
