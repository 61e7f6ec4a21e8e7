package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// RowNames returns the names that CutRows gives to the parts of a constant, with the same edges always the same.
func RowNames(g *Graph, name string, edges []int) []string {
	if len(edges) == 0 {
		return []string{name}
	}
	names := []string{g.Fresh(name + ".rows0")}
	for _, at := range edges {
		names = append(names, g.Fresh(fmt.Sprintf("%s.rows%d", name, at)))
	}
	return names
}

// CutRows puts constants with a part of the rows each in the place of one, which is in panels of 16 and read by Gather, along axis 0 and by
// I64, and as the weights of Linear without bias only, and returns their names. The parts begin at row 0 and at the edges, which are
// multiples of 16. A product becomes one for each part, whose
// results are joined; rows are looked up in every part, and chosen by number.
func CutRows(g *Graph, name string, edges []int) []string {
	names := RowNames(g, name, edges)
	if len(edges) == 0 {
		return names
	}
	c := &cutter{g: g, names: names, first: append([]int{0}, edges...), rows: g.Init[name].Shape[0]}
	for i, part := range names {
		g.Init[part] = rowsBetween(g.Init[name], c.first[i], c.end(i))
	}
	for _, n := range g.Nodes {
		switch {
		case n.Is("", "Gather") && n.Inputs[0] == name:
			c.lookUp(n)
		case n.Is(DomainDsk, "Linear") && n.In(1) == name:
			c.product(n)
		default:
			c.nodes = append(c.nodes, n)
		}
	}
	g.Nodes = c.nodes
	delete(g.Init, name)
	delete(g.Types, name)
	return names
}

// rowsBetween returns rows [lo, hi) of a tensor in panels of 16, which begin and end with a panel.
func rowsBetween(t *tensor.Tensor, lo, hi int) *tensor.Tensor {
	part := tensor.Deferred(t.DType, []int{hi - lo, t.Shape[1]}, t.Layout, t.Levels, nil)
	rest := tensor.Tensor{DType: t.DType, Shape: []int{lo, t.Shape[1]}, Layout: t.Layout}
	from, n := rest.Bytes(), part.Bytes()
	if !t.IsDeferred() {
		part.Data = t.Data[from : from+n : from+n]
		return part
	}
	return tensor.Deferred(part.DType, part.Shape, part.Layout, part.Levels, func(dst []byte) error {
		if err := t.Load(); err != nil {
			return err
		}
		copy(dst, t.Data[from:])
		return nil
	})
}

// cutter replaces the readers of one constant.
type cutter struct {
	g     *Graph
	nodes []*Node
	names []string // of the parts
	first []int    // rows
	rows  int      // of all
}

// end is the row after part i.
func (c *cutter) end(i int) int {
	if i+1 < len(c.first) {
		return c.first[i+1]
	}
	return c.rows
}

