//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// One row by four panels:
//
//	R0 dst    R1..R4 panels    R5 x    R6 k left
//	V0 x      V2, V3 halves    V4..V7 weights    V16..V31 dst

#define PANEL(sum) \
	FMLA(0, 4, sum); \
	FMLA(0, 5, (sum)+1); \
	FMLA(0, 6, (sum)+2); \
	FMLA(0, 7, (sum)+3)

#define PANELF32(w, sum) \
	VLD1.P 64(w), [V4.S4, V5.S4, V6.S4, V7.S4]; \
	PANEL(sum)

#define PANELF16(w, sum) \
	VLD1.P 32(w), [V2.H8, V3.H8]; \
	FCVTL(2, 4); \
	FCVTL2(2, 5); \
	FCVTL(3, 6); \
	FCVTL2(3, 7); \
	PANEL(sum)

// A BF16 is the upper half of a float32.
#define PANELBF16(w, sum) \
	VLD1.P 32(w), [V2.H8, V3.H8]; \
	VUXTL V2.H4, V4.S4; \
	VUXTL2 V2.H8, V5.S4; \
	VUXTL V3.H4, V6.S4; \
	VUXTL2 V3.H8, V7.S4; \
	SHL(16, 4, 4); \
	SHL(16, 5, 5); \
	SHL(16, 6, 6); \
	SHL(16, 7, 7); \
	PANEL(sum)

#define GEMV(PANEL) \
	MOVD dst+0(FP), R0; \
	MOVD x+8(FP), R5; \
	MOVD w0+16(FP), R1; \
	MOVD w1+24(FP), R2; \
	MOVD w2+32(FP), R3; \
	MOVD w3+40(FP), R4; \
	MOVD k+48(FP), R6; \
	ZERO(16); ZERO(17); ZERO(18); ZERO(19); \
	ZERO(20); ZERO(21); ZERO(22); ZERO(23); \
	ZERO(24); ZERO(25); ZERO(26); ZERO(27); \
	ZERO(28); ZERO(29); ZERO(30); ZERO(31); \
loop: \
	LDRSNEXT(5, 0); \
	PANEL(R1, 16); \
	PANEL(R2, 20); \
	PANEL(R3, 24); \
	PANEL(R4, 28); \
	PRFM 2048(R1), PLDL1KEEP; \
	PRFM 2048(R2), PLDL1KEEP; \
	PRFM 2048(R3), PLDL1KEEP; \
	PRFM 2048(R4), PLDL1KEEP; \
	SUBS $1, R6; \
	BNE loop; \
	VST1.P [V16.S4, V17.S4, V18.S4, V19.S4], 64(R0); \
	VST1.P [V20.S4, V21.S4, V22.S4, V23.S4], 64(R0); \
	VST1.P [V24.S4, V25.S4, V26.S4, V27.S4], 64(R0); \
	VST1 [V28.S4, V29.S4, V30.S4, V31.S4], (R0); \
	RET

// func gemvF32NEON(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)
TEXT ·gemvF32NEON(SB), NOSPLIT, $0-56
	GEMV(PANELF32)

// func gemvF16NEON(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)
TEXT ·gemvF16NEON(SB), NOSPLIT, $0-56
	GEMV(PANELF16)

// func gemvBF16NEON(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)
TEXT ·gemvBF16NEON(SB), NOSPLIT, $0-56
	GEMV(PANELBF16)

// func expandF16NEON(dst *float32, src *uint16, n int)
TEXT ·expandF16NEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
loop:
	VLD1.P 16(R1), [V0.H8]
	FCVTL(0, 4)
	FCVTL2(0, 5)
	VST1.P [V4.S4, V5.S4], 32(R0)
	SUBS $8, R2
	BNE loop
	RET

// func expandBF16NEON(dst *float32, src *uint16, n int)
TEXT ·expandBF16NEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
loop:
	VLD1.P 16(R1), [V0.H8]
	VUXTL V0.H4, V4.S4
	VUXTL2 V0.H8, V5.S4
	SHL(16, 4, 4)
	SHL(16, 5, 5)
	VST1.P [V4.S4, V5.S4], 32(R0)
	SUBS $8, R2
	BNE loop
	RET

// func transpose4NEON(dst *float32, ldd int, src *float32, lds, blocks int)
//
// V0..V3 rows of a block of 4 x 4, V16..V19 its columns.
TEXT ·transpose4NEON(SB), NOSPLIT, $0-40
	MOVD dst+0(FP), R0
	MOVD ldd+8(FP), R1
	MOVD src+16(FP), R2
	MOVD lds+24(FP), R6
	MOVD blocks+32(FP), R7
	ADD R6, R2, R3
	ADD R6, R3, R4
	ADD R6, R4, R5
loop:
	FMOVQ.P 16(R2), F0
	FMOVQ.P 16(R3), F1
	FMOVQ.P 16(R4), F2
	FMOVQ.P 16(R5), F3
	VTRN1 V1.S4, V0.S4, V4.S4
	VTRN2 V1.S4, V0.S4, V5.S4
	VTRN1 V3.S4, V2.S4, V6.S4
	VTRN2 V3.S4, V2.S4, V7.S4
	VTRN1 V6.D2, V4.D2, V16.D2
	VTRN1 V7.D2, V5.D2, V17.D2
	VTRN2 V6.D2, V4.D2, V18.D2
	VTRN2 V7.D2, V5.D2, V19.D2
	FMOVQ F16, (R0)
	ADD R1, R0
	FMOVQ F17, (R0)
	ADD R1, R0
	FMOVQ F18, (R0)
	ADD R1, R0
	FMOVQ F19, (R0)
	ADD R1, R0
	SUBS $1, R7
	BNE loop
	RET
