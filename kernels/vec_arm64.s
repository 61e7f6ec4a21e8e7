//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// The vector routines on 4 lanes, for multiples of 4 elements. The steps are those of the Go forms, every
// product rounded before it is added.
//
//	R0 dst    R1 x or a    R2 b    R3 elements left    R8 vecTable
//	V0..V8 the steps       V15 a constant              V16..V28 constants of EXP, as vecTable begins
//	V29, V30 scalar operands                           V31 sign bits

// Offsets in vecTable.
#define SIGN 52
#define TWO 56
#define HALF 60
#define SIXTH 64
#define SQRTHALF 68
#define ERFCSCALE 72
#define ERFC8 76
#define ERFC7 80
#define ERFC6 84
#define ERFC5 88
#define ERFC4 92
#define ERFC3 96
#define ERFC2 100
#define ERFC1 104
#define ERFC0 108
#define TANHMAX 112
#define TANH4 116
#define TANH3 120
#define TANH2 124
#define TANH1 128
#define TANH0 132
#define GELU3 136
#define GELU1 140
#define ERFMAX 144
#define ERF5 148
#define ERF4 152
#define ERF3 156
#define ERF2 160
#define ERF1 164
#define ERF0 168

#define ARGS2 \
	MOVD dst+0(FP), R0; \
	MOVD x+8(FP), R1; \
	MOVD n+16(FP), R3

#define ARGS3 \
	MOVD dst+0(FP), R0; \
	MOVD a+8(FP), R1; \
	MOVD b+16(FP), R2; \
	MOVD n+24(FP), R3

#define NEXT \
	FMOVQ.P F0, 16(R0); \
	SUBS $4, R3; \
	BNE loop; \
	RET

#define CONST(c, d) \
	ADD $c, R8, R9; \
	LDRS(9, d)

#define MULC(c, a, d) \
	CONST(c, 15); \
	FMUL(15, a, d)

#define ADDC(c, a, d) \
	CONST(c, 15); \
	FADD(15, a, d)

#define EXPTABLE \
	MOVD $·vecTable(SB), R8; \
	MOVD R8, R9; \
	LDRSNEXT(9, 16); \
	LDRSNEXT(9, 17); \
	LDRSNEXT(9, 18); \
	LDRSNEXT(9, 19); \
	LDRSNEXT(9, 20); \
	LDRSNEXT(9, 21); \
	LDRSNEXT(9, 22); \
	LDRSNEXT(9, 23); \
	LDRSNEXT(9, 24); \
	LDRSNEXT(9, 25); \
	LDRSNEXT(9, 26); \
	LDRSNEXT(9, 27); \
	LDRSNEXT(9, 28); \
	LDRS(9, 31)

// V0 = exp(V0), step by step as expGeneric: V1 t, then the halves of n with V2, V3 the polynomial. Minimum and
// maximum keep NaN.
#define EXP \
	FMIN(16, 0, 0); \
	FMAX(17, 0, 0); \
	FMUL(18, 0, 1); \
	FADD(19, 1, 1); \
	FSUB(19, 1, 2); \
	FMUL(20, 2, 3); \
	FSUB(3, 0, 0); \
	FMUL(21, 2, 3); \
	FSUB(3, 0, 0); \
	FMUL(22, 0, 3); \
	FADD(23, 3, 3); \
	FMUL(0, 3, 3); \
	FADD(24, 3, 3); \
	FMUL(0, 3, 3); \
	FADD(25, 3, 3); \
	FMUL(0, 3, 3); \
	FADD(26, 3, 3); \
	FMUL(0, 0, 4); \
	FMUL(4, 3, 3); \
	FADD(0, 3, 3); \
	FADD(27, 3, 3); \
	SUBI(19, 1, 2); \
	SSHR(1, 2, 1); \
	SUBI(1, 2, 2); \
	ADDI(28, 1, 1); \
	ADDI(28, 2, 2); \
	SHL(23, 1, 1); \
	SHL(23, 2, 2); \
	FMUL(1, 3, 3); \
	FMUL(2, 3, 0)

// V0 = 1 + exp(-V0)
#define LOGISTIC \
	FNEG(0, 0); \
	EXP; \
	FADD(27, 0, 0)

// V0 = erfc(V0) for V0 >= 0, step by step as erfcGeneric: V6 t, V7 the polynomial times it
#define ERFC \
	MULC(ERFCSCALE, 0, 6); \
	FADD(27, 6, 6); \
	FDIV(6, 27, 6); \
	MULC(ERFC8, 6, 7); \
	ADDC(ERFC7, 7, 7); \
	FMUL(6, 7, 7); \
	ADDC(ERFC6, 7, 7); \
	FMUL(6, 7, 7); \
	ADDC(ERFC5, 7, 7); \
	FMUL(6, 7, 7); \
	ADDC(ERFC4, 7, 7); \
	FMUL(6, 7, 7); \
	ADDC(ERFC3, 7, 7); \
	FMUL(6, 7, 7); \
	ADDC(ERFC2, 7, 7); \
	FMUL(6, 7, 7); \
	ADDC(ERFC1, 7, 7); \
	FMUL(6, 7, 7); \
	ADDC(ERFC0, 7, 7); \
	FMUL(6, 7, 7); \
	FMUL(0, 0, 0); \
	FNEG(0, 0); \
	EXP; \
	FMUL(0, 7, 0)

