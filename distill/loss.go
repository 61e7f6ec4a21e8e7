package distill

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
)

// Soft are a teacher's labels of some rows: of each row the K most likely classes with their probabilities at the temperature
// of the loss. What they leave of 1 is the tail, the probability of all other classes together; K may be the number of classes.
type Soft struct {
	K     int
	Class []int32   // [rows][K], each class once in a row
	P     []float32 // [rows][K]
}

// Loss is what a student is trained to make small (Hinton, Vinyals and Dean 2015), the mean over the labelled rows of
//
//	alpha T^2 KL(p || q_T) + (1-alpha) CE(label, q_1)
//
// where q_t = softmax(logits / t) are the student's probabilities and p the teacher's at the temperature T. The divergence
// counts the classes outside of a row's K as one, so that labels cut to K bias nothing that they hold:
//
//	KL = sum_k p_k log(p_k / q_k) + tail_p log(tail_p / tail_q)
//
// CE is the cross-entropy, with label smoothing s: the label has 1-s, and all classes share s.
type Loss struct {
	Classes     int
	Alpha       float32 // 0: labels alone, 1: the teacher alone
	Temperature float32 // 0 counts as 1
	Smoothing   float32

	pool   *kernels.Pool
	rows   int
	losses []float64 // of each row
	room   []float32 // two rows per part

	task kernels.TaskFunc

	// of the running Gradient
	logits, grad []float32
	labels       []int32
	soft         *Soft
	count        float32
}

// NewLoss prepares a loss over up to rows rows of classes logits. pool may be nil.
func NewLoss(rows, classes int, pool *kernels.Pool) *Loss {
	if pool == nil {
		pool = kernels.NewPool(1)
	}
	l := &Loss{Classes: classes, pool: pool, rows: rows, losses: make([]float64, rows),
		room: make([]float32, pool.Threads()*2*classes)}
	l.task = func(part, parts int) {
		lo, hi := kernels.Span(len(l.labels), 1, part, parts)
		for r := lo; r < hi; r++ {
			l.losses[r] = l.row(r, l.room[part*2*classes:(part+1)*2*classes])
		}
	}
	return l
}

// Gradient writes the derivative of the loss by logits [len(labels)][Classes] to grad and returns the loss. A label of -1
// leaves its row out. soft is needed if Alpha is not 0.
func (l *Loss) Gradient(grad, logits []float32, labels []int32, soft *Soft) (float64, error) {
	n := len(labels)
	if n > l.rows || len(logits) != n*l.Classes || len(grad) != len(logits) {
		return 0, fmt.Errorf("a loss over %d rows of %d classes got %d logits, %d derivatives and %d labels",
			l.rows, l.Classes, len(logits), len(grad), n)
	}
	if l.Alpha != 0 {
		if soft == nil || soft.K < 1 || len(soft.Class) != n*soft.K || len(soft.P) != n*soft.K {
			return 0, fmt.Errorf("the loss needs a teacher's labels of %d rows", n)
		}
		for i, c := range soft.Class {
			if c < 0 || int(c) >= l.Classes {
				return 0, fmt.Errorf("the teacher's label %d is class %d of %d", i, c, l.Classes)
			}
		}
	}
	count := 0
	for i, c := range labels {
		if int(c) >= l.Classes {
			return 0, fmt.Errorf("label %d is class %d of %d", i, c, l.Classes)
		}
		if c >= 0 {
			count++
		}
	}
	l.grad, l.logits, l.labels, l.soft, l.count = grad, logits, labels, soft, float32(max(count, 1))
	l.pool.Run(l.task)
	var sum float64
	for _, v := range l.losses[:n] {
		sum += v
	}
	return sum / float64(l.count), nil
}

// row computes a row's loss and derivative; room is for two rows.
func (l *Loss) row(r int, room []float32) float64 {
	q := room[:l.Classes]
	x, g := l.logits[r*l.Classes:(r+1)*l.Classes], l.grad[r*l.Classes:(r+1)*l.Classes]
	label := l.labels[r]
	if label < 0 {
		clear(g)
		return 0
	}
	var loss float64
	if hard := 1 - l.Alpha; hard > 0 {
		all, scale := exponentials(g, x)
		share := hard / l.count
		kernels.Scale(g, g, scale*share)
		loss += float64(hard) * float64(1-l.Smoothing) * (all - float64(x[label]))
		if l.Smoothing > 0 {
			even := l.Smoothing / float32(l.Classes)
			loss += float64(hard) * float64(even) * (float64(l.Classes)*all - float64(kernels.SumRow(x)))
			kernels.AddScalar(g, g, -even*share)
		}
		g[label] -= float32((1 - l.Smoothing) * share)
	} else {
		clear(g)
	}
	if l.Alpha > 0 {
		loss += l.divergence(r, g, x, q, room[l.Classes:])
	}
	return loss
}

