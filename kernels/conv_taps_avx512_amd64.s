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
// Z0 weights or an element, Z2 lo, Z3 hi, Z4 slope or divisor, Z5 a product, pixel i in Z(8+i). K1 are the channels that exist.

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

#define CHANNELS \
	MOVL $0xffff, DX; \
	CMPQ CX, $16; \
	JGE  whole; \
	SHLXL CX, DX, DX; \
	NOTL DX; \
	ANDL $0xffff, DX; \
whole: \
	KMOVW DX, K1; \
	MOVQ tapsList(AX), R12

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
	ADDQ $64, SI; \
	ADDQ $64, R8; \
	ADDQ $64, R9; \
	ADDQ $64, R10; \
	ADDQ $64, R11; \
	ADDQ $64, DI; \
	SUBQ $16, CX

#define BIAS \
	MOVQ R11, DX; \
	SUBQ tapsW(AX), DX; \
	ADDQ tapsBias(AX), DX; \
	VMOVUPS.Z (DX), K1, Z0

#define START(c) VMOVAPS Z0, c
#define ZERO(c) VPXORQ c, c, c

#define WEIGHTS \
	MOVQ 8(R12), R15; \
	VMOVUPS.Z (R11)(R15*1), K1, Z0

#define FMA(x, c) VFMADD231PS x, Z0, K1, c
#define PLUS(x, c) VADDPS x, c, K1, c
#define LARGER(x, c) \
	VMOVUPS.Z x, K1, Z0; \
	VMAXPS c, Z0, c

#define LEAKY(c) \
	VMULPS Z4, c, Z5; \
	VMAXPS c, Z5, c

#define BOUNDS(c) \
	VMAXPS Z2, c, c; \
	VMINPS Z3, c, c

#define DIVIDE(c) VDIVPS Z4, c, c

#define STORE(c) \
	VMOVUPS c, K1, (R15); \
	ADDQ DX, R15
#define LO Z2
#define HI Z3
#define SLOPE Z4

#define EACH1(F) F(Z8)
#define EACH2(F) EACH1(F); F(Z9)
#define EACH3(F) EACH2(F); F(Z10)
#define EACH4(F) EACH3(F); F(Z11)
#define EACH5(F) EACH4(F); F(Z12)
#define EACH6(F) EACH5(F); F(Z13)
#define EACH7(F) EACH6(F); F(Z14)
#define EACH8(F) EACH7(F); F(Z15)
#define EACH9(F) EACH8(F); F(Z16)
#define EACH10(F) EACH9(F); F(Z17)
#define EACH11(F) EACH10(F); F(Z18)
#define EACH12(F) EACH11(F); F(Z19)

#define PIXELS1(F) F((SI), Z8)
#define PIXELS2(F) PIXELS1(F); F((SI)(BX*1), Z9)
#define PIXELS3(F) PIXELS2(F); F((SI)(BX*2), Z10)
#define PIXELS4(F) PIXELS3(F); F((R8), Z11)
#define PIXELS5(F) PIXELS4(F); F((R8)(BX*1), Z12)
#define PIXELS6(F) PIXELS5(F); F((R8)(BX*2), Z13)
#define PIXELS7(F) PIXELS6(F); F((R9), Z14)
#define PIXELS8(F) PIXELS7(F); F((R9)(BX*1), Z15)
#define PIXELS9(F) PIXELS8(F); F((R9)(BX*2), Z16)
#define PIXELS10(F) PIXELS9(F); F((R10), Z17)
#define PIXELS11(F) PIXELS10(F); F((R10)(BX*1), Z18)
#define PIXELS12(F) PIXELS11(F); F((R10)(BX*2), Z19)

#define FINISH(EACH) \
	MOVQ DI, R15; \
	MOVQ tapsLdd(AX), DX; \
	EACH(STORE); \
	NEXT; \
	CMPQ CX, $0; \
	JG  channels; \
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
	VBROADCASTSS tapsLo(AX), Z0; \
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

// func tapsFMA12AVX512(t *tapTile)
TEXT ·tapsFMA12AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH12, PIXELS12)

// func tapsFMA11AVX512(t *tapTile)
TEXT ·tapsFMA11AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH11, PIXELS11)