// dst = a op b
#define BINARY(op) \
	ARGS3; \
loop: \
	FMOVQ.P 16(R1), F1; \
	FMOVQ.P 16(R2), F2; \
	op(2, 1, 0); \
	NEXT

// dst = x op the scalar in V29
#define SCALAR(op) \
	ARGS2; \
	VDUP V29.S[0], V29.S4; \
loop: \
	FMOVQ.P 16(R1), F1; \
	op(29, 1, 0); \
	NEXT

// func addNEON(dst, a, b *float32, n int)
TEXT ·addNEON(SB), NOSPLIT, $0-32
	BINARY(FADD)

// func subNEON(dst, a, b *float32, n int)
TEXT ·subNEON(SB), NOSPLIT, $0-32
	BINARY(FSUB)

// func mulNEON(dst, a, b *float32, n int)
TEXT ·mulNEON(SB), NOSPLIT, $0-32
	BINARY(FMUL)

// func divNEON(dst, a, b *float32, n int)
TEXT ·divNEON(SB), NOSPLIT, $0-32
	BINARY(FDIV)

// func maxNEON(dst, a, b *float32, n int)
TEXT ·maxNEON(SB), NOSPLIT, $0-32
	ARGS3
loop:
	FMOVQ.P 16(R1), F0
	FMOVQ.P 16(R2), F2
	FCMGT(0, 2, 1) // b > a
	BIT(1, 2, 0)
	NEXT

// func minNEON(dst, a, b *float32, n int)
TEXT ·minNEON(SB), NOSPLIT, $0-32
	ARGS3
loop:
	FMOVQ.P 16(R1), F0
	FMOVQ.P 16(R2), F2
	FCMGT(2, 0, 1) // a > b
	BIT(1, 2, 0)
	NEXT

// func sqrtNEON(dst, x *float32, n int)
TEXT ·sqrtNEON(SB), NOSPLIT, $0-24
	ARGS2
loop:
	FMOVQ.P 16(R1), F0
	FSQRT(0, 0)
	NEXT

// func scaleNEON(dst, x *float32, n int, a float32)
TEXT ·scaleNEON(SB), NOSPLIT, $0-28
	FMOVS a+24(FP), F29
	SCALAR(FMUL)

// func addScalarNEON(dst, x *float32, n int, a float32)
TEXT ·addScalarNEON(SB), NOSPLIT, $0-28
	FMOVS a+24(FP), F29
	SCALAR(FADD)

// dst += a x, rounded once.
//
// func axpyNEON(dst, x *float32, n int, a float32)
TEXT ·axpyNEON(SB), NOSPLIT, $0-28
	FMOVS a+24(FP), F29
	ARGS2
loop:
	FMOVQ.P 16(R1), F1
	FMOVQ (R0), F0
	FMLA0(29, 1, 0)
	NEXT

// func expShiftNEON(dst, x *float32, n int, shift float32)
TEXT ·expShiftNEON(SB), NOSPLIT, $0-28
	FMOVS shift+24(FP), F29
	VDUP V29.S[0], V29.S4
	EXPTABLE
	ARGS2
loop:
	FMOVQ.P 16(R1), F0
	FSUB(29, 0, 0)
	EXP
	NEXT

// func sigmoidNEON(dst, x *float32, n int)
TEXT ·sigmoidNEON(SB), NOSPLIT, $0-24
	EXPTABLE
	ARGS2
loop:
	FMOVQ.P 16(R1), F0
	LOGISTIC
	FDIV(0, 27, 0)
	NEXT

// func swishNEON(dst, x *float32, n int)
TEXT ·swishNEON(SB), NOSPLIT, $0-24
	EXPTABLE
	ARGS2
loop:
	FMOVQ.P 16(R1), F5
	ORRB(5, 5, 0)
	LOGISTIC
	FDIV(0, 5, 0)
	NEXT

// func geluTanhNEON(dst, x *float32, n int)
TEXT ·geluTanhNEON(SB), NOSPLIT, $0-24
	EXPTABLE
	ARGS2
loop:
	FMOVQ.P 16(R1), F5
	FMUL(5, 5, 0)
	MULC(GELU3, 0, 0)
	ADDC(GELU1, 0, 0)
	FMUL(5, 0, 0)
	LOGISTIC
	FDIV(0, 5, 0)
	NEXT

// V5 x, V0 erfc, V6 the result for x < 0.
//
// func geluNEON(dst, x *float32, n int)
TEXT ·geluNEON(SB), NOSPLIT, $0-24
	EXPTABLE
	ARGS2
