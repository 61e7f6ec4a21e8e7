//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// func expScaledNEON(x *float32, n int, scale, shift float32)
//
// n is a multiple of 4. V16 scale, V17 -shift, V18 log2e, V19 magic, V20..V25 polynomial, V26 lowest.
TEXT ·expScaledNEON(SB), NOSPLIT, $0-24
	MOVD x+0(FP), R1
	MOVD n+8(FP), R3
	MOVD $scale+16(FP), R9
	LDRSNEXT(9, 16)
	LDRS(9, 17)
	FNEG(17, 17)
	MOVD $·softTable(SB), R9
	LDRSNEXT(9, 18)
	LDRSNEXT(9, 19)
	LDRSNEXT(9, 20)
	LDRSNEXT(9, 21)
	LDRSNEXT(9, 22)
	LDRSNEXT(9, 23)
	LDRSNEXT(9, 24)
	LDRSNEXT(9, 25)
	LDRS(9, 26)

loop:
	LDQ(0, 1, 1)
	ORRB(17, 17, 0)
	FMLA(16, 1, 0)   // t
	FMUL(18, 0, 1)   // u
	FADD(19, 1, 2)
	FSUB(19, 2, 3)
	FSUB(3, 1, 1)    // f
	ORRB(24, 24, 3)
	FMLA(25, 1, 3)
	ORRB(23, 23, 4)
	FMLA(3, 1, 4)
	ORRB(22, 22, 3)
	FMLA(4, 1, 3)
	ORRB(21, 21, 4)
	FMLA(3, 1, 4)
	ORRB(20, 20, 3)
	FMLA(4, 1, 3)
	SHL(23, 2, 2)
	ADDI(2, 3, 3)
	FCMGT(0, 26, 0)  // lowest > t
	ORRB(3, 3, 1)
	ZERO(2)
	BIT(0, 2, 1)     // 0 where so
	FMOVQ F1, (R1)
	ADD  $16, R1
	SUBS $4, R3
	BNE  loop
	RET

// func expandBytesNEON(dst *float32, src *byte, n int, scale float32)
//
// n is a multiple of 8. Subtracting 128 from a byte is flipping its top bit, which leaves it signed.
TEXT ·expandBytesNEON(SB), NOSPLIT, $0-28
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R3
	MOVD $scale+24(FP), R9
	LDRS(9, 16)
	MOVD $0x8080808080808080, R10

loop:
	MOVD (R1), R11
	EOR  R10, R11, R11
	FMOVD R11, F0
	SXTLB(0, 1)
	SXTLH(1, 2)
	SXTLH2(1, 3)
	SCVTF(2, 2)
	SCVTF(3, 3)
	FMUL(16, 2, 2)
	FMUL(16, 3, 3)
	FMOVQ F2, (R0)
	FMOVQ F3, 16(R0)
	ADD  $8, R1
	ADD  $32, R0
	SUBS $8, R3
	BNE  loop
	RET
