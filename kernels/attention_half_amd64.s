//go:build amd64 && !purego

#include "textflag.h"

// Products of query rows with 16 keys of binary16 that lie row by row: eight elements of each key at a time change places in registers, and are widened as
// they are read back from the stack, 16 keys of one element at a time.
//
//	SI R8 R9         queries, rows 0, 3, 6      BX  bytes between them
//	R10 R11 R12 R13  keys, rows 0, 4, 8, 12     AX  bytes between them    DX  three times that
//	CX               elements left              R15 eight elements of the keys
//	DI               line to fetch: of four of the next 16 keys at a time
//	Z0..Z7 elements on their way, Z16 order of quadwords, row r of dst in Z(8+r)

DATA evenFirst<>+0(SB)/8, $0
DATA evenFirst<>+8(SB)/8, $2
DATA evenFirst<>+16(SB)/8, $4
DATA evenFirst<>+24(SB)/8, $6
DATA evenFirst<>+32(SB)/8, $1
DATA evenFirst<>+40(SB)/8, $3
DATA evenFirst<>+48(SB)/8, $5
DATA evenFirst<>+56(SB)/8, $7
GLOBL evenFirst<>(SB), RODATA|NOPTR, $64

#define ARGS \
	MOVQ q+16(FP), SI; \
	MOVQ ldq+24(FP), BX; \
	MOVQ k+32(FP), R10; \
	MOVQ ldk+40(FP), AX; \
	MOVQ dim+48(FP), CX; \
	SHLQ $2, BX; \
	SHLQ $1, AX; \
	LEAQ (BX)(BX*2), R8; \
	LEAQ (SI)(R8*2), R9; \
	ADDQ SI, R8; \
	LEAQ (R10)(AX*4), R11; \
	LEAQ (R11)(AX*4), R12; \
	LEAQ (R12)(AX*4), R13; \
	LEAQ (AX)(AX*2), DX; \
	LEAQ (R13)(AX*4), DI; \
	LEAQ buf-320(SP), R15; \
	ADDQ $63, R15; \
	ANDQ $~63, R15; \
	VMOVDQU64 evenFirst<>(SB), Z16

#define FETCH \
	PREFETCHT0 (DI); \
	PREFETCHT0 (DI)(AX*1); \
	PREFETCHT0 (DI)(AX*2); \
	PREFETCHT0 (DI)(DX*1); \
	LEAQ (DI)(AX*4), DI

// LINE goes on to the next line of the keys behind every 32 elements.
#define LINE(same) \
	TESTQ $24, CX; \
	JNE  same; \
	MOVQ AX, R14; \
	SHLQ $4, R14; \
	SUBQ R14, DI; \
	ADDQ $64, DI; \
same:

#define KEYS \
	VMOVDQU      (R10), X0; \
	VMOVDQU      (R10)(AX*1), X1; \
	VMOVDQU      (R10)(AX*2), X2; \
	VMOVDQU      (R10)(DX*1), X3; \
	VINSERTI32X4 $1, (R11), Z0, Z0; \
	VINSERTI32X4 $1, (R11)(AX*1), Z1, Z1; \
	VINSERTI32X4 $1, (R11)(AX*2), Z2, Z2; \
	VINSERTI32X4 $1, (R11)(DX*1), Z3, Z3; \
	VINSERTI32X4 $2, (R12), Z0, Z0; \
	VINSERTI32X4 $2, (R12)(AX*1), Z1, Z1; \
	VINSERTI32X4 $2, (R12)(AX*2), Z2, Z2; \
	VINSERTI32X4 $2, (R12)(DX*1), Z3, Z3; \
	VINSERTI32X4 $3, (R13), Z0, Z0; \
	VINSERTI32X4 $3, (R13)(AX*1), Z1, Z1; \
	VINSERTI32X4 $3, (R13)(AX*2), Z2, Z2; \
	VINSERTI32X4 $3, (R13)(DX*1), Z3, Z3; \
	VPUNPCKLWD   Z1, Z0, Z4; \
	VPUNPCKHWD   Z1, Z0, Z5; \
	VPUNPCKLWD   Z3, Z2, Z6; \
	VPUNPCKHWD   Z3, Z2, Z7; \
	VPUNPCKLDQ   Z6, Z4, Z0; \
	VPUNPCKHDQ   Z6, Z4, Z1; \
	VPUNPCKLDQ   Z7, Z5, Z2; \
	VPUNPCKHDQ   Z7, Z5, Z3; \
	VPERMQ       Z0, Z16, Z0; \
	VPERMQ       Z1, Z16, Z1; \
	VPERMQ       Z2, Z16, Z2; \
	VPERMQ       Z3, Z16, Z3; \
	VMOVDQA64    Z0, (R15); \
	VMOVDQA64    Z1, 64(R15); \
	VMOVDQA64    Z2, 128(R15); \
	VMOVDQA64    Z3, 192(R15)

#define NEXT \
	ADDQ $32, SI; \
	ADDQ $32, R8; \
	ADDQ $32, R9; \
	ADDQ $16, R10; \
	ADDQ $16, R11; \
	ADDQ $16, R12; \
	ADDQ $16, R13; \
	SUBQ $8, CX

// ELEMENTn multiplies an element of the keys with that of n queries.

