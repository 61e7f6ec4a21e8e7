//go:build amd64 && !purego

#include "textflag.h"

// Products of query rows with 16 keys that lie row by row: four elements of each key at a time change places in registers, so that a
// register holds one element of every key.
//
//	SI R8 R9         queries, rows 0, 3, 6      BX  bytes between them
//	R10 R11 R12 R13  keys, rows 0, 4, 8, 12     AX  bytes between them    DX  three times that
//	CX               elements left

#define ARGS \
	MOVQ q+16(FP), SI; \
	MOVQ ldq+24(FP), BX; \
	MOVQ k+32(FP), R10; \
	MOVQ ldk+40(FP), AX; \
	MOVQ dim+48(FP), CX; \
	SHLQ $2, BX; \
	SHLQ $2, AX; \
	LEAQ (BX)(BX*2), R8; \
	LEAQ (SI)(R8*2), R9; \
	ADDQ SI, R8; \
	LEAQ (R10)(AX*4), R11; \
	LEAQ (R11)(AX*4), R12; \
	LEAQ (R12)(AX*4), R13; \
	LEAQ (AX)(AX*2), DX

// Lines of the next 16 keys are fetched ahead, four keys at a time: DI is the first of them, R15 what leads from a line
// past the 16th to the next line of the first.

#define AHEAD \
	MOVQ AX, R15; \
	SHLQ $4, R15; \
	LEAQ (R10)(R15*1), DI; \
	NEGQ R15; \
	ADDQ $64, R15

#define FETCH \
	PREFETCHT0 (DI); \
	PREFETCHT0 (DI)(AX*1); \
	PREFETCHT0 (DI)(AX*2); \
	PREFETCHT0 (DI)(DX*1); \
	LEAQ  (DI)(AX*4), DI; \
	LEAQ  (DI)(R15*1), R14; \
	TESTQ $12, CX; \
	CMOVQEQ R14, DI

#define NEXT \
	ADDQ $16, SI; \
	ADDQ $16, R8; \
	ADDQ $16, R9; \
	ADDQ $16, R10; \
	ADDQ $16, R11; \
	ADDQ $16, R12; \
	ADDQ $16, R13; \
	SUBQ $4, CX

// AVX-512: Z0..Z3 elements 0 to 3 of the keys, Z4..Z7 on the way there, row r of dst in Z(8+r).

#define KEYSZ \
	VMOVUPS      (R10), X0; \
	VMOVUPS      (R10)(AX*1), X1; \
	VMOVUPS      (R10)(AX*2), X2; \
	VMOVUPS      (R10)(DX*1), X3; \
	VINSERTF32X4 $1, (R11), Z0, Z0; \
	VINSERTF32X4 $1, (R11)(AX*1), Z1, Z1; \
	VINSERTF32X4 $1, (R11)(AX*2), Z2, Z2; \
	VINSERTF32X4 $1, (R11)(DX*1), Z3, Z3; \
	VINSERTF32X4 $2, (R12), Z0, Z0; \
	VINSERTF32X4 $2, (R12)(AX*1), Z1, Z1; \
	VINSERTF32X4 $2, (R12)(AX*2), Z2, Z2; \
	VINSERTF32X4 $2, (R12)(DX*1), Z3, Z3; \
	VINSERTF32X4 $3, (R13), Z0, Z0; \
	VINSERTF32X4 $3, (R13)(AX*1), Z1, Z1; \
	VINSERTF32X4 $3, (R13)(AX*2), Z2, Z2; \
	VINSERTF32X4 $3, (R13)(DX*1), Z3, Z3; \
	VUNPCKLPS    Z1, Z0, Z4; \
	VUNPCKHPS    Z1, Z0, Z5; \
	VUNPCKLPS    Z3, Z2, Z6; \
	VUNPCKHPS    Z3, Z2, Z7; \
	VUNPCKLPD    Z6, Z4, Z0; \
	VUNPCKHPD    Z6, Z4, Z1; \
	VUNPCKLPD    Z7, Z5, Z2; \
	VUNPCKHPD    Z7, Z5, Z3

#define ROWZ(q0, q1, q2, q3, c) \
	VFMADD231PS.BCST q0, Z0, c; \
	VFMADD231PS.BCST q1, Z1, c; \
	VFMADD231PS.BCST q2, Z2, c; \
	VFMADD231PS.BCST q3, Z3, c

