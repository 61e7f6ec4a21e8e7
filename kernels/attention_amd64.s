//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// Attention: the exponential of a row of scores, and products of rows of integers.

// Offsets in softTable.
#define LOG2E 0
#define MAGIC 4
#define C0 8
#define C1 12
#define C2 16
#define C3 20
#define C4 24
#define C5 28
#define LOWEST 32

// Z7 = exp(16 elements at off(SI)), stored and added to sum; those that k does not select, and those
// below LOWEST, are 0.
//	Z16 scale, Z17 shift, Z18 log2e, Z19 magic, Z20..Z25 polynomial, Z26 lowest
#define SOFTZ(off, k, sum) \
	VMOVUPS.Z off(SI), k, Z4 \
	VFMSUB213PS Z17, Z16, Z4 \
	VMULPS Z18, Z4, Z5 \
	VADDPS Z19, Z5, Z6 \
	VSUBPS Z19, Z6, Z7 \
	VSUBPS Z7, Z5, Z5 \
	VMOVAPS Z25, Z7 \
	VFMADD213PS Z24, Z5, Z7 \
	VFMADD213PS Z23, Z5, Z7 \
	VFMADD213PS Z22, Z5, Z7 \
	VFMADD213PS Z21, Z5, Z7 \
	VFMADD213PS Z20, Z5, Z7 \
	VPSLLD $23, Z6, Z6 \
	VCMPPS $5, Z26, Z4, k, K5 \
	VPADDD.Z Z6, Z7, K5, Z7 \
	VADDPS Z7, sum, sum \
	VMOVUPS Z7, k, off(SI)

// func expScaledAVX512(x *float32, n int, scale, shift float32) float32
TEXT ·expScaledAVX512(SB), NOSPLIT, $0-28
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSS scale+16(FP), Z16
	VBROADCASTSS shift+20(FP), Z17
	VBROADCASTSS ·softTable+LOG2E(SB), Z18
	VBROADCASTSS ·softTable+MAGIC(SB), Z19
	VBROADCASTSS ·softTable+C0(SB), Z20
	VBROADCASTSS ·softTable+C1(SB), Z21
	VBROADCASTSS ·softTable+C2(SB), Z22
	VBROADCASTSS ·softTable+C3(SB), Z23
	VBROADCASTSS ·softTable+C4(SB), Z24
	VBROADCASTSS ·softTable+C5(SB), Z25
	VBROADCASTSS ·softTable+LOWEST(SB), Z26
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	KXNORW K1, K1, K1
	KXNORW K2, K2, K2
	KXNORW K3, K3, K3
	KXNORW K4, K4, K4

loop:
	SUBQ $64, CX
	JGE  body
	ADDQ $64, CX
	JEQ  fold
	MOVQ $-1, AX
	SHLQ CX, AX
	NOTQ AX
	KMOVW AX, K1
	SHRQ $16, AX
	KMOVW AX, K2
	SHRQ $16, AX
	KMOVW AX, K3
	SHRQ $16, AX
	KMOVW AX, K4
	XORL CX, CX

body:
	SOFTZ(0, K1, Z0)
	SOFTZ(64, K2, Z1)
	SOFTZ(128, K3, Z2)
	SOFTZ(192, K4, Z3)
	ADDQ $256, SI
	JMP  loop

fold:
	VADDPS Z2, Z0, Z0
	VADDPS Z3, Z1, Z1
	VADDPS Z1, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VPERMILPD $1, X0, X1
	VADDPS X1, X0, X0
	VPSHUFD $1, X0, X1
	VADDPS X1, X0, X0
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET

