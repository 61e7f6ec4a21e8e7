//go:build !purego

#include "go_asm.h"
#include "textflag.h"

// Products of quantized panels with FEAT_I8MM: SMMLA multiplies 8 activations of 2 rows with 8
// levels of 2 rows. Levels are prepared for it, those of D8 too: 128 bytes for k = 8p..8p+7, 8 bytes a row.
#define PAIR(p, lo, hi, r) \
	ZIPS1(hi, lo, 12); \
	ZIPS2(hi, lo, 13); \
	STQ(128*(p)+32*(r), 1, 12); \
	STQ(128*(p)+32*(r)+16, 1, 13)

#include "expand_arm64.h"

// func expandD8I8MM(args *gemvArgs)
TEXT ·expandD8I8MM(SB), NOSPLIT, $0-8
	EXPAND(D8GROUP, 512)

// func expandD4I8MM(args *gemvArgs)
TEXT ·expandD4I8MM(SB), NOSPLIT, $0-8
	EXPAND(D4GROUP, 256)

// func expandD3I8MM(args *gemvArgs)
TEXT ·expandD3I8MM(SB), NOSPLIT, $0-8
	EXPAND(D3GROUP, 192)

// func expandD2I8MM(args *gemvArgs)
TEXT ·expandD2I8MM(SB), NOSPLIT, $0-8
	EXPAND(D2GROUP, 128)

// Four rows of activations by 8 rows of a prepared panel:
//
//	V0..V3    activations of rows 0 and 1, V4..V7 of rows 2 and 3: 8 and 8 bytes
//	V8..V11   levels: 8 bytes of rows 0 and 1, 2 and 3, ...; then V8, V9 offsets, V10, V15 sums of activations
//	V12..V14  as tile_dot_arm64.h says
//	V16..V23  float sums, two registers a row
//	V24..V27  integer sums of activation rows 0 and 1, for levels of rows 0 and 1, 2 and 3, ...; V28..V31 of rows 2 and 3:
//	          row 0 by level row 0, 0 by 1, 1 by 0, 1 by 1

// TILEROWS puts the activations of two rows, at registers p and q, side by side.
#define TILEROWS(a, p, q) \
	LDUQ(8, p, 12); \
	LDUQ(8, q, 13); \
	LDUQ(24, p, 14); \
	LDUQ(24, q, 15); \
	ZIPD1(13, 12, a); \
	ZIPD2(13, 12, (a)+1); \
	ZIPD1(15, 14, (a)+2); \
	ZIPD2(15, 14, (a)+3)

#define TILEPAIR(p) \
	LDQ(128*(p), 3, 8); \
	LDQ(128*(p)+16, 3, 9); \
	LDQ(128*(p)+32, 3, 10); \
	LDQ(128*(p)+48, 3, 11); \
	SMMLA(8, p, 24); \
	SMMLA(9, p, 25); \
	SMMLA(10, p, 26); \
	SMMLA(11, p, 27); \
	SMMLA(8, 4+(p), 28); \
	SMMLA(9, 4+(p), 29); \
	SMMLA(10, 4+(p), 30); \
	SMMLA(11, 4+(p), 31)

#include "tile_dot_arm64.h"

// TILESUMS flushes rows i and i+1, whose sums begin at register s and activations at registers p and q.
#define TILESUMS(i, s, p, q) \
	LDS(4, p, 10); \
	LDS(4, q, 15); \
	ZIPD1((s)+1, s, 0); \
	ZIPD2((s)+1, s, 2); \
	ZIPD1((s)+3, (s)+2, 1); \
	ZIPD2((s)+3, (s)+2, 3); \
	MLAI0(10, 8, 0); \
	MLAI0(10, 9, 1); \
	MLAI0(15, 8, 2); \
	MLAI0(15, 9, 3); \
	TILEFLUSH(i, 0, 1, p); \
	TILEFLUSH(i+1, 2, 3, q)

// func dotTileI8MM(args *tileArgs, quarter int)
TEXT ·dotTileI8MM(SB), NOSPLIT, $0-16
	TILESETUP(64)
group:
	TILEROWS(0, 5, 6)
	TILEROWS(4, 7, 8)
	ZERO(24); ZERO(25); ZERO(26); ZERO(27)
	ZERO(28); ZERO(29); ZERO(30); ZERO(31)
	TILEPAIR(0)
	TILEPAIR(1)
	TILEPAIR(2)
	TILEPAIR(3)
	TILESCALES
	LDQ(64, 4, 8)
	LDQ(80, 4, 9)
	TILESUMS(0, 24, 5, 6)
	TILESUMS(2, 28, 7, 8)
	TILENEXT
	BNE group
	TILEEND
	RET
