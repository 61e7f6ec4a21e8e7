//go:build amd64 && !purego

#include "textflag.h"

// Tiles of a convolution: up to 12 output pixels of a line x one or two panels of filters in registers. The window's
// lines are segments of k elements, jump bytes apart after each; the weights go on through all of them.
//
//	AX  the tile's description
//	SI R8 R9 R10  x, pixels 0, 3, 6, 9    BX  bytes between pixels of x
//	R11 R12       b0, b1                  R13 jump
//	DX            segments left           CX  k left
//	DI            dst                     R15 z, after the sums: bytes between pixels of both in DX, BX
//
// Z0, Z1 weights, then bias; Z2..Z5 x, then lo, hi, slope and a product; pixel i of dst in Z(8+2i), Z(9+2i), or with
// one panel in Z(8+i). K1, K2 are the columns that exist.

#define tileDst 0
#define tileX 8
#define tileB0 16
#define tileB1 24
#define tileBias 32
#define tileZ 40
#define tileLdd 48
#define tileLdx 56
#define tileLdz 64
#define tileK 72
#define tileSegments 80
#define tileJump 88
#define tileMask 96
#define tileAct 100
#define tileLo 104
#define tileHi 108
#define tileSlope 112

#define BEGIN \
	MOVQ t+0(FP), AX; \
	MOVQ tileX(AX), SI; \
	MOVQ tileLdx(AX), BX; \
	MOVQ tileB0(AX), R11; \
	MOVQ tileB1(AX), R12; \
	MOVQ tileJump(AX), R13; \
	MOVQ tileSegments(AX), DX; \
	LEAQ (BX)(BX*2), CX; \
	LEAQ (SI)(CX*1), R8; \
	LEAQ (R8)(CX*1), R9; \
	LEAQ (R9)(CX*1), R10; \
	MOVL tileMask(AX), CX; \
	KMOVW CX, K1; \
	SHRL $16, CX; \
	KMOVW CX, K2

#define ADVANCE \
	ADDQ $4, SI; \
	ADDQ $4, R8; \
	ADDQ $4, R9; \
	ADDQ $4, R10

#define JUMP \
	ADDQ R13, SI; \
	ADDQ R13, R8; \
	ADDQ R13, R9; \
	ADDQ R13, R10

// The finish of a tile: bias, z, the leaky slope, bounds.

#define OUTPUTS \
	MOVQ tileDst(AX), DI; \
	MOVQ tileLdd(AX), DX; \
	MOVQ tileBias(AX), R11; \
	VMOVUPS.Z (R11), K1, Z0; \
	VMOVUPS.Z 64(R11), K2, Z1; \
	VBROADCASTSS tileLo(AX), Z2; \
	VBROADCASTSS tileHi(AX), Z3; \
	VBROADCASTSS tileSlope(AX), Z4; \
	MOVQ tileZ(AX), R15; \
	MOVQ tileLdz(AX), BX; \
	MOVL tileAct(AX), CX

// Two panels.

#define ZERO2(c0, c1) \
	VPXORQ c0, c0, c0; \
	VPXORQ c1, c1, c1

#define WEIGHTS2 \
	PREFETCHT0 1024(R11); \
	PREFETCHT0 1024(R12); \
	VMOVUPS (R11), Z0; \
	VMOVUPS (R12), Z1; \
	ADDQ $64, R11; \
	ADDQ $64, R12

#define PIXEL2(x, t, c0, c1) \
	VBROADCASTSS x, t; \
	VFMADD231PS Z0, t, c0; \
	VFMADD231PS Z1, t, c1

#define BIAS2(c0, c1) \
	VADDPS Z0, c0, c0; \
	VADDPS Z1, c1, c1

#define ADDZ2(c0, c1) \
	VADDPS (R15), c0, K1, c0; \
	VADDPS 64(R15), c1, K2, c1; \
	ADDQ BX, R15

#define LEAKY2(c0, c1) \
	VMULPS Z4, c0, Z5; \
	VMAXPS c0, Z5, c0; \
	VMULPS Z4, c1, Z5; \
	VMAXPS c1, Z5, c1

#define BOUNDS2(c0, c1) \
	VMAXPS Z2, c0, c0; \
	VMINPS Z3, c0, c0; \
	VMAXPS Z2, c1, c1; \
	VMINPS Z3, c1, c1

#define STORE2(c0, c1) \
	VMOVUPS c0, K1, (DI); \
	VMOVUPS c1, K2, 64(DI); \
	ADDQ DX, DI

