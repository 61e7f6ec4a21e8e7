//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"
#include "vex_amd64.h"

// Sums of rows x one panel of 16 outputs, without AVX-512; 128 bytes of sums a row.
//
//	AX  the description    SI  x of the rows      BX  bytes between them    R8 rows left
//	R9, R10, R12, R13      as the window passes   R11 weights               DI sums
//	DX  lines left         CX  fours left

// FEWER makes row b read as row a if there are not n rows left.
#define FEWER(n, a, b) \
	LEAQ (a)(BX*1), b; \
	CMPQ R8, $n; \
	CMOVQLT a, b

// WORDS multiplies four outputs' weights, widened, with those of both rows. Pairs are summed: no product is saturated.
#define WORDS(off, a, b) \
	VPMOVSXBW off(R11), Y2; \
	VPMADDWD Y0, Y2, Y3; \
	VPMADDWD Y1, Y2, Y4; \
	VPADDD Y3, a, a; \
	VPADDD Y4, b, b

// FOLD adds the pairs of eight outputs and what they start from.
#define FOLD(off, row, a, b) \
	VPHADDD b, a, a; \
	VPERMQ $0xd8, a, a; \
	VPADDD off(CX), a, a; \
	VMOVDQU a, off+row(DI)

// func levelSumsAVX2(t *levelTile, rows int)
TEXT ·levelSumsAVX2(SB), NOSPLIT, $0-16
	MOVQ t+0(FP), AX
	MOVQ rows+8(FP), R8
	MOVQ levelTile_x(AX), SI
	MOVQ levelTile_ldx(AX), BX
	MOVQ levelTile_sums(AX), DI

rows2:
	MOVQ SI, R9
	FEWER(2, R9, R10)
	MOVQ levelTile_w0(AX), R11
	MOVQ levelTile_segments(AX), DX
	VPXOR Y8, Y8, Y8
	VPXOR Y9, Y9, Y9
	VPXOR Y10, Y10, Y10
	VPXOR Y11, Y11, Y11
	VPXOR Y12, Y12, Y12
	VPXOR Y13, Y13, Y13
	VPXOR Y14, Y14, Y14
	VPXOR Y15, Y15, Y15

segment:
	MOVQ levelTile_k(AX), CX

four:
	VPBROADCASTD (R9), X0
	VPBROADCASTD (R10), X1
	VPMOVZXBW X0, Y0
	VPMOVZXBW X1, Y1
	WORDS(0, Y8, Y12)
	WORDS(16, Y9, Y13)
	WORDS(32, Y10, Y14)
	WORDS(48, Y11, Y15)
	ADDQ $4, R9
	ADDQ $4, R10
	ADDQ $64, R11
	DECQ CX
	JNZ  four
	ADDQ levelTile_jump(AX), R9
	ADDQ levelTile_jump(AX), R10
	ADDQ levelTile_gap(AX), R11
	DECQ DX
	JNZ  segment
	MOVQ levelTile_start(AX), CX
	FOLD(0, 0, Y8, Y9)
	FOLD(32, 0, Y10, Y11)
	CMPQ R8, $2
	JLT  done
	FOLD(0, 128, Y12, Y13)
	FOLD(32, 128, Y14, Y15)
	LEAQ (SI)(BX*2), SI
	ADDQ $256, DI
	SUBQ $2, R8
	JNZ  rows2

done:
	VZEROUPPER
	RET

#define DOT(p, a, b) \
	VPBROADCASTD (p), Y2; \
	VPDPBUSDY(0, 2, a); \
	VPDPBUSDY(1, 2, b)

// func levelSumsAVXVNNI(t *levelTile, rows int)
TEXT ·levelSumsAVXVNNI(SB), NOSPLIT, $0-16
	MOVQ t+0(FP), AX
	MOVQ rows+8(FP), R8
	MOVQ levelTile_x(AX), SI
	MOVQ levelTile_ldx(AX), BX
	MOVQ levelTile_sums(AX), DI

rows4:
	MOVQ SI, R9
	FEWER(2, R9, R10)
	FEWER(3, R10, R12)
	FEWER(4, R12, R13)
	MOVQ levelTile_w0(AX), R11
	MOVQ levelTile_segments(AX), DX
	MOVQ levelTile_start(AX), CX
	VMOVDQU (CX), Y8
	VMOVDQU 32(CX), Y9
	VMOVDQA Y8, Y10
	VMOVDQA Y9, Y11
	VMOVDQA Y8, Y12
	VMOVDQA Y9, Y13
	VMOVDQA Y8, Y14
	VMOVDQA Y9, Y15

segment:
	MOVQ levelTile_k(AX), CX

