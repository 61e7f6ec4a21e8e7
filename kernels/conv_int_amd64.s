//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// Tiles of a convolution of bytes: up to 12 output pixels of a line x one or two panels of filters in registers. The
// window's lines are segments of k fours of bytes, jump bytes apart after each; the weights go on through all of them.
//
//	AX  the tile's description
//	SI R8 R9 R10  x, pixels 0, 3, 6, 9    BX  bytes between pixels of x
//	R11 R12       w0, w1                  R13 jump
//	DX            segments left           CX  k left
//	DI            dst, R15 z, after the sums: bytes between their pixels in DX, BX
//
// Z0, Z1 weights, then multipliers; Z6, Z7 bias; Z2..Z5 x, then what each step of the finish needs; pixel i of dst in
// Z(8+2i), Z(9+2i), or with one panel in Z(8+i). K1, K2 are the columns that exist.

#define tileDst 0
#define tileX 8
#define tileW0 16
#define tileW1 24
#define tileMult 32
#define tileBias 40
#define tileStart 48
#define tileZ 56
#define tileLdd 64
#define tileLdx 72
#define tileLdz 80
#define tileK 88
#define tileSegments 96
#define tileJump 104
#define tileMask 112
#define tileAct 116
#define tileLo 120
#define tileHi 124
#define tileSlope 128
#define tileInverse 132
#define tileZero 136
#define tileZZero 140
#define tileZScale 144

#define BEGIN \
	MOVQ t+0(FP), AX; \
	MOVQ tileX(AX), SI; \
	MOVQ tileLdx(AX), BX; \
	MOVQ tileW0(AX), R11; \
	MOVQ tileW1(AX), R12; \
	MOVQ tileJump(AX), R13; \
	MOVQ tileSegments(AX), DX; \
	MOVQ tileStart(AX), DI; \
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

#define OUTPUTS \
	MOVQ tileDst(AX), DI; \
	MOVQ tileLdd(AX), DX; \
	MOVQ tileMult(AX), R11; \
	MOVQ tileBias(AX), R12; \
	VMOVUPS (R11), Z0; \
	VMOVUPS (R12), Z6; \
	MOVQ tileZ(AX), R15; \
	MOVQ tileLdz(AX), BX; \
	MOVL tileAct(AX), CX

#define TILE(EACH, PIXELS, START, WEIGHTS, MORE, SCALE, ADDZ, LEAKY, BOUNDS, FLOATS, LEVELS) \
	BEGIN; \
	EACH(START); \
segment: \
	MOVQ tileK(AX), CX; \
	PCALIGN $64; \
loop: \
	WEIGHTS; \
	PIXELS; \
	ADVANCE; \
	DECQ CX; \
	JNZ loop; \
	JUMP; \
	ADDQ levelTile_gap(AX), R11; \
	ADDQ levelTile_gap(AX), R12; \
	DECQ DX; \
	JNZ segment; \
	OUTPUTS; \
	TESTL $8, CX; \
	JNZ store; \
	MORE; \
	EACH(SCALE); \
	TESTQ R15, R15; \
	JZ summed; \
	VPBROADCASTD tileZZero(AX), Z2; \
	VBROADCASTSS tileZScale(AX), Z3; \
	EACH(ADDZ); \
summed: \
	TESTL $2, CX; \
	JZ straight; \
	VBROADCASTSS tileSlope(AX), Z4; \
	EACH(LEAKY); \
straight: \
	VBROADCASTSS tileLo(AX), Z2; \
	VBROADCASTSS tileHi(AX), Z3; \
	TESTL $4, CX; \
	JZ floats; \
	VBROADCASTSS tileInverse(AX), Z4; \
	VPBROADCASTD tileZero(AX), Z5; \
	EACH(LEVELS); \
	VZEROUPPER; \
	RET; \
floats: \
	TESTL $1, CX; \
	JZ store; \
	EACH(BOUNDS); \
store: \
	EACH(FLOATS); \
	VZEROUPPER; \
	RET

// Two panels.

#define START2(c0, c1) \
	VMOVDQU32 (DI), c0; \
	VMOVDQU32 64(DI), c1

