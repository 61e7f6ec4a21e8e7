//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// Loops that show the peak rate of one instruction: independent accumulators V0..V23, more of them than the
// instruction's latency times its rate, and a counter. Every factor, in V28 and V29, is 1, so that the accumulators
// count; they are stored at the end.

#define PEAKBEGIN \
	MOVD acc+0(FP), R0; \
	MOVD rounds+8(FP), R1; \
	ZERO(0); ZERO(1); ZERO(2); ZERO(3); ZERO(4); ZERO(5); \
	ZERO(6); ZERO(7); ZERO(8); ZERO(9); ZERO(10); ZERO(11); \
	ZERO(12); ZERO(13); ZERO(14); ZERO(15); ZERO(16); ZERO(17); \
	ZERO(18); ZERO(19); ZERO(20); ZERO(21); ZERO(22); ZERO(23)

#define PEAKEND \
	FSTPQ (F0, F1), 0(R0); \
	FSTPQ (F2, F3), 32(R0); \
	FSTPQ (F4, F5), 64(R0); \
	FSTPQ (F6, F7), 96(R0); \
	FSTPQ (F8, F9), 128(R0); \
	FSTPQ (F10, F11), 160(R0); \
	FSTPQ (F12, F13), 192(R0); \
	FSTPQ (F14, F15), 224(R0); \
	FSTPQ (F16, F17), 256(R0); \
	FSTPQ (F18, F19), 288(R0); \
	FSTPQ (F20, F21), 320(R0); \
	FSTPQ (F22, F23), 352(R0); \
	RET

#define BYTES VMOVI $1, V28.B16; VMOVI $1, V29.B16

#define FOUR(op, d) op(d); op((d)+1); op((d)+2); op((d)+3)

#define ROUND(op) \
loop: \
	FOUR(op, 0); \
	FOUR(op, 4); \
	FOUR(op, 8); \
	FOUR(op, 12); \
	FOUR(op, 16); \
	FOUR(op, 20); \
	SUBS $1, R1; \
	BNE loop

#define SDOT1(d) SDOTL(0, 28, 29, d)
#define SMMLA1(d) SMMLA(28, 29, d)
#define FMLA1(d) FMLA(28, 29, d)

// PAIRS makes sums of two products, of the low and the high halves, and adds them to two accumulators.
#define PAIRS(d) \
	SMULL(28, 29, 24); \
	SMULL2(28, 29, 25); \
	SMLAL(28, 29, 24); \
	SMLAL2(28, 29, 25); \
	SADALP(24, d); \
	SADALP(25, (d)+1)

// func peakSDOTDotProd(acc *byte, rounds int)
TEXT ·peakSDOTDotProd(SB), NOSPLIT, $0-16
	PEAKBEGIN
	BYTES
	ROUND(SDOT1)
	PEAKEND

// func peakSMMLAI8MM(acc *byte, rounds int)
TEXT ·peakSMMLAI8MM(SB), NOSPLIT, $0-16
	PEAKBEGIN
	BYTES
	ROUND(SMMLA1)
	PEAKEND

// func peakFMLANEON(acc *byte, rounds int)
TEXT ·peakFMLANEON(SB), NOSPLIT, $0-16
	PEAKBEGIN
	MOVW $0x3f800000, R2
	VDUP R2, V28.S4
	VDUP R2, V29.S4
	ROUND(FMLA1)
	PEAKEND

// func peakSMLALNEON(acc *byte, rounds int)
TEXT ·peakSMLALNEON(SB), NOSPLIT, $0-16
	PEAKBEGIN
	BYTES
loop:
	PAIRS(0)
	PAIRS(2)
	PAIRS(4)
	PAIRS(6)
	PAIRS(8)
	PAIRS(10)
	PAIRS(12)
	PAIRS(14)
	PAIRS(16)
	PAIRS(18)
	PAIRS(20)
	PAIRS(22)
	SUBS $1, R1
	BNE loop
	PEAKEND

// Eight registers of 16 bytes at off(R1) go into the sums V0..V7.
#define READ(off) \
	FLDPQ off(R1), (F16, F17); \
	FLDPQ off+32(R1), (F18, F19); \
	FLDPQ off+64(R1), (F20, F21); \
	FLDPQ off+96(R1), (F22, F23); \
	VEOR V16.B16, V0.B16, V0.B16; \
	VEOR V17.B16, V1.B16, V1.B16; \
	VEOR V18.B16, V2.B16, V2.B16; \
	VEOR V19.B16, V3.B16, V3.B16; \
	VEOR V20.B16, V4.B16, V4.B16; \
	VEOR V21.B16, V5.B16, V5.B16; \
	VEOR V22.B16, V6.B16, V6.B16; \
	VEOR V23.B16, V7.B16, V7.B16

// func readBytesNEON(b *byte, n int, x *[8]uint64)
// n is a positive multiple of 1024.
TEXT ·readBytesNEON(SB), NOSPLIT, $0-24
	MOVD b+0(FP), R1
	MOVD n+8(FP), R2
	MOVD x+16(FP), R0
	ZERO(0); ZERO(1); ZERO(2); ZERO(3)
	ZERO(4); ZERO(5); ZERO(6); ZERO(7)
loop:
	READ(0)
	READ(128)
	READ(256)
	READ(384)
	ADD $512, R1
	SUBS $512, R2
	BNE loop
	VEOR V4.B16, V0.B16, V0.B16
	VEOR V5.B16, V1.B16, V1.B16
	VEOR V6.B16, V2.B16, V2.B16
	VEOR V7.B16, V3.B16, V3.B16
	FSTPQ (F0, F1), (R0)
	FSTPQ (F2, F3), 32(R0)
	RET