loop:
	FMOVQ.P 16(R1), F5
	FABS(5, 0)
	MULC(SQRTHALF, 0, 0)
	ERFC
	MULC(HALF, 5, 6)
	FMUL(0, 6, 6)
	FSUB(6, 5, 0)
	FCMLTZ(5, 1)
	BIT(1, 6, 0)
	NEXT

// V5 x, V8 |x|, V0 the exponential form, V1 the polynomial form.
//
// func erfNEON(dst, x *float32, n int)
TEXT ·erfNEON(SB), NOSPLIT, $0-24
	EXPTABLE
	ARGS2
loop:
	FMOVQ.P 16(R1), F5
	FABS(5, 0)
	ORRB(0, 0, 8)
	ERFC
	FSUB(0, 27, 0)
	BIT(31, 5, 0)
	FMUL(5, 5, 7)
	MULC(ERF5, 7, 1)
	ADDC(ERF4, 1, 1)
	FMUL(7, 1, 1)
	ADDC(ERF3, 1, 1)
	FMUL(7, 1, 1)
	ADDC(ERF2, 1, 1)
	FMUL(7, 1, 1)
	ADDC(ERF1, 1, 1)
	FMUL(7, 1, 1)
	ADDC(ERF0, 1, 1)
	FMUL(5, 1, 1)
	CONST(ERFMAX, 15)
	FCMGT(8, 15, 15)
	BIT(15, 1, 0)
	NEXT

// V5 x, V6 |x|, V0 the exponential form, V1 the polynomial form.
//
// func tanhNEON(dst, x *float32, n int)
TEXT ·tanhNEON(SB), NOSPLIT, $0-24
	EXPTABLE
	ARGS2
loop:
	FMOVQ.P 16(R1), F5
	FABS(5, 6)
	FADD(6, 6, 0)
	EXP
	FADD(27, 0, 0)
	CONST(TWO, 1)
	FDIV(0, 1, 0)
	FSUB(0, 27, 0)
	BIT(31, 5, 0)
	FMUL(5, 5, 7)
	MULC(TANH4, 7, 1)
	ADDC(TANH3, 1, 1)
	FMUL(7, 1, 1)
	ADDC(TANH2, 1, 1)
	FMUL(7, 1, 1)
	ADDC(TANH1, 1, 1)
	FMUL(7, 1, 1)
	ADDC(TANH0, 1, 1)
	FMUL(7, 1, 1)
	FMUL(5, 1, 1)
	FADD(1, 5, 1)
	CONST(TANHMAX, 15)
	FCMGT(6, 15, 15)
	BIT(15, 1, 0)
	NEXT

// func hardSwishNEON(dst, x *float32, n int)
TEXT ·hardSwishNEON(SB), NOSPLIT, $0-24
	EXPTABLE
	ZERO(29)
	ARGS2
loop:
	FMOVQ.P 16(R1), F5
	MULC(SIXTH, 5, 0)
	ADDC(HALF, 0, 0)
	FCMGT(29, 0, 1) // above 0
	ANDB(1, 0, 0)
	FCMGT(0, 27, 1) // below 1
	BIF(1, 27, 0)
	FMUL(5, 0, 0)
	NEXT

// func clipNEON(dst, x *float32, n int, lo, hi float32)
TEXT ·clipNEON(SB), NOSPLIT, $0-32
	FMOVS lo+24(FP), F29
	FMOVS hi+28(FP), F30
	VDUP V29.S[0], V29.S4
	VDUP V30.S[0], V30.S4
	ARGS2
loop:
	FMOVQ.P 16(R1), F0
	FCMGT(29, 0, 1) // above lo
	BIF(1, 29, 0)
	FCMGT(0, 30, 1) // below hi
	BIF(1, 30, 0)
	NEXT

// func leakyNEON(dst, x *float32, n int, alpha float32)
TEXT ·leakyNEON(SB), NOSPLIT, $0-28
	FMOVS alpha+24(FP), F29
	ARGS2
loop:
	FMOVQ.P 16(R1), F0
	FMUL0(29, 0, 1)
	FCMLTZ(0, 2)
	BIT(2, 1, 0)
	NEXT

// func ropeNEON(dst, x, cos, sin *float32, half, n int)
//
// Half-split rotation: R1 the first half of x, R2 the second; R0, R4 of dst; R5 cos, R6 sin.
TEXT ·ropeNEON(SB), NOSPLIT, $0-48
	MOVD dst+0(FP), R0
	MOVD x+8(FP), R1
	MOVD cos+16(FP), R5
	MOVD sin+24(FP), R6
	MOVD half+32(FP), R7
	MOVD n+40(FP), R3
	ADD R7<<2, R1, R2
	ADD R7<<2, R0, R4
loop:
	FMOVQ.P 16(R1), F1
	FMOVQ.P 16(R2), F2
	FMOVQ.P 16(R5), F3
	FMOVQ.P 16(R6), F4
	FMUL(3, 1, 0)
	FMUL(4, 2, 5)
	FSUB(5, 0, 0)
	FMUL(4, 1, 1)
	FMUL(3, 2, 2)
	FADD(2, 1, 1)
	FMOVQ.P F1, 16(R4)
	NEXT