// func expScaledAVX2(x *float32, n int, scale, shift float32)
//
// n is a multiple of 8.
TEXT ·expScaledAVX2(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSS scale+16(FP), Y5
	VBROADCASTSS shift+20(FP), Y6
	VBROADCASTSS ·softTable+LOG2E(SB), Y7
	VBROADCASTSS ·softTable+MAGIC(SB), Y8
	VBROADCASTSS ·softTable+C0(SB), Y9
	VBROADCASTSS ·softTable+C1(SB), Y10
	VBROADCASTSS ·softTable+C2(SB), Y11
	VBROADCASTSS ·softTable+C3(SB), Y12
	VBROADCASTSS ·softTable+C4(SB), Y13
	VBROADCASTSS ·softTable+C5(SB), Y14
	VBROADCASTSS ·softTable+LOWEST(SB), Y15

loop:
	VMOVUPS (SI), Y0
	VFMSUB213PS Y6, Y5, Y0
	VMULPS Y7, Y0, Y1
	VADDPS Y8, Y1, Y2
	VSUBPS Y8, Y2, Y3
	VSUBPS Y3, Y1, Y1
	VMOVAPS Y14, Y3
	VFMADD213PS Y13, Y1, Y3
	VFMADD213PS Y12, Y1, Y3
	VFMADD213PS Y11, Y1, Y3
	VFMADD213PS Y10, Y1, Y3
	VFMADD213PS Y9, Y1, Y3
	VPSLLD $23, Y2, Y2
	VPADDD Y2, Y3, Y3
	VCMPPS $5, Y15, Y0, Y0
	VANDPS Y0, Y3, Y3
	VMOVUPS Y3, (SI)
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ  loop
	VZEROUPPER
	RET

// func narrowWeightsAVX512(dst *int16, w, scale *float32, n int, inv float32)
TEXT ·narrowWeightsAVX512(SB), NOSPLIT, $0-36
	MOVQ dst+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ scale+16(FP), DX
	MOVQ n+24(FP), CX
	VBROADCASTSS inv+32(FP), Z2
	KXNORW K1, K1, K1

loop:
	SUBQ $16, CX
	JGE  body
	ADDQ $16, CX
	JEQ  done
	MOVL $1, AX
	SHLL CX, AX
	DECL AX
	KMOVW AX, K1
	XORL CX, CX

body:
	VMOVUPS.Z (SI), K1, Z0
	VMOVUPS.Z (DX), K1, Z1
	VMULPS Z1, Z0, Z0
	VMULPS Z2, Z0, Z0
	VCVTPS2DQ Z0, Z0
	VPMOVSDW Z0, K1, (DI)
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $32, DI
	JMP  loop

done:
	VZEROUPPER
	RET

// func expandBytesAVX512(dst *float32, src *byte, n int, scale float32)
//
// n is a multiple of 16.
TEXT ·expandBytesAVX512(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS scale+24(FP), Z1
	MOVL $128, AX
	VPBROADCASTD AX, Z2

loop:
	VPMOVZXBD (SI), Z0
	VPSUBD Z2, Z0, Z0
	VCVTDQ2PS Z0, Z0
	VMULPS Z1, Z0, Z0
	VMOVUPS Z0, (DI)
	ADDQ $16, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET

// func expandBytesAVX2(dst *float32, src *byte, n int, scale float32)
//
// n is a multiple of 8.
TEXT ·expandBytesAVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS scale+24(FP), Y1
	MOVL $128, AX
	VMOVD AX, X2
	VPBROADCASTD X2, Y2

loop:
	VPMOVZXBD (SI), Y0
	VPSUBD Y2, Y0, Y0
	VCVTDQ2PS Y0, Y0
	VMULPS Y1, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ $8, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ  loop
	VZEROUPPER
	RET

// func packPairsAVX512(dst *uint32, src *byte, stride, pairs int)
TEXT ·packPairsAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ stride+16(FP), R9
	MOVQ pairs+24(FP), CX
	MOVL $0x00800080, AX
	VPBROADCASTD AX, Z4

loop:
	VPMOVZXBD (SI), Z0
	VPMOVZXBD 16(SI), Z1
	VPMOVZXBD (SI)(R9*1), Z2
	VPMOVZXBD 16(SI)(R9*1), Z3
	VPSLLD $16, Z2, Z2
	VPSLLD $16, Z3, Z3
	VPORD Z2, Z0, Z0
	VPORD Z3, Z1, Z1
	VPSUBW Z4, Z0, Z0
	VPSUBW Z4, Z1, Z1
	VMOVDQU32 Z0, (DI)
	VMOVDQU32 Z1, 64(DI)
	LEAQ (SI)(R9*2), SI
	ADDQ $128, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
