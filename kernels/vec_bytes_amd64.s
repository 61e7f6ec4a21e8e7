//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// MASK makes K1 select the last CX of 16 elements.
#define MASK16 \
	MOVL $1, AX; \
	SHLL CX, AX; \
	DECL AX; \
	KMOVW AX, K1; \
	MOVQ $16, CX

// MASK64 makes K1 select the last CX of 64 bytes.
#define MASK64 \
	MOVQ $-1, AX; \
	SHLQ CX, AX; \
	NOTQ AX; \
	KMOVQ AX, K1; \
	MOVQ $64, CX

// func bytePairsAVX512(dst, a, b *uint8, n int, o *bytesPair)
//
// Z16, Z17 zeros of a, b; Z18, Z19 their scales; Z20 scale of y; Z21, Z22 bounds before its zero, Z23; Z24 0.
TEXT ·bytePairsAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ n+24(FP), CX
	MOVQ o+32(FP), R8
	MOVBLZX bytesPair_qa+Quantized_Zero(R8), AX
	VPBROADCASTD AX, Z16
	MOVBLZX bytesPair_qb+Quantized_Zero(R8), AX
	VPBROADCASTD AX, Z17
	MOVBLZX bytesPair_qy+Quantized_Zero(R8), AX
	VPBROADCASTD AX, Z23
	VBROADCASTSS bytesPair_qa+Quantized_Scale(R8), Z18
	VBROADCASTSS bytesPair_qb+Quantized_Scale(R8), Z19
	VBROADCASTSS bytesPair_qy+Quantized_Scale(R8), Z20
	VPXORD Z24, Z24, Z24
	VPSUBD Z23, Z24, Z21
	MOVL $255, AX
	VPBROADCASTD AX, Z22
	VPADDD Z21, Z22, Z22
	VCVTDQ2PS Z21, Z21
	VCVTDQ2PS Z22, Z22
	MOVBLZX bytesPair_relu(R8), R9
	MOVBLZX bytesPair_mul(R8), R10
	KXNORW K1, K1, K1

loop:
	CMPQ CX, $16
	JGE  whole
	MASK16

whole:
	VPMOVZXBD.Z (SI), K1, Z0
	VPMOVZXBD.Z (DX), K1, Z1
	VPSUBD Z16, Z0, Z0
	VPSUBD Z17, Z1, Z1
	VCVTDQ2PS Z0, Z0
	VCVTDQ2PS Z1, Z1
	VMULPS Z18, Z0, Z0
	VMULPS Z19, Z1, Z1
	TESTL R10, R10
	JNZ  product
	VADDPS Z1, Z0, Z0
	JMP  value

product:
	VMULPS Z1, Z0, Z0

value:
	TESTL R9, R9
	JZ   signed
	VMAXPS Z24, Z0, Z0

signed:
	VDIVPS Z20, Z0, Z0
	VCMPPS $7, Z0, Z0, K2
	VMOVUPS.Z Z0, K2, Z0
	VMAXPS Z21, Z0, Z0
	VMINPS Z22, Z0, Z0
	VCVTPS2DQ Z0, Z0
	VPADDD Z23, Z0, Z0
	VPMOVDB Z0, K1, (DI)
	ADDQ $16, SI
	ADDQ $16, DX
	ADDQ $16, DI
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET

// func byteTableVBMI(dst, x *uint8, n int, m *ByteMap)
TEXT ·byteTableVBMI(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ m+24(FP), DX
	VMOVDQU64 (DX), Z4
	VMOVDQU64 64(DX), Z5
	VMOVDQU64 128(DX), Z6
	VMOVDQU64 192(DX), Z7
	KXNORQ K1, K1, K1

loop:
	CMPQ CX, $64
	JGE  whole
	MASK64

whole:
	VMOVDQU8.Z (SI), K1, Z0
	VMOVDQA64 Z0, Z1
	VMOVDQA64 Z0, Z2
	VPERMI2B Z5, Z4, Z1
	VPERMI2B Z7, Z6, Z2
	VPMOVB2M Z0, K2
	VPBLENDMB Z2, Z1, K2, Z1
	VMOVDQU8 Z1, K1, (DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $64, CX
	JNZ  loop
	VZEROUPPER
	RET

// func maxBytesAVX512(dst, a, b *uint8, n int)
TEXT ·maxBytesAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ n+24(FP), CX
	KXNORQ K1, K1, K1

loop:
	CMPQ CX, $64
	JGE  whole
	MASK64

whole:
	VMOVDQU8.Z (SI), K1, Z0
	VMOVDQU8.Z (DX), K1, Z1
	VPMAXUB Z1, Z0, Z0
	VMOVDQU8 Z0, K1, (DI)
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $64, DI
	SUBQ $64, CX
	JNZ  loop
	VZEROUPPER
	RET

// func addBytesAVX512(acc *int32, x *uint8, n int)
TEXT ·addBytesAVX512(SB), NOSPLIT, $0-24
	MOVQ acc+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	KXNORW K1, K1, K1

loop:
	CMPQ CX, $16
	JGE  whole
	MASK16

whole:
	VPMOVZXBD.Z (SI), K1, Z0
	VMOVDQU32.Z (DI), K1, Z1
	VPADDD Z1, Z0, Z0
	VMOVDQU32 Z0, K1, (DI)
	ADDQ $16, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET

// func rangeAVX512(x *float32, n int) (lo, hi float32)
// A maximum or minimum gives its second operand, what was before, if x is NaN; n is a positive multiple of 64.
TEXT ·rangeAVX512(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3

loop:
	VMOVUPS (SI), Z4
	VMOVUPS 64(SI), Z5
	VMOVUPS 128(SI), Z6
	VMOVUPS 192(SI), Z7
	VMINPS Z0, Z4, Z0
	VMAXPS Z1, Z4, Z1
	VMINPS Z2, Z5, Z2
	VMAXPS Z3, Z5, Z3
	VMINPS Z0, Z6, Z0
	VMAXPS Z1, Z6, Z1
	VMINPS Z2, Z7, Z2
	VMAXPS Z3, Z7, Z3
	ADDQ $256, SI
	SUBQ $64, CX
	JNZ  loop
	VMINPS Z2, Z0, Z0
	VMAXPS Z3, Z1, Z1
	VEXTRACTF64X4 $1, Z0, Y2
	VEXTRACTF64X4 $1, Z1, Y3
	VMINPS Y2, Y0, Y0
	VMAXPS Y3, Y1, Y1
	VEXTRACTF128 $1, Y0, X2
	VEXTRACTF128 $1, Y1, X3
	VMINPS X2, X0, X0
	VMAXPS X3, X1, X1
	VPERMILPD $1, X0, X2
	VPERMILPD $1, X1, X3
	VMINPS X2, X0, X0
	VMAXPS X3, X1, X1
	VMOVSHDUP X0, X2
	VMOVSHDUP X1, X3
	VMINSS X2, X0, X0
	VMAXSS X3, X1, X1
	VMOVSS X0, lo+16(FP)
	VMOVSS X1, hi+20(FP)
	VZEROUPPER
	RET
