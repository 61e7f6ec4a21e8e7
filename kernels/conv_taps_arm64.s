//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// Sliding windows over images with their channels last, each channel by itself: up to 8 output pixels of a line, 4 channels
// at a time. Channels beyond the last multiple of 4 are left out.
//
//	R0  the tile's description
//	R4..R11  x of the pixels        R12 weights    R13 list of elements, R14 left
//	R15 channels left               R16 an address    R17, R19 an element's distances
//	R20 dst    R21 bytes between its pixels    R22 bias
//	V0 weights    V1 an element or a product    V2 lo    V3 hi    V4 slope or divisor    V5 a comparison
//	V16..V23 the pixels

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
	MOVD t+0(FP), R0; \
	MOVD tapsX(R0), R4; \
	MOVD tapsLdx(R0), R16; \
	ADD R16, R4, R5; \
	ADD R16, R5, R6; \
	ADD R16, R6, R7; \
	ADD R16, R7, R8; \
	ADD R16, R8, R9; \
	ADD R16, R9, R10; \
	ADD R16, R10, R11; \
	MOVD tapsW(R0), R12; \
	MOVD tapsDst(R0), R20; \
	MOVD tapsLdd(R0), R21; \
	MOVD tapsBias(R0), R22; \
	MOVD tapsChannels(R0), R15

#define LIST \
	MOVD tapsList(R0), R13; \
	MOVD tapsCount(R0), R14

#define ELEMENT \
	MOVD.P 8(R13), R17; \
	MOVD.P 8(R13), R19

#define CONSTANT(off, v) \
	ADD $off, R0, R16; \
	LDRS(16, v)

#define NEXT \
	ADD $16, R4; \
	ADD $16, R5; \
	ADD $16, R6; \
	ADD $16, R7; \
	ADD $16, R8; \
	ADD $16, R9; \
	ADD $16, R10; \
	ADD $16, R11; \
	ADD $16, R12; \
	ADD $16, R20; \
	ADD $16, R22; \
	SUB $4, R15; \
	CMP $4, R15

#define LOAD(r) \
	ADD R17, r, R16; \
	LDQ(0, 16, 1)

#define START(c) ORRB(0, 0, c)
#define CLEAR(c) ZERO(c)

#define PIXELFMA(r, c) \
	LOAD(r); \
	FMLA(1, 0, c)

#define PLUS(r, c) \
	LOAD(r); \
	FADD(1, c, c)

#define LARGER(r, c) \
	LOAD(r); \
	FCMGT(c, 1, 5); \
	BIT(5, 1, c)

#define LEAKY(c) \
	FMUL(4, c, 1); \
	FCMGT(c, 1, 5); \
	BIT(5, 1, c)

#define BOUNDS(c) \
	FCMGT(2, c, 5); \
	BIF(5, 2, c); \
	FCMGT(c, 3, 5); \
	BIF(5, 3, c)

#define DIVIDE(c) FDIV(4, c, c)

#define STORE(c) \
	STQ(0, 16, c); \
	ADD R21, R16

#define EACH1(F) F(16)
#define EACH2(F) EACH1(F); F(17)
#define EACH3(F) EACH2(F); F(18)
#define EACH4(F) EACH3(F); F(19)
#define EACH5(F) EACH4(F); F(20)
#define EACH6(F) EACH5(F); F(21)
#define EACH7(F) EACH6(F); F(22)
#define EACH8(F) EACH7(F); F(23)

#define PIXELS1(F) F(R4, 16)
#define PIXELS2(F) PIXELS1(F); F(R5, 17)
#define PIXELS3(F) PIXELS2(F); F(R6, 18)
#define PIXELS4(F) PIXELS3(F); F(R7, 19)
#define PIXELS5(F) PIXELS4(F); F(R8, 20)
#define PIXELS6(F) PIXELS5(F); F(R9, 21)
#define PIXELS7(F) PIXELS6(F); F(R10, 22)
#define PIXELS8(F) PIXELS7(F); F(R11, 23)

#define FINISH(EACH) \
	MOVD R20, R16; \
	EACH(STORE); \
	NEXT; \
	BGE channels; \
	RET

#define DEPTHWISE(EACH, PIXELS) \
	BEGIN; \
channels: \
	LIST; \
	LDQ(0, 22, 0); \
	EACH(START); \
element: \
	ELEMENT; \
	ADD R12, R19, R16; \
	LDQ(0, 16, 0); \
	PIXELS(PIXELFMA); \
	SUBS $1, R14; \
	BNE element; \
	MOVWU tapsAct(R0), R14; \
	TBZ $1, R14, straight; \
	CONSTANT(tapsSlope, 4); \
	EACH(LEAKY); \
straight: \
	TBZ $0, R14, store; \
	CONSTANT(tapsLo, 2); \
	CONSTANT(tapsHi, 3); \
	EACH(BOUNDS); \
