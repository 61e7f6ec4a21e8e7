package quant

import (
	"context"
	"slices"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// sequentialRows is how many rows for each of its elements a product's input must show: a correction by least squares
	// has k coefficients a row of weights.
	sequentialRows = 8
	// referenceLimit bounds the bytes of the reference's values that are kept at a time.
	referenceLimit = 1 << 29
	// sequentialDamping is like calibratedDamping. With the inputs' errors in the moment less has to be guessed: on held-out
	// text at 2 bit 0.2 is as good as 0.05 with 32,000 tokens and better by 12 % with 8,000.
	sequentialDamping = 0.2
)

// stage is a value x that products read. In the quantized model the value is x', and where a product is added to a
// value r, as in a residual network, that one is r'. The weights Q that restore the sum best minimise
//
//	E |r + W x - r' - Q x'|^2 = E |T x' - Q x'|^2 + const,   T = W + (W E[(x-x') x'^T] + E[(r-r') x'^T]) E[x' x'^T]^-1
//
// so T is quantized in place of W, with the second moment of x'. This is the order of "true sequential" GPTQ with the inputs'
// errors in the target (Li et al., "GPTAQ: Efficient finetuning-free quantization for asymmetric calibration", 2025),
// and with the errors of the sum that the product goes to. Where the product has a bias b, it takes up the means, and the moments
// are those of what is left:
//
//	b' = b + E[r-r'] + W E[x] - Q E[x']
//
// A convolution is a product too, of its receptive fields.
type stage struct {
	k, seen  int
	reader   string // output of the first node that reads x
	uncut    string // that output where a table's parts have one width; "" where there is none
	products []*member
	shape    []int                // of a convolution's weights
	xx, dx   []float32            // sums of x' x'^T and of (x-x') x'^T over the rows seen
	ref      map[int][]float32    // x by input of the calibration
	total    []float64            // sum of x'
	lost     []float64            // sum of x-x'
	x        []float32            // x' of the present input
	feedback [2]*kernels.Feedback // of xx, and less the means
}

// member is a Linear or a Conv of a stage.
type member struct {
	*candidate
	sum     string            // output of the node that adds r to the product; "" if none does
	operand int               // r's
	rx      []float32         // sum of (r-r') x'^T
	lost    []float64         // sum of r-r'
	ref     map[int][]float32 // r by input of the calibration
}

// stages lists, in graph order, the products whose weights are read by nothing else.
func (q *quantizer) stages() []*stage {
	reads := map[string]int{}
	for _, n := range q.m.Graph.Nodes {
		for _, in := range n.Inputs {
			reads[in]++
		}
	}
	known := map[string]*candidate{}
	for _, c := range q.candidates {
		moment := c.feedback != nil || c.crowded && !q.o.NoFeedback
		if moment && c.choice.bits != halfBits && reads[c.name] == 1 {
			known[c.name] = c
		}
	}
	byRows, byOutput := map[string]*stage{}, map[string]*member{}
	var out []*stage
	for _, n := range q.m.Graph.Nodes {
		if n.Is("", "Add") {
			for i, name := range n.Inputs {
				if p := byOutput[name]; p != nil && reads[name] == 1 && q.m.Graph.Init[n.Inputs[1-i]] == nil {
					p.sum, p.operand = n.Outputs[0], 1-i
				}
			}
		}
		c := known[n.In(1)]
		conv := n.Is(model.DomainDsk, "Conv")
		if c == nil || !conv && !n.Is(model.DomainDsk, "Linear") {
			continue
		}
		rows := rowsRead(n, c)
		s := byRows[rows]
		if s == nil {
			s = &stage{k: c.k, reader: n.Outputs[0], uncut: q.uncut(n, c)}
			if conv {
				s.shape = c.t.Shape
			}
			byRows[rows] = s
			out = append(out, s)
		}
		p := &member{candidate: c}
		s.products = append(s.products, p)
		switch {
		case conv && n.In(convSum) != "":
			p.sum, p.operand = n.Outputs[0], convSum
		case !conv && n.Str("activation", "") == "":
			byOutput[n.Outputs[0]] = p
		}
	}
	return out
}