#define ROWSZ1 ROWZ((SI), 4(SI), 8(SI), 12(SI), Z8)
#define ROWSZ2 ROWSZ1; ROWZ((SI)(BX*1), 4(SI)(BX*1), 8(SI)(BX*1), 12(SI)(BX*1), Z9)
#define ROWSZ3 ROWSZ2; ROWZ((SI)(BX*2), 4(SI)(BX*2), 8(SI)(BX*2), 12(SI)(BX*2), Z10)
#define ROWSZ4 ROWSZ3; ROWZ((R8), 4(R8), 8(R8), 12(R8), Z11)
#define ROWSZ5 ROWSZ4; ROWZ((R8)(BX*1), 4(R8)(BX*1), 8(R8)(BX*1), 12(R8)(BX*1), Z12)
#define ROWSZ6 ROWSZ5; ROWZ((R8)(BX*2), 4(R8)(BX*2), 8(R8)(BX*2), 12(R8)(BX*2), Z13)
#define ROWSZ7 ROWSZ6; ROWZ((R9), 4(R9), 8(R9), 12(R9), Z14)
#define ROWSZ8 ROWSZ7; ROWZ((R9)(BX*1), 4(R9)(BX*1), 8(R9)(BX*1), 12(R9)(BX*1), Z15)

#define CLEARZ1 VPXORD Z8, Z8, Z8
#define CLEARZ2 CLEARZ1; VPXORD Z9, Z9, Z9
#define CLEARZ3 CLEARZ2; VPXORD Z10, Z10, Z10
#define CLEARZ4 CLEARZ3; VPXORD Z11, Z11, Z11
#define CLEARZ5 CLEARZ4; VPXORD Z12, Z12, Z12
#define CLEARZ6 CLEARZ5; VPXORD Z13, Z13, Z13
#define CLEARZ7 CLEARZ6; VPXORD Z14, Z14, Z14
#define CLEARZ8 CLEARZ7; VPXORD Z15, Z15, Z15

#define STOREZ1 VMOVUPS Z8, (DI)
#define STOREZ2 STOREZ1; ADDQ DX, DI; VMOVUPS Z9, (DI)
#define STOREZ3 STOREZ2; ADDQ DX, DI; VMOVUPS Z10, (DI)
#define STOREZ4 STOREZ3; ADDQ DX, DI; VMOVUPS Z11, (DI)
#define STOREZ5 STOREZ4; ADDQ DX, DI; VMOVUPS Z12, (DI)
#define STOREZ6 STOREZ5; ADDQ DX, DI; VMOVUPS Z13, (DI)
#define STOREZ7 STOREZ6; ADDQ DX, DI; VMOVUPS Z14, (DI)
#define STOREZ8 STOREZ7; ADDQ DX, DI; VMOVUPS Z15, (DI)

// func scores8AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores8AVX512(SB), NOSPLIT, $0-56
	ARGS
	CLEARZ8
	AHEAD
	PCALIGN $64

loop:
	KEYSZ
	FETCH
	ROWSZ8
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREZ8
	VZEROUPPER
	RET

// func scores7AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores7AVX512(SB), NOSPLIT, $0-56
	ARGS
	CLEARZ7
	AHEAD
	PCALIGN $64

loop:
	KEYSZ
	FETCH
	ROWSZ7
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREZ7
	VZEROUPPER
	RET

// func scores6AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores6AVX512(SB), NOSPLIT, $0-56
	ARGS
	CLEARZ6
	AHEAD
	PCALIGN $64

loop:
	KEYSZ
	FETCH
	ROWSZ6
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREZ6
	VZEROUPPER
	RET

// func scores5AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores5AVX512(SB), NOSPLIT, $0-56
	ARGS
	CLEARZ5
	AHEAD
	PCALIGN $64

loop:
	KEYSZ
	FETCH
	ROWSZ5
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREZ5
	VZEROUPPER
	RET

// func scores4AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores4AVX512(SB), NOSPLIT, $0-56
	ARGS
	CLEARZ4
	AHEAD
	PCALIGN $64

loop:
	KEYSZ
	FETCH
	ROWSZ4
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREZ4
	VZEROUPPER
	RET

// func scores3AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores3AVX512(SB), NOSPLIT, $0-56
	ARGS
	CLEARZ3
	AHEAD
	PCALIGN $64

loop:
	KEYSZ
	FETCH
	ROWSZ3
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREZ3
	VZEROUPPER
	RET

// func scores2AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores2AVX512(SB), NOSPLIT, $0-56
	ARGS
	CLEARZ2
	AHEAD
	PCALIGN $64

loop:
	KEYSZ
	FETCH
	ROWSZ2
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREZ2
	VZEROUPPER
	RET

// func scores1AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores1AVX512(SB), NOSPLIT, $0-56
	ARGS
	CLEARZ1
	AHEAD
	PCALIGN $64

loop:
	KEYSZ
	FETCH
	ROWSZ1
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREZ1
	VZEROUPPER
	RET

// AVX2: Y0..Y3 elements 0 to 3 of eight keys, rows r and r+4 of which share a register before; Y4..Y7 on the way there and elements of
// queries; row r of dst in Y(8+2r), Y(9+2r).

