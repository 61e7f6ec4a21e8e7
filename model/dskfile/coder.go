package dskfile

// The packed form's entropy coder: binary arithmetic coding (Witten, Neal and Cleary, "Arithmetic coding for
// data compression", 1987) without carries, with a probability for each decision that follows what it saw.
// docs/format.md, "Packed data", describes the stream.

// chance is the probability of a 1 in 65536ths, and how many decisions it comes from.
type chance struct {
	p    uint16
	seen uint8
}

// mostSeen is where a chance's memory ends.
const mostSeen = 254

// follow has, for the number of decisions seen before, how far in 65536ths a chance moves towards a new one: 1 / (seen + 1.6).
var follow = func() (t [mostSeen + 1]uint32) {
	for n := range t {
		t[n] = 655360 / uint32(10*n+16)
	}
	return t
}()

func (c *chance) learn(one bool) {
	step := follow[c.seen]
	if one {
		c.p += uint16((uint32(65535-c.p) * step) >> 16)
	} else {
		c.p -= uint16((uint32(c.p) * step) >> 16)
	}
	if c.seen < mostSeen {
		c.seen++
	}
}

// tree holds the chances of a symbol's bits, from the highest, each given those before it: 1<<bits of them,
// of which the first is not used.
type tree []chance

func newTree(bits int) tree {
	t := make(tree, 1<<bits)
	for i := range t {
		t[i].p = 1 << 15
	}
	return t
}

// coder codes symbols into a stream, or reads them from it: one type, so that both go the same way.
type coder struct {
	lo, hi  uint32 // the stream lies between them
	stream  []byte // written so far, or to read
	reading bool
	at      int    // next byte to read; goes beyond the end of a stream that is cut off
	value   uint32 // the 4 bytes of the stream before at
}

func newEncoder() *coder { return &coder{hi: 1<<32 - 1} }

func newDecoder(stream []byte) *coder {
	c := &coder{hi: 1<<32 - 1, stream: stream, reading: true}
	for range 4 {
		c.shiftIn()
	}
	return c
}

func (c *coder) shiftIn() {
	c.value <<= 8
	if c.at < len(c.stream) {
		c.value |= uint32(c.stream[c.at])
	}
	c.at++
}

// symbol codes the symbol, or ignores it and returns the one that was coded.
func (c *coder) symbol(t tree, symbol uint8) uint8 {
	node := 1
	for bit := len(t) >> 1; bit > 0; bit >>= 1 {
		ch := &t[node]
		mid := c.lo + uint32(uint64(c.hi-c.lo)*uint64(ch.p)>>16)
		one := int(symbol)&bit != 0
		if c.reading {
			one = c.value <= mid
		}
		node <<= 1
		if one {
			c.hi = mid
			node |= 1
		} else {
			c.lo = mid + 1
		}
		ch.learn(one)
		for (c.lo^c.hi)>>24 == 0 {
			if c.reading {
				c.shiftIn()
			} else {
				c.stream = append(c.stream, byte(c.hi>>24))
			}
			c.lo <<= 8
			c.hi = c.hi<<8 | 255
		}
	}
	return uint8(node - len(t))
}

// finish ends the stream of an encoder.
func (c *coder) finish() []byte {
	return append(c.stream, byte(c.lo>>24), byte(c.lo>>16), byte(c.lo>>8), byte(c.lo))
}

// ended reports whether a decoder has read its whole stream and nothing beyond.
func (c *coder) ended() bool { return c.at == len(c.stream) }
