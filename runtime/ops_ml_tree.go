package runtime

import (
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register(model.DomainML, operands(1, map[string]Binder{
	"TreeEnsembleRegressor": bindTreeRegressor,
	"TreeEnsemble":          bindTreeRegressor,
}))

var _ = register(model.DomainML, dense(map[string]Binder{"TreeEnsembleClassifier": bindTreeClassifier}))

// The tests of a node, as TreeEnsemble numbers them.
const (
	branchLEQ = iota
	branchLT
	branchGTE
	branchGT
	branchEQ
	branchNEQ
	branchMember
)

var branchNames = []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"}

// treeNode tests a feature. A child is a node's number, or the complement of a leaf's.
type treeNode struct {
	mode         int
	feature      int
	value        float64
	members      []float64
	yes, no      int
	missingIsYes bool
}

// vote is what a leaf adds to a target.
type vote struct {
	target int
	weight float64
}

// forest is an ensemble of decision trees over rows of numbers.
type forest struct {
	b              *Bind
	load           func(*tensor.Tensor, int) float64
	rows, features int
	nodes          []treeNode
	leaves         [][]vote
	roots          []int // as children
	targets        int
	base           []float64
	aggregate      string
}

func newForest(b *Bind, targets int) (*forest, error) {
	f := &forest{b: b, targets: targets, rows: 1, aggregate: b.Node.Str("aggregate_function", "SUM")}
	x := b.In[0]
	if f.load = loaderOf(x.DType); f.load == nil || len(x.Shape) < 1 || len(x.Shape) > 2 {
		return nil, b.errorf("%v is no matrix of numbers", x)
	}
	f.features = x.Shape[len(x.Shape)-1]
	if len(x.Shape) == 2 {
		f.rows = x.Shape[0]
	}
	read := f.readLists
	if b.Node.Op == "TreeEnsemble" {
		read = f.readTensors
	}
	if err := read(); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"SUM", "AVERAGE", "MIN", "MAX"}, f.aggregate) || len(f.base) != 0 && len(f.base) != targets {
		return nil, b.errorf("aggregate_function %q, %d base values for %d targets", f.aggregate, len(f.base), targets)
	}
	for i, n := range f.nodes {
		for _, child := range []int{n.yes, n.no} {
			if child >= len(f.nodes) || ^child >= len(f.leaves) {
				return nil, b.errorf("node %d of a tree has no child", i)
			}
		}
		if n.feature < 0 || n.feature >= f.features {
			return nil, b.errorf("node %d of a tree tests feature %d of %d", i, n.feature, f.features)
		}
	}
	for _, leaf := range f.leaves {
		for _, v := range leaf {
			if v.target < 0 || v.target >= targets {
				return nil, b.errorf("a leaf votes for target %d of %d", v.target, targets)
			}
		}
	}
	return f, f.acyclic()
}

// acyclic makes sure that every way down ends.
func (f *forest) acyclic() error {
	const open, done = 1, 2
	state := make([]byte, len(f.nodes))
	for start := range f.nodes {
		stack := []int{start}
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			if state[at] != 0 {
				state[at], stack = done, stack[:len(stack)-1]
				continue
			}
			state[at] = open
			for _, child := range []int{f.nodes[at].yes, f.nodes[at].no} {
				switch {
				case child < 0 || state[child] == done:
				case state[child] == open:
					return f.b.errorf("a tree runs in a circle")
				default:
					stack = append(stack, child)
				}
			}
		}
	}
	return nil
}

// floatList returns attribute name, or name_as_tensor.
func (f *forest) floatList(name string) ([]float64, error) {
	n := f.b.Node
	for _, key := range []string{name + "_as_tensor", name} {
		if t := n.Attrs[key].Tensor; t != nil {
			t, err := t.Loaded()
			if err != nil {
				return nil, err
			}
			load := loaderOf(t.DType)
			if load == nil {
				return nil, f.b.unsupportedType(t.DType)
			}
			out := make([]float64, t.Len())
			for i := range out {
				out[i] = load(t, i)
			}
			return out, nil
		}
	}
	return widen64(n.Floats(name)), nil
}

// treePlace identifies a node in the lists of TreeEnsembleRegressor and TreeEnsembleClassifier.
type treePlace struct{ tree, node int64 }

