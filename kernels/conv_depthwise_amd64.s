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

// The nine taps of a chunk: Y0..Y8 their weights, Y9 the bias.
#define NINE(op) \
	op(0, Y0); \
	op(8, Y1); \
	op(16, Y2); \
	op(24, Y3); \
	op(32, Y4); \
	op(40, Y5); \
	op(48, Y6); \
	op(56, Y7); \
	op(64, Y8)

#define TAP1(t, w) \
	MOVQ t(R8), R15; \
	VFMADD231PS (R13)(R15*1), w, Y10

#define TAP4(t, w) \
	MOVQ t(R8), R15; \
	VFMADD231PS (R13)(R15*1), w, Y10; \
	VFMADD231PS 32(R13)(R15*1), w, Y11; \
	VFMADD231PS 64(R13)(R15*1), w, Y12; \
	VFMADD231PS 96(R13)(R15*1), w, Y13

// func depthwiseRows9AVX2(dst *float32, ldd int, src *float32, lds int, offsets *int, w *float32, taps, n, rows int, bias float32)
TEXT ·depthwiseRows9AVX2(SB), NOSPLIT, $0-76
	ARGS
	VBROADCASTSS (R9), Y0
	VBROADCASTSS 4(R9), Y1
	VBROADCASTSS 8(R9), Y2
	VBROADCASTSS 12(R9), Y3
	VBROADCASTSS 16(R9), Y4
	VBROADCASTSS 20(R9), Y5
	VBROADCASTSS 24(R9), Y6
	VBROADCASTSS 28(R9), Y7
	VBROADCASTSS 32(R9), Y8
	VBROADCASTSS bias+72(FP), Y9

row:
	MOVQ DI, R12
	MOVQ SI, R13
	MOVQ R11, CX

wide:
	CMPQ CX, $32
	JLT  narrow
	VMOVAPS Y9, Y10
	VMOVAPS Y9, Y11
	VMOVAPS Y9, Y12
	VMOVAPS Y9, Y13
	NINE(TAP4)
	VMOVUPS Y10, (R12)
	VMOVUPS Y11, 32(R12)
	VMOVUPS Y12, 64(R12)
	VMOVUPS Y13, 96(R12)
	ADDQ $128, R12
	ADDQ $128, R13
	SUBQ $32, CX
	JMP  wide

narrow:
	CMPQ CX, $8
	JLT  last
	VMOVAPS Y9, Y10
	NINE(TAP1)
	VMOVUPS Y10, (R12)
	ADDQ $32, R12
	ADDQ $32, R13
	SUBQ $8, CX
	JMP  narrow

last:
	TESTQ CX, CX
	JEQ  next
	VMOVQ CX, X14
	VPBROADCASTD X14, Y14
	VPCMPGTD ·vecLanes+0(SB), Y14, Y14 // the first CX lanes
	VMOVAPS Y9, Y10
	NINE(TAP1)
	VMASKMOVPS Y10, Y14, (R12)

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
