package kernels

import "unsafe"

// ChannelOuter is Outer channel by channel: what it adds up is the gradient of the filters of a depthwise convolution,
//
//	C[j,c] += sum_s sum_k A[s,k,c] B[s,k,j,c]        for j < Taps, c < N, s < Segments, k < K
//
// where A[s,k,c] is A[s*SegmentA+k*LDA+c], B[s,k,j,c] is B[s*SegmentB+k*LDB+j*Tap+c] and C[j,c] is C[j*N+c]. C overlaps neither image.
type ChannelOuter struct {
	N, Taps, K, Segments int
	A, B, C              []float32
	LDA, LDB, Tap        int
	SegmentA, SegmentB   int
}

// Run computes the sum on the calling goroutine. room has N elements.
func (o *ChannelOuter) Run(room []float32) {
	if o.N <= 0 || o.Taps <= 0 || o.K <= 0 || o.Segments <= 0 {
		return
	}
	if len(o.C) < o.Taps*o.N || len(o.A) < (o.Segments-1)*o.SegmentA+(o.K-1)*o.LDA+o.N ||
		len(o.B) < (o.Segments-1)*o.SegmentB+(o.K-1)*o.LDB+(o.Taps-1)*o.Tap+o.N {
		panic("kernels: ChannelOuter: an image is too short")
	}
	if outerSIMD() {
		o.tiles()
		return
	}
	room = room[:o.N]
	for s := range o.Segments {
		for k := range o.K {
			a, b := o.A[s*o.SegmentA+k*o.LDA:], o.B[s*o.SegmentB+k*o.LDB:]
			for j := range o.Taps {
				c := o.C[j*o.N : (j+1)*o.N]
				Mul(room, a, b[j*o.Tap:])
				Add(c, c, room)
			}
		}
	}
}

// channelTile is what the tile kernels are told: up to channelTaps taps of stripCols channels; lengths are bytes, but for k.
type channelTile struct {
	c, a, b      unsafe.Pointer
	lda, ldb     int
	tap, ldc     int // between taps in B, and in C
	k, segments  int
	jumpA, jumpB int    // from behind a segment to the next one
	mask         uint32 // channels
	_            uint32
}

// channelTaps is the most taps of a tile.
const channelTaps = 3

// tiles computes the sum tile by tile, some segments at a time.
func (o *ChannelOuter) tiles() {
	step := max(outerBytes/(4*(o.SegmentA+o.SegmentB)+1), 1)
	for s := 0; s < o.Segments; s += step {
		a, b := o.A[s*o.SegmentA:], o.B[s*o.SegmentB:]
		t := channelTile{lda: 4 * o.LDA, ldb: 4 * o.LDB, tap: 4 * o.Tap, ldc: 4 * o.N, k: o.K, segments: min(step, o.Segments-s),
			jumpA: 4 * (o.SegmentA - o.K*o.LDA), jumpB: 4 * (o.SegmentB - o.K*o.LDB)}
		for c := 0; c < o.N; c += stripCols {
			t.mask = uint32(1)<<min(stripCols, o.N-c) - 1 // a shift by 32 gives 0
			t.a = unsafe.Pointer(&a[c])
			for j := 0; j < o.Taps; j += channelTaps {
				t.b, t.c = unsafe.Pointer(&b[j*o.Tap+c]), unsafe.Pointer(&o.C[j*o.N+c])
				channelTileSIMD(&t, min(channelTaps, o.Taps-j))
			}
		}
	}
}
