//go:build amd64 && !purego

#include "textflag.h"

// func narrowF16AVX2(dst *uint16, src *float32, n int)
//
// n is a multiple of 8. Halves go to even whatever MXCSR says.
TEXT ·narrowF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

loop:
	VMOVUPS (SI), Y0
	VCVTPS2PH $0, Y0, (DI)
	ADDQ $32, SI
	ADDQ $16, DI
	SUBQ $8, CX
	JNZ  loop
	VZEROUPPER
	RET