// sequential makes the blocks of products once more, in the order of the graph, for the inputs that
// the quantized products before them give. It keeps them if they do better on calibration data, in the case of text on
// windows that they were not made from.
func (q *quantizer) sequential(ctx context.Context) error {
	if q.probe == nil {
		return nil
	}
	all := q.stages()
	if len(all) == 0 {
		return nil
	}
	before, err := q.divergence(ctx, q.encode())
	if err != nil {
		return err
	}
	var saved []candidate
	for _, c := range q.candidates {
		saved = append(saved, *c)
	}
	for _, s := range all {
		for _, p := range s.products {
			p.pending = true
		}
	}
	sums := &rowSums{pool: q.newPool()}
	defer sums.pool.Close()
	rows := 0 // that a stage reads
	for done := 0; done < len(all); {
		batch := affordable(all[done:], rows)
		if slices.ContainsFunc(batch, func(s *stage) bool { return q.saved(s) == nil }) {
			if err := q.watchReference(ctx, batch); err != nil {
				return err
			}
		}
		for _, s := range batch {
			q.o.progress("quantize in sequence", done, len(all))
			if err := q.quantizeStage(ctx, s, sums); err != nil {
				return err
			}
			rows = s.seen
			done++
		}
	}
	q.o.progress("quantize in sequence", len(all), len(all))
	after, err := q.divergence(ctx, q.encode())
	if err != nil || after < before {
		return err
	}
	for i, c := range q.candidates {
		*c = saved[i]
	}
	return nil
}

// affordable returns the first of the stages, and as many after it as leave the reference's values within referenceLimit if
// each reads the given number of rows. 0 rows: not known yet.
func affordable(all []*stage, rows int) []*stage {
	n := 1
	if rows == 0 {
		return all[:n]
	}
	total := all[0].bytes(rows)
	for n < len(all) && total+all[n].bytes(rows) <= referenceLimit {
		total += all[n].bytes(rows)
		n++
	}
	return all[:n]
}

// bytes is what the reference's values for that many rows take.
func (s *stage) bytes(rows int) int64 {
	width := s.k
	for _, p := range s.products {
		if p.sum != "" {
			width += p.n
		}
	}
	return 4 * int64(rows) * int64(width)
}

// watchReference records what the stages read in the input model.
func (q *quantizer) watchReference(ctx context.Context, stages []*stage) error {
	for _, s := range stages {
		s.ref = map[int][]float32{}
		for _, p := range s.products {
			p.ref = map[int][]float32{}
		}
	}
	return q.probe.Watch(ctx, q.m, observer(stages,
		func(i int, s *stage, x []float32) { s.ref[i] = append([]float32(nil), x...) },
		func(i int, _ *stage, p *member, r []float32) { p.ref[i] = append([]float32(nil), r...) }))
}

// observer calls read with the values of the stages and then added with those that their products are added to,
// and ends each run after the last.
func observer(stages []*stage, read func(i int, s *stage, x []float32), added func(i int, s *stage, p *member, r []float32)) eval.Observer {
	type event struct {
		s *stage
		p *member
	}
	events, names := map[string][]event{}, 0
	for _, s := range stages {
		events[s.reader] = append(events[s.reader], event{s, nil})
		if s.uncut != "" {
			events[s.uncut] = events[s.reader]
			names--
		}
		for _, p := range s.products {
			if p.sum != "" {
				events[p.sum] = append(events[p.sum], event{s, p})
			}
		}
	}
	names += len(events)
	run, left := -1, 0
	return func(i int, n *model.Node, in []*tensor.Tensor) bool {
		if i != run {
			run, left = i, names
		}
		if len(n.Outputs) == 0 || events[n.Outputs[0]] == nil {
			return true
		}
		for _, e := range events[n.Outputs[0]] {
			switch {
			case e.p == nil && in[0].DType == tensor.F32:
				read(i, e.s, e.s.rows(n, in[0]))
			case e.p != nil && in[e.p.operand].DType == tensor.F32:
				added(i, e.s, e.p, e.s.sums(n, in[e.p.operand]))
			}
		}
		left--
		return left > 0
	}
}