// readLists reads the forms of ai.onnx.ml 1 and 3: lists with an entry for each node, leaves among them.
func (f *forest) readLists() error {
	n := f.b.Node
	trees, ids, features := n.Ints("nodes_treeids"), n.Ints("nodes_nodeids"), n.Ints("nodes_featureids")
	yes, no, missing := n.Ints("nodes_truenodeids"), n.Ints("nodes_falsenodeids"), n.Ints("nodes_missing_value_tracks_true")
	modes := n.Attrs["nodes_modes"].Strs
	values, err := f.floatList("nodes_values")
	if err != nil {
		return err
	}
	if f.base, err = f.floatList("base_values"); err != nil {
		return err
	}
	count := len(ids)
	for _, l := range []int{len(trees), len(features), len(yes), len(no), len(modes), len(values)} {
		if l != count {
			return f.b.errorf("lists of %d and %d nodes", count, l)
		}
	}
	at := map[treePlace]int{}
	seen := map[int64]bool{}
	for i, id := range ids {
		place := treePlace{trees[i], id}
		if _, dup := at[place]; dup {
			return f.b.errorf("tree %d has two nodes %d", trees[i], id)
		}
		if modes[i] == "LEAF" {
			at[place] = ^len(f.leaves)
			f.leaves = append(f.leaves, nil)
		} else {
			mode := slices.Index(branchNames, modes[i])
			if mode < 0 || mode == branchMember {
				return f.b.errorf("a node of mode %q", modes[i])
			}
			at[place] = len(f.nodes)
			f.nodes = append(f.nodes, treeNode{mode: mode, feature: int(features[i]), value: values[i], missingIsYes: i < len(missing) && missing[i] != 0})
		}
		if !seen[trees[i]] {
			seen[trees[i]] = true
			f.roots = append(f.roots, at[place])
		}
	}
	for i, id := range ids {
		k := at[treePlace{trees[i], id}]
		if k < 0 {
			continue
		}
		var okYes, okNo bool
		f.nodes[k].yes, okYes = at[treePlace{trees[i], yes[i]}]
		f.nodes[k].no, okNo = at[treePlace{trees[i], no[i]}]
		if !okYes || !okNo {
			return f.b.errorf("node %d of tree %d has no child", id, trees[i])
		}
	}
	prefix := "target_"
	if n.Op == "TreeEnsembleClassifier" {
		prefix = "class_"
	}
	voteTrees, voteNodes, targets := n.Ints(prefix+"treeids"), n.Ints(prefix+"nodeids"), n.Ints(prefix+"ids")
	weights, err := f.floatList(prefix + "weights")
	if err != nil {
		return err
	}
	if len(voteTrees) != len(targets) || len(voteNodes) != len(targets) || len(weights) != len(targets) {
		return f.b.errorf("%d votes with %d weights", len(targets), len(weights))
	}
	for i, target := range targets {
		k, ok := at[treePlace{voteTrees[i], voteNodes[i]}]
		if !ok || k >= 0 {
			return f.b.errorf("a vote of node %d of tree %d, which is no leaf", voteNodes[i], voteTrees[i])
		}
		f.leaves[^k] = append(f.leaves[^k], vote{int(target), weights[i]})
	}
	return nil
}

// readTensors reads the form of ai.onnx.ml 5: leaves apart, one target each.
func (f *forest) readTensors() error {
	n := f.b.Node
	lists := map[string][]float64{}
	for _, name := range []string{"leaf_weights", "nodes_modes", "nodes_splits", "membership_values"} {
		v, err := f.floatList(name)
		if err != nil {
			return err
		}
		lists[name] = v
	}
	modes, splits, members := lists["nodes_modes"], lists["nodes_splits"], lists["membership_values"]
	features, yes, no := n.Ints("nodes_featureids"), n.Ints("nodes_truenodeids"), n.Ints("nodes_falsenodeids")
	yesLeaf, noLeaf, missing := n.Ints("nodes_trueleafs"), n.Ints("nodes_falseleafs"), n.Ints("nodes_missing_value_tracks_true")
	for _, l := range []int{len(splits), len(features), len(yes), len(no), len(yesLeaf), len(noLeaf)} {
		if l != len(modes) {
			return f.b.errorf("lists of %d and %d nodes", len(modes), l)
		}
	}
	for i, target := range n.Ints("leaf_targetids") {
		if i >= len(lists["leaf_weights"]) {
			return f.b.errorf("leaf %d has no weight", i)
		}
		f.leaves = append(f.leaves, []vote{{int(target), lists["leaf_weights"][i]}})
	}
	child := func(at, isLeaf int64) int {
		if at < 0 || at > math.MaxInt32 {
			at = math.MaxInt32 // no child, which is found out later
		}
		if isLeaf != 0 {
			return ^int(at)
		}
		return int(at)
	}
	for i, mode := range modes {
		if mode < branchLEQ || mode > branchMember {
			return f.b.errorf("node %d has mode %g", i, mode)
		}
		t := treeNode{mode: int(mode), feature: int(features[i]), value: splits[i], yes: child(yes[i], yesLeaf[i]), no: child(no[i], noLeaf[i]),
			missingIsYes: i < len(missing) && missing[i] != 0}
		if t.mode == branchMember {
			end := slices.IndexFunc(members, math.IsNaN)
			if end < 0 {
				return f.b.errorf("node %d has no members", i)
			}
			t.members, members = members[:end], members[end+1:]
		}
		f.nodes = append(f.nodes, t)
	}
	for _, r := range n.Ints("tree_roots") {
		if r < 0 || r >= int64(len(f.nodes)) {
			return f.b.errorf("a tree begins at node %d of %d", r, len(f.nodes))
		}
		root := int(r)
		if t := f.nodes[root]; t.yes == t.no && t.yes < 0 {
			root = t.yes // a tree of one leaf
		}
		f.roots = append(f.roots, root)
	}
	names := []string{"AVERAGE", "SUM", "MIN", "MAX"}
	k := n.Int("aggregate_function", 1)
	if k < 0 || k >= int64(len(names)) {
		return f.b.errorf("aggregate_function %d", k)
	}
	f.aggregate = names[k]
	return nil
}

