//go:build amd64 && !purego

package kernels

// channelOuterN adds the sum for N taps as channelTile says; mask has a bit for each channel. The reference is ChannelOuter.Run.
//
//go:noescape
func channelOuter1AVX512(t *channelTile)

//go:noescape
func channelOuter2AVX512(t *channelTile)

//go:noescape
func channelOuter3AVX512(t *channelTile)

// channelTileSIMD adds the sum for so many taps.
func channelTileSIMD(t *channelTile, taps int) {
	switch taps {
	case 1:
		channelOuter1AVX512(t)
	case 2:
		channelOuter2AVX512(t)
	case 3:
		channelOuter3AVX512(t)
	}
}
