//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// Tiles of integers: row i of dst in Z(8+2i), Z(9+2i).
//
//	SI R8 R9 R10  a, rows 0, 3, 6, 9    BX  bytes between rows of a
//	R11           b                     CX  depth left
//	DI            dst                   DX  bytes between rows of dst
//	R12 init      R13 row scales        Z0, Z1 b, then the column scales

#define SETUP \
	MOVQ args+0(FP), AX \
	MOVQ intTile_dst(AX), DI \
	MOVQ intTile_ldd(AX), DX \
	MOVQ intTile_a(AX), SI \
	MOVQ intTile_lda(AX), BX \
	MOVQ intTile_b(AX), R11 \
	MOVQ intTile_depth(AX), CX \
	MOVQ intTile_init(AX), R12 \
	MOVQ intTile_rowScale(AX), R13 \
	LEAQ (BX)(BX*2), R10 \
	LEAQ (SI)(R10*1), R8 \
	LEAQ (R8)(R10*1), R9 \
	ADDQ R9, R10

#define INIT(off, c0, c1) \
	VPBROADCASTD off(R12), c0 \
	VMOVDQA64 c0, c1

#define INIT1 INIT(0, Z8, Z9)
#define INIT2 INIT1 INIT(4, Z10, Z11)
#define INIT3 INIT2 INIT(8, Z12, Z13)
#define INIT4 INIT3 INIT(12, Z14, Z15)
#define INIT5 INIT4 INIT(16, Z16, Z17)
#define INIT6 INIT5 INIT(20, Z18, Z19)
#define INIT7 INIT6 INIT(24, Z20, Z21)
#define INIT8 INIT7 INIT(28, Z22, Z23)
#define INIT9 INIT8 INIT(32, Z24, Z25)
#define INIT10 INIT9 INIT(36, Z26, Z27)
#define INIT11 INIT10 INIT(40, Z28, Z29)
#define INIT12 INIT11 INIT(44, Z30, Z31)

#define ROW(op, x, t, c0, c1) \
	VPBROADCASTD x, t \
	op t, Z0, c0 \
	op t, Z1, c1

#define ROWS1(op) ROW(op, (SI), Z2, Z8, Z9)
#define ROWS2(op) ROWS1(op) ROW(op, (SI)(BX*1), Z3, Z10, Z11)
#define ROWS3(op) ROWS2(op) ROW(op, (SI)(BX*2), Z4, Z12, Z13)
#define ROWS4(op) ROWS3(op) ROW(op, (R8), Z5, Z14, Z15)
#define ROWS5(op) ROWS4(op) ROW(op, (R8)(BX*1), Z2, Z16, Z17)
#define ROWS6(op) ROWS5(op) ROW(op, (R8)(BX*2), Z3, Z18, Z19)
#define ROWS7(op) ROWS6(op) ROW(op, (R9), Z4, Z20, Z21)
#define ROWS8(op) ROWS7(op) ROW(op, (R9)(BX*1), Z5, Z22, Z23)
#define ROWS9(op) ROWS8(op) ROW(op, (R9)(BX*2), Z2, Z24, Z25)
#define ROWS10(op) ROWS9(op) ROW(op, (R10), Z3, Z26, Z27)
#define ROWS11(op) ROWS10(op) ROW(op, (R10)(BX*1), Z4, Z28, Z29)
#define ROWS12(op) ROWS11(op) ROW(op, (R10)(BX*2), Z5, Z30, Z31)

#define FINISH(off, c0, c1) \
	VCVTDQ2PS c0, c0 \
	VCVTDQ2PS c1, c1 \
	VMULPS.BCST off(R13), c0, c0 \
	VMULPS.BCST off(R13), c1, c1 \
	VMULPS Z0, c0, c0 \
	VMULPS Z1, c1, c1 \
	VADDPS (DI), c0, K1, c0 \
	VADDPS 64(DI), c1, K1, c1 \
	VMOVUPS c0, (DI) \
	VMOVUPS c1, 64(DI) \
	ADDQ DX, DI

#define FINISH1 FINISH(0, Z8, Z9)
#define FINISH2 FINISH1 FINISH(4, Z10, Z11)
#define FINISH3 FINISH2 FINISH(8, Z12, Z13)
#define FINISH4 FINISH3 FINISH(12, Z14, Z15)
#define FINISH5 FINISH4 FINISH(16, Z16, Z17)
#define FINISH6 FINISH5 FINISH(20, Z18, Z19)
#define FINISH7 FINISH6 FINISH(24, Z20, Z21)
#define FINISH8 FINISH7 FINISH(28, Z22, Z23)
#define FINISH9 FINISH8 FINISH(32, Z24, Z25)
#define FINISH10 FINISH9 FINISH(36, Z26, Z27)
#define FINISH11 FINISH10 FINISH(40, Z28, Z29)
#define FINISH12 FINISH11 FINISH(44, Z30, Z31)