// test says which way a value goes.
func (n *treeNode) test(x float64) bool {
	if math.IsNaN(x) {
		return n.missingIsYes
	}
	switch n.mode {
	case branchLEQ:
		return x <= n.value
	case branchLT:
		return x < n.value
	case branchGTE:
		return x >= n.value
	case branchGT:
		return x > n.value
	case branchEQ:
		return x == n.value
	case branchNEQ:
		return x != n.value
	}
	return slices.Contains(n.members, x)
}

// scores fills dst with the aggregated votes on a row.
func (f *forest) scores(dst []float64, row int) {
	clear(dst)
	voted := make([]bool, len(dst))
	for _, at := range f.roots {
		for at >= 0 {
			n := &f.nodes[at]
			if at = n.no; n.test(f.load(f.b.In[0], row*f.features+n.feature)) {
				at = n.yes
			}
		}
		for _, v := range f.leaves[^at] {
			switch {
			case f.aggregate == "MIN" && voted[v.target]:
				dst[v.target] = min(dst[v.target], v.weight)
			case f.aggregate == "MAX" && voted[v.target]:
				dst[v.target] = max(dst[v.target], v.weight)
			default:
				dst[v.target] += v.weight
			}
			voted[v.target] = true
		}
	}
	for i := range dst {
		if f.aggregate == "AVERAGE" {
			dst[i] /= float64(max(1, len(f.roots)))
		}
		if len(f.base) > 0 {
			dst[i] += f.base[i]
		}
	}
}

func bindTreeRegressor(b *Bind) (Run, error) {
	f, err := newForest(b, int(b.Node.Int("n_targets", 1)))
	if err != nil {
		return nil, err
	}
	transform, err := b.postTransform()
	if err != nil {
		return nil, err
	}
	_, store, err := b.codec()
	if err != nil {
		return nil, err
	}
	return simple(func() {
		scores := make([]float64, f.targets)
		for r := range f.rows {
			f.scores(scores, r)
			transform(scores)
			for t, v := range scores {
				store(b.Out[0], r*f.targets+t, v)
			}
		}
	}), nil
}

func bindTreeClassifier(b *Bind) (Run, error) {
	if !b.Has(0) {
		return nil, b.errorf("input 0 is missing")
	}
	c, err := newClasses(b)
	if err != nil {
		return nil, err
	}
	f, err := newForest(b, c.count)
	if err != nil {
		return nil, err
	}
	// Two classes of which one has all the votes: that one's score tells.
	only, alone, positive := -1, true, true
	for _, leaf := range f.leaves {
		for _, v := range leaf {
			alone = alone && (only < 0 || only == v.target)
			only = v.target
			positive = positive && v.weight >= 0
		}
	}
	binary := c.count <= 2 && alone && only >= 0
	return simple(func() {
		scores := make([]float64, f.targets)
		for r := range f.rows {
			f.scores(scores, r)
			if binary {
				c.binary(r, scores[only], !positive)
			} else {
				c.put(r, scores)
			}
		}
	}), nil
}
