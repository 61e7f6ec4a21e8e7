//go:build amd64 && !purego

#include "textflag.h"

// Sliding windows over images with their channels last, each channel by itself: up to 12 output pixels of a line, a
// vector of channels at a time. The window's elements are a list of distances, from a pixel's x and within the weights.
//
//	AX  the tile's description
//	SI R8 R9 R10  x, pixels 0, 3, 6, 9    BX  bytes between pixels of x
//	R11 weights                           CX  channels left
//	R12 list of elements                  R13 its end
//	DI  dst                               DX  bytes between pixels of dst, or an element's distance
//	R15 one pixel of dst
//
// Y0 weights or an element, then lo or a product, Y1 hi or slope, Y2 divisor, pixel i in Y(4+i). Channels beyond the last
// whole vector are left out.

#define tapsDst 0
#define tapsX 8
#define tapsW 16
#define tapsBias 24
#define tapsList 32
#define tapsCount 40
#define tapsLdd 48
#define tapsLdx 56
#define tapsChannels 64
#define tapsAct 72
#define tapsLo 76
#define tapsHi 80
#define tapsSlope 84
#define tapsDivisor 88

#define BEGIN \
	MOVQ t+0(FP), AX; \
	MOVQ tapsX(AX), SI; \
	MOVQ tapsLdx(AX), BX; \
	MOVQ tapsW(AX), R11; \
	MOVQ tapsDst(AX), DI; \
	MOVQ tapsCount(AX), R13; \
	SHLQ $4, R13; \
	ADDQ tapsList(AX), R13; \
	MOVQ tapsChannels(AX), CX; \
	LEAQ (BX)(BX*2), DX; \
	LEAQ (SI)(DX*1), R8; \
	LEAQ (R8)(DX*1), R9; \
	LEAQ (R9)(DX*1), R10

#define CHANNELS MOVQ tapsList(AX), R12

// An element's place: every pixel's x moves there, and back.

#define ELEMENT \
	MOVQ (R12), DX; \
	ADDQ DX, SI; \
	ADDQ DX, R8; \
	ADDQ DX, R9; \
	ADDQ DX, R10

#define BACK \
	SUBQ DX, SI; \
	SUBQ DX, R8; \
	SUBQ DX, R9; \
	SUBQ DX, R10; \
	ADDQ $16, R12; \
	CMPQ R12, R13

#define NEXT \
	ADDQ $32, SI; \
	ADDQ $32, R8; \
	ADDQ $32, R9; \
	ADDQ $32, R10; \
	ADDQ $32, R11; \
	ADDQ $32, DI; \
	SUBQ $8, CX

#define BIAS \
	MOVQ R11, DX; \
	SUBQ tapsW(AX), DX; \
	ADDQ tapsBias(AX), DX; \
	VMOVUPS (DX), Y0

#define START(c) VMOVAPS Y0, c
#define ZERO(c) VXORPS c, c, c

#define WEIGHTS \
	MOVQ 8(R12), R15; \
	VMOVUPS (R11)(R15*1), Y0

#define FMA(x, c) VFMADD231PS x, Y0, c
#define PLUS(x, c) VADDPS x, c, c
#define LARGER(x, c) \
	VMOVUPS x, Y0; \
	VMAXPS c, Y0, c

#define LEAKY(c) \
	VMULPS Y2, c, Y3; \
	VMAXPS c, Y3, c

#define BOUNDS(c) \
	VMAXPS Y0, c, c; \
	VMINPS Y1, c, c

#define DIVIDE(c) VDIVPS Y2, c, c

#define STORE(c) \
	VMOVUPS c, (R15); \
	ADDQ DX, R15
#define LO Y0
#define HI Y1
#define SLOPE Y2

#define EACH1(F) F(Y4)
#define EACH2(F) EACH1(F); F(Y5)
#define EACH3(F) EACH2(F); F(Y6)
#define EACH4(F) EACH3(F); F(Y7)
#define EACH5(F) EACH4(F); F(Y8)
#define EACH6(F) EACH5(F); F(Y9)
#define EACH7(F) EACH6(F); F(Y10)
#define EACH8(F) EACH7(F); F(Y11)
#define EACH9(F) EACH8(F); F(Y12)
#define EACH10(F) EACH9(F); F(Y13)
#define EACH11(F) EACH10(F); F(Y14)
#define EACH12(F) EACH11(F); F(Y15)

#define PIXELS1(F) F((SI), Y4)
#define PIXELS2(F) PIXELS1(F); F((SI)(BX*1), Y5)
#define PIXELS3(F) PIXELS2(F); F((SI)(BX*2), Y6)
#define PIXELS4(F) PIXELS3(F); F((R8), Y7)
#define PIXELS5(F) PIXELS4(F); F((R8)(BX*1), Y8)
#define PIXELS6(F) PIXELS5(F); F((R8)(BX*2), Y9)
#define PIXELS7(F) PIXELS6(F); F((R9), Y10)
#define PIXELS8(F) PIXELS7(F); F((R9)(BX*1), Y11)
#define PIXELS9(F) PIXELS8(F); F((R9)(BX*2), Y12)
#define PIXELS10(F) PIXELS9(F); F((R10), Y13)
#define PIXELS11(F) PIXELS10(F); F((R10)(BX*1), Y14)
#define PIXELS12(F) PIXELS11(F); F((R10)(BX*2), Y15)

#define FINISH(EACH) \
	MOVQ DI, R15; \
	MOVQ tapsLdd(AX), DX; \
	EACH(STORE); \
	NEXT; \
	CMPQ CX, $8; \
	JGE channels; \
	VZEROUPPER; \
	RET

#define DEPTHWISE(EACH, PIXELS) \
	BEGIN; \