// quantizeStage makes the blocks of a stage's products for the inputs that the model has with the blocks so far.
func (q *quantizer) quantizeStage(ctx context.Context, s *stage, sums *rowSums) error {
	s.xx, s.dx = make([]float32, s.k*s.k), make([]float32, s.k*s.k)
	s.total, s.lost = make([]float64, s.k), make([]float64, s.k)
	for _, p := range s.products {
		if p.sum != "" {
			p.rx, p.lost = make([]float32, p.n*s.k), make([]float64, p.n)
		}
	}
	var err error
	if !q.restoreStage(s) {
		if s.ref == nil { // the piece was there before
			err = q.watchReference(ctx, []*stage{s})
		}
		if err == nil {
			err = q.watchStage(ctx, s, sums)
		}
	}
	for _, p := range s.products {
		p.pending = false
		switch {
		case err != nil:
		case s.seen >= sequentialRows*s.k:
			err = q.requantize(s, p, sums)
		case p.crowded && s.seen > 0 && p.mean == nil:
			err = q.feedBack(s, p)
		}
		p.rx, p.lost = nil, nil
	}
	s.xx, s.dx, s.x, s.feedback = nil, nil, nil, [2]*kernels.Feedback{}
	return err
}

// watchStage fills in the stage's sums.
func (q *quantizer) watchStage(ctx context.Context, s *stage, sums *rowSums) error {
	err := q.probe.Watch(ctx, q.encode(), observer([]*stage{s},
		func(i int, s *stage, x []float32) {
			if len(s.ref[i]) != len(x) { // how many rows there are depends on values
				s.x = s.x[:0]
				return
			}
			s.seen += len(x) / s.k
			s.x = append(s.x[:0], x...)
			kernels.Sub(s.ref[i], s.ref[i], x)
			addRows(s.total, x)
			addRows(s.lost, s.ref[i])
			sums.add(s.xx, x, x, s.k, s.k)
			sums.add(s.dx, s.ref[i], x, s.k, s.k)
			delete(s.ref, i)
		},
		func(i int, s *stage, p *member, r []float32) {
			// A value that is repeated for the rows, or that rows are repeated for, is no residual of them.
			if len(p.ref[i]) == len(r) && len(r)/p.n == len(s.x)/s.k {
				kernels.Sub(p.ref[i], p.ref[i], r)
				addRows(p.lost, p.ref[i])
				sums.add(p.rx, p.ref[i], s.x, p.n, s.k)
			}
			delete(p.ref, i)
		}))
	if err != nil {
		return err
	}
	return q.saveStage(s)
}

// addRows adds rows, which follow each other, to their sum.
func addRows(sum []float64, rows []float32) {
	for i, v := range rows {
		sum[i%len(sum)] += float64(v)
	}
}

// means returns the mean of the rows with the given sum.
func (s *stage) means(sum []float64) []float64 {
	mean := make([]float64, len(sum))
	for j, v := range sum {
		mean[j] = v / float64(s.seen)
	}
	return mean
}

// centred returns the sum of a_t b_t^T over the rows seen, less what their means contribute. The means are those of a and b.
func (s *stage) centred(sum []float32, a, b []float64) []float32 {
	out := make([]float32, len(sum))
	for i, v := range a {
		for j, w := range b {
			out[i*len(b)+j] = float32(float64(sum[i*len(b)+j]) - float64(float64(float64(s.seen)*v)*w))
		}
	}
	return out
}