#define SCALES \
	MOVQ args+0(FP), AX \
	MOVQ intTile_colScale(AX), R11 \
	VMOVUPS (R11), Z0 \
	VMOVUPS 64(R11), Z1 \
	MOVQ intTile_add(AX), AX \
	NEGQ AX \
	KMOVW AX, K1

#define TILE(name, loop, op, START, STEP, END) \
name: \
	START \
loop: \
	VMOVDQU64 (R11), Z0 \
	VMOVDQU64 64(R11), Z1 \
	ADDQ $128, R11 \
	STEP(op) \
	ADDQ $4, SI \
	ADDQ $4, R8 \
	ADDQ $4, R9 \
	ADDQ $4, R10 \
	DECQ CX \
	JNZ  loop \
	SCALES \
	END \
	VZEROUPPER \
	RET

// func dotBytesAVX512(args *intTile)
TEXT ·dotBytesAVX512(SB), NOSPLIT, $0-8
	SETUP
	MOVQ intTile_rows(AX), AX
	CMPQ AX, $1
	JEQ  tile1
	CMPQ AX, $2
	JEQ  tile2
	CMPQ AX, $3
	JEQ  tile3
	CMPQ AX, $4
	JEQ  tile4
	CMPQ AX, $5
	JEQ  tile5
	CMPQ AX, $6
	JEQ  tile6
	CMPQ AX, $7
	JEQ  tile7
	CMPQ AX, $8
	JEQ  tile8
	CMPQ AX, $9
	JEQ  tile9
	CMPQ AX, $10
	JEQ  tile10
	CMPQ AX, $11
	JEQ  tile11
	TILE(tile12, loop12, VPDPBUSD, INIT12, ROWS12, FINISH12)
	TILE(tile11, loop11, VPDPBUSD, INIT11, ROWS11, FINISH11)
	TILE(tile10, loop10, VPDPBUSD, INIT10, ROWS10, FINISH10)
	TILE(tile9, loop9, VPDPBUSD, INIT9, ROWS9, FINISH9)
	TILE(tile8, loop8, VPDPBUSD, INIT8, ROWS8, FINISH8)
	TILE(tile7, loop7, VPDPBUSD, INIT7, ROWS7, FINISH7)
	TILE(tile6, loop6, VPDPBUSD, INIT6, ROWS6, FINISH6)
	TILE(tile5, loop5, VPDPBUSD, INIT5, ROWS5, FINISH5)
	TILE(tile4, loop4, VPDPBUSD, INIT4, ROWS4, FINISH4)
	TILE(tile3, loop3, VPDPBUSD, INIT3, ROWS3, FINISH3)
	TILE(tile2, loop2, VPDPBUSD, INIT2, ROWS2, FINISH2)
	TILE(tile1, loop1, VPDPBUSD, INIT1, ROWS1, FINISH1)

// func dotWordsAVX512(args *intTile)
TEXT ·dotWordsAVX512(SB), NOSPLIT, $0-8
	SETUP
	MOVQ intTile_rows(AX), AX
	CMPQ AX, $1
	JEQ  tile1
	CMPQ AX, $2
	JEQ  tile2
	CMPQ AX, $3
	JEQ  tile3
	CMPQ AX, $4
	JEQ  tile4
	CMPQ AX, $5
	JEQ  tile5
	CMPQ AX, $6
	JEQ  tile6
	CMPQ AX, $7
	JEQ  tile7
	CMPQ AX, $8
	JEQ  tile8
	CMPQ AX, $9
	JEQ  tile9
	CMPQ AX, $10
	JEQ  tile10
	CMPQ AX, $11
	JEQ  tile11
	TILE(tile12, loop12, VPDPWSSD, INIT12, ROWS12, FINISH12)
	TILE(tile11, loop11, VPDPWSSD, INIT11, ROWS11, FINISH11)
	TILE(tile10, loop10, VPDPWSSD, INIT10, ROWS10, FINISH10)
	TILE(tile9, loop9, VPDPWSSD, INIT9, ROWS9, FINISH9)
	TILE(tile8, loop8, VPDPWSSD, INIT8, ROWS8, FINISH8)
	TILE(tile7, loop7, VPDPWSSD, INIT7, ROWS7, FINISH7)
	TILE(tile6, loop6, VPDPWSSD, INIT6, ROWS6, FINISH6)
	TILE(tile5, loop5, VPDPWSSD, INIT5, ROWS5, FINISH5)
	TILE(tile4, loop4, VPDPWSSD, INIT4, ROWS4, FINISH4)
	TILE(tile3, loop3, VPDPWSSD, INIT3, ROWS3, FINISH3)
	TILE(tile2, loop2, VPDPWSSD, INIT2, ROWS2, FINISH2)
	TILE(tile1, loop1, VPDPWSSD, INIT1, ROWS1, FINISH1)
