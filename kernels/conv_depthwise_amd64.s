//go:build amd64 && !purego

#include "textflag.h"

// Rows of a depthwise convolution.
//
//	DI dst row    SI src row    DX bytes between dst rows    BX between src rows
//	R8 offsets    R9 w          R10 taps                     R11 n
//	R12 dst       R13 src       CX outputs left in the row
//	AX tap        R15 its offset

#define ARGS \
	MOVQ dst+0(FP), DI; \
	MOVQ ldd+8(FP), DX; \
	MOVQ src+16(FP), SI; \
	MOVQ lds+24(FP), BX; \
	MOVQ offsets+32(FP), R8; \
	MOVQ w+40(FP), R9; \
	MOVQ taps+48(FP), R10; \
	MOVQ n+56(FP), R11; \
	SHLQ $2, DX; \
	SHLQ $2, BX

// func depthwiseRowsAVX512(dst *float32, ldd int, src *float32, lds int, offsets *int, w *float32, taps, n, rows int, bias float32)
TEXT ·depthwiseRowsAVX512(SB), NOSPLIT, $0-76
	ARGS
	VBROADCASTSS bias+72(FP), Z8

row:
	MOVQ DI, R12
	MOVQ SI, R13
	MOVQ R11, CX

wide:
	CMPQ CX, $64
	JLT  narrow
	VMOVAPS Z8, Z0
	VMOVAPS Z8, Z1
	VMOVAPS Z8, Z2
	VMOVAPS Z8, Z3
	XORL AX, AX

wideTap:
	MOVQ (R8)(AX*8), R15
	VBROADCASTSS (R9)(AX*4), Z4
	VFMADD231PS (R13)(R15*1), Z4, Z0
	VFMADD231PS 64(R13)(R15*1), Z4, Z1
	VFMADD231PS 128(R13)(R15*1), Z4, Z2
	VFMADD231PS 192(R13)(R15*1), Z4, Z3
	INCQ AX
	CMPQ AX, R10
	JLT  wideTap
	VMOVUPS Z0, (R12)
	VMOVUPS Z1, 64(R12)
	VMOVUPS Z2, 128(R12)
	VMOVUPS Z3, 192(R12)
	ADDQ $256, R12
	ADDQ $256, R13
	SUBQ $64, CX
	JMP  wide

narrow:
	TESTQ CX, CX
	JLE  next
	MOVQ $-1, AX
	SHLQ CX, AX
	NOTQ AX
	KMOVW AX, K1 // the first min(CX, 16) lanes
	VMOVAPS Z8, Z0
	XORL AX, AX

narrowTap:
	MOVQ (R8)(AX*8), R15
	VBROADCASTSS (R9)(AX*4), Z4
	VFMADD231PS (R13)(R15*1), Z4, Z0
	INCQ AX
	CMPQ AX, R10
	JLT  narrowTap
	VMOVUPS Z0, K1, (R12)
	ADDQ $64, R12
	ADDQ $64, R13
	SUBQ $16, CX
	JMP  narrow

next:
	ADDQ DX, DI
	ADDQ BX, SI
	DECQ rows+64(FP)
	JNZ  row
	VZEROUPPER
	RET

// func depthwiseRowsAVX2(dst *float32, ldd int, src *float32, lds int, offsets *int, w *float32, taps, n, rows int, bias float32)
TEXT ·depthwiseRowsAVX2(SB), NOSPLIT, $0-76
	ARGS
	VBROADCASTSS bias+72(FP), Y8

row:
	MOVQ DI, R12
	MOVQ SI, R13
	MOVQ R11, CX

wide:
	CMPQ CX, $32
	JLT  narrow
	VMOVAPS Y8, Y0
	VMOVAPS Y8, Y1
	VMOVAPS Y8, Y2
	VMOVAPS Y8, Y3
	XORL AX, AX

wideTap:
	MOVQ (R8)(AX*8), R15
	VBROADCASTSS (R9)(AX*4), Y4
	VFMADD231PS (R13)(R15*1), Y4, Y0
	VFMADD231PS 32(R13)(R15*1), Y4, Y1
	VFMADD231PS 64(R13)(R15*1), Y4, Y2
	VFMADD231PS 96(R13)(R15*1), Y4, Y3
	INCQ AX
	CMPQ AX, R10
	JLT  wideTap
	VMOVUPS Y0, (R12)
	VMOVUPS Y1, 32(R12)
	VMOVUPS Y2, 64(R12)
	VMOVUPS Y3, 96(R12)
	ADDQ $128, R12
	ADDQ $128, R13
	SUBQ $32, CX
	JMP  wide

narrow:
	TESTQ CX, CX
	JLE  next
	VMOVQ CX, X5
	VPBROADCASTD X5, Y5
	VPCMPGTD ·vecLanes+0(SB), Y5, Y5 // the first min(CX, 8) lanes
	VMOVAPS Y8, Y0
	XORL AX, AX

narrowTap:
	MOVQ (R8)(AX*8), R15
	VBROADCASTSS (R9)(AX*4), Y4
	VFMADD231PS (R13)(R15*1), Y4, Y0
	INCQ AX
	CMPQ AX, R10
	JLT  narrowTap
	VMASKMOVPS Y0, Y5, (R12)
	ADDQ $32, R12
	ADDQ $32, R13
	SUBQ $8, CX
	JMP  narrow

next:
	ADDQ DX, DI
	ADDQ BX, SI
	DECQ rows+64(FP)
	JNZ  row
	VZEROUPPER
	RET

// func deinterleaveAVX2(even, odd, x *float32, n int)
TEXT ·deinterleaveAVX2(SB), NOSPLIT, $0-32
	MOVQ even+0(FP), DI
	MOVQ odd+8(FP), DX
	MOVQ x+16(FP), SI
	MOVQ n+24(FP), CX

loop:
	VMOVUPS (SI), Y0               // x0..x7
	VMOVUPS 32(SI), Y1             // x8..x15
	VSHUFPS $0x88, Y1, Y0, Y2      // x0 x2 x8 x10 | x4 x6 x12 x14
	VSHUFPS $0xdd, Y1, Y0, Y3      // x1 x3 x9 x11 | x5 x7 x13 x15
	VPERMPD $0xd8, Y2, Y2
	VPERMPD $0xd8, Y3, Y3
	VMOVUPS Y2, (DI)
	VMOVUPS Y3, (DX)
	ADDQ $64, SI
	ADDQ $32, DI
	ADDQ $32, DX
	SUBQ $8, CX
	JNZ  loop
	VZEROUPPER
	RET