channels: \
	CHANNELS; \
	BIAS; \
	EACH(START); \
element: \
	WEIGHTS; \
	ELEMENT; \
	PIXELS(FMA); \
	BACK; \
	JNE element; \
	MOVL tapsAct(AX), R12; \
	TESTL $2, R12; \
	JZ straight; \
	VBROADCASTSS tapsSlope(AX), SLOPE; \
	EACH(LEAKY); \
straight: \
	TESTL $1, R12; \
	JZ store; \
	VBROADCASTSS tapsLo(AX), LO; \
	VBROADCASTSS tapsHi(AX), HI; \
	EACH(BOUNDS); \
store: \
	FINISH(EACH)

#define LARGEST(EACH, PIXELS) \
	BEGIN; \
channels: \
	CHANNELS; \
	VBROADCASTSS tapsLo(AX), Y0; \
	EACH(START); \
element: \
	ELEMENT; \
	PIXELS(LARGER); \
	BACK; \
	JNE element; \
	FINISH(EACH)

#define AVERAGE(EACH, PIXELS) \
	BEGIN; \
channels: \
	CHANNELS; \
	EACH(ZERO); \
element: \
	ELEMENT; \
	PIXELS(PLUS); \
	BACK; \
	JNE element; \
	VBROADCASTSS tapsDivisor(AX), SLOPE; \
	EACH(DIVIDE); \
	FINISH(EACH)

// func tapsFMA12AVX2(t *tapTile)
TEXT ·tapsFMA12AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH12, PIXELS12)

// func tapsFMA11AVX2(t *tapTile)
TEXT ·tapsFMA11AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH11, PIXELS11)

// func tapsFMA10AVX2(t *tapTile)
TEXT ·tapsFMA10AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH10, PIXELS10)

// func tapsFMA9AVX2(t *tapTile)
TEXT ·tapsFMA9AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH9, PIXELS9)

// func tapsFMA8AVX2(t *tapTile)
TEXT ·tapsFMA8AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH8, PIXELS8)

// func tapsFMA7AVX2(t *tapTile)
TEXT ·tapsFMA7AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH7, PIXELS7)

// func tapsFMA6AVX2(t *tapTile)
TEXT ·tapsFMA6AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH6, PIXELS6)

// func tapsFMA5AVX2(t *tapTile)
TEXT ·tapsFMA5AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH5, PIXELS5)

// func tapsFMA4AVX2(t *tapTile)
TEXT ·tapsFMA4AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH4, PIXELS4)

// func tapsFMA3AVX2(t *tapTile)
TEXT ·tapsFMA3AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH3, PIXELS3)

// func tapsFMA2AVX2(t *tapTile)
TEXT ·tapsFMA2AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH2, PIXELS2)

// func tapsFMA1AVX2(t *tapTile)
TEXT ·tapsFMA1AVX2(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH1, PIXELS1)

// func tapsMax12AVX2(t *tapTile)
TEXT ·tapsMax12AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH12, PIXELS12)

// func tapsMax11AVX2(t *tapTile)
TEXT ·tapsMax11AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH11, PIXELS11)

// func tapsMax10AVX2(t *tapTile)
TEXT ·tapsMax10AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH10, PIXELS10)

// func tapsMax9AVX2(t *tapTile)
TEXT ·tapsMax9AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH9, PIXELS9)

// func tapsMax8AVX2(t *tapTile)
TEXT ·tapsMax8AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH8, PIXELS8)

// func tapsMax7AVX2(t *tapTile)
TEXT ·tapsMax7AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH7, PIXELS7)

// func tapsMax6AVX2(t *tapTile)
TEXT ·tapsMax6AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH6, PIXELS6)

// func tapsMax5AVX2(t *tapTile)
TEXT ·tapsMax5AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH5, PIXELS5)

// func tapsMax4AVX2(t *tapTile)
TEXT ·tapsMax4AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH4, PIXELS4)

// func tapsMax3AVX2(t *tapTile)
TEXT ·tapsMax3AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH3, PIXELS3)

// func tapsMax2AVX2(t *tapTile)
TEXT ·tapsMax2AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH2, PIXELS2)

// func tapsMax1AVX2(t *tapTile)
TEXT ·tapsMax1AVX2(SB), NOSPLIT, $0-8
	LARGEST(EACH1, PIXELS1)

// func tapsMean12AVX2(t *tapTile)
TEXT ·tapsMean12AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH12, PIXELS12)

// func tapsMean11AVX2(t *tapTile)
TEXT ·tapsMean11AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH11, PIXELS11)

// func tapsMean10AVX2(t *tapTile)
TEXT ·tapsMean10AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH10, PIXELS10)

// func tapsMean9AVX2(t *tapTile)
TEXT ·tapsMean9AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH9, PIXELS9)

// func tapsMean8AVX2(t *tapTile)
TEXT ·tapsMean8AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH8, PIXELS8)

// func tapsMean7AVX2(t *tapTile)
TEXT ·tapsMean7AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH7, PIXELS7)

// func tapsMean6AVX2(t *tapTile)
TEXT ·tapsMean6AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH6, PIXELS6)

// func tapsMean5AVX2(t *tapTile)
TEXT ·tapsMean5AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH5, PIXELS5)

// func tapsMean4AVX2(t *tapTile)
TEXT ·tapsMean4AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH4, PIXELS4)

// func tapsMean3AVX2(t *tapTile)
TEXT ·tapsMean3AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH3, PIXELS3)

// func tapsMean2AVX2(t *tapTile)
TEXT ·tapsMean2AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH2, PIXELS2)

// func tapsMean1AVX2(t *tapTile)
TEXT ·tapsMean1AVX2(SB), NOSPLIT, $0-8
	AVERAGE(EACH1, PIXELS1)