#define EACH2_1(F) F(Z8, Z9)
#define EACH2_2(F) EACH2_1(F); F(Z10, Z11)
#define EACH2_3(F) EACH2_2(F); F(Z12, Z13)
#define EACH2_4(F) EACH2_3(F); F(Z14, Z15)
#define EACH2_5(F) EACH2_4(F); F(Z16, Z17)
#define EACH2_6(F) EACH2_5(F); F(Z18, Z19)
#define EACH2_7(F) EACH2_6(F); F(Z20, Z21)
#define EACH2_8(F) EACH2_7(F); F(Z22, Z23)
#define EACH2_9(F) EACH2_8(F); F(Z24, Z25)
#define EACH2_10(F) EACH2_9(F); F(Z26, Z27)
#define EACH2_11(F) EACH2_10(F); F(Z28, Z29)
#define EACH2_12(F) EACH2_11(F); F(Z30, Z31)

#define PIXELS2_1 PIXEL2((SI), Z2, Z8, Z9)
#define PIXELS2_2 PIXELS2_1; PIXEL2((SI)(BX*1), Z3, Z10, Z11)
#define PIXELS2_3 PIXELS2_2; PIXEL2((SI)(BX*2), Z4, Z12, Z13)
#define PIXELS2_4 PIXELS2_3; PIXEL2((R8), Z5, Z14, Z15)
#define PIXELS2_5 PIXELS2_4; PIXEL2((R8)(BX*1), Z2, Z16, Z17)
#define PIXELS2_6 PIXELS2_5; PIXEL2((R8)(BX*2), Z3, Z18, Z19)
#define PIXELS2_7 PIXELS2_6; PIXEL2((R9), Z4, Z20, Z21)
#define PIXELS2_8 PIXELS2_7; PIXEL2((R9)(BX*1), Z5, Z22, Z23)
#define PIXELS2_9 PIXELS2_8; PIXEL2((R9)(BX*2), Z2, Z24, Z25)
#define PIXELS2_10 PIXELS2_9; PIXEL2((R10), Z3, Z26, Z27)
#define PIXELS2_11 PIXELS2_10; PIXEL2((R10)(BX*1), Z4, Z28, Z29)
#define PIXELS2_12 PIXELS2_11; PIXEL2((R10)(BX*2), Z5, Z30, Z31)

#define TILE2(EACH, PIXELS) \
	BEGIN; \
	EACH(ZERO2); \
segment: \
	MOVQ tileK(AX), CX; \
	PCALIGN $64; \
loop: \
	WEIGHTS2; \
	PIXELS; \
	ADVANCE; \
	DECQ CX; \
	JNZ loop; \
	JUMP; \
	DECQ DX; \
	JNZ segment; \
	OUTPUTS; \
	EACH(BIAS2); \
	TESTQ R15, R15; \
	JZ summed; \
	EACH(ADDZ2); \
summed: \
	TESTL $2, CX; \
	JZ straight; \
	EACH(LEAKY2); \
straight: \
	TESTL $1, CX; \
	JZ store; \
	EACH(BOUNDS2); \
store: \
	EACH(STORE2); \
	VZEROUPPER; \
	RET

// func convTile12x2AVX512(t *convTile)
TEXT ·convTile12x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_12, PIXELS2_12)

// func convTile11x2AVX512(t *convTile)
TEXT ·convTile11x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_11, PIXELS2_11)

// func convTile10x2AVX512(t *convTile)
TEXT ·convTile10x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_10, PIXELS2_10)

// func convTile9x2AVX512(t *convTile)
TEXT ·convTile9x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_9, PIXELS2_9)

// func convTile8x2AVX512(t *convTile)
TEXT ·convTile8x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_8, PIXELS2_8)

// func convTile7x2AVX512(t *convTile)
TEXT ·convTile7x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_7, PIXELS2_7)

// func convTile6x2AVX512(t *convTile)
TEXT ·convTile6x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_6, PIXELS2_6)

// func convTile5x2AVX512(t *convTile)
TEXT ·convTile5x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_5, PIXELS2_5)

// func convTile4x2AVX512(t *convTile)
TEXT ·convTile4x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_4, PIXELS2_4)

// func convTile3x2AVX512(t *convTile)
TEXT ·convTile3x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_3, PIXELS2_3)

// func convTile2x2AVX512(t *convTile)
TEXT ·convTile2x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_2, PIXELS2_2)

// func convTile1x2AVX512(t *convTile)
TEXT ·convTile1x2AVX512(SB), NOSPLIT, $0-8
	TILE2(EACH2_1, PIXELS2_1)

// One panel.

#define ZERO1(c) VPXORQ c, c, c

#define WEIGHTS1 \
	VMOVUPS (R11), Z0; \
	ADDQ $64, R11

#define PIXEL1(x, c) VFMADD231PS.BCST x, Z0, c

#define BIAS1(c) VADDPS Z0, c, c

