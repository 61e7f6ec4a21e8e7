//go:build !purego

#include "go_asm.h"
#include "textflag.h"
#include "neon_arm64.h"

// Sums of rows x one panel of 16 outputs, 128 bytes of sums a row, four rows at a time:
//
//	R0 the description      R1 rows left          R2 x of the rows     R3 bytes between them    R4 sums
//	R5..R8 as the window passes                   R9 weights           R10 lines left           R11 fours left
//	R12 from the end of a line to the next one    R13 for work         R15 zeros behind a line of weights
//
// V0..V3 x of four rows; V4..V7 weights; V12 0x80 in each byte; V16..V31 sums, four registers a row.

// FEWER makes row b read as row a if there are not n rows left.
#define FEWER(n, a, b) \
	ADD R3, a, b; \
	CMP $n, R1; \
	CSEL LT, a, b, b

#define FOUR(i) \
	LDQ(64*(i), 9, 4); \
	LDQ(64*(i)+16, 9, 5); \
	LDQ(64*(i)+32, 9, 6); \
	LDQ(64*(i)+48, 9, 7); \
	ROW(i, 0, 16); \
	ROW(i, 1, 20); \
	ROW(i, 2, 24); \
	ROW(i, 3, 28)

#define ROW(i, x, sums) \
	DOT(i, x, 4, sums); \
	DOT(i, x, 5, (sums)+1); \
	DOT(i, x, 6, (sums)+2); \
	DOT(i, x, 7, (sums)+3)

#define COPYROW(d) \
	ORRB(16, 16, d); \
	ORRB(17, 17, (d)+1); \
	ORRB(18, 18, (d)+2); \
	ORRB(19, 19, (d)+3)

#define STOREROW(off, s) \
	STQ(off, 4, s); \
	STQ((off)+16, 4, (s)+1); \
	STQ((off)+32, 4, (s)+2); \
	STQ((off)+48, 4, (s)+3)

// SUMS: OFFSET adds to the starts in V16..V19 what SIGNED, of x in V0..V3, takes away.
#define SUMS(OFFSET, SIGNED) \
	MOVD t+0(FP), R0; \
	MOVD rows+8(FP), R1; \
	MOVD levelTile_x(R0), R2; \
	MOVD levelTile_ldx(R0), R3; \
	MOVD levelTile_sums(R0), R4; \
	MOVD levelTile_jump(R0), R12; \
	MOVD levelTile_gap(R0), R15; \
	VMOVI $128, V12.B16; \
rows4: \
	MOVD R2, R5; \
	FEWER(2, R5, R6); \
	FEWER(3, R6, R7); \
	FEWER(4, R7, R8); \
	MOVD levelTile_w0(R0), R9; \
	MOVD levelTile_segments(R0), R10; \
	MOVD levelTile_start(R0), R13; \
	LDQ(0, 13, 16); \
	LDQ(16, 13, 17); \
	LDQ(32, 13, 18); \
	LDQ(48, 13, 19); \
	OFFSET; \
	COPYROW(20); \
	COPYROW(24); \
	COPYROW(28); \
segment: \
	MOVD levelTile_k(R0), R11; \
	SUBS $4, R11; \
	BLT rest; \
fours: \
	LDQ(0, 5, 0); \
	LDQ(0, 6, 1); \
	LDQ(0, 7, 2); \
	LDQ(0, 8, 3); \
	SIGNED; \
	FOUR(0); \
	FOUR(1); \
	FOUR(2); \
	FOUR(3); \
	ADD $16, R5; \
	ADD $16, R6; \
	ADD $16, R7; \
	ADD $16, R8; \
	ADD $256, R9; \
	SUBS $4, R11; \
	BGE fours; \
rest: \
	ADDS $4, R11; \
	BEQ line; \
four: \
	LDRSNEXT(5, 0); \
	LDRSNEXT(6, 1); \
	LDRSNEXT(7, 2); \
	LDRSNEXT(8, 3); \
	SIGNED; \
	FOUR(0); \
	ADD $64, R9; \
	SUBS $1, R11; \
	BNE four; \
line: \
	ADD R12, R5; \
	ADD R12, R6; \
	ADD R12, R7; \
	ADD R12, R8; \
	ADD R15, R9; \
	SUBS $1, R10; \
	BNE segment; \
	STOREROW(0, 16); \
	CMP $2, R1; \
	BLT done; \
	STOREROW(128, 20); \
	CMP $3, R1; \
	BLT done; \
	STOREROW(256, 24); \
	CMP $4, R1; \
	BLT done; \
	STOREROW(384, 28); \
	ADD $512, R4; \
	ADD R3<<2, R2; \
	SUBS $4, R1; \
	BNE rows4; \
done: \
	RET

// SDOT takes x as x - 128.
#define ADD128(d, off) \
	LDQ(off, 13, 4); \
	SHL(7, 4, 4); \
	ADDI(4, d, d)

#define OFFSET128 \
	MOVD levelTile_columns(R0), R13; \
	ADD128(16, 0); \
	ADD128(17, 16); \
	ADD128(18, 32); \
	ADD128(19, 48)

#define MINUS128 \
	VEOR V12.B16, V0.B16, V0.B16; \
	VEOR V12.B16, V1.B16, V1.B16; \
	VEOR V12.B16, V2.B16, V2.B16; \
	VEOR V12.B16, V3.B16, V3.B16

#define DOT(i, m, n, d) SDOTL(i, m, n, d)

// func levelSumsDotProd(t *levelTile, rows int)
TEXT ·levelSumsDotProd(SB), NOSPLIT, $0-16
	SUMS(OFFSET128, MINUS128)

#undef DOT
#define DOT(i, m, n, d) SUDOTL(i, m, n, d)

#define NONE

// func levelSumsI8MM(t *levelTile, rows int)
TEXT ·levelSumsI8MM(SB), NOSPLIT, $0-16
	SUMS(NONE, NONE)
