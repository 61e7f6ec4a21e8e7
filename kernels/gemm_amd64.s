//go:build amd64 && !purego

#include "textflag.h"

// Micro-kernels of the float product: a tile of rows x columns of dst in registers, one
// broadcast of x per row and step of k.
//
//	SI R8 R9 R10  x, rows 0, 3, 6, 9    BX  bytes between rows of x
//	R11 R12       b0, b1                R13 bytes between rows of b
//	DI            dst                   DX  bytes between rows of dst
//	CX            k left

#define ARGS \
	MOVQ dst+0(FP), DI; \
	MOVQ ldd+8(FP), DX; \
	MOVQ x+16(FP), SI; \
	MOVQ ldx+24(FP), BX; \
	MOVQ b0+32(FP), R11; \
	MOVQ b1+40(FP), R12; \
	MOVQ ldb+48(FP), R13; \
	MOVQ k+56(FP), CX; \
	SHLQ $2, DX; \
	SHLQ $2, BX; \
	SHLQ $2, R13; \
	LEAQ (BX)(BX*2), AX; \
	LEAQ (SI)(AX*1), R8; \
	LEAQ (R8)(AX*1), R9; \
	LEAQ (R9)(AX*1), R10

// AVX-512: Z0, Z1 b; Z2..Z5 x; row i of dst in Z(8+2i), Z(9+2i).
// K1, K2 are the columns to store, K3, K4 those to start from dst instead of 0.

#define MASKS \
	MOVL  mask+64(FP), AX; \
	KMOVW AX, K1; \
	SHRL  $16, AX; \
	KMOVW AX, K2; \
	MOVL  load+68(FP), AX; \
	KMOVW AX, K3; \
	SHRL  $16, AX; \
	KMOVW AX, K4; \
	MOVQ  DI, AX

#define LOADZ(c0, c1) \
	VMOVUPS.Z (AX), K3, c0; \
	VMOVUPS.Z 64(AX), K4, c1; \
	ADDQ DX, AX

#define STOREZ(c0, c1) \
	VMOVUPS c0, K1, (DI); \
	VMOVUPS c1, K2, 64(DI); \
	ADDQ DX, DI

#define BZ \
	VMOVUPS (R11), Z0; \
	VMOVUPS (R12), Z1; \
	ADDQ R13, R11; \
	ADDQ R13, R12

#define ROWZ(x, t, c0, c1) \
	VBROADCASTSS x, t; \
	VFMADD231PS Z0, t, c0; \
	VFMADD231PS Z1, t, c1

#define LOADZ1 LOADZ(Z8, Z9)
#define LOADZ2 LOADZ1; LOADZ(Z10, Z11)
#define LOADZ3 LOADZ2; LOADZ(Z12, Z13)
#define LOADZ4 LOADZ3; LOADZ(Z14, Z15)
#define LOADZ5 LOADZ4; LOADZ(Z16, Z17)
#define LOADZ6 LOADZ5; LOADZ(Z18, Z19)
#define LOADZ7 LOADZ6; LOADZ(Z20, Z21)
#define LOADZ8 LOADZ7; LOADZ(Z22, Z23)
#define LOADZ9 LOADZ8; LOADZ(Z24, Z25)
#define LOADZ10 LOADZ9; LOADZ(Z26, Z27)
#define LOADZ11 LOADZ10; LOADZ(Z28, Z29)
#define LOADZ12 LOADZ11; LOADZ(Z30, Z31)

#define STOREZ1 STOREZ(Z8, Z9)
#define STOREZ2 STOREZ1; STOREZ(Z10, Z11)
#define STOREZ3 STOREZ2; STOREZ(Z12, Z13)
#define STOREZ4 STOREZ3; STOREZ(Z14, Z15)
#define STOREZ5 STOREZ4; STOREZ(Z16, Z17)
#define STOREZ6 STOREZ5; STOREZ(Z18, Z19)
#define STOREZ7 STOREZ6; STOREZ(Z20, Z21)
#define STOREZ8 STOREZ7; STOREZ(Z22, Z23)
#define STOREZ9 STOREZ8; STOREZ(Z24, Z25)
#define STOREZ10 STOREZ9; STOREZ(Z26, Z27)
#define STOREZ11 STOREZ10; STOREZ(Z28, Z29)
#define STOREZ12 STOREZ11; STOREZ(Z30, Z31)