#define WEIGHTS2 \
	PREFETCHT0 1024(R11); \
	PREFETCHT0 1024(R12); \
	VMOVDQU32 (R11), Z0; \
	VMOVDQU32 (R12), Z1; \
	ADDQ $64, R11; \
	ADDQ $64, R12

#define PIXEL2(x, t, c0, c1) \
	VPBROADCASTD x, t; \
	VPDPBUSD Z0, t, c0; \
	VPDPBUSD Z1, t, c1

#define MORE2 \
	VMOVUPS 64(R11), Z1; \
	VMOVUPS 64(R12), Z7

#define SCALE2(c0, c1) \
	VCVTDQ2PS c0, c0; \
	VCVTDQ2PS c1, c1; \
	VMULPS Z0, c0, c0; \
	VMULPS Z1, c1, c1; \
	VADDPS Z6, c0, c0; \
	VADDPS Z7, c1, c1

#define ADDZ2(c0, c1) \
	VPMOVZXBD.Z (R15), K1, Z4; \
	VPMOVZXBD.Z 16(R15), K2, Z5; \
	VPSUBD Z2, Z4, Z4; \
	VPSUBD Z2, Z5, Z5; \
	VCVTDQ2PS Z4, Z4; \
	VCVTDQ2PS Z5, Z5; \
	VMULPS Z3, Z4, Z4; \
	VMULPS Z3, Z5, Z5; \
	VADDPS Z4, c0, c0; \
	VADDPS Z5, c1, c1; \
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

#define FLOATS2(c0, c1) \
	VMOVUPS c0, K1, (DI); \
	VMOVUPS c1, K2, 64(DI); \
	ADDQ DX, DI

#define LEVELS2(c0, c1) \
	VMULPS Z4, c0, c0; \
	VMULPS Z4, c1, c1; \
	VMAXPS Z2, c0, c0; \
	VMAXPS Z2, c1, c1; \
	VMINPS Z3, c0, c0; \
	VMINPS Z3, c1, c1; \
	VCVTPS2DQ c0, c0; \
	VCVTPS2DQ c1, c1; \
	VPADDD Z5, c0, c0; \
	VPADDD Z5, c1, c1; \
	VPMOVDB c0, K1, (DI); \
	VPMOVDB c1, K2, 16(DI); \
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

// func intConvTile12x2AVX512(t *levelTile)
TEXT ·intConvTile12x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_12, PIXELS2_12, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile11x2AVX512(t *levelTile)
TEXT ·intConvTile11x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_11, PIXELS2_11, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile10x2AVX512(t *levelTile)
TEXT ·intConvTile10x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_10, PIXELS2_10, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile9x2AVX512(t *levelTile)
TEXT ·intConvTile9x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_9, PIXELS2_9, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile8x2AVX512(t *levelTile)
TEXT ·intConvTile8x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_8, PIXELS2_8, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile7x2AVX512(t *levelTile)
TEXT ·intConvTile7x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_7, PIXELS2_7, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile6x2AVX512(t *levelTile)
TEXT ·intConvTile6x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_6, PIXELS2_6, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile5x2AVX512(t *levelTile)
TEXT ·intConvTile5x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_5, PIXELS2_5, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile4x2AVX512(t *levelTile)
TEXT ·intConvTile4x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_4, PIXELS2_4, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile3x2AVX512(t *levelTile)
TEXT ·intConvTile3x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_3, PIXELS2_3, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile2x2AVX512(t *levelTile)
TEXT ·intConvTile2x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_2, PIXELS2_2, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// func intConvTile1x2AVX512(t *levelTile)
TEXT ·intConvTile1x2AVX512(SB), NOSPLIT, $0-8
	TILE(EACH2_1, PIXELS2_1, START2, WEIGHTS2, MORE2, SCALE2, ADDZ2, LEAKY2, BOUNDS2, FLOATS2, LEVELS2)

// One panel.

#define START1(c) VMOVDQU32 (DI), c

#define WEIGHTS1 \
	VMOVDQU32 (R11), Z0; \
	ADDQ $64, R11

