//go:build amd64 && !purego

#include "textflag.h"

// Tiles of a sum of outer products: up to 12 rows x one or two panels of C in registers. The rows of A and B are read segment by segment,
// of k rows each, jump bytes apart after each.
//
//	AX  the tile's description
//	SI  a row of A      BX  bytes between rows    R9   jump
//	DI  a row of B      R8  bytes between rows    R10  jump
//	DX  segments left   CX  k left
//	R11 C               R12 bytes between its rows
//
// Z0, Z1 a row of B; Z2..Z5 elements of A; row i of C in Z(8+2i), Z(9+2i), or with one panel in Z(8+i). K1, K2 are the columns that exist.

#define outerC 0
#define outerA 8
#define outerB 16
#define outerLdc 24
#define outerLda 32
#define outerLdb 40
#define outerK 48
#define outerSegments 56
#define outerJumpA 64
#define outerJumpB 72
#define outerMask 80

#define BEGIN \
	MOVQ t+0(FP), AX; \
	MOVQ outerA(AX), SI; \
	MOVQ outerLda(AX), BX; \
	MOVQ outerB(AX), DI; \
	MOVQ outerLdb(AX), R8; \
	MOVQ outerJumpA(AX), R9; \
	MOVQ outerJumpB(AX), R10; \
	MOVQ outerSegments(AX), DX; \
	MOVL outerMask(AX), CX; \
	KMOVW CX, K1; \
	SHRL $16, CX; \
	KMOVW CX, K2; \
	MOVQ outerC(AX), R11; \
	MOVQ outerLdc(AX), R12

#define ROWS(LOAD, PIXEL, STORE) \
	BEGIN; \
	LOAD; \
segment: \
	MOVQ outerK(AX), CX; \
	PCALIGN $64; \
loop: \
	PIXEL; \
	ADDQ BX, SI; \
	ADDQ R8, DI; \
	DECQ CX; \
	JNZ  loop; \
	ADDQ R9, SI; \
	ADDQ R10, DI; \
	DECQ DX; \
	JNZ  segment; \
	MOVQ outerC(AX), R11; \
	STORE; \
	VZEROUPPER; \
	RET

// Two panels.

#define LOAD2(c0, c1) \
	VMOVUPS (R11), c0; \
	VMOVUPS.Z 64(R11), K2, c1; \
	ADDQ R12, R11

#define B2 \
	PREFETCHT0 (SI)(BX*8); \
	PREFETCHT0 (DI)(R8*8); \
	PREFETCHT0 64(DI)(R8*8); \
	VMOVUPS (DI), Z0; \
	VMOVUPS.Z 64(DI), K2, Z1

#define ROW2(a, t, c0, c1) \
	VBROADCASTSS a, t; \
	VFMADD231PS Z0, t, c0; \
	VFMADD231PS Z1, t, c1

#define STORE2(c0, c1) \
	VMOVUPS c0, (R11); \
	VMOVUPS c1, K2, 64(R11); \
	ADDQ R12, R11

#define LOADS2_1 LOAD2(Z8, Z9)
#define LOADS2_2 LOADS2_1; LOAD2(Z10, Z11)
#define LOADS2_3 LOADS2_2; LOAD2(Z12, Z13)
#define LOADS2_4 LOADS2_3; LOAD2(Z14, Z15)
#define LOADS2_5 LOADS2_4; LOAD2(Z16, Z17)
#define LOADS2_6 LOADS2_5; LOAD2(Z18, Z19)
#define LOADS2_7 LOADS2_6; LOAD2(Z20, Z21)
#define LOADS2_8 LOADS2_7; LOAD2(Z22, Z23)
#define LOADS2_9 LOADS2_8; LOAD2(Z24, Z25)
#define LOADS2_10 LOADS2_9; LOAD2(Z26, Z27)
#define LOADS2_11 LOADS2_10; LOAD2(Z28, Z29)
#define LOADS2_12 LOADS2_11; LOAD2(Z30, Z31)

