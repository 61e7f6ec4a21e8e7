//go:build amd64 && !purego

#include "textflag.h"

// func quantizeBytesAVX512(dst *uint8, src *float32, n int, scale, lo, hi float32, zero int32)
// n is a multiple of 16.
TEXT ·quantizeBytesAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS scale+24(FP), Z0
	VBROADCASTSS lo+28(FP), Z1
	VBROADCASTSS hi+32(FP), Z2
	MOVL zero+36(FP), AX
	VPBROADCASTD AX, Z3

loop:
	VMOVUPS (SI), Z4
	VDIVPS Z0, Z4, Z4
	VCMPPS $7, Z4, Z4, K1
	VMOVUPS.Z Z4, K1, Z4
	VMAXPS Z1, Z4, Z4
	VMINPS Z2, Z4, Z4
	VCVTPS2DQ Z4, Z4
	VPADDD Z3, Z4, Z4
	VPMOVDB Z4, (DI)
	ADDQ $64, SI
	ADDQ $16, DI
	SUBQ $16, CX
	JNZ loop
	VZEROUPPER
	RET

// func dequantizeBytesAVX512(dst *float32, src *uint8, n int, scale float32, zero int32)
// n is a multiple of 16.
TEXT ·dequantizeBytesAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS scale+24(FP), Z0
	MOVL zero+28(FP), AX
	VPBROADCASTD AX, Z1

loop:
	VPMOVZXBD (SI), Z2
	VPSUBD Z1, Z2, Z2
	VCVTDQ2PS Z2, Z2
	VMULPS Z0, Z2, Z2
	VMOVUPS Z2, (DI)
	ADDQ $16, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JNZ loop
	VZEROUPPER
	RET