#define PIXEL1(x, t, c) \
	VPBROADCASTD x, t; \
	VPDPBUSD Z0, t, c

#define MORE1

#define SCALE1(c) \
	VCVTDQ2PS c, c; \
	VMULPS Z0, c, c; \
	VADDPS Z6, c, c

#define ADDZ1(c) \
	VPMOVZXBD.Z (R15), K1, Z4; \
	VPSUBD Z2, Z4, Z4; \
	VCVTDQ2PS Z4, Z4; \
	VMULPS Z3, Z4, Z4; \
	VADDPS Z4, c, c; \
	ADDQ BX, R15

#define LEAKY1(c) \
	VMULPS Z4, c, Z5; \
	VMAXPS c, Z5, c

#define BOUNDS1(c) \
	VMAXPS Z2, c, c; \
	VMINPS Z3, c, c

#define FLOATS1(c) \
	VMOVUPS c, K1, (DI); \
	ADDQ DX, DI

#define LEVELS1(c) \
	VMULPS Z4, c, c; \
	VMAXPS Z2, c, c; \
	VMINPS Z3, c, c; \
	VCVTPS2DQ c, c; \
	VPADDD Z5, c, c; \
	VPMOVDB c, K1, (DI); \
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

#define PIXELS1_1 PIXEL1((SI), Z2, Z8)
#define PIXELS1_2 PIXELS1_1; PIXEL1((SI)(BX*1), Z3, Z9)
#define PIXELS1_3 PIXELS1_2; PIXEL1((SI)(BX*2), Z4, Z10)
#define PIXELS1_4 PIXELS1_3; PIXEL1((R8), Z5, Z11)
#define PIXELS1_5 PIXELS1_4; PIXEL1((R8)(BX*1), Z2, Z12)
#define PIXELS1_6 PIXELS1_5; PIXEL1((R8)(BX*2), Z3, Z13)
#define PIXELS1_7 PIXELS1_6; PIXEL1((R9), Z4, Z14)
#define PIXELS1_8 PIXELS1_7; PIXEL1((R9)(BX*1), Z5, Z15)
#define PIXELS1_9 PIXELS1_8; PIXEL1((R9)(BX*2), Z2, Z16)
#define PIXELS1_10 PIXELS1_9; PIXEL1((R10), Z3, Z17)
#define PIXELS1_11 PIXELS1_10; PIXEL1((R10)(BX*1), Z4, Z18)
#define PIXELS1_12 PIXELS1_11; PIXEL1((R10)(BX*2), Z5, Z19)

// func intConvTile12x1AVX512(t *levelTile)
TEXT ·intConvTile12x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_12, PIXELS1_12, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile11x1AVX512(t *levelTile)
TEXT ·intConvTile11x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_11, PIXELS1_11, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile10x1AVX512(t *levelTile)
TEXT ·intConvTile10x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_10, PIXELS1_10, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile9x1AVX512(t *levelTile)
TEXT ·intConvTile9x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_9, PIXELS1_9, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile8x1AVX512(t *levelTile)
TEXT ·intConvTile8x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_8, PIXELS1_8, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile7x1AVX512(t *levelTile)
TEXT ·intConvTile7x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_7, PIXELS1_7, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile6x1AVX512(t *levelTile)
TEXT ·intConvTile6x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_6, PIXELS1_6, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile5x1AVX512(t *levelTile)
TEXT ·intConvTile5x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_5, PIXELS1_5, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile4x1AVX512(t *levelTile)
TEXT ·intConvTile4x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_4, PIXELS1_4, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile3x1AVX512(t *levelTile)
TEXT ·intConvTile3x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_3, PIXELS1_3, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile2x1AVX512(t *levelTile)
TEXT ·intConvTile2x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_2, PIXELS1_2, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)

// func intConvTile1x1AVX512(t *levelTile)
TEXT ·intConvTile1x1AVX512(SB), NOSPLIT, $0-8
	TILE(EACH1_1, PIXELS1_1, START1, WEIGHTS1, MORE1, SCALE1, ADDZ1, LEAKY1, BOUNDS1, FLOATS1, LEVELS1)