#define KEYSY(k0, k4) \
	VMOVUPS     (k0), X0; \
	VMOVUPS     (k0)(AX*1), X1; \
	VMOVUPS     (k0)(AX*2), X2; \
	VMOVUPS     (k0)(DX*1), X3; \
	VINSERTF128 $1, (k4), Y0, Y0; \
	VINSERTF128 $1, (k4)(AX*1), Y1, Y1; \
	VINSERTF128 $1, (k4)(AX*2), Y2, Y2; \
	VINSERTF128 $1, (k4)(DX*1), Y3, Y3; \
	VUNPCKLPS   Y1, Y0, Y4; \
	VUNPCKHPS   Y1, Y0, Y5; \
	VUNPCKLPS   Y3, Y2, Y6; \
	VUNPCKHPS   Y3, Y2, Y7; \
	VUNPCKLPD   Y6, Y4, Y0; \
	VUNPCKHPD   Y6, Y4, Y1; \
	VUNPCKLPD   Y7, Y5, Y2; \
	VUNPCKHPD   Y7, Y5, Y3

#define ROWY(q0, q1, q2, q3, c) \
	VBROADCASTSS q0, Y4; \
	VBROADCASTSS q1, Y5; \
	VBROADCASTSS q2, Y6; \
	VBROADCASTSS q3, Y7; \
	VFMADD231PS  Y0, Y4, c; \
	VFMADD231PS  Y1, Y5, c; \
	VFMADD231PS  Y2, Y6, c; \
	VFMADD231PS  Y3, Y7, c

#define ROWSY1A ROWY((SI), 4(SI), 8(SI), 12(SI), Y8)
#define ROWSY2A ROWSY1A; ROWY((SI)(BX*1), 4(SI)(BX*1), 8(SI)(BX*1), 12(SI)(BX*1), Y10)
#define ROWSY3A ROWSY2A; ROWY((SI)(BX*2), 4(SI)(BX*2), 8(SI)(BX*2), 12(SI)(BX*2), Y12)
#define ROWSY4A ROWSY3A; ROWY((R8), 4(R8), 8(R8), 12(R8), Y14)

#define ROWSY1B ROWY((SI), 4(SI), 8(SI), 12(SI), Y9)
#define ROWSY2B ROWSY1B; ROWY((SI)(BX*1), 4(SI)(BX*1), 8(SI)(BX*1), 12(SI)(BX*1), Y11)
#define ROWSY3B ROWSY2B; ROWY((SI)(BX*2), 4(SI)(BX*2), 8(SI)(BX*2), 12(SI)(BX*2), Y13)
#define ROWSY4B ROWSY3B; ROWY((R8), 4(R8), 8(R8), 12(R8), Y15)

#define CLEARY1 VXORPS Y8, Y8, Y8; VXORPS Y9, Y9, Y9
#define CLEARY2 CLEARY1; VXORPS Y10, Y10, Y10; VXORPS Y11, Y11, Y11
#define CLEARY3 CLEARY2; VXORPS Y12, Y12, Y12; VXORPS Y13, Y13, Y13
#define CLEARY4 CLEARY3; VXORPS Y14, Y14, Y14; VXORPS Y15, Y15, Y15

#define STOREY1 VMOVUPS Y8, (DI); VMOVUPS Y9, 32(DI)
#define STOREY2 STOREY1; ADDQ DX, DI; VMOVUPS Y10, (DI); VMOVUPS Y11, 32(DI)
#define STOREY3 STOREY2; ADDQ DX, DI; VMOVUPS Y12, (DI); VMOVUPS Y13, 32(DI)
#define STOREY4 STOREY3; ADDQ DX, DI; VMOVUPS Y14, (DI); VMOVUPS Y15, 32(DI)

// func scores4AVX2(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores4AVX2(SB), NOSPLIT, $0-56
	ARGS
	CLEARY4
	PCALIGN $64

loop:
	KEYSY(R10, R11)
	ROWSY4A
	KEYSY(R12, R13)
	ROWSY4B
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREY4
	VZEROUPPER
	RET

// func scores3AVX2(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores3AVX2(SB), NOSPLIT, $0-56
	ARGS
	CLEARY3
	PCALIGN $64

loop:
	KEYSY(R10, R11)
	ROWSY3A
	KEYSY(R12, R13)
	ROWSY3B
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREY3
	VZEROUPPER
	RET

// func scores2AVX2(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores2AVX2(SB), NOSPLIT, $0-56
	ARGS
	CLEARY2
	PCALIGN $64

loop:
	KEYSY(R10, R11)
	ROWSY2A
	KEYSY(R12, R13)
	ROWSY2B
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREY2
	VZEROUPPER
	RET

// func scores1AVX2(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)
TEXT ·scores1AVX2(SB), NOSPLIT, $0-56
	ARGS
	CLEARY1
	PCALIGN $64

loop:
	KEYSY(R10, R11)
	ROWSY1A
	KEYSY(R12, R13)
	ROWSY1B
	NEXT
	JNZ  loop
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	SHLQ $2, DX
	STOREY1
	VZEROUPPER
	RET
