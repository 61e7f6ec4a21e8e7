//go:build amd64 && !purego

#include "textflag.h"

// QUAD transposes four columns of eight rows, from byte off of the rows on, to four
// rows of dst at out, which has a step of R8 bytes and R12 = 3*R8. A register holds four elements of
// row i in its lower half and of row i+4 in its upper, so both halves are 4 x 4 transposes.
#define QUAD(off, out) \
	VMOVUPS off(SI), X0                     \
	VMOVUPS off(SI)(R9*1), X1               \
	VMOVUPS off(SI)(R9*2), X2               \
	VMOVUPS off(SI)(R10*1), X3              \
	VINSERTF128 $1, off(R11), Y0, Y0        \
	VINSERTF128 $1, off(R11)(R9*1), Y1, Y1  \
	VINSERTF128 $1, off(R11)(R9*2), Y2, Y2  \
	VINSERTF128 $1, off(R11)(R10*1), Y3, Y3 \
	VUNPCKLPS Y1, Y0, Y4                    \ // 00 10 01 11
	VUNPCKHPS Y1, Y0, Y5                    \ // 02 12 03 13
	VUNPCKLPS Y3, Y2, Y6                    \ // 20 30 21 31
	VUNPCKHPS Y3, Y2, Y7                    \ // 22 32 23 33
	VSHUFPS $0x44, Y6, Y4, Y0               \
	VSHUFPS $0xee, Y6, Y4, Y1               \
	VSHUFPS $0x44, Y7, Y5, Y2               \
	VSHUFPS $0xee, Y7, Y5, Y3               \
	VMOVUPS Y0, (out)                       \
	VMOVUPS Y1, (out)(R8*1)                 \
	VMOVUPS Y2, (out)(R8*2)                 \
	VMOVUPS Y3, (out)(R12*1)

// func transpose8AVX(dst *float32, ldd int, src *float32, lds, blocks int)
TEXT ·transpose8AVX(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), R8
	MOVQ src+16(FP), SI
	MOVQ lds+24(FP), R9
	MOVQ blocks+32(FP), CX
	LEAQ (R9)(R9*2), R10
	LEAQ (R8)(R8*2), R12
	LEAQ (SI)(R9*4), R11 // row 4
block:
	LEAQ (DI)(R8*4), R13 // dst row 4
	QUAD(0, DI)
	QUAD(16, R13)
	LEAQ (DI)(R8*8), DI
	ADDQ $32, SI
	ADDQ $32, R11
	DECQ CX
	JNZ block
	VZEROUPPER
	RET

// func interleaveAVX(dst, a, b *float32, n int)
TEXT ·interleaveAVX(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ n+24(FP), CX
pairs:
	VMOVUPS (SI), Y0
	VMOVUPS (DX), Y1
	VUNPCKLPS Y1, Y0, Y2
	VUNPCKHPS Y1, Y0, Y3
	VPERM2F128 $0x20, Y3, Y2, Y4
	VPERM2F128 $0x31, Y3, Y2, Y5
	VMOVUPS Y4, (DI)
	VMOVUPS Y5, 32(DI)
	ADDQ $32, SI
	ADDQ $32, DX
	ADDQ $64, DI
	SUBQ $8, CX
	JNZ pairs
	VZEROUPPER
	RET