four:
	VMOVDQU (R11), Y0
	VMOVDQU 32(R11), Y1
	DOT(R9, 8, 9)
	DOT(R10, 10, 11)
	DOT(R12, 12, 13)
	DOT(R13, 14, 15)
	ADDQ $4, R9
	ADDQ $4, R10
	ADDQ $4, R12
	ADDQ $4, R13
	ADDQ $64, R11
	DECQ CX
	JNZ  four
	MOVQ levelTile_jump(AX), CX
	ADDQ CX, R9
	ADDQ CX, R10
	ADDQ CX, R12
	ADDQ CX, R13
	ADDQ levelTile_gap(AX), R11
	DECQ DX
	JNZ  segment
	VMOVDQU Y8, (DI)
	VMOVDQU Y9, 32(DI)
	CMPQ R8, $2
	JLT  done
	VMOVDQU Y10, 128(DI)
	VMOVDQU Y11, 160(DI)
	CMPQ R8, $3
	JLT  done
	VMOVDQU Y12, 256(DI)
	VMOVDQU Y13, 288(DI)
	CMPQ R8, $4
	JLT  done
	VMOVDQU Y14, 384(DI)
	VMOVDQU Y15, 416(DI)
	LEAQ (SI)(BX*4), SI
	ADDQ $512, DI
	SUBQ $4, R8
	JNZ  rows4

done:
	VZEROUPPER
	RET

// func levelFinishAVX2(t *levelTile, rows, cols int)
//
// cols is a multiple of 8. R9 q, R10 what its zero is multiplied with; R11 mult, R12 bias, R13 z; CX columns left; Y9 zero of z, Y10 its
// scale, Y11 slope, Y12 inverse, Y13, Y14 bounds, Y15 zero.
TEXT ·levelFinishAVX2(SB), NOSPLIT, $0-24
	MOVQ t+0(FP), AX
	MOVQ rows+8(FP), R8
	MOVQ levelTile_sums(AX), SI
	MOVQ levelTile_dst(AX), DI
	MOVQ levelTile_z(AX), R13
	MOVQ levelTile_q(AX), R9
	MOVL levelTile_act(AX), BX
	VPBROADCASTD levelTile_zZero(AX), Y9
	VBROADCASTSS levelTile_zScale(AX), Y10
	VBROADCASTSS levelTile_slope(AX), Y11
	VBROADCASTSS levelTile_inverse(AX), Y12
	VBROADCASTSS levelTile_lo(AX), Y13
	VBROADCASTSS levelTile_hi(AX), Y14
	VPBROADCASTD levelTile_zero(AX), Y15

row:
	XORL CX, CX
	MOVQ levelTile_mult(AX), R11
	MOVQ levelTile_bias(AX), R12
	MOVQ levelTile_negative(AX), R10
	TESTQ R9, R9
	JZ   eight
	MOVBLZX Quantized_Zero(R9), DX
	VMOVD DX, X7
	VPBROADCASTD X7, Y7
	VBROADCASTSS Quantized_Scale(R9), Y8
	ADDQ levelTile_ldq(AX), R9

eight:
	VMOVUPS (R11)(CX*4), Y1
	VMOVDQU (SI)(CX*4), Y0
	TESTQ R9, R9
	JZ   scaled
	VPMULLD (R10)(CX*4), Y7, Y2
	VPADDD Y2, Y0, Y0
	VMULPS Y8, Y1, Y1

scaled:
	VCVTDQ2PS Y0, Y0
	VMULPS Y1, Y0, Y0
	VADDPS (R12)(CX*4), Y0, Y0
	TESTQ R13, R13
	JZ   summed
	VPMOVZXBD (R13)(CX*1), Y1
	VPSUBD Y9, Y1, Y1
	VCVTDQ2PS Y1, Y1
	VMULPS Y10, Y1, Y1
	VADDPS Y1, Y0, Y0

summed:
	TESTL $2, BX
	JZ   straight
	VMULPS Y11, Y0, Y1
	VMAXPS Y0, Y1, Y0

straight:
	TESTL $4, BX
	JZ   floats
	VMULPS Y12, Y0, Y0
	VMAXPS Y13, Y0, Y0
	VMINPS Y14, Y0, Y0
	VCVTPS2DQ Y0, Y0
	VPADDD Y15, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPACKUSDW X1, X0, X0
	VPACKUSWB X0, X0, X0
	VMOVQ X0, (DI)(CX*1)
	JMP  next

floats:
	TESTL $1, BX
	JZ   store
	VMAXPS Y13, Y0, Y0
	VMINPS Y14, Y0, Y0

store:
	VMOVUPS Y0, (DI)(CX*4)

next:
	ADDQ $8, CX
	CMPQ CX, cols+16(FP)
	JLT  eight
	ADDQ $128, SI
	ADDQ levelTile_ldd(AX), DI
	TESTQ R13, R13
	JZ   advanced
	ADDQ levelTile_ldz(AX), R13

advanced:
	DECQ R8
	JNZ  row
	VZEROUPPER
	RET
