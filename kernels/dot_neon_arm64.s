//go:build !purego

#include "go_asm.h"
#include "textflag.h"

// Products of quantized panels with plain NEON. SMULL and SMLAL make sums of two products, which fit int16 since levels stay
// below 128 and activations within 127: 2*127*127 < 32768. SADALP adds neighbours to int32; a row so
// has two lanes, which ADDP joins at the end of a group. gemv_dot_arm64.h has the register map; further
//
//	V12, V13  sums of two products    V14, V15  activations 8p..8p+3, 8p+4..8p+7 in every four bytes
//	V20..V27  integer sums of 2 rows each

// PAIRBEGIN takes the activations where they lie, 8 bytes into their block.
#define PAIRBEGIN(p) \
	ADD $(8+8*(p)), R5, R12; \
	LDRSNEXT(12, 14); \
	LDRS(12, 15)

#define PAIR(p, lo, hi, r) \
	SMULL(14, lo, 12); \
	SMULL2(14, lo, 13); \
	SMLAL(15, hi, 12); \
	SMLAL2(15, hi, 13); \
	SADALP(12, 20+2*(r)); \
	SADALP(13, 21+2*(r))

// The offsets' share starts one lane of each row; the other starts with 0.
#define BEGINSUMS \
	ZERO(4); \
	ZIPS1(4, 23, 26); \
	ZIPS2(4, 23, 27); \
	ZIPS1(4, 22, 24); \
	ZIPS2(4, 22, 25); \
	ZIPS2(4, 21, 23); \
	ZIPS1(4, 21, 22); \
	ZIPS2(4, 20, 21); \
	ZIPS1(4, 20, 20)

#define SUMS \
	ADDP(21, 20, 20); \
	ADDP(23, 22, 21); \
	ADDP(25, 24, 22); \
	ADDP(27, 26, 23)

#include "gemv_dot_arm64.h"

// func gemvD8NEON(args *gemvArgs)
TEXT ·gemvD8NEON(SB), NOSPLIT, $0-8
	GEMV(D8GROUP, FETCH512, 512)

// func gemvD4NEON(args *gemvArgs)
TEXT ·gemvD4NEON(SB), NOSPLIT, $0-8
	GEMV(D4GROUP, FETCH256, 256)

// func gemvD3NEON(args *gemvArgs)
TEXT ·gemvD3NEON(SB), NOSPLIT, $0-8
	GEMV(D3GROUP, FETCH192, 192)

// func gemvD2NEON(args *gemvArgs)
TEXT ·gemvD2NEON(SB), NOSPLIT, $0-8
	GEMV(D2GROUP, FETCH128, 128)

// Four rows of activations by 8 rows of a prepared panel:
//
//	V8..V11   levels: line 2p rows 0-3, 4-7, line 2p+1 the same; then V8, V9 offsets, V10 sum of a row's activations
//	V12, V13  activations 8p..8p+3, 8p+4..8p+7 in every four bytes; then scales
//	V14, V15  sums of two products
//	V16..V23  float sums, two registers a row
//	V24..V31, V0..V7  integer sums, four registers of 2 rows each for a row of activations

// TILEDOT adds to the sums from register s on the products of pair p with the activations at register a.
#define TILEDOT(p, s, a) \
	ADD $(8+8*(p)), a, R0; \
	LDRSNEXT(0, 12); \
	LDRS(0, 13); \
	SMULL(12, 8, 14); \
	SMULL2(12, 8, 15); \
	SMLAL(13, 10, 14); \
	SMLAL2(13, 10, 15); \
	SADALP(14, s); \
	SADALP(15, (s)+1); \
	SMULL(12, 9, 14); \
	SMULL2(12, 9, 15); \
	SMLAL(13, 11, 14); \
	SMLAL2(13, 11, 15); \
	SADALP(14, (s)+2); \
	SADALP(15, (s)+3)

#define TILEPAIR(p) \
	LDQ(128*(p), 3, 8); \
	LDQ(128*(p)+16, 3, 9); \
	LDQ(128*(p)+64, 3, 10); \
	LDQ(128*(p)+80, 3, 11); \
	TILEDOT(p, 24, R5); \
	TILEDOT(p, 28, R6); \
	TILEDOT(p, 0, R7); \
	TILEDOT(p, 4, R8)

#include "tile_dot_arm64.h"

// TILEROW joins the lanes of row i's sums, from register s on, and adds the offsets' share.
#define TILEROW(i, s, p) \
	ADDP((s)+1, s, s); \
	ADDP((s)+3, (s)+2, (s)+1); \
	LDS(4, p, 10); \
	MLAI0(10, 8, s); \
	MLAI0(10, 9, (s)+1); \
	TILEFLUSH(i, s, (s)+1, p)

// func dotTileNEON(args *tileArgs, quarter int)
TEXT ·dotTileNEON(SB), NOSPLIT, $0-16
	TILESETUP(32)
group:
	ZERO(24); ZERO(25); ZERO(26); ZERO(27)
	ZERO(28); ZERO(29); ZERO(30); ZERO(31)
	ZERO(0); ZERO(1); ZERO(2); ZERO(3)
	ZERO(4); ZERO(5); ZERO(6); ZERO(7)
	TILEPAIR(0)
	TILEPAIR(1)
	TILEPAIR(2)
	TILEPAIR(3)
	TILESCALES
	LDQ(64, 4, 8)
	LDQ(80, 4, 9)
	TILEROW(0, 24, 5)
	TILEROW(1, 28, 6)
	TILEROW(2, 0, 7)
	TILEROW(3, 4, 8)
	TILENEXT
	BNE group
	TILEEND
	RET