store: \
	FINISH(EACH)

#define LARGEST(EACH, PIXELS) \
	BEGIN; \
channels: \
	LIST; \
	CONSTANT(tapsLo, 0); \
	EACH(START); \
element: \
	ELEMENT; \
	PIXELS(LARGER); \
	SUBS $1, R14; \
	BNE element; \
	FINISH(EACH)

#define AVERAGE(EACH, PIXELS) \
	BEGIN; \
channels: \
	LIST; \
	EACH(CLEAR); \
element: \
	ELEMENT; \
	PIXELS(PLUS); \
	SUBS $1, R14; \
	BNE element; \
	CONSTANT(tapsDivisor, 4); \
	EACH(DIVIDE); \
	FINISH(EACH)

// func tapsFMA8NEON(t *tapTile)
TEXT ·tapsFMA8NEON(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH8, PIXELS8)

// func tapsFMA7NEON(t *tapTile)
TEXT ·tapsFMA7NEON(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH7, PIXELS7)

// func tapsFMA6NEON(t *tapTile)
TEXT ·tapsFMA6NEON(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH6, PIXELS6)

// func tapsFMA5NEON(t *tapTile)
TEXT ·tapsFMA5NEON(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH5, PIXELS5)

// func tapsFMA4NEON(t *tapTile)
TEXT ·tapsFMA4NEON(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH4, PIXELS4)

// func tapsFMA3NEON(t *tapTile)
TEXT ·tapsFMA3NEON(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH3, PIXELS3)

// func tapsFMA2NEON(t *tapTile)
TEXT ·tapsFMA2NEON(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH2, PIXELS2)

// func tapsFMA1NEON(t *tapTile)
TEXT ·tapsFMA1NEON(SB), NOSPLIT, $0-8
	DEPTHWISE(EACH1, PIXELS1)

// func tapsMax8NEON(t *tapTile)
TEXT ·tapsMax8NEON(SB), NOSPLIT, $0-8
	LARGEST(EACH8, PIXELS8)

// func tapsMax7NEON(t *tapTile)
TEXT ·tapsMax7NEON(SB), NOSPLIT, $0-8
	LARGEST(EACH7, PIXELS7)

// func tapsMax6NEON(t *tapTile)
TEXT ·tapsMax6NEON(SB), NOSPLIT, $0-8
	LARGEST(EACH6, PIXELS6)

// func tapsMax5NEON(t *tapTile)
TEXT ·tapsMax5NEON(SB), NOSPLIT, $0-8
	LARGEST(EACH5, PIXELS5)

// func tapsMax4NEON(t *tapTile)
TEXT ·tapsMax4NEON(SB), NOSPLIT, $0-8
	LARGEST(EACH4, PIXELS4)

// func tapsMax3NEON(t *tapTile)
TEXT ·tapsMax3NEON(SB), NOSPLIT, $0-8
	LARGEST(EACH3, PIXELS3)

// func tapsMax2NEON(t *tapTile)
TEXT ·tapsMax2NEON(SB), NOSPLIT, $0-8
	LARGEST(EACH2, PIXELS2)

// func tapsMax1NEON(t *tapTile)
TEXT ·tapsMax1NEON(SB), NOSPLIT, $0-8
	LARGEST(EACH1, PIXELS1)

// func tapsMean8NEON(t *tapTile)
TEXT ·tapsMean8NEON(SB), NOSPLIT, $0-8
	AVERAGE(EACH8, PIXELS8)

// func tapsMean7NEON(t *tapTile)
TEXT ·tapsMean7NEON(SB), NOSPLIT, $0-8
	AVERAGE(EACH7, PIXELS7)

// func tapsMean6NEON(t *tapTile)
TEXT ·tapsMean6NEON(SB), NOSPLIT, $0-8
	AVERAGE(EACH6, PIXELS6)

// func tapsMean5NEON(t *tapTile)
TEXT ·tapsMean5NEON(SB), NOSPLIT, $0-8
	AVERAGE(EACH5, PIXELS5)

// func tapsMean4NEON(t *tapTile)
TEXT ·tapsMean4NEON(SB), NOSPLIT, $0-8
	AVERAGE(EACH4, PIXELS4)

// func tapsMean3NEON(t *tapTile)
TEXT ·tapsMean3NEON(SB), NOSPLIT, $0-8
	AVERAGE(EACH3, PIXELS3)

// func tapsMean2NEON(t *tapTile)
TEXT ·tapsMean2NEON(SB), NOSPLIT, $0-8
	AVERAGE(EACH2, PIXELS2)

// func tapsMean1NEON(t *tapTile)
TEXT ·tapsMean1NEON(SB), NOSPLIT, $0-8
	AVERAGE(EACH1, PIXELS1)