#define ELEMENT1(d, t) VCVTPH2PS 8*d(R15), t; VFMADD231PS.BCST d (SI), t, Z8
#define ELEMENT2(d, t) ELEMENT1(d, t); VFMADD231PS.BCST d (SI)(BX*1), t, Z9
#define ELEMENT3(d, t) ELEMENT2(d, t); VFMADD231PS.BCST d (SI)(BX*2), t, Z10
#define ELEMENT4(d, t) ELEMENT3(d, t); VFMADD231PS.BCST d (R8), t, Z11
#define ELEMENT5(d, t) ELEMENT4(d, t); VFMADD231PS.BCST d (R8)(BX*1), t, Z12
#define ELEMENT6(d, t) ELEMENT5(d, t); VFMADD231PS.BCST d (R8)(BX*2), t, Z13
#define ELEMENT7(d, t) ELEMENT6(d, t); VFMADD231PS.BCST d (R9), t, Z14
#define ELEMENT8(d, t) ELEMENT7(d, t); VFMADD231PS.BCST d (R9)(BX*1), t, Z15

#define CLEAR1 VPXORD Z8, Z8, Z8
#define CLEAR2 CLEAR1; VPXORD Z9, Z9, Z9
#define CLEAR3 CLEAR2; VPXORD Z10, Z10, Z10
#define CLEAR4 CLEAR3; VPXORD Z11, Z11, Z11
#define CLEAR5 CLEAR4; VPXORD Z12, Z12, Z12
#define CLEAR6 CLEAR5; VPXORD Z13, Z13, Z13
#define CLEAR7 CLEAR6; VPXORD Z14, Z14, Z14
#define CLEAR8 CLEAR7; VPXORD Z15, Z15, Z15

#define STORE1 VMOVUPS Z8, (DI)
#define STORE2 STORE1; ADDQ DX, DI; VMOVUPS Z9, (DI)
#define STORE3 STORE2; ADDQ DX, DI; VMOVUPS Z10, (DI)
#define STORE4 STORE3; ADDQ DX, DI; VMOVUPS Z11, (DI)
#define STORE5 STORE4; ADDQ DX, DI; VMOVUPS Z12, (DI)
#define STORE6 STORE5; ADDQ DX, DI; VMOVUPS Z13, (DI)
#define STORE7 STORE6; ADDQ DX, DI; VMOVUPS Z14, (DI)
#define STORE8 STORE7; ADDQ DX, DI; VMOVUPS Z15, (DI)

#define ELEMENTS(element) \
	element(0, Z0); \
	element(4, Z1); \
	element(8, Z2); \
	element(12, Z3); \
	element(16, Z4); \
	element(20, Z5); \
	element(24, Z6); \
	element(28, Z7)

// func scoresHalf8AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)
TEXT ·scoresHalf8AVX512(SB), NOSPLIT, $320-56
	ARGS
	CLEAR8
	PCALIGN $64

loop:
	KEYS
	FETCH
	ELEMENTS(ELEMENT8)
	NEXT
	LINE(same)
	TESTQ CX, CX
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STORE8
	VZEROUPPER
	RET

// func scoresHalf7AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)
TEXT ·scoresHalf7AVX512(SB), NOSPLIT, $320-56
	ARGS
	CLEAR7
	PCALIGN $64

loop:
	KEYS
	FETCH
	ELEMENTS(ELEMENT7)
	NEXT
	LINE(same)
	TESTQ CX, CX
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STORE7
	VZEROUPPER
	RET

// func scoresHalf6AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)
TEXT ·scoresHalf6AVX512(SB), NOSPLIT, $320-56
	ARGS
	CLEAR6
	PCALIGN $64

loop:
	KEYS
	FETCH
	ELEMENTS(ELEMENT6)
	NEXT
	LINE(same)
	TESTQ CX, CX
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STORE6
	VZEROUPPER
	RET

// func scoresHalf5AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)
TEXT ·scoresHalf5AVX512(SB), NOSPLIT, $320-56
	ARGS
	CLEAR5
	PCALIGN $64

loop:
	KEYS
	FETCH
	ELEMENTS(ELEMENT5)
	NEXT
	LINE(same)
	TESTQ CX, CX
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STORE5
	VZEROUPPER
	RET

// func scoresHalf4AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)
TEXT ·scoresHalf4AVX512(SB), NOSPLIT, $320-56
	ARGS
	CLEAR4
	PCALIGN $64

loop:
	KEYS
	FETCH
	ELEMENTS(ELEMENT4)
	NEXT
	LINE(same)
	TESTQ CX, CX
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STORE4
	VZEROUPPER
	RET

// func scoresHalf3AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)
TEXT ·scoresHalf3AVX512(SB), NOSPLIT, $320-56
	ARGS
	CLEAR3
	PCALIGN $64

loop:
	KEYS
	FETCH
	ELEMENTS(ELEMENT3)
	NEXT
	LINE(same)
	TESTQ CX, CX
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STORE3
	VZEROUPPER
	RET

// func scoresHalf2AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)
TEXT ·scoresHalf2AVX512(SB), NOSPLIT, $320-56
	ARGS
	CLEAR2
	PCALIGN $64

loop:
	KEYS
	FETCH
	ELEMENTS(ELEMENT2)
	NEXT
	LINE(same)
	TESTQ CX, CX
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STORE2
	VZEROUPPER
	RET

// func scoresHalf1AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)
TEXT ·scoresHalf1AVX512(SB), NOSPLIT, $320-56
	ARGS
	CLEAR1
	PCALIGN $64

loop:
	KEYS
	FETCH
	ELEMENTS(ELEMENT1)
	NEXT
	LINE(same)
	TESTQ CX, CX
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STORE1
	VZEROUPPER
	RET