// func tapsFMA10AVX512(t *tapTile)
TEXT ·tapsFMA10AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH10, PIXELS10)

// func tapsFMA9AVX512(t *tapTile)
TEXT ·tapsFMA9AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH9, PIXELS9)

// func tapsFMA8AVX512(t *tapTile)
TEXT ·tapsFMA8AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH8, PIXELS8)

// func tapsFMA7AVX512(t *tapTile)
TEXT ·tapsFMA7AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH7, PIXELS7)

// func tapsFMA6AVX512(t *tapTile)
TEXT ·tapsFMA6AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH6, PIXELS6)

// func tapsFMA5AVX512(t *tapTile)
TEXT ·tapsFMA5AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH5, PIXELS5)

// func tapsFMA4AVX512(t *tapTile)
TEXT ·tapsFMA4AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH4, PIXELS4)

// func tapsFMA3AVX512(t *tapTile)
TEXT ·tapsFMA3AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH3, PIXELS3)

// func tapsFMA2AVX512(t *tapTile)
TEXT ·tapsFMA2AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH2, PIXELS2)

// func tapsFMA1AVX512(t *tapTile)
TEXT ·tapsFMA1AVX512(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH1, PIXELS1)

// func tapsMax12AVX512(t *tapTile)
TEXT ·tapsMax12AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH12, PIXELS12)

// func tapsMax11AVX512(t *tapTile)
TEXT ·tapsMax11AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH11, PIXELS11)

// func tapsMax10AVX512(t *tapTile)
TEXT ·tapsMax10AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH10, PIXELS10)

// func tapsMax9AVX512(t *tapTile)
TEXT ·tapsMax9AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH9, PIXELS9)

// func tapsMax8AVX512(t *tapTile)
TEXT ·tapsMax8AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH8, PIXELS8)

// func tapsMax7AVX512(t *tapTile)
TEXT ·tapsMax7AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH7, PIXELS7)

// func tapsMax6AVX512(t *tapTile)
TEXT ·tapsMax6AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH6, PIXELS6)

// func tapsMax5AVX512(t *tapTile)
TEXT ·tapsMax5AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH5, PIXELS5)

// func tapsMax4AVX512(t *tapTile)
TEXT ·tapsMax4AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH4, PIXELS4)

// func tapsMax3AVX512(t *tapTile)
TEXT ·tapsMax3AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH3, PIXELS3)

// func tapsMax2AVX512(t *tapTile)
TEXT ·tapsMax2AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH2, PIXELS2)

// func tapsMax1AVX512(t *tapTile)
TEXT ·tapsMax1AVX512(SB), NOSPLIT, $0-8
	LARGEST(EACH1, PIXELS1)

// func tapsMean12AVX512(t *tapTile)
TEXT ·tapsMean12AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH12, PIXELS12)

// func tapsMean11AVX512(t *tapTile)
TEXT ·tapsMean11AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH11, PIXELS11)

// func tapsMean10AVX512(t *tapTile)
TEXT ·tapsMean10AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH10, PIXELS10)

// func tapsMean9AVX512(t *tapTile)
TEXT ·tapsMean9AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH9, PIXELS9)

// func tapsMean8AVX512(t *tapTile)
TEXT ·tapsMean8AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH8, PIXELS8)

// func tapsMean7AVX512(t *tapTile)
TEXT ·tapsMean7AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH7, PIXELS7)

// func tapsMean6AVX512(t *tapTile)
TEXT ·tapsMean6AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH6, PIXELS6)

// func tapsMean5AVX512(t *tapTile)
TEXT ·tapsMean5AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH5, PIXELS5)

// func tapsMean4AVX512(t *tapTile)
TEXT ·tapsMean4AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH4, PIXELS4)

// func tapsMean3AVX512(t *tapTile)
TEXT ·tapsMean3AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH3, PIXELS3)

// func tapsMean2AVX512(t *tapTile)
TEXT ·tapsMean2AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH2, PIXELS2)

// func tapsMean1AVX512(t *tapTile)
TEXT ·tapsMean1AVX512(SB), NOSPLIT, $0-8
	AVERAGE(EACH1, PIXELS1)
