//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// Rows of a depthwise convolution.
//
//	R0 dst row    R1 bytes between dst rows    R2 src row    R3 bytes between src rows
//	R4 offsets    R5 w                         R6 taps       R7 n          R8 rows left
//	R9 dst        R10 src                      R11 outputs left in the row
//	R12 offset of the tap, R13 its weight, R14 taps left, R15 where it reads
//	V0..V3 sums   V4 weight    V16..V19 src    V8 bias

#define TAPS \
	MOVD R4, R12; \
	MOVD R5, R13; \
	MOVD R6, R14

#define TAP \
	MOVD.P 8(R12), R15; \
	ADD R10, R15; \
	LDRSNEXT(13, 4)

// func depthwiseRows(dst *float32, ldd int, src *float32, lds int, offsets *int, w *float32, taps, n, rows int, bias float32)
TEXT ·depthwiseRows(SB), NOSPLIT, $0-76
	MOVD dst+0(FP), R0
	MOVD ldd+8(FP), R1
	MOVD src+16(FP), R2
	MOVD lds+24(FP), R3
	MOVD offsets+32(FP), R4
	MOVD w+40(FP), R5
	MOVD taps+48(FP), R6
	MOVD n+56(FP), R7
	MOVD rows+64(FP), R8
	FMOVS bias+72(FP), F8
	VDUP V8.S[0], V8.S4
	LSL $2, R1, R1
	LSL $2, R3, R3
row:
	MOVD R0, R9
	MOVD R2, R10
	SUBS $16, R7, R11
	BLT narrow
wide:
	TAPS
	ORRB(8, 8, 0)
	ORRB(8, 8, 1)
	ORRB(8, 8, 2)
	ORRB(8, 8, 3)
wideTap:
	TAP
	VLD1 (R15), [V16.S4, V17.S4, V18.S4, V19.S4]
	FMLA(4, 16, 0)
	FMLA(4, 17, 1)
	FMLA(4, 18, 2)
	FMLA(4, 19, 3)
	SUBS $1, R14
	BNE wideTap
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R9)
	ADD $64, R10
	SUBS $16, R11
	BGE wide
narrow:
	ADDS $16, R11
	BEQ next
four:
	TAPS
	ORRB(8, 8, 0)
fourTap:
	TAP
	FMOVQ (R15), F16
	FMLA(4, 16, 0)
	SUBS $1, R14
	BNE fourTap
	SUBS $4, R11
	BLT part
	FMOVQ.P F0, 16(R9)
	ADD $16, R10
	BNE four
	B next
part: // stores what is left of four
	TBZ $1, R11, single
	FMOVD.P F0, 8(R9)
	VEXT $8, V0.B16, V0.B16, V0.B16
single:
	TBZ $0, R11, next
	FMOVS F0, (R9)
next:
	ADD R1, R0
	ADD R3, R2
	SUBS $1, R8
	BNE row
	RET

// func deinterleave(even, odd, x *float32, n int)
TEXT ·deinterleave(SB), NOSPLIT, $0-32
	MOVD even+0(FP), R0
	MOVD odd+8(FP), R1
	MOVD x+16(FP), R2
	MOVD n+24(FP), R3
loop:
	VLD2.P 32(R2), [V0.S4, V1.S4]
	FMOVQ.P F0, 16(R0)
	FMOVQ.P F1, 16(R1)
	SUBS $4, R3
	BNE loop
	RET
