//go:build !purego

#include "go_asm.h"
#include "textflag.h"

// Products of quantized panels with FEAT_DotProd: SDOT multiplies the 4 levels of each of 4 rows with 4
// activations, which it takes from one lane. gemv_dot_arm64.h has the register map.

#define PAIRBEGIN(p)

#define PAIR(p, lo, hi, r) \
	SDOTL((2*(p))&3, (p)>>1, lo, 20+(r)); \
	SDOTL((2*(p)+1)&3, (p)>>1, hi, 20+(r))

#define BEGINSUMS
#define SUMS

#include "gemv_dot_arm64.h"

// func gemvD8DotProd(args *gemvArgs)
TEXT ·gemvD8DotProd(SB), NOSPLIT, $0-8
	GEMV(D8GROUP, FETCH512, 512)

// func gemvD4DotProd(args *gemvArgs)
TEXT ·gemvD4DotProd(SB), NOSPLIT, $0-8
	GEMV(D4GROUP, FETCH256, 256)

// func gemvD3DotProd(args *gemvArgs)
TEXT ·gemvD3DotProd(SB), NOSPLIT, $0-8
	GEMV(D3GROUP, FETCH192, 192)

// func gemvD2DotProd(args *gemvArgs)
TEXT ·gemvD2DotProd(SB), NOSPLIT, $0-8
	GEMV(D2GROUP, FETCH128, 128)

// Four rows of activations by 8 rows of a prepared panel:
//
//	V0..V7    activations, two registers a row    V12, V13  offsets, then scales
//	V8..V11   levels of two lines                 V14       of a row: sum, then scale
//	V16..V23  float sums, two registers a row     V24..V31  integer sums

// TILEROW starts the integer sums of row i, whose activations of the group begin at register p.
#define TILEROW(i, p) \
	LDUQ(8, p, 2*(i)); \
	LDUQ(24, p, 2*(i)+1); \
	LDS(4, p, 14); \
	MULI0(14, 12, 24+2*(i)); \
	MULI0(14, 13, 25+2*(i))

#define TILEDOT(j, c, w) \
	SDOTL((j)&3, (j)>>2, w, 24+(c)); \
	SDOTL((j)&3, 2+((j)>>2), w, 26+(c)); \
	SDOTL((j)&3, 4+((j)>>2), w, 28+(c)); \
	SDOTL((j)&3, 6+((j)>>2), w, 30+(c))

#define TILELINES(j) \
	LDQ(64*(j), 3, 8); \
	LDQ(64*(j)+16, 3, 9); \
	LDQ(64*(j)+64, 3, 10); \
	LDQ(64*(j)+80, 3, 11); \
	TILEDOT(j, 0, 8); \
	TILEDOT(j, 1, 9); \
	TILEDOT(j+1, 0, 10); \
	TILEDOT(j+1, 1, 11)

#include "tile_dot_arm64.h"

// func dotTileDotProd(args *tileArgs, quarter int)
TEXT ·dotTileDotProd(SB), NOSPLIT, $0-16
	TILESETUP(32)
group:
	LDQ(64, 4, 12)
	LDQ(80, 4, 13)
	TILEROW(0, 5)
	TILEROW(1, 6)
	TILEROW(2, 7)
	TILEROW(3, 8)
	TILELINES(0)
	TILELINES(2)
	TILELINES(4)
	TILELINES(6)
	TILESCALES
	TILEFLUSH(0, 24, 25, 5)
	TILEFLUSH(1, 26, 27, 6)
	TILEFLUSH(2, 28, 29, 7)
	TILEFLUSH(3, 30, 31, 8)
	TILENEXT
	BNE group
	TILEEND
	RET
