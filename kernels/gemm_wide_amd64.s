//go:build amd64 && !purego

#include "textflag.h"

// Products of one to three rows with 64 columns: as many sums run side by side as fused operations need to follow one another without waiting.
//
//	SI    x, row 0    BX  bytes between rows of x
//	R11   b           R13 bytes between rows of b
//	DI    dst         DX  bytes between rows of dst    CX  k left
//	Z0..Z3 b; Z4..Z6 x; row i of dst in Z(8+4i)..Z(11+4i)

#define ARGS \
	MOVQ dst+0(FP), DI; \
	MOVQ ldd+8(FP), DX; \
	MOVQ x+16(FP), SI; \
	MOVQ ldx+24(FP), BX; \
	MOVQ b+32(FP), R11; \
	MOVQ ldb+40(FP), R13; \
	MOVQ k+48(FP), CX; \
	SHLQ $2, DX; \
	SHLQ $2, BX; \
	SHLQ $2, R13; \
	MOVQ DI, AX

#define LOADROW(c0, c1, c2, c3) \
	VMOVUPS (AX), c0; \
	VMOVUPS 64(AX), c1; \
	VMOVUPS 128(AX), c2; \
	VMOVUPS 192(AX), c3; \
	ADDQ DX, AX

#define STOREROW(c0, c1, c2, c3) \
	VMOVUPS c0, (DI); \
	VMOVUPS c1, 64(DI); \
	VMOVUPS c2, 128(DI); \
	VMOVUPS c3, 192(DI); \
	ADDQ DX, DI

#define COLUMNS \
	VMOVUPS (R11), Z0; \
	VMOVUPS 64(R11), Z1; \
	VMOVUPS 128(R11), Z2; \
	VMOVUPS 192(R11), Z3; \
	ADDQ R13, R11

// HALVES widens binary16; a later row is fetched.
#define HALVES \
	VCVTPH2PS (R11), Z0; \
	VCVTPH2PS 32(R11), Z1; \
	VCVTPH2PS 64(R11), Z2; \
	VCVTPH2PS 96(R11), Z3; \
	PREFETCHT0 (R11)(R13*8); \
	PREFETCHT0 64(R11)(R13*8); \
	ADDQ R13, R11

#define ROW(x, t, c0, c1, c2, c3) \
	VBROADCASTSS x, t; \
	VFMADD231PS Z0, t, c0; \
	VFMADD231PS Z1, t, c1; \
	VFMADD231PS Z2, t, c2; \
	VFMADD231PS Z3, t, c3

#define LOAD1 LOADROW(Z8, Z9, Z10, Z11)
#define LOAD2 LOAD1; LOADROW(Z12, Z13, Z14, Z15)
#define LOAD3 LOAD2; LOADROW(Z16, Z17, Z18, Z19)

#define ROWS1 ROW((SI), Z4, Z8, Z9, Z10, Z11)
#define ROWS2 ROWS1; ROW((SI)(BX*1), Z5, Z12, Z13, Z14, Z15)
#define ROWS3 ROWS2; ROW((SI)(BX*2), Z6, Z16, Z17, Z18, Z19)

#define STORE1 STOREROW(Z8, Z9, Z10, Z11)
#define STORE2 STORE1; STOREROW(Z12, Z13, Z14, Z15)
#define STORE3 STORE2; STOREROW(Z16, Z17, Z18, Z19)

// func wide1AVX512(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int)
TEXT ·wide1AVX512(SB), NOSPLIT, $0-56
	ARGS
	LOAD1
	PCALIGN $64

loop:
	COLUMNS
	ROWS1
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STORE1
	VZEROUPPER
	RET

// func wide2AVX512(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int)
TEXT ·wide2AVX512(SB), NOSPLIT, $0-56
	ARGS
	LOAD2
	PCALIGN $64

loop:
	COLUMNS
	ROWS2
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STORE2
	VZEROUPPER
	RET

// func wide3AVX512(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int)
TEXT ·wide3AVX512(SB), NOSPLIT, $0-56
	ARGS
	LOAD3
	PCALIGN $64

loop:
	COLUMNS
	ROWS3
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STORE3
	VZEROUPPER
	RET

// func wideHalf1AVX512(dst *float32, ldd int, x *float32, ldx int, b *uint16, ldb, k int)
TEXT ·wideHalf1AVX512(SB), NOSPLIT, $0-56
	ARGS
	SHRQ $1, R13
	LOAD1
	PCALIGN $64

loop:
	HALVES
	ROWS1
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STORE1
	VZEROUPPER
	RET

// func wideHalf2AVX512(dst *float32, ldd int, x *float32, ldx int, b *uint16, ldb, k int)
TEXT ·wideHalf2AVX512(SB), NOSPLIT, $0-56
	ARGS
	SHRQ $1, R13
	LOAD2
	PCALIGN $64

loop:
	HALVES
	ROWS2
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STORE2
	VZEROUPPER
	RET

// func wideHalf3AVX512(dst *float32, ldd int, x *float32, ldx int, b *uint16, ldb, k int)
TEXT ·wideHalf3AVX512(SB), NOSPLIT, $0-56
	ARGS
	SHRQ $1, R13
	LOAD3
	PCALIGN $64

loop:
	HALVES
	ROWS3
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STORE3
	VZEROUPPER
	RET
