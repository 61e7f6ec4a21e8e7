package tokenizer

import "math/rand/v2"

// merge says that a pair becomes the token id, and how early.
type merge struct{ rank, id int32 }

// noMerge is the answer for a pair that is not joined: later than any.
var noMerge = merge{1<<31 - 1, -1}

func pairKey(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

// mergeTable holds the merges by pair, with open addressing: half the time of a map, which matters as every new word asks it a dozen
// times. The seed keeps a file from choosing pairs that collide.
type mergeTable struct {
	slots []mergeSlot // a power of two of them, at most three quarters taken
	used  int
	seed  uint64
}

type mergeSlot struct {
	key uint64
	merge
}

const noPair = ^uint64(0)

// newMergeTable returns a table with room for about n merges.
func newMergeTable(n int) *mergeTable {
	size := 16
	for size*3/4 <= n {
		size *= 2
	}
	t := &mergeTable{seed: rand.Uint64()}
	t.alloc(size)
	return t
}

func (t *mergeTable) alloc(n int) {
	t.slots, t.used = make([]mergeSlot, n), 0
	for i := range t.slots {
		t.slots[i].key = noPair
	}
}

// slot returns the place of a pair, or the free one where it would be.
func (t *mergeTable) slot(key uint64) *mergeSlot {
	mask := uint64(len(t.slots) - 1)
	for i := fold(key^t.seed, mix1); ; i++ {
		s := &t.slots[i&mask]
		if s.key == key || s.key == noPair {
			return s
		}
	}
}

// get returns what becomes of two tokens, or noMerge.
func (t *mergeTable) get(a, b int32) merge {
	if s := t.slot(pairKey(a, b)); s.key != noPair {
		return s.merge
	}
	return noMerge
}

// set adds a merge; a repeated pair keeps its last rank, as a table that is filled in order would.
func (t *mergeTable) set(a, b int32, m merge) {
	if t.used >= len(t.slots)*3/4 {
		old := t.slots
		t.alloc(2 * len(old))
		for _, s := range old {
			if s.key != noPair {
				*t.slot(s.key) = s
				t.used++
			}
		}
	}
	s := t.slot(pairKey(a, b))
	if s.key == noPair {
		t.used++
	}
	*s = mergeSlot{pairKey(a, b), m}
}