// node appends a node and returns its output.
func (c *cutter) node(domain, op, out string, attrs Attrs, in ...string) string {
	if attrs == nil {
		attrs = Attrs{}
	}
	c.nodes = append(c.nodes, &Node{Domain: domain, Op: op, Name: out, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	return out
}

// number adds a constant of one integer.
func (c *cutter) number(base string, v int) string {
	name := c.g.Fresh(base)
	c.g.Init[name] = tensor.FromSlice([]int64{int64(v)})
	return name
}

// product writes the parts of a product with all rows.
func (c *cutter) product(n *Node) {
	var parts []string
	for i, w := range c.names {
		in := slices.Clone(n.Inputs)
		in[1] = w
		part := n.Clone()
		parts = append(parts, c.node(n.Domain, n.Op, c.g.Fresh(fmt.Sprintf("%s.rows%d", n.Outputs[0], c.first[i])), part.Attrs, in...))
	}
	c.node("", "Concat", n.Outputs[0], Attrs{"axis": IntAttr(-1)}, parts...)
}

// lookUp writes how rows are found among the parts: each gives the row of its own that is nearest in number, as float32, whatever its width.
func (c *cutter) lookUp(n *Node) {
	ids, out := n.Inputs[1], n.Outputs[0]
	name := func(what string, i int) string { return c.g.Fresh(fmt.Sprintf("%s.%s%d", out, what, c.first[i])) }
	zero, axis := "", c.number(out+".axis", -1)
	var edges, found []string
	for i, w := range c.names {
		at := ids
		edge := ""
		if i > 0 {
			if zero == "" {
				zero = c.number(out+".zero", 0)
			}
			edge = c.number(name("first", i), c.first[i])
			at = c.node("", "Max", name("number", i), nil, c.node("", "Sub", name("offset", i), nil, at, edge), zero)
		}
		edges = append(edges, edge)
		if i+1 < len(c.names) {
			at = c.node("", "Min", name("row", i), nil, at, c.number(name("last", i), c.end(i)-c.first[i]-1))
		}
		rows := c.node("", "Gather", name("part", i), Attrs{"axis": IntAttr(0)}, w, at)
		found = append(found, c.node("", "Cast", name("float", i), Attrs{"to": IntAttr(1)}, rows))
	}
	last := len(found) - 1
	chosen := found[last]
	for i := last - 1; i >= 0; i-- {
		to := out
		if i > 0 {
			to = name("upto", i)
		}
		below := c.node("", "Unsqueeze", name("mask", i), nil, c.node("", "Less", name("below", i), nil, ids, edges[i+1]), axis)
		chosen = c.node("", "Where", to, nil, below, found[i], chosen)
	}
}

// JoinRows undoes CutRows: it returns a copy of m in which constants that were cut are whole, float32 where their parts are not all of one
// type; m itself if there are none.
func JoinRows(m *Model) *Model {
	j := &joiner{g: m.Graph.Clone(), maker: map[string]*Node{}, whole: map[string]string{}}
	for _, n := range j.g.Nodes {
		for _, out := range n.Outputs {
			j.maker[out] = n
		}
	}
	for _, n := range j.g.Nodes {
		switch {
		case n.Is("", "Where"):
			j.lookUp(n)
		case n.Is("", "Concat") && n.Int("axis", 0) == -1:
			j.product(n)
		}
	}
	if len(j.whole) == 0 {
		return m
	}
	out := m.Clone()
	out.Graph = j.g
	j.g.Types = nil
	j.sweep()
	return out
}

// joiner puts parts together again.
type joiner struct {
	g     *Graph
	maker map[string]*Node
	whole map[string]string // by name of the first part
}

// operand returns the node that makes input i of n, if it applies op.
func (j *joiner) operand(n *Node, i int, domain, op string) *Node {
	if made := j.maker[n.In(i)]; made != nil && made.Is(domain, op) {
		return made
	}
	return &Node{}
}

// lookUp turns the last node of what cutter.lookUp writes into a Gather.
func (j *joiner) lookUp(n *Node) {
	var parts []string
	ids, rows, at := "", 0, n
	for {
		gather := j.operand(&Node{Inputs: []string{at.In(1)}}, 0, "", "Cast")
		last := !at.Is("", "Where")
		if last {
			gather = at
		}
		gather = j.operand(gather, 0, "", "Gather")
		t := j.g.Init[gather.In(0)]
		if t == nil || len(t.Shape) != 2 || gather.Int("axis", 0) != 0 {
			return
		}
		parts, rows = append(parts, gather.In(0)), rows+t.Shape[0]
		if last {
			break
		}
		less := j.operand(j.operand(at, 0, "", "Unsqueeze"), 0, "", "Less")
		edge := j.g.Init[less.In(1)]
		if edge == nil || edge.DType != tensor.I64 || edge.Len() != 1 || edge.IsDeferred() || tensor.View[int64](edge)[0] != int64(rows) || ids != "" && less.In(0) != ids {
			return
		}
		ids = less.In(0)
		if at = j.maker[at.In(2)]; at == nil {
			return
		}
	}
	if w := j.joined(parts); w != "" {
		n.Op, n.Inputs, n.Attrs = "Gather", []string{w, ids}, Attrs{"axis": IntAttr(0)}
	}
}

// product turns the last node of what cutter.product writes into a Linear.
func (j *joiner) product(n *Node) {
	var parts []string
	var first *Node
	for i := range n.Inputs {
		p := j.operand(n, i, DomainDsk, "Linear")
		if len(p.Inputs) < 2 || p.In(2) != "" || first != nil && p.In(0) != first.In(0) {
			return
		}
		if first == nil {
			first = p
		}
		parts = append(parts, p.In(1))
	}
	if w := j.joined(parts); w != "" {
		n.Domain, n.Op, n.Attrs = DomainDsk, "Linear", first.Clone().Attrs
		n.Inputs = slices.Clone(first.Inputs)
		n.Inputs[1] = w
	}
}

// joined adds the constant that parts were cut from, and returns its name; "" if they are none.
func (j *joiner) joined(parts []string) string {
	if len(parts) < 2 {
		return ""
	}
	if name, ok := j.whole[parts[0]]; ok {
		return name
	}
	rows, like := 0, j.g.Init[parts[0]]
	var list []*tensor.Tensor
	alike := true
	for _, name := range parts {
		t := j.g.Init[name]
		if t == nil || len(t.Shape) != 2 || t.Layout != tensor.Panel16 || t.Shape[1] != like.Shape[1] || rows%kernels.PanelRows != 0 {
			return ""
		}
		list = append(list, t)
		rows += t.Shape[0]
		alike = alike && t.DType == like.DType
	}
	base, found := strings.CutSuffix(parts[0], ".rows0")
	if !found {
		return ""
	}
	name := j.g.Fresh(base)
	shape := []int{rows, like.Shape[1]}
	j.whole[parts[0]] = name
	if alike {
		j.g.Init[name] = tensor.Deferred(like.DType, shape, tensor.Panel16, like.Levels, func(dst []byte) error {
			for _, t := range list {
				if err := t.Fill(dst[:t.Bytes()]); err != nil {
					return err
				}
				dst = dst[t.Bytes():]
			}
			return nil
		})
		return name
	}
	j.g.Init[name] = tensor.Deferred(tensor.F32, shape, tensor.Panel16, nil, func(dst []byte) error {
		whole, err := tensor.Of(tensor.F32, shape, tensor.Panel16, dst)
		if err != nil {
			return err
		}
		panels := whole.F32()
		for _, t := range list {
			loaded, err := t.Loaded()
			if err != nil {
				return err
			}
			k := t.Shape[1]
			row := make([]float32, k)
			for r := range t.Shape[0] {
				floatRow(row, loaded, r)
				for i, v := range row {
					panels[r/kernels.PanelRows*kernels.PanelRows*k+i*kernels.PanelRows+r%kernels.PanelRows] = v
				}
			}
			panels = panels[t.Shape[0]/kernels.PanelRows*kernels.PanelRows*k:]
		}
		return nil
	})
	return name
}

// floatRow reads a row of a matrix in panels as float32.
func floatRow(dst []float32, t *tensor.Tensor, r int) {
	if t.DType.IsQuantized() {
		kernels.DequantizeRow(dst, t.Data, t.DType.Format(), t.Levels, r, t.Shape[1])
		return
	}
	kind := map[tensor.DType]kernels.Kind{tensor.F32: kernels.KindF32, tensor.F16: kernels.KindF16, tensor.BF16: kernels.KindBF16}[t.DType]
	kernels.PanelRowF32(dst, kernels.Weights{Kind: kind, N: t.Shape[0], K: t.Shape[1], Data: t.Data}, r)
}

// sweep drops nodes whose results nothing reads, and constants.
func (j *joiner) sweep() {
	used := map[string]bool{}
	for _, v := range j.g.Outputs {
		used[v.Name] = true
	}
	for _, s := range j.g.States {
		used[s.Output] = true
	}
	var kept []*Node
	for _, n := range slices.Backward(j.g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(out string) bool { return used[out] }) {
			continue
		}
		kept = append(kept, n)
		noteReads(n, used)
	}
	slices.Reverse(kept)
	j.g.Nodes = kept
	for name := range j.g.Init {
		if !used[name] {
			delete(j.g.Init, name)
		}
	}
}

// noteReads adds what a node and its subgraphs read.
func noteReads(n *Node, used map[string]bool) {
	for _, in := range n.Inputs {
		used[in] = true
	}
	for _, sub := range n.Subgraphs() {
		for _, out := range sub.Outputs {
			used[out.Name] = true
		}
		for _, inner := range sub.Nodes {
			noteReads(inner, used)
		}
	}
}
