//go:build amd64 && !purego

#include "textflag.h"

// func ropePairsAVX2(dst, x, cos, sin *float32, n int)
//
// n pairs, a multiple of 4: Y0 a b a b.., Y1 cos twice, Y2 sin twice, Y3 b a b a..
TEXT ·ropePairsAVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ cos+16(FP), R8
	MOVQ sin+24(FP), R9
	MOVQ n+32(FP), CX

loop:
	VMOVUPS (SI), Y0
	VPMOVZXDQ (R8), Y1
	VPMOVZXDQ (R9), Y2
	VMOVSLDUP Y1, Y1
	VMOVSLDUP Y2, Y2
	VPERMILPS $0xb1, Y0, Y3
	VMULPS Y1, Y0, Y0
	VMULPS Y2, Y3, Y3
	VADDSUBPS Y3, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $16, R8
	ADDQ $16, R9
	SUBQ $4, CX
	JNZ  loop
	VZEROUPPER
	RET