#define ADDZ1(c) \
	VADDPS (R15), c, K1, c; \
	ADDQ BX, R15

#define LEAKY1(c) \
	VMULPS Z4, c, Z5; \
	VMAXPS c, Z5, c

#define BOUNDS1(c) \
	VMAXPS Z2, c, c; \
	VMINPS Z3, c, c

#define STORE1(c) \
	VMOVUPS c, K1, (DI); \
	ADDQ DX, DI

#define EACH1_1(F) F(Z8)
#define EACH1_2(F) EACH1_1(F); F(Z9)
#define EACH1_3(F) EACH1_2(F); F(Z10)
#define EACH1_4(F) EACH1_3(F); F(Z11)
#define EACH1_5(F) EACH1_4(F); F(Z12)
#define EACH1_6(F) EACH1_5(F); F(Z13)
#define EACH1_7(F) EACH1_6(F); F(Z14)
#define EACH1_8(F) EACH1_7(F); F(Z15)
#define EACH1_9(F) EACH1_8(F); F(Z16)
#define EACH1_10(F) EACH1_9(F); F(Z17)
#define EACH1_11(F) EACH1_10(F); F(Z18)
#define EACH1_12(F) EACH1_11(F); F(Z19)

#define PIXELS1_1 PIXEL1((SI), Z8)
#define PIXELS1_2 PIXELS1_1; PIXEL1((SI)(BX*1), Z9)
#define PIXELS1_3 PIXELS1_2; PIXEL1((SI)(BX*2), Z10)
#define PIXELS1_4 PIXELS1_3; PIXEL1((R8), Z11)
#define PIXELS1_5 PIXELS1_4; PIXEL1((R8)(BX*1), Z12)
#define PIXELS1_6 PIXELS1_5; PIXEL1((R8)(BX*2), Z13)
#define PIXELS1_7 PIXELS1_6; PIXEL1((R9), Z14)
#define PIXELS1_8 PIXELS1_7; PIXEL1((R9)(BX*1), Z15)
#define PIXELS1_9 PIXELS1_8; PIXEL1((R9)(BX*2), Z16)
#define PIXELS1_10 PIXELS1_9; PIXEL1((R10), Z17)
#define PIXELS1_11 PIXELS1_10; PIXEL1((R10)(BX*1), Z18)
#define PIXELS1_12 PIXELS1_11; PIXEL1((R10)(BX*2), Z19)

#define TILE1(EACH, PIXELS) \
	BEGIN; \
	EACH(ZERO1); \
segment: \
	MOVQ tileK(AX), CX; \
	PCALIGN $64; \
loop: \
	WEIGHTS1; \
	PIXELS; \
	ADVANCE; \
	DECQ CX; \
	JNZ loop; \
	JUMP; \
	DECQ DX; \
	JNZ segment; \
	OUTPUTS; \
	EACH(BIAS1); \
	TESTQ R15, R15; \
	JZ summed; \
	EACH(ADDZ1); \
summed: \
	TESTL $2, CX; \
	JZ straight; \
	EACH(LEAKY1); \
straight: \
	TESTL $1, CX; \
	JZ store; \
	EACH(BOUNDS1); \
store: \
	EACH(STORE1); \
	VZEROUPPER; \
	RET

// func convTile12x1AVX512(t *convTile)
TEXT ·convTile12x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_12, PIXELS1_12)

// func convTile11x1AVX512(t *convTile)
TEXT ·convTile11x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_11, PIXELS1_11)

// func convTile10x1AVX512(t *convTile)
TEXT ·convTile10x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_10, PIXELS1_10)

// func convTile9x1AVX512(t *convTile)
TEXT ·convTile9x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_9, PIXELS1_9)

// func convTile8x1AVX512(t *convTile)
TEXT ·convTile8x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_8, PIXELS1_8)

// func convTile7x1AVX512(t *convTile)
TEXT ·convTile7x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_7, PIXELS1_7)

// func convTile6x1AVX512(t *convTile)
TEXT ·convTile6x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_6, PIXELS1_6)

// func convTile5x1AVX512(t *convTile)
TEXT ·convTile5x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_5, PIXELS1_5)

// func convTile4x1AVX512(t *convTile)
TEXT ·convTile4x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_4, PIXELS1_4)

// func convTile3x1AVX512(t *convTile)
TEXT ·convTile3x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_3, PIXELS1_3)

// func convTile2x1AVX512(t *convTile)
TEXT ·convTile2x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_2, PIXELS1_2)

// func convTile1x1AVX512(t *convTile)
TEXT ·convTile1x1AVX512(SB), NOSPLIT, $0-8
	TILE1(EACH1_1, PIXELS1_1)