#define ROWSZ1 ROWZ((SI), Z2, Z8, Z9)
#define ROWSZ2 ROWSZ1; ROWZ((SI)(BX*1), Z3, Z10, Z11)
#define ROWSZ3 ROWSZ2; ROWZ((SI)(BX*2), Z4, Z12, Z13)
#define ROWSZ4 ROWSZ3; ROWZ((R8), Z5, Z14, Z15)
#define ROWSZ5 ROWSZ4; ROWZ((R8)(BX*1), Z2, Z16, Z17)
#define ROWSZ6 ROWSZ5; ROWZ((R8)(BX*2), Z3, Z18, Z19)
#define ROWSZ7 ROWSZ6; ROWZ((R9), Z4, Z20, Z21)
#define ROWSZ8 ROWSZ7; ROWZ((R9)(BX*1), Z5, Z22, Z23)
#define ROWSZ9 ROWSZ8; ROWZ((R9)(BX*2), Z2, Z24, Z25)
#define ROWSZ10 ROWSZ9; ROWZ((R10), Z3, Z26, Z27)
#define ROWSZ11 ROWSZ10; ROWZ((R10)(BX*1), Z4, Z28, Z29)
#define ROWSZ12 ROWSZ11; ROWZ((R10)(BX*2), Z5, Z30, Z31)

// func gemm12AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm12AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ12
	PCALIGN $64

loop:
	BZ
	ROWSZ12
	ADDQ $4, SI
	ADDQ $4, R8
	ADDQ $4, R9
	ADDQ $4, R10
	DECQ CX
	JNZ  loop
	STOREZ12
	VZEROUPPER
	RET

// func gemm11AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm11AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ11
	PCALIGN $64

loop:
	BZ
	ROWSZ11
	ADDQ $4, SI
	ADDQ $4, R8
	ADDQ $4, R9
	ADDQ $4, R10
	DECQ CX
	JNZ  loop
	STOREZ11
	VZEROUPPER
	RET

// func gemm10AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm10AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ10
	PCALIGN $64

loop:
	BZ
	ROWSZ10
	ADDQ $4, SI
	ADDQ $4, R8
	ADDQ $4, R9
	ADDQ $4, R10
	DECQ CX
	JNZ  loop
	STOREZ10
	VZEROUPPER
	RET

// func gemm9AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm9AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ9
	PCALIGN $64

loop:
	BZ
	ROWSZ9
	ADDQ $4, SI
	ADDQ $4, R8
	ADDQ $4, R9
	DECQ CX
	JNZ  loop
	STOREZ9
	VZEROUPPER
	RET

// func gemm8AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm8AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ8
	PCALIGN $64

loop:
	BZ
	ROWSZ8
	ADDQ $4, SI
	ADDQ $4, R8
	ADDQ $4, R9
	DECQ CX
	JNZ  loop
	STOREZ8
	VZEROUPPER
	RET

// func gemm7AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm7AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ7
	PCALIGN $64

loop:
	BZ
	ROWSZ7
	ADDQ $4, SI
	ADDQ $4, R8
	ADDQ $4, R9
	DECQ CX
	JNZ  loop
	STOREZ7
	VZEROUPPER
	RET

// func gemm6AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm6AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ6
	PCALIGN $64

loop:
	BZ
	ROWSZ6
	ADDQ $4, SI
	ADDQ $4, R8
	DECQ CX
	JNZ  loop
	STOREZ6
	VZEROUPPER
	RET

// func gemm5AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm5AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ5
	PCALIGN $64

loop:
	BZ
	ROWSZ5
	ADDQ $4, SI
	ADDQ $4, R8
	DECQ CX
	JNZ  loop
	STOREZ5
	VZEROUPPER
	RET

// func gemm4AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm4AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ4
	PCALIGN $64

loop:
	BZ
	ROWSZ4
	ADDQ $4, SI
	ADDQ $4, R8
	DECQ CX
	JNZ  loop
	STOREZ4
	VZEROUPPER
	RET

// func gemm3AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm3AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ3
	PCALIGN $64

loop:
	BZ
	ROWSZ3
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STOREZ3
	VZEROUPPER
	RET

// func gemm2AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm2AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ2
	PCALIGN $64

loop:
	BZ
	ROWSZ2
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STOREZ2
	VZEROUPPER
	RET

// func gemm1AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm1AVX512(SB), NOSPLIT, $0-72
	ARGS
	MASKS
	LOADZ1
	PCALIGN $64

loop:
	BZ
	ROWSZ1
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STOREZ1
	VZEROUPPER
	RET

// AVX2: Y0, Y1 b (one panel); Y2, Y3 x; row i of dst in Y(4+2i), Y(5+2i).

#define LOADY(c0, c1) \
	VMOVUPS (AX), c0; \
	VMOVUPS 32(AX), c1; \
	ADDQ DX, AX

#define ZEROY(c0, c1) \
	VXORPS c0, c0, c0; \
	VXORPS c1, c1, c1

#define STOREY(c0, c1) \
	VMOVUPS c0, (DI); \
	VMOVUPS c1, 32(DI); \
	ADDQ DX, DI