#define ROWS2_1 B2; ROW2((SI), Z2, Z8, Z9)
#define ROWS2_2 ROWS2_1; ROW2(4(SI), Z3, Z10, Z11)
#define ROWS2_3 ROWS2_2; ROW2(8(SI), Z4, Z12, Z13)
#define ROWS2_4 ROWS2_3; ROW2(12(SI), Z5, Z14, Z15)
#define ROWS2_5 ROWS2_4; ROW2(16(SI), Z2, Z16, Z17)
#define ROWS2_6 ROWS2_5; ROW2(20(SI), Z3, Z18, Z19)
#define ROWS2_7 ROWS2_6; ROW2(24(SI), Z4, Z20, Z21)
#define ROWS2_8 ROWS2_7; ROW2(28(SI), Z5, Z22, Z23)
#define ROWS2_9 ROWS2_8; ROW2(32(SI), Z2, Z24, Z25)
#define ROWS2_10 ROWS2_9; ROW2(36(SI), Z3, Z26, Z27)
#define ROWS2_11 ROWS2_10; ROW2(40(SI), Z4, Z28, Z29)
#define ROWS2_12 ROWS2_11; ROW2(44(SI), Z5, Z30, Z31)

#define STORES2_1 STORE2(Z8, Z9)
#define STORES2_2 STORES2_1; STORE2(Z10, Z11)
#define STORES2_3 STORES2_2; STORE2(Z12, Z13)
#define STORES2_4 STORES2_3; STORE2(Z14, Z15)
#define STORES2_5 STORES2_4; STORE2(Z16, Z17)
#define STORES2_6 STORES2_5; STORE2(Z18, Z19)
#define STORES2_7 STORES2_6; STORE2(Z20, Z21)
#define STORES2_8 STORES2_7; STORE2(Z22, Z23)
#define STORES2_9 STORES2_8; STORE2(Z24, Z25)
#define STORES2_10 STORES2_9; STORE2(Z26, Z27)
#define STORES2_11 STORES2_10; STORE2(Z28, Z29)
#define STORES2_12 STORES2_11; STORE2(Z30, Z31)

// func outerTile12x2AVX512(t *outerTile)
TEXT ·outerTile12x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_12, ROWS2_12, STORES2_12)

// func outerTile11x2AVX512(t *outerTile)
TEXT ·outerTile11x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_11, ROWS2_11, STORES2_11)

// func outerTile10x2AVX512(t *outerTile)
TEXT ·outerTile10x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_10, ROWS2_10, STORES2_10)

// func outerTile9x2AVX512(t *outerTile)
TEXT ·outerTile9x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_9, ROWS2_9, STORES2_9)

// func outerTile8x2AVX512(t *outerTile)
TEXT ·outerTile8x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_8, ROWS2_8, STORES2_8)

// func outerTile7x2AVX512(t *outerTile)
TEXT ·outerTile7x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_7, ROWS2_7, STORES2_7)

// func outerTile6x2AVX512(t *outerTile)
TEXT ·outerTile6x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_6, ROWS2_6, STORES2_6)

// func outerTile5x2AVX512(t *outerTile)
TEXT ·outerTile5x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_5, ROWS2_5, STORES2_5)

// func outerTile4x2AVX512(t *outerTile)
TEXT ·outerTile4x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_4, ROWS2_4, STORES2_4)

// func outerTile3x2AVX512(t *outerTile)
TEXT ·outerTile3x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_3, ROWS2_3, STORES2_3)

// func outerTile2x2AVX512(t *outerTile)
TEXT ·outerTile2x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_2, ROWS2_2, STORES2_2)

// func outerTile1x2AVX512(t *outerTile)
TEXT ·outerTile1x2AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS2_1, ROWS2_1, STORES2_1)

// One panel.

#define LOAD1(c) \
	VMOVUPS.Z (R11), K1, c; \
	ADDQ R12, R11

#define B1 VMOVUPS.Z (DI), K1, Z0

#define ROW1(a, c) VFMADD231PS.BCST a, Z0, c

#define STORE1(c) \
	VMOVUPS c, K1, (R11); \
	ADDQ R12, R11

