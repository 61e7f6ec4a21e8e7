//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// Micro-kernels of the float product: a tile of rows x 16 columns of dst in registers, one
// element of x in every lane per row and step of k.
//
//	R0 dst    R1 bytes between its rows    R2 b    R3 bytes between its rows    R4 k left
//	R5..R10 x, rows 0..5                   R11 bytes between them, then dst
//	V0..V3 b                               V4..V7 x, in turn
//	V8..V31 dst, four registers a row

#define ARGS \
	MOVD dst+0(FP), R0; \
	MOVD ldd+8(FP), R1; \
	MOVD x+16(FP), R5; \
	MOVD ldx+24(FP), R11; \
	MOVD b+32(FP), R2; \
	MOVD ldb+40(FP), R3; \
	MOVD k+48(FP), R4; \
	LSL $2, R1, R1; \
	LSL $2, R3, R3; \
	ADD R11<<2, R5, R6; \
	ADD R11<<2, R6, R7; \
	ADD R11<<2, R7, R8; \
	ADD R11<<2, R8, R9; \
	ADD R11<<2, R9, R10; \
	MOVD R0, R11

#define ZEROROW(i) \
	ZERO(8+4*(i)); \
	ZERO(9+4*(i)); \
	ZERO(10+4*(i)); \
	ZERO(11+4*(i))

#define LOADROW(i) \
	LDQ(0, 11, 8+4*(i)); \
	LDQ(16, 11, 9+4*(i)); \
	LDQ(32, 11, 10+4*(i)); \
	LDQ(48, 11, 11+4*(i)); \
	ADD R1, R11

#define STOREROW(i) \
	STQ(0, 0, 8+4*(i)); \
	STQ(16, 0, 9+4*(i)); \
	STQ(32, 0, 10+4*(i)); \
	STQ(48, 0, 11+4*(i)); \
	ADD R1, R0

#define ROW(i) \
	LDRSNEXT(5+(i), 4+((i)&3)); \
	FMLA(4+((i)&3), 0, 8+4*(i)); \
	FMLA(4+((i)&3), 1, 9+4*(i)); \
	FMLA(4+((i)&3), 2, 10+4*(i)); \
	FMLA(4+((i)&3), 3, 11+4*(i))

#define ZEROROWS1 ZEROROW(0)
#define ZEROROWS2 ZEROROWS1; ZEROROW(1)
#define ZEROROWS3 ZEROROWS2; ZEROROW(2)
#define ZEROROWS4 ZEROROWS3; ZEROROW(3)
#define ZEROROWS5 ZEROROWS4; ZEROROW(4)
#define ZEROROWS6 ZEROROWS5; ZEROROW(5)

#define LOADROWS1 LOADROW(0)
#define LOADROWS2 LOADROWS1; LOADROW(1)
#define LOADROWS3 LOADROWS2; LOADROW(2)
#define LOADROWS4 LOADROWS3; LOADROW(3)
#define LOADROWS5 LOADROWS4; LOADROW(4)
#define LOADROWS6 LOADROWS5; LOADROW(5)

#define STOREROWS1 STOREROW(0)
#define STOREROWS2 STOREROWS1; STOREROW(1)
#define STOREROWS3 STOREROWS2; STOREROW(2)
#define STOREROWS4 STOREROWS3; STOREROW(3)
#define STOREROWS5 STOREROWS4; STOREROW(4)
#define STOREROWS6 STOREROWS5; STOREROW(5)

#define ROWS1 ROW(0)
#define ROWS2 ROWS1; ROW(1)
#define ROWS3 ROWS2; ROW(2)
#define ROWS4 ROWS3; ROW(3)
#define ROWS5 ROWS4; ROW(4)
#define ROWS6 ROWS5; ROW(5)

#define GEMM(ZEROS, LOADS, ROWS, STORES) \
	ARGS; \
	ZEROS; \
	MOVWU load+56(FP), R12; \
	CBZ R12, loop; \
	LOADS; \
loop: \
	LDQ(0, 2, 0); \
	LDQ(16, 2, 1); \
	LDQ(32, 2, 2); \
	LDQ(48, 2, 3); \
	ADD R3, R2; \
	ROWS; \
	SUBS $1, R4; \
	BNE loop; \
	STORES; \
	RET

// func gemm6NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)
TEXT ·gemm6NEON(SB), NOSPLIT, $0-60
	GEMM(ZEROROWS6, LOADROWS6, ROWS6, STOREROWS6)

// func gemm5NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)
TEXT ·gemm5NEON(SB), NOSPLIT, $0-60
	GEMM(ZEROROWS5, LOADROWS5, ROWS5, STOREROWS5)

// func gemm4NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)
TEXT ·gemm4NEON(SB), NOSPLIT, $0-60
	GEMM(ZEROROWS4, LOADROWS4, ROWS4, STOREROWS4)

// func gemm3NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)
TEXT ·gemm3NEON(SB), NOSPLIT, $0-60
	GEMM(ZEROROWS3, LOADROWS3, ROWS3, STOREROWS3)

// func gemm2NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)
TEXT ·gemm2NEON(SB), NOSPLIT, $0-60
	GEMM(ZEROROWS2, LOADROWS2, ROWS2, STOREROWS2)

// func gemm1NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)
TEXT ·gemm1NEON(SB), NOSPLIT, $0-60
	GEMM(ZEROROWS1, LOADROWS1, ROWS1, STOREROWS1)
