//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// Reductions in 64 lanes, as the AVX forms have them: lane i takes the elements i, i+64, ... and the lanes are folded
// in halves, so that all architectures give the same bits. What is left after the last 64 goes to the lanes in memory.
//
//	R0 a or x    R1 b    R2 elements left    R9 a lane in memory    V16..V31 lanes

#define ZEROS \
	ZERO(16); ZERO(17); ZERO(18); ZERO(19); \
	ZERO(20); ZERO(21); ZERO(22); ZERO(23); \
	ZERO(24); ZERO(25); ZERO(26); ZERO(27); \
	ZERO(28); ZERO(29); ZERO(30); ZERO(31)

#define STORELANES \
	MOVD $lanes-256(SP), R9; \
	STQ(0, 9, 16); \
	STQ(16, 9, 17); \
	STQ(32, 9, 18); \
	STQ(48, 9, 19); \
	STQ(64, 9, 20); \
	STQ(80, 9, 21); \
	STQ(96, 9, 22); \
	STQ(112, 9, 23); \
	STQ(128, 9, 24); \
	STQ(144, 9, 25); \
	STQ(160, 9, 26); \
	STQ(176, 9, 27); \
	STQ(192, 9, 28); \
	STQ(208, 9, 29); \
	STQ(224, 9, 30); \
	STQ(240, 9, 31)

#define LOADLANES \
	MOVD $lanes-256(SP), R9; \
	LDQ(0, 9, 16); \
	LDQ(16, 9, 17); \
	LDQ(32, 9, 18); \
	LDQ(48, 9, 19); \
	LDQ(64, 9, 20); \
	LDQ(80, 9, 21); \
	LDQ(96, 9, 22); \
	LDQ(112, 9, 23); \
	LDQ(128, 9, 24); \
	LDQ(144, 9, 25); \
	LDQ(160, 9, 26); \
	LDQ(176, 9, 27); \
	LDQ(192, 9, 28); \
	LDQ(208, 9, 29); \
	LDQ(224, 9, 30); \
	LDQ(240, 9, 31)

// F0 = the sum of all lanes.
#define FOLD \
	FADD(24, 16, 16); \
	FADD(25, 17, 17); \
	FADD(26, 18, 18); \
	FADD(27, 19, 19); \
	FADD(28, 20, 20); \
	FADD(29, 21, 21); \
	FADD(30, 22, 22); \
	FADD(31, 23, 23); \
	FADD(20, 16, 16); \
	FADD(21, 17, 17); \
	FADD(22, 18, 18); \
	FADD(23, 19, 19); \
	FADD(18, 16, 16); \
	FADD(19, 17, 17); \
	FADD(17, 16, 16); \
	VEXT $8, V16.B16, V16.B16, V17.B16; \
	FADD(17, 16, 16); \
	FADDPS(16, 0)

// 16 elements to the lanes from register s on.
#define DOT16(s) \
	VLD1.P 64(R0), [V0.S4, V1.S4, V2.S4, V3.S4]; \
	VLD1.P 64(R1), [V4.S4, V5.S4, V6.S4, V7.S4]; \
	FMLA(4, 0, s); \
	FMLA(5, 1, (s)+1); \
	FMLA(6, 2, (s)+2); \
	FMLA(7, 3, (s)+3)

#define SUM16(s) \
	VLD1.P 64(R0), [V0.S4, V1.S4, V2.S4, V3.S4]; \
	FADD(0, s, s); \
	FADD(1, (s)+1, (s)+1); \
	FADD(2, (s)+2, (s)+2); \
	FADD(3, (s)+3, (s)+3)

// t = x where it is larger, which NaN is not; V4 is changed.
#define TOP(x, t) \
	FCMGT(t, x, 4); \
	BIT(4, x, t)

// func dotNEON(a, b *float32, n int) float32
TEXT ·dotNEON(SB), NOSPLIT, $256-28
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	MOVD n+16(FP), R2
	ZEROS
	SUBS $64, R2
	BLT rest
loop:
	DOT16(16)
	DOT16(20)
	DOT16(24)
	DOT16(28)
	SUBS $64, R2
	BGE loop
rest:
	ADDS $64, R2
	BEQ fold
	STORELANES
	SUBS $4, R2
	BLT single
four:
	FMOVQ.P 16(R0), F0
	FMOVQ.P 16(R1), F1
	FMOVQ (R9), F2
	FMLA(1, 0, 2)
	FMOVQ.P F2, 16(R9)
	SUBS $4, R2
	BGE four
single:
	ADDS $4, R2
	BEQ load
one:
	FMOVS.P 4(R0), F0
	FMOVS.P 4(R1), F1
	FMOVS (R9), F2
	FMADDS F1, F2, F0, F2
	FMOVS.P F2, 4(R9)
	SUBS $1, R2
	BNE one
load:
	LOADLANES
fold:
	FOLD
	FMOVS F0, ret+24(FP)
	RET

// func sumNEON(x *float32, n int) float32
TEXT ·sumNEON(SB), NOSPLIT, $256-20
	MOVD x+0(FP), R0
	MOVD n+8(FP), R2
	ZEROS
	SUBS $64, R2
	BLT rest
loop:
	SUM16(16)
	SUM16(20)
	SUM16(24)
	SUM16(28)
	SUBS $64, R2
	BGE loop
rest:
	ADDS $64, R2
	BEQ fold
	STORELANES
	SUBS $4, R2
	BLT single
four:
	FMOVQ.P 16(R0), F0
	FMOVQ (R9), F2
	FADD(0, 2, 2)
	FMOVQ.P F2, 16(R9)
	SUBS $4, R2
	BGE four
single:
	ADDS $4, R2
	BEQ load
one:
	FMOVS.P 4(R0), F0
	FMOVS (R9), F2
	FADDS F0, F2, F2
	FMOVS.P F2, 4(R9)
	SUBS $1, R2
	BNE one
load:
	LOADLANES
fold:
	FOLD
	FMOVS F0, ret+16(FP)
	RET

// func topNEON(x *float32, n int, start float32) float32
TEXT ·topNEON(SB), NOSPLIT, $0-28
	MOVD x+0(FP), R0
	MOVD n+8(FP), R2
	FMOVS start+16(FP), F16
	VDUP V16.S[0], V16.S4
	ORRB(16, 16, 17)
	ORRB(16, 16, 18)
	ORRB(16, 16, 19)
	SUBS $16, R2
	BLT rest
loop:
	VLD1.P 64(R0), [V0.S4, V1.S4, V2.S4, V3.S4]
	TOP(0, 16)
	TOP(1, 17)
	TOP(2, 18)
	TOP(3, 19)
	SUBS $16, R2
	BGE loop
rest:
	ADDS $16, R2
	BEQ fold
one:
	VLD1R.P 4(R0), [V0.S4]
	TOP(0, 16)
	SUBS $1, R2
	BNE one
fold:
	FMAX(17, 16, 16)
	FMAX(19, 18, 18)
	FMAX(18, 16, 16)
	VEXT $8, V16.B16, V16.B16, V17.B16
	FMAX(17, 16, 16)
	VEXT $4, V16.B16, V16.B16, V17.B16
	FMAX(17, 16, 16)
	FMOVS F16, ret+24(FP)
	RET