#define LOADS1_1 LOAD1(Z8)
#define LOADS1_2 LOADS1_1; LOAD1(Z9)
#define LOADS1_3 LOADS1_2; LOAD1(Z10)
#define LOADS1_4 LOADS1_3; LOAD1(Z11)
#define LOADS1_5 LOADS1_4; LOAD1(Z12)
#define LOADS1_6 LOADS1_5; LOAD1(Z13)
#define LOADS1_7 LOADS1_6; LOAD1(Z14)
#define LOADS1_8 LOADS1_7; LOAD1(Z15)
#define LOADS1_9 LOADS1_8; LOAD1(Z16)
#define LOADS1_10 LOADS1_9; LOAD1(Z17)
#define LOADS1_11 LOADS1_10; LOAD1(Z18)
#define LOADS1_12 LOADS1_11; LOAD1(Z19)

#define ROWS1_1 B1; ROW1((SI), Z8)
#define ROWS1_2 ROWS1_1; ROW1(4(SI), Z9)
#define ROWS1_3 ROWS1_2; ROW1(8(SI), Z10)
#define ROWS1_4 ROWS1_3; ROW1(12(SI), Z11)
#define ROWS1_5 ROWS1_4; ROW1(16(SI), Z12)
#define ROWS1_6 ROWS1_5; ROW1(20(SI), Z13)
#define ROWS1_7 ROWS1_6; ROW1(24(SI), Z14)
#define ROWS1_8 ROWS1_7; ROW1(28(SI), Z15)
#define ROWS1_9 ROWS1_8; ROW1(32(SI), Z16)
#define ROWS1_10 ROWS1_9; ROW1(36(SI), Z17)
#define ROWS1_11 ROWS1_10; ROW1(40(SI), Z18)
#define ROWS1_12 ROWS1_11; ROW1(44(SI), Z19)

#define STORES1_1 STORE1(Z8)
#define STORES1_2 STORES1_1; STORE1(Z9)
#define STORES1_3 STORES1_2; STORE1(Z10)
#define STORES1_4 STORES1_3; STORE1(Z11)
#define STORES1_5 STORES1_4; STORE1(Z12)
#define STORES1_6 STORES1_5; STORE1(Z13)
#define STORES1_7 STORES1_6; STORE1(Z14)
#define STORES1_8 STORES1_7; STORE1(Z15)
#define STORES1_9 STORES1_8; STORE1(Z16)
#define STORES1_10 STORES1_9; STORE1(Z17)
#define STORES1_11 STORES1_10; STORE1(Z18)
#define STORES1_12 STORES1_11; STORE1(Z19)

// func outerTile12x1AVX512(t *outerTile)
TEXT ·outerTile12x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_12, ROWS1_12, STORES1_12)

// func outerTile11x1AVX512(t *outerTile)
TEXT ·outerTile11x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_11, ROWS1_11, STORES1_11)

// func outerTile10x1AVX512(t *outerTile)
TEXT ·outerTile10x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_10, ROWS1_10, STORES1_10)

// func outerTile9x1AVX512(t *outerTile)
TEXT ·outerTile9x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_9, ROWS1_9, STORES1_9)

// func outerTile8x1AVX512(t *outerTile)
TEXT ·outerTile8x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_8, ROWS1_8, STORES1_8)

// func outerTile7x1AVX512(t *outerTile)
TEXT ·outerTile7x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_7, ROWS1_7, STORES1_7)

// func outerTile6x1AVX512(t *outerTile)
TEXT ·outerTile6x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_6, ROWS1_6, STORES1_6)

// func outerTile5x1AVX512(t *outerTile)
TEXT ·outerTile5x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_5, ROWS1_5, STORES1_5)

// func outerTile4x1AVX512(t *outerTile)
TEXT ·outerTile4x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_4, ROWS1_4, STORES1_4)

// func outerTile3x1AVX512(t *outerTile)
TEXT ·outerTile3x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_3, ROWS1_3, STORES1_3)

// func outerTile2x1AVX512(t *outerTile)
TEXT ·outerTile2x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_2, ROWS1_2, STORES1_2)

// func outerTile1x1AVX512(t *outerTile)
TEXT ·outerTile1x1AVX512(SB), NOSPLIT, $0-8
	ROWS(LOADS1_1, ROWS1_1, STORES1_1)
