package model

import "fmt"

var _ = registerOps("", map[string]InferFunc{
	"LSTM": inferRecurrent(4), "GRU": inferRecurrent(3), "RNN": inferRecurrent(1),
})

// inferRecurrent infers X[seq,batch,in], W[dir,gates*hidden,in], R[dir,gates*hidden,hidden], ...
// -> Y[seq,dir,batch,hidden], Y_h[dir,batch,hidden], Y_c (LSTM). With layout 1 the batch comes first.
func inferRecurrent(gates int) InferFunc {
	return func(c *Inference) error {
		most := 6
		if c.Node.Op == "LSTM" {
			most = 8
		}
		if err := c.need(3, most); err != nil {
			return err
		}
		for i := range 3 {
			if err := c.rank(i, 3); err != nil {
				return err
			}
		}
		dt := c.In[0].DType
		seq, batch, width := Unknown, Unknown, Unknown
		first := c.Node.Int("layout", 0) != 0
		if s := c.In[0].Shape; s != nil {
			seq, batch, width = s[0], s[1], s[2]
			if first {
				seq, batch = batch, seq
			}
		}
		dirs := 1
		if c.Node.Str("direction", "forward") == "bidirectional" {
			dirs = 2
		}
		hidden := Unknown
		if r := c.In[2].Shape; r != nil {
			hidden = r[2]
		}
		if h := c.Node.Int("hidden_size", 0); h > 0 {
			u, err := unify(hidden, Known(int(h)))
			if err != nil {
				return fmt.Errorf("hidden_size and recurrence weight %v: %w", c.In[2], err)
			}
			hidden = u
		}
		rows := mulDim(hidden, Known(gates))
		for i, want := range [][]Dim{1: {Known(dirs), rows, width}, 2: {Known(dirs), rows, hidden}} {
			if want == nil || c.In[i].Shape == nil {
				continue
			}
			for d, x := range c.In[i].Shape {
				if _, err := unify(x, want[d]); err != nil {
					return fmt.Errorf("input %d is %v, want %s: dimension %d: %w", i, c.In[i], shapeString(want), d, err)
				}
			}
		}
		y := []Dim{seq, Known(dirs), batch, hidden}
		last := []Dim{Known(dirs), batch, hidden}
		if first {
			y = []Dim{batch, seq, Known(dirs), hidden}
			last = []Dim{batch, Known(dirs), hidden}
		}
		c.set(0, dt, y)
		c.set(1, dt, last)
		c.set(2, dt, cloneDims(last))
		return nil
	}
}