#define BY \
	VMOVUPS (R11), Y0; \
	VMOVUPS 32(R11), Y1; \
	ADDQ R13, R11

#define ROWY(x, t, c0, c1) \
	VBROADCASTSS x, t; \
	VFMADD231PS Y0, t, c0; \
	VFMADD231PS Y1, t, c1

#define LOADY1 LOADY(Y4, Y5)
#define LOADY2 LOADY1; LOADY(Y6, Y7)
#define LOADY3 LOADY2; LOADY(Y8, Y9)
#define LOADY4 LOADY3; LOADY(Y10, Y11)
#define LOADY5 LOADY4; LOADY(Y12, Y13)
#define LOADY6 LOADY5; LOADY(Y14, Y15)

#define ZEROY1 ZEROY(Y4, Y5)
#define ZEROY2 ZEROY1; ZEROY(Y6, Y7)
#define ZEROY3 ZEROY2; ZEROY(Y8, Y9)
#define ZEROY4 ZEROY3; ZEROY(Y10, Y11)
#define ZEROY5 ZEROY4; ZEROY(Y12, Y13)
#define ZEROY6 ZEROY5; ZEROY(Y14, Y15)

#define STOREY1 STOREY(Y4, Y5)
#define STOREY2 STOREY1; STOREY(Y6, Y7)
#define STOREY3 STOREY2; STOREY(Y8, Y9)
#define STOREY4 STOREY3; STOREY(Y10, Y11)
#define STOREY5 STOREY4; STOREY(Y12, Y13)
#define STOREY6 STOREY5; STOREY(Y14, Y15)

#define ROWSY1 ROWY((SI), Y2, Y4, Y5)
#define ROWSY2 ROWSY1; ROWY((SI)(BX*1), Y3, Y6, Y7)
#define ROWSY3 ROWSY2; ROWY((SI)(BX*2), Y2, Y8, Y9)
#define ROWSY4 ROWSY3; ROWY((R8), Y3, Y10, Y11)
#define ROWSY5 ROWSY4; ROWY((R8)(BX*1), Y2, Y12, Y13)
#define ROWSY6 ROWSY5; ROWY((R8)(BX*2), Y3, Y14, Y15)

// func gemm6AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm6AVX2(SB), NOSPLIT, $0-72
	ARGS
	MOVQ DI, AX
	ZEROY6
	CMPL load+68(FP), $0
	JEQ  loop
	LOADY6
	PCALIGN $64

loop:
	BY
	ROWSY6
	ADDQ $4, SI
	ADDQ $4, R8
	DECQ CX
	JNZ  loop
	STOREY6
	VZEROUPPER
	RET

// func gemm5AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm5AVX2(SB), NOSPLIT, $0-72
	ARGS
	MOVQ DI, AX
	ZEROY5
	CMPL load+68(FP), $0
	JEQ  loop
	LOADY5
	PCALIGN $64

loop:
	BY
	ROWSY5
	ADDQ $4, SI
	ADDQ $4, R8
	DECQ CX
	JNZ  loop
	STOREY5
	VZEROUPPER
	RET

// func gemm4AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm4AVX2(SB), NOSPLIT, $0-72
	ARGS
	MOVQ DI, AX
	ZEROY4
	CMPL load+68(FP), $0
	JEQ  loop
	LOADY4
	PCALIGN $64

loop:
	BY
	ROWSY4
	ADDQ $4, SI
	ADDQ $4, R8
	DECQ CX
	JNZ  loop
	STOREY4
	VZEROUPPER
	RET

// func gemm3AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm3AVX2(SB), NOSPLIT, $0-72
	ARGS
	MOVQ DI, AX
	ZEROY3
	CMPL load+68(FP), $0
	JEQ  loop
	LOADY3
	PCALIGN $64

loop:
	BY
	ROWSY3
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STOREY3
	VZEROUPPER
	RET

// func gemm2AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm2AVX2(SB), NOSPLIT, $0-72
	ARGS
	MOVQ DI, AX
	ZEROY2
	CMPL load+68(FP), $0
	JEQ  loop
	LOADY2
	PCALIGN $64

loop:
	BY
	ROWSY2
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STOREY2
	VZEROUPPER
	RET

// func gemm1AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)
TEXT ·gemm1AVX2(SB), NOSPLIT, $0-72
	ARGS
	MOVQ DI, AX
	ZEROY1
	CMPL load+68(FP), $0
	JEQ  loop
	LOADY1
	PCALIGN $64

loop:
	BY
	ROWSY1
	ADDQ $4, SI
	DECQ CX
	JNZ  loop
	STOREY1
	VZEROUPPER
	RET
