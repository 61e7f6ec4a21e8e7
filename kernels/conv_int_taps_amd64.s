//go:build amd64 && !purego

#include "textflag.h"

// Depthwise convolution of bytes: N pixels x 64 channels. A vector of 64 channels meets four vectors of weights, in each
// of which one of every four bytes is not zero, so that four vectors of sums hold channels 4i, 4i+1, 4i+2 and 4i+3.
//
//	AX the description   SI x, BX bytes between pixels, DX three times that   R8 list, CX what is left of it
//	R9 weights           R10 an element's distance, then its weights          DI dst, R11 bytes between its pixels
//
// Z0..Z3 weights, then multipliers; Z4..Z7 x, then bias; sums of pixel i in Z(8+4i)..Z(11+4i); Z24.. constants. K1 the channels that exist.

#define tapsDst 0
#define tapsX 8
#define tapsList 16
#define tapsW 24
#define tapsStart 32
#define tapsMult 40
#define tapsBias 48
#define tapsCount 56
#define tapsLdd 64
#define tapsLdx 72
#define tapsMask 80
#define tapsAct 88
#define tapsLo 92
#define tapsHi 96
#define tapsSlope 100
#define tapsInverse 104
#define tapsZero 108

#define BEGIN \
	MOVQ t+0(FP), AX; \
	MOVQ tapsX(AX), SI; \
	MOVQ tapsList(AX), R8; \
	MOVQ tapsW(AX), R9; \
	MOVQ tapsStart(AX), R11; \
	MOVQ tapsCount(AX), CX; \
	MOVQ tapsLdx(AX), BX; \
	LEAQ (BX)(BX*2), DX; \
	KMOVQ tapsMask(AX), K1

#define START(a, b, c, d) \
	VMOVDQU32 (R11), a; \
	VMOVDQU32 64(R11), b; \
	VMOVDQU32 128(R11), c; \
	VMOVDQU32 192(R11), d

#define WEIGHTS \
	MOVQ 8(R8), R10; \
	SHLQ $8, R10; \
	ADDQ R9, R10; \
	VMOVDQU32 (R10), Z0; \
	VMOVDQU32 64(R10), Z1; \
	VMOVDQU32 128(R10), Z2; \
	VMOVDQU32 192(R10), Z3; \
	MOVQ (R8), R10; \
	ADDQ SI, R10

#define PIXEL(x, t, a, b, c, d) \
	VMOVDQU8.Z x, K1, t; \
	VPDPBUSD Z0, t, a; \
	VPDPBUSD Z1, t, b; \
	VPDPBUSD Z2, t, c; \
	VPDPBUSD Z3, t, d

#define OUTPUTS \
	MOVQ tapsMult(AX), R8; \
	MOVQ tapsBias(AX), R9; \
	MOVQ tapsDst(AX), DI; \
	MOVQ tapsLdd(AX), R11; \
	VMOVUPS (R8), Z0; \
	VMOVUPS 64(R8), Z1; \
	VMOVUPS 128(R8), Z2; \
	VMOVUPS 192(R8), Z3; \
	VMOVUPS (R9), Z4; \
	VMOVUPS 64(R9), Z5; \
	VMOVUPS 128(R9), Z6; \
	VMOVUPS 192(R9), Z7; \
	VBROADCASTSS tapsLo(AX), Z24; \
	VBROADCASTSS tapsHi(AX), Z25; \
	VBROADCASTSS tapsInverse(AX), Z26; \
	VPBROADCASTD tapsZero(AX), Z27; \
	VBROADCASTSS tapsSlope(AX), Z28

#define SCALE1(a, m, k) \
	VCVTDQ2PS a, a; \
	VMULPS m, a, a; \
	VADDPS k, a, a

#define SCALE(a, b, c, d) \
	SCALE1(a, Z0, Z4); \
	SCALE1(b, Z1, Z5); \
	SCALE1(c, Z2, Z6); \
	SCALE1(d, Z3, Z7)

#define LEAKY1(a) \
	VMULPS Z28, a, Z29; \
	VMAXPS a, Z29, a

#define LEAKY(a, b, c, d) \
	LEAKY1(a); \
	LEAKY1(b); \
	LEAKY1(c); \
	LEAKY1(d)

#define LEVEL1(a) \
	VMULPS Z26, a, a; \
	VMAXPS Z24, a, a; \
	VMINPS Z25, a, a; \
	VCVTPS2DQ a, a; \
	VPADDD Z27, a, a

// The levels are 0..255: put together they are the bytes of 64 channels.
#define LEVELS(a, b, c, d) \
	LEVEL1(a); \
	LEVEL1(b); \
	LEVEL1(c); \
	LEVEL1(d); \
	VPSLLD $8, b, b; \
	VPSLLD $16, c, c; \
	VPSLLD $24, d, d; \
	VPORD a, b, a; \
	VPTERNLOGD $0xfe, c, d, a; \
	VMOVDQU8 a, K1, (DI); \
	ADDQ R11, DI

#define EACH_1(F) F(Z8, Z9, Z10, Z11)
#define EACH_2(F) EACH_1(F); F(Z12, Z13, Z14, Z15)
#define EACH_3(F) EACH_2(F); F(Z16, Z17, Z18, Z19)
#define EACH_4(F) EACH_3(F); F(Z20, Z21, Z22, Z23)

#define PIXELS_1 PIXEL((R10), Z4, Z8, Z9, Z10, Z11)
#define PIXELS_2 PIXELS_1; PIXEL((R10)(BX*1), Z5, Z12, Z13, Z14, Z15)
#define PIXELS_3 PIXELS_2; PIXEL((R10)(BX*2), Z6, Z16, Z17, Z18, Z19)
#define PIXELS_4 PIXELS_3; PIXEL((R10)(DX*1), Z7, Z20, Z21, Z22, Z23)

#define TAPS(EACH, PIXELS) \
	BEGIN; \
	EACH(START); \
loop: \
	WEIGHTS; \
	PIXELS; \
	ADDQ $16, R8; \
	DECQ CX; \
	JNZ loop; \
	OUTPUTS; \
	EACH(SCALE); \
	MOVL tapsAct(AX), CX; \
	TESTL $2, CX; \
	JZ straight; \
	EACH(LEAKY); \
straight: \
	EACH(LEVELS); \
	VZEROUPPER; \
	RET

// func intTaps4AVX512(t *intTaps)
TEXT ·intTaps4AVX512(SB), NOSPLIT, $0-8
	TAPS(EACH_4, PIXELS_4)

// func intTaps3AVX512(t *intTaps)
TEXT ·intTaps3AVX512(SB), NOSPLIT, $0-8
	TAPS(EACH_3, PIXELS_3)

// func intTaps2AVX512(t *intTaps)
TEXT ·intTaps2AVX512(SB), NOSPLIT, $0-8
	TAPS(EACH_2, PIXELS_2)

// func intTaps1AVX512(t *intTaps)
TEXT ·intTaps1AVX512(SB), NOSPLIT, $0-8
	TAPS(EACH_1, PIXELS_1)
