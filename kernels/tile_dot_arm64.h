// What the tile kernels of four rows of activations by 8 rows of a prepared panel share. A call
// computes quarter 0..3 of the 32 columns of a tile: half of one panel. With fewer than four rows
// the last stands in for those that lack, and is stored to the same place again.
//
//	R1 dst, row 0        R2 bytes between its rows     R3 levels of the group     R4 scales and offsets of the group
//	R5..R8 activations of the rows                     R9 groups left             R10 factors
//	R11 bytes of activations of a group                R13..R15 dst, rows 1..3
//
//	V12, V13 scales      V14 scale of a row's activations      V16..V23 float sums, two registers a row

// TILESETUP: a half's share of a prepared line has linesBytes bytes.
#define TILESETUP(lineBytes) \
	MOVD args+0(FP), R0; \
	MOVD quarter+8(FP), R11; \
	AND $1, R11, R12; \
	LSR $1, R11, R11; \
	ADD R11<<3, R0, R16; \
	MOVD tileArgs_levels(R16), R3; \
	MOVD tileArgs_scales(R16), R4; \
	MOVD tileArgs_factors(R16), R10; \
	MOVD $lineBytes, R16; \
	MUL R12, R16, R16; \
	ADD R16, R3; \
	ADD R12<<5, R4; \
	ADD R12<<5, R10; \
	MOVD tileArgs_dst(R0), R1; \
	ADD R11<<6, R1; \
	ADD R12<<5, R1; \
	MOVD tileArgs_sums(R0), R16; \
	ADD R11<<6, R16; \
	ADD R12<<5, R16; \
	LDQ(0, 16, 16); \
	LDQ(16, 16, 17); \
	LDQ(128, 16, 18); \
	LDQ(144, 16, 19); \
	LDQ(256, 16, 20); \
	LDQ(272, 16, 21); \
	LDQ(384, 16, 22); \
	LDQ(400, 16, 23); \
	MOVD tileArgs_ldd(R0), R2; \
	MOVD tileArgs_acts(R0), R5; \
	MOVD $40, R12; \
	MOVD tileArgs_groups(R0), R9; \
	MOVD tileArgs_rows(R0), R11; \
	CMP $2, R11; \
	CSEL LT, ZR, R12, R16; \
	ADD R16, R5, R6; \
	CSEL LT, ZR, R2, R16; \
	ADD R16, R1, R13; \
	CMP $3, R11; \
	CSEL LT, ZR, R12, R16; \
	ADD R16, R6, R7; \
	CSEL LT, ZR, R2, R16; \
	ADD R16, R13, R14; \
	CMP $4, R11; \
	CSEL LT, ZR, R12, R16; \
	ADD R16, R7, R8; \
	CSEL LT, ZR, R2, R16; \
	ADD R16, R14, R15; \
	MUL R12, R11, R11

#define TILESCALES \
	LDQ(0, 4, 12); \
	LDQ(16, 4, 13)

// TILEFLUSH adds the integer sums a, b of row i, whose activations begin at register p.
#define TILEFLUSH(i, a, b, p) \
	LDS(0, p, 14); \
	SCVTF(a, a); \
	SCVTF(b, b); \
	FMUL(12, a, a); \
	FMUL(13, b, b); \
	FMLA0(14, a, 16+2*(i)); \
	FMLA0(14, b, 17+2*(i))

#define TILENEXT \
	ADD $const_expandedLevels, R3; \
	ADD $const_expandedScales, R4; \
	ADD R11, R5; \
	ADD R11, R6; \
	ADD R11, R7; \
	ADD R11, R8; \
	SUBS $1, R9

#define TILEEND \
	FLDPQ (R10), (F12, F13); \
	FMUL(12, 16, 16); \
	FMUL(13, 17, 17); \
	FMUL(12, 18, 18); \
	FMUL(13, 19, 19); \
	FMUL(12, 20, 20); \
	FMUL(13, 21, 21); \
	FMUL(12, 22, 22); \
	FMUL(13, 23, 23); \
	FSTPQ (F16, F17), (R1); \
	FSTPQ (F18, F19), (R13); \
	FSTPQ (F20, F21), (R14); \
	FSTPQ (F22, F23), (R15)
