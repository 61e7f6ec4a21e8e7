//go:build amd64 && !purego

package kernels

// tileRows is the number of rows that a tile kernel computes in one go.
const tileRows = 6

//go:noescape
func quantizeActsAVX2(dst *actBlock, x *float32, groups int)

//go:noescape
func expandScalesAVX512(args *gemvArgs)

//go:noescape
func expandD4AVX512(args *gemvArgs)

//go:noescape
func expandD3AVX512(args *gemvArgs)

//go:noescape
func expandD2AVX512(args *gemvArgs)

//go:noescape
func dotTileAVX512(args *tileArgs)

//go:noescape
func expandScalesAVX2(args *gemvArgs)

//go:noescape
func expandD4AVX2(args *gemvArgs)

//go:noescape
func expandD3AVX2(args *gemvArgs)

//go:noescape
func expandD2AVX2(args *gemvArgs)

//go:noescape
func dotTileAVX2(args *tileArgs, panel int)

func quantizeActsSIMD(dst []actBlock, x []float32) int {
	groups := len(x) / GroupLen
	if groups == 0 || !useAVX512 && !useAVX2 {
		return 0
	}
	_ = dst[groups-1]
	quantizeActsAVX2(&dst[0], &x[0], groups)
	return groups
}

// expand prepares panel p for the tile kernels; levels stays as it is for D8.
func (m *MatMul) expand(levels, scales []byte, p int) {
	args := gemvArgs{
		panel: &m.panel(p)[0], lut: &m.lut, codes: CodesOffset(m.w.K), groups: m.groups,
		levels: &levels[:m.groups*expandedLevels][0], scales: &scales[:m.groups*expandedScales][0],
	}
	if useAVX512 {
		expandScalesAVX512(&args)
		switch m.format {
		case D4:
			expandD4AVX512(&args)
		case D3:
			expandD3AVX512(&args)
		case D2:
			expandD2AVX512(&args)
		}
		return
	}
	expandScalesAVX2(&args)
	switch m.format {
	case D4:
		expandD4AVX2(&args)
	case D3:
		expandD3AVX2(&args)
	case D2:
		expandD2AVX2(&args)
	}
}

// tileReadsCodes reports whether the tile kernel reads the levels of D8 where they lie.
func tileReadsCodes() bool { return true }

func dotTile(args *tileArgs) {
	if useAVX512 {
		dotTileAVX512(args)
	} else {
		dotTileAVX2(args, 0)
		dotTileAVX2(args, 1)
	}
}