// exponentials is dst[i] = exp(x[i] - max x). It returns log sum exp(x), and what makes dst the softmax of x when it is scaled.
func exponentials(dst, x []float32) (logSum float64, scale float32) {
	most := kernels.MaxRow(x)
	kernels.AddScalar(dst, x, -most)
	kernels.Exp(dst, dst)
	sum := kernels.SumRow(dst)
	return float64(most) + math.Log(float64(sum)), 1 / sum
}

// smallest is the probability below which a tail counts as this.
const smallest = 1e-30

// divergence adds a row's share of the teacher: with the derivative T (q_j - p_j) for a class of the K, and
// T q_j (1 - tail_p / tail_q) for others.
func (l *Loss) divergence(r int, g, x, q, kept []float32) float64 {
	t := l.Temperature
	if t == 0 {
		t = 1
	}
	k := l.soft.K
	class, p := l.soft.Class[r*k:(r+1)*k], l.soft.P[r*k:(r+1)*k]
	if t != 1 {
		scaled := kept[:l.Classes]
		kernels.Scale(scaled, x, 1/t)
		x = scaled
	}
	all, scale := exponentials(q, x)
	kernels.Scale(q, q, scale)
	var loss, pSum float64
	for i, c := range class {
		pi := float64(p[i])
		if pi > 0 {
			loss += pi * (math.Log(pi) - (float64(x[c]) - all))
		}
		pSum += pi
	}
	a := l.Alpha * t / l.count
	// The others are by themselves here, since 1 less the K has no digits left where a student is sure of one of these, and a ratio of tails
	// that is far from 1 leaves none of theirs.
	for i, c := range class {
		kept[i], q[c] = q[c], 0
	}
	if k < l.Classes {
		pTail, qTail := max(1-pSum, 0), max(float64(kernels.SumRow(q)), smallest)
		if pTail > 0 {
			loss += pTail * (math.Log(pTail) - math.Log(qTail))
		}
		kernels.Axpy(g, q, a*float32(1-pTail/qTail))
	}
	for i, c := range class {
		g[c] += float32(a * (kept[i] - p[i]))
	}
	return float64(l.Alpha) * float64(t) * float64(t) * loss
}

// SoftOf returns the k most likely classes of rows of logits [rows][classes] at a temperature, the likeliest first, with their
// probabilities; equal ones in the order of their numbers. All classes stay in their own order.
func SoftOf(logits []float32, classes, k int, temperature float32) *Soft {
	rows := len(logits) / classes
	k = min(k, classes)
	s := &Soft{K: k, Class: make([]int32, rows*k), P: make([]float32, rows*k)}
	q := make([]float32, classes)
	for r := range rows {
		softRow(s.Class[r*k:(r+1)*k], s.P[r*k:(r+1)*k], logits[r*classes:(r+1)*classes], q, temperature)
	}
	return s
}

// softRow is SoftOf for a row; q is room for it. All classes stay in their own order.
func softRow(class []int32, p, logits, q []float32, temperature float32) {
	kernels.Scale(q, logits, 1/temperature)
	kernels.SoftmaxRow(q, q)
	if len(class) == len(q) {
		copy(p, q)
		for i := range class {
			class[i] = int32(i)
		}
		return
	}
	for i, c := range top(class[:0], q, len(class)) {
		p[i] = q[c]
	}
}

// top appends the k classes of the largest q, in order.
func top(list []int32, q []float32, k int) []int32 {
	for c, v := range q {
		if len(list) == k && v <= q[list[k-1]] {
			continue
		}
		if len(list) < k {
			list = append(list, 0)
		}
		i := len(list) - 1
		for ; i > 0 && q[list[i-1]] < v; i-- {
			list[i] = list[i-1]
		}
		list[i] = int32(c)
	}
	return list
}