// requantize makes the blocks of one product from the stage's sums.
func (q *quantizer) requantize(s *stage, p *member, sums *rowSums) error {
	xx, dx, rx, centred := s.xx, s.dx, p.rx, 0
	var mean, lost, sumLost []float64
	if p.mean != nil {
		centred = 1
		mean, lost = s.means(s.total), s.means(s.lost)
		xx, dx = s.centred(xx, mean, mean), s.centred(dx, lost, mean)
		sumLost = make([]float64, p.n)
		if rx != nil {
			sumLost = s.means(p.lost)
			rx = s.centred(rx, sumLost, mean)
		}
	}
	fb := s.decompose(centred, xx, sequentialDamping+float64(q.scarce(scarceSequence)*float64(s.k))/float64(s.seen))
	if fb == nil {
		return nil
	}
	weights, target := make([]float32, p.n*p.k), make([]float32, p.n*p.k)
	p.rows(weights, 0, p.n)
	change := make([]float32, p.n*p.k)
	sums.gemm(change, weights, dx, p.n, p.k, p.k)
	if rx != nil {
		kernels.Add(change, change, rx)
	}
	sums.pool.Run(kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(p.n, 1, part, parts)
		row := make([]float64, p.k)
		for r := lo; r < hi; r++ {
			for j, v := range change[r*p.k : (r+1)*p.k] {
				row[j] = float64(v)
			}
			fb.Solve(row)
			for j, v := range row {
				target[r*p.k+j] = weights[r*p.k+j] + float32(v)
				if mean != nil {
					// What recentred leaves: E[r-r'] + W E[x-x'] - (T-W) E[x'].
					sumLost[r] += float64(float64(weights[r*p.k+j])*lost[j]) - float64(v*mean[j])
				}
			}
		}
	}))
	for _, v := range target {
		if v-v != 0 {
			return nil
		}
	}
	p.target, p.candidate.feedback = target, fb
	if p.mean != nil {
		p.mean, p.shift = mean, sumLost
	}
	p.basis = "error feedback on quantized inputs"
	err := q.renew(p.candidate)
	if p.blocks != nil && p.mean == nil {
		p.target = nil
	}
	return err
}

// feedBack makes the blocks of a product whose inputs' moment found no room before, of a stage that has seen too few rows for a correction.
func (q *quantizer) feedBack(s *stage, p *member) error {
	fb := s.decompose(0, s.xx, calibratedDamping+float64(q.scarce(scarceDamping)*float64(s.k))/float64(s.seen))
	if fb == nil {
		return nil
	}
	p.candidate.feedback, p.basis = fb, "error feedback"
	return q.renew(p.candidate)
}

// decompose makes what error feedback needs of a moment, once; nil if it cannot be decomposed, which leaves the blocks as they are.
func (s *stage) decompose(centred int, xx []float32, damping float64) *kernels.Feedback {
	if s.feedback[centred] == nil {
		h := make([]float64, len(xx))
		for i, v := range xx {
			h[i] = float64(v)
		}
		if fb, err := kernels.NewFeedback(h, s.k, damping); err == nil {
			s.feedback[centred] = fb
		}
	}
	return s.feedback[centred]
}

// renew makes a candidate's blocks anew. What they were made by is as large as all of a layer's weights: it is dropped with the stage if
// the blocks are kept and no others will be asked for, as they are for packed files, whose size depends on them.
func (q *quantizer) renew(c *candidate) error {
	for _, blocks := range c.blocks {
		q.kept -= int64(len(blocks))
	}
	c.blocks = nil
	err := q.measureError(c, &c.choice)
	if c.blocks != nil && !q.packs() {
		c.feedback = nil
	}
	return err
}

// rowSums adds up products of rows.
type rowSums struct {
	pool                *kernels.Pool
	transposed, product []float32
	scratch             [][]byte
}

// add adds sum_t a_t b_t^T to the n x k sum, for rows a_t of n and b_t of k elements that follow each other.
func (s *rowSums) add(sum, a, b []float32, n, k int) {
	rows := len(b) / k
	s.transposed = grown(s.transposed, rows*n)
	for r := range rows {
		for i, v := range a[r*n : (r+1)*n] {
			s.transposed[i*rows+r] = v
		}
	}
	s.product = grown(s.product, n*k)
	s.gemm(s.product, s.transposed, b, n, k, rows)
	kernels.Add(sum, sum, s.product)
}

// gemm sets dst, m x n, to a b for row-major a, m x k, and b, k x n.
func (s *rowSums) gemm(dst, a, b []float32, m, n, k int) {
	need := kernels.GemmScratchBytes(n, k)
	if s.scratch == nil {
		s.scratch = make([][]byte, s.pool.Threads())
	}
	s.pool.Run(kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(m, kernels.PanelRows, part, parts)
		if lo == hi {
			return
		}
		if len(s.scratch[part]) < need {
			s.scratch[part] = tensor.AlignedBytes(need)
		}
		kernels.Gemm(dst[lo*n:hi*n], n, a[lo*k:hi*k], k, b, n, false, hi-lo, n, k, s.scratch[part])
	}))
}
