//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

#define CONSTD(x, z) MOVL $x, BX; VPBROADCASTD BX, z

// A tile of up to 12 outputs by one panel of filters with AVX-512 VNNI: dot_tile_amd64.go has the arithmetic. Each group of a
// receptive field is quantized; where it lies, for the first output, stands in a list, and the other outputs' follow at a fixed distance.
//
//	AX  the tile's description     CX  groups left     R12  list of groups     DI  the group's place, in blocks
//	SI  levels                     R11 scales
//	R8 R9 R10 R15  outputs 0, 3, 6, 9: their pairs, then their codes      BX R13  distances of pairs and codes
//
// Z0..Z11 outputs as float32, Z12..Z23 sums of the group, Z24 levels, Z28 scales, Z30 tileMagic times scales; then Z24 row scales, Z25
// bias, Z26..Z28 lo, hi, slope, Z29 products. K1 is the columns that exist.

#define OUTPUTS(step) \
	LEAQ (step)(step*2), DX; \
	LEAQ (R8)(DX*1), R9; \
	LEAQ (R9)(DX*1), R10; \
	LEAQ (R10)(DX*1), R15

#define ZERO(c) VPXORD c, c, c

#define EACH_1(F) F(Z0)
#define EACH_2(F) EACH_1(F); F(Z1)
#define EACH_3(F) EACH_2(F); F(Z2)
#define EACH_4(F) EACH_3(F); F(Z3)
#define EACH_5(F) EACH_4(F); F(Z4)
#define EACH_6(F) EACH_5(F); F(Z5)
#define EACH_7(F) EACH_6(F); F(Z6)
#define EACH_8(F) EACH_7(F); F(Z7)
#define EACH_9(F) EACH_8(F); F(Z8)
#define EACH_10(F) EACH_9(F); F(Z9)
#define EACH_11(F) EACH_10(F); F(Z10)
#define EACH_12(F) EACH_11(F); F(Z11)

#define START_1 VPBROADCASTD (R8), Z12
#define START_2 START_1; VPBROADCASTD (R8)(BX*1), Z13
#define START_3 START_2; VPBROADCASTD (R8)(BX*2), Z14
#define START_4 START_3; VPBROADCASTD (R9), Z15
#define START_5 START_4; VPBROADCASTD (R9)(BX*1), Z16
#define START_6 START_5; VPBROADCASTD (R9)(BX*2), Z17
#define START_7 START_6; VPBROADCASTD (R10), Z18
#define START_8 START_7; VPBROADCASTD (R10)(BX*1), Z19
#define START_9 START_8; VPBROADCASTD (R10)(BX*2), Z20
#define START_10 START_9; VPBROADCASTD (R15), Z21
#define START_11 START_10; VPBROADCASTD (R15)(BX*1), Z22
#define START_12 START_11; VPBROADCASTD (R15)(BX*2), Z23

#define DOT_1(o) VPDPBUSD.BCST o(R8), Z24, Z12
#define DOT_2(o) DOT_1(o); VPDPBUSD.BCST o(R8)(R13*1), Z24, Z13
#define DOT_3(o) DOT_2(o); VPDPBUSD.BCST o(R8)(R13*2), Z24, Z14
#define DOT_4(o) DOT_3(o); VPDPBUSD.BCST o(R9), Z24, Z15
#define DOT_5(o) DOT_4(o); VPDPBUSD.BCST o(R9)(R13*1), Z24, Z16
#define DOT_6(o) DOT_5(o); VPDPBUSD.BCST o(R9)(R13*2), Z24, Z17
#define DOT_7(o) DOT_6(o); VPDPBUSD.BCST o(R10), Z24, Z18
#define DOT_8(o) DOT_7(o); VPDPBUSD.BCST o(R10)(R13*1), Z24, Z19
#define DOT_9(o) DOT_8(o); VPDPBUSD.BCST o(R10)(R13*2), Z24, Z20
#define DOT_10(o) DOT_9(o); VPDPBUSD.BCST o(R15), Z24, Z21
#define DOT_11(o) DOT_10(o); VPDPBUSD.BCST o(R15)(R13*1), Z24, Z22
#define DOT_12(o) DOT_11(o); VPDPBUSD.BCST o(R15)(R13*2), Z24, Z23

#define FLUSH_1 VFMSUB213PS Z30, Z28, Z12; VFMADD231PS.BCST (R8), Z12, Z0
#define FLUSH_2 FLUSH_1; VFMSUB213PS Z30, Z28, Z13; VFMADD231PS.BCST (R8)(BX*1), Z13, Z1
#define FLUSH_3 FLUSH_2; VFMSUB213PS Z30, Z28, Z14; VFMADD231PS.BCST (R8)(BX*2), Z14, Z2
#define FLUSH_4 FLUSH_3; VFMSUB213PS Z30, Z28, Z15; VFMADD231PS.BCST (R9), Z15, Z3
#define FLUSH_5 FLUSH_4; VFMSUB213PS Z30, Z28, Z16; VFMADD231PS.BCST (R9)(BX*1), Z16, Z4
#define FLUSH_6 FLUSH_5; VFMSUB213PS Z30, Z28, Z17; VFMADD231PS.BCST (R9)(BX*2), Z17, Z5
#define FLUSH_7 FLUSH_6; VFMSUB213PS Z30, Z28, Z18; VFMADD231PS.BCST (R10), Z18, Z6
#define FLUSH_8 FLUSH_7; VFMSUB213PS Z30, Z28, Z19; VFMADD231PS.BCST (R10)(BX*1), Z19, Z7
#define FLUSH_9 FLUSH_8; VFMSUB213PS Z30, Z28, Z20; VFMADD231PS.BCST (R10)(BX*2), Z20, Z8
#define FLUSH_10 FLUSH_9; VFMSUB213PS Z30, Z28, Z21; VFMADD231PS.BCST (R15), Z21, Z9
#define FLUSH_11 FLUSH_10; VFMSUB213PS Z30, Z28, Z22; VFMADD231PS.BCST (R15)(BX*1), Z22, Z10
#define FLUSH_12 FLUSH_11; VFMSUB213PS Z30, Z28, Z23; VFMADD231PS.BCST (R15)(BX*2), Z23, Z11

#define LINE(line, o, DOT) \
	VMOVDQU64 line(SI), Z24; \
	DOT(o)

#define SCALE(c) VMULPS Z24, c, c

#define BIAS(c) VADDPS Z25, c, c

#define ADDZ(c) \
	VADDPS (R8), c, K1, c; \
	ADDQ BX, R8

#define LEAKY(c) \
	VMULPS Z28, c, Z29; \
	VMAXPS c, Z29, c

#define BOUNDS(c) \
	VMAXPS Z26, c, c; \
	VMINPS Z27, c, c

#define STORE(c) \
	VMOVUPS c, K1, (DI); \
	ADDQ BX, DI

#define TILE(group, summed, straight, store, EACH, START, DOT, FLUSH) \
	EACH(ZERO); \
	PCALIGN $64; \
group: \
	MOVQ (R12), DI; \
	MOVQ blockTile_pairs(AX), R8; \
	LEAQ 4(R8)(DI*8), R8; \
	OUTPUTS(BX); \
	START; \
	MOVQ DI, R8; \
	SHLQ $5, R8; \
	ADDQ blockTile_codes(AX), R8; \
	OUTPUTS(R13); \
	LINE(0, 0, DOT); \
	LINE(64, 4, DOT); \
	LINE(128, 8, DOT); \
	LINE(192, 12, DOT); \
	LINE(256, 16, DOT); \
	LINE(320, 20, DOT); \
	LINE(384, 24, DOT); \
	LINE(448, 28, DOT); \
	MOVQ blockTile_pairs(AX), R8; \
	LEAQ (R8)(DI*8), R8; \
	OUTPUTS(BX); \
	VMOVUPS (R11), Z28; \
	VMOVUPS 64(R11), Z30; \
	FLUSH; \
	ADDQ $8, R12; \
	ADDQ $const_expandedLevels, SI; \
	ADDQ $const_expandedScales, R11; \
	DECQ CX; \
	JNZ group; \
	MOVQ blockTile_factors(AX), SI; \
	VMOVUPS (SI), Z24; \
	EACH(SCALE); \
	MOVQ blockTile_bias(AX), SI; \
	VMOVUPS (SI), Z25; \
	EACH(BIAS); \
	MOVQ blockTile_dst(AX), DI; \
	MOVQ blockTile_ldd(AX), BX; \
	MOVL blockTile_act(AX), CX; \
	MOVL blockTile_mask(AX), DX; \
	KMOVW DX, K1; \
	MOVQ blockTile_z(AX), R8; \
	TESTQ R8, R8; \
	JZ summed; \
	EACH(ADDZ); \
summed: \
	TESTL $const_tileLeaky, CX; \
	JZ straight; \
	VBROADCASTSS blockTile_slope(AX), Z28; \
	EACH(LEAKY); \
straight: \
	TESTL $const_tileBounded, CX; \
	JZ store; \
	VBROADCASTSS blockTile_lo(AX), Z26; \
	VBROADCASTSS blockTile_hi(AX), Z27; \
	EACH(BOUNDS); \
store: \
	EACH(STORE); \
	VZEROUPPER; \
	RET

// func blockTileAVX512(t *blockTile)
TEXT ·blockTileAVX512(SB), NOSPLIT, $0-8
	MOVQ t+0(FP), AX
	MOVQ blockTile_offsets(AX), R12
	MOVQ blockTile_levels(AX), SI
	MOVQ blockTile_scales(AX), R11
	MOVQ blockTile_groups(AX), CX
	MOVQ blockTile_pairStep(AX), BX
	MOVQ blockTile_codeStep(AX), R13
	MOVQ blockTile_rows(AX), DX
	CMPQ DX, $12
	JEQ rows12
	CMPQ DX, $11
	JEQ rows11
	CMPQ DX, $10
	JEQ rows10
	CMPQ DX, $9
	JEQ rows9
	CMPQ DX, $8
	JEQ rows8
	CMPQ DX, $7
	JEQ rows7
	CMPQ DX, $6
	JEQ rows6
	CMPQ DX, $5
	JEQ rows5
	CMPQ DX, $4
	JEQ rows4
	CMPQ DX, $3
	JEQ rows3
	CMPQ DX, $2
	JEQ rows2
	TILE(group1, summed1, straight1, store1, EACH_1, START_1, DOT_1, FLUSH_1)
rows2:
	TILE(group2, summed2, straight2, store2, EACH_2, START_2, DOT_2, FLUSH_2)
rows3:
	TILE(group3, summed3, straight3, store3, EACH_3, START_3, DOT_3, FLUSH_3)
rows4:
	TILE(group4, summed4, straight4, store4, EACH_4, START_4, DOT_4, FLUSH_4)
rows5:
	TILE(group5, summed5, straight5, store5, EACH_5, START_5, DOT_5, FLUSH_5)
rows6:
	TILE(group6, summed6, straight6, store6, EACH_6, START_6, DOT_6, FLUSH_6)
rows7:
	TILE(group7, summed7, straight7, store7, EACH_7, START_7, DOT_7, FLUSH_7)
rows8:
	TILE(group8, summed8, straight8, store8, EACH_8, START_8, DOT_8, FLUSH_8)
rows9:
	TILE(group9, summed9, straight9, store9, EACH_9, START_9, DOT_9, FLUSH_9)
rows10:
	TILE(group10, summed10, straight10, store10, EACH_10, START_10, DOT_10, FLUSH_10)
rows11:
	TILE(group11, summed11, straight11, store11, EACH_11, START_11, DOT_11, FLUSH_11)
rows12:
	TILE(group12, summed12, straight12, store12, EACH_12, START_12, DOT_12, FLUSH_12)

DATA blockOrder<>+0(SB)/4, $0
DATA blockOrder<>+4(SB)/4, $4
DATA blockOrder<>+8(SB)/4, $8
DATA blockOrder<>+12(SB)/4, $12
DATA blockOrder<>+16(SB)/4, $1
DATA blockOrder<>+20(SB)/4, $5
DATA blockOrder<>+24(SB)/4, $9
DATA blockOrder<>+28(SB)/4, $13
DATA blockOrder<>+32(SB)/4, $2
DATA blockOrder<>+36(SB)/4, $6
DATA blockOrder<>+40(SB)/4, $10
DATA blockOrder<>+44(SB)/4, $14
DATA blockOrder<>+48(SB)/4, $3
DATA blockOrder<>+52(SB)/4, $7
DATA blockOrder<>+56(SB)/4, $11
DATA blockOrder<>+60(SB)/4, $15
GLOBL blockOrder<>(SB), RODATA|NOPTR, $64

// Where the pairs of pixels 0..7 and 8..15 lie in two vectors that hold those of 0, 1, 4, 5, 8, 9, 12, 13 and of the others.
DATA blockPairs<>+0(SB)/8, $0
DATA blockPairs<>+8(SB)/8, $1
DATA blockPairs<>+16(SB)/8, $8
DATA blockPairs<>+24(SB)/8, $9
DATA blockPairs<>+32(SB)/8, $2
DATA blockPairs<>+40(SB)/8, $3
DATA blockPairs<>+48(SB)/8, $10
DATA blockPairs<>+56(SB)/8, $11
DATA blockPairs<>+64(SB)/8, $4
DATA blockPairs<>+72(SB)/8, $5
DATA blockPairs<>+80(SB)/8, $12
DATA blockPairs<>+88(SB)/8, $13
DATA blockPairs<>+96(SB)/8, $6
DATA blockPairs<>+104(SB)/8, $7
DATA blockPairs<>+112(SB)/8, $14
DATA blockPairs<>+120(SB)/8, $15
GLOBL blockPairs<>(SB), RODATA|NOPTR, $128

// Sixteen groups at a time: the sixteen largest magnitudes by turning and halving, the divisions at once, then two groups at a time are
// scaled, packed and stored, and their sums turned and halved.
//
//	AX  the run's description      CX  blocks left
//	SI DX  the two halves of a group     BX R10  distances of pixels     R9 R11  three times those
//	R8 R12 SI and DX of the block        DI R13  codes, pairs
//
// Z31 magnitude mask, Z29 127, Z28 bytes of LevelZero, Z27 order of packed dwords, Z26 tileMagic, Z25 below minActMax, Z24 the
// largest finite number, Z23 Z22 order of pairs, Z17 scales. K3 gathers what is not finite.

#define MAGNITUDES(x0, x1, z) \
	VPANDD x0, Z31, z \
	VPANDD x1, Z31, Z30 \
	VPMAXUD Z30, z, z

#define HALVE(SHUFFLE1, SHUFFLE2, OP, a, b, out) \
	SHUFFLE1 b, a, Z30 \
	SHUFFLE2 b, a, out \
	OP Z30, out, out

#define FIRSTLANES VSHUFI32X4 $0x88,
#define LASTLANES VSHUFI32X4 $0xdd,
#define FIRSTHALVES VSHUFPS $0x88,
#define LASTHALVES VSHUFPS $0xdd,

#define MAGNITUDES4(out) \
	MAGNITUDES((SI), (DX), Z0) \
	MAGNITUDES((SI)(BX*1), (DX)(R10*1), Z1) \
	MAGNITUDES((SI)(BX*2), (DX)(R10*2), Z2) \
	MAGNITUDES((SI)(R9*1), (DX)(R11*1), Z3) \
	LEAQ (SI)(BX*4), SI \
	LEAQ (DX)(R10*4), DX \
	HALVE(VPUNPCKLDQ, VPUNPCKHDQ, VPMAXUD, Z0, Z1, Z4) \
	HALVE(VPUNPCKLDQ, VPUNPCKHDQ, VPMAXUD, Z2, Z3, Z5) \
	HALVE(VPUNPCKLQDQ, VPUNPCKHQDQ, VPMAXUD, Z4, Z5, out)

#define CODES2(i, sum) \
	VBROADCASTSS (blockRun_inverse+4*i)(AX), Z0 \
	VBROADCASTSS (blockRun_inverse+4*i+4)(AX), Z1 \
	VMULPS (SI), Z0, Z2 \
	VMULPS (DX), Z0, Z3 \
	VMULPS (SI)(BX*1), Z1, Z4 \
	VMULPS (DX)(R10*1), Z1, Z5 \
	VCVTPS2DQ Z2, Z2 \
	VCVTPS2DQ Z3, Z3 \
	VCVTPS2DQ Z4, Z4 \
	VCVTPS2DQ Z5, Z5 \
	VPACKSSDW Z3, Z2, Z2 \
	VPACKSSDW Z5, Z4, Z4 \
	VPACKSSWB Z4, Z2, Z2 \
	VPXORD sum, sum, sum \
	VPDPBUSD Z2, Z28, sum \
	VPERMD Z2, Z27, Z2 \
	VMOVDQU64 Z2, (32*i)(DI) \
	LEAQ (SI)(BX*2), SI \
	LEAQ (DX)(R10*2), DX

// func blockRunAVX512(r *blockRun)
TEXT ·blockRunAVX512(SB), NOSPLIT, $0-8
	MOVQ r+0(FP), AX
	CONSTD(0x7fffffff, Z31)
	CONSTD(0x42fe0000, Z29)
	CONSTD(0x40404040, Z28)
	CONSTD(const_tileMagicBits, Z26)
	CONSTD(const_minActMaxBits-1, Z25)
	CONSTD(0x7f7fffff, Z24)
	VMOVDQU64 blockOrder<>(SB), Z27
	VMOVDQU64 blockPairs<>(SB), Z23
	VMOVDQU64 blockPairs<>+64(SB), Z22
	KXORW K3, K3, K3
	MOVQ blockRun_codes(AX), DI
	MOVQ blockRun_pairs(AX), R13
	MOVQ blockRun_first(AX), SI
	MOVQ blockRun_second(AX), DX
	MOVQ blockRun_ld(AX), BX
	MOVQ blockRun_ldSecond(AX), R10
	MOVQ blockRun_blocks(AX), CX
	LEAQ (BX)(BX*2), R9
	LEAQ (R10)(R10*2), R11
block:
	MOVQ SI, R8
	MOVQ DX, R12
	MAGNITUDES4(Z16)
	MAGNITUDES4(Z18)
	MAGNITUDES4(Z19)
	MAGNITUDES4(Z20)
	HALVE(FIRSTLANES, LASTLANES, VPMAXUD, Z16, Z18, Z16)
	HALVE(FIRSTLANES, LASTLANES, VPMAXUD, Z19, Z20, Z19)
	HALVE(FIRSTLANES, LASTLANES, VPMAXUD, Z16, Z19, Z16)
	VPCMPGTD Z25, Z16, K1
	VPCMPGTD Z24, Z16, K2
	KORW K2, K3, K3
	VDIVPS.Z Z16, Z29, K1, Z0 // 127 / m
	VMOVUPS Z0, blockRun_inverse(AX)
	VDIVPS Z29, Z16, Z17 // m / 127
	MOVQ R8, SI
	MOVQ R12, DX
	CODES2(0, Z8)
	CODES2(2, Z9)
	CODES2(4, Z10)
	CODES2(6, Z11)
	CODES2(8, Z12)
	CODES2(10, Z13)
	CODES2(12, Z14)
	CODES2(14, Z15)
	HALVE(FIRSTHALVES, LASTHALVES, VPADDD, Z8, Z9, Z8)
	HALVE(FIRSTHALVES, LASTHALVES, VPADDD, Z10, Z11, Z10)
	HALVE(FIRSTHALVES, LASTHALVES, VPADDD, Z12, Z13, Z12)
	HALVE(FIRSTHALVES, LASTHALVES, VPADDD, Z14, Z15, Z14)
	HALVE(FIRSTLANES, LASTLANES, VPADDD, Z8, Z10, Z8)
	HALVE(FIRSTLANES, LASTLANES, VPADDD, Z12, Z14, Z12)
	HALVE(FIRSTLANES, LASTLANES, VPADDD, Z8, Z12, Z8)
	VPSUBD Z8, Z26, Z8
	VPUNPCKLDQ Z8, Z17, Z0
	VPUNPCKHDQ Z8, Z17, Z1
	VMOVDQA64 Z0, Z2
	VPERMT2Q Z1, Z23, Z0
	VPERMT2Q Z1, Z22, Z2
	VMOVUPS Z0, (R13)
	VMOVUPS Z2, 64(R13)
	ADDQ $512, DI
	ADDQ $128, R13
	DECQ CX
	JNZ block
	KMOVW K3, CX
	MOVL CX, blockRun_wild(AX)
	VZEROUPPER
	RET

// func gatherFieldsAVX2(dst, x *float32, pieces *fieldPiece, count, fields, step, pixel, tail int)
TEXT ·gatherFieldsAVX2(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ pieces+16(FP), DX
	MOVQ fields+32(FP), R8
	MOVQ step+40(FP), R9
	MOVQ pixel+48(FP), R10
	MOVQ tail+56(FP), R11
	VPXOR Y0, Y0, Y0
field:
	MOVQ DX, R12
	MOVQ count+24(FP), CX
piece:
	MOVQ fieldPiece_from(R12), AX
	MOVQ fieldPiece_to(R12), BX
	VMOVUPS (SI)(AX*4), Y1
	VMOVUPS 32(SI)(AX*4), Y2
	VMOVUPS Y1, (DI)(BX*4)
	VMOVUPS Y2, 32(DI)(BX*4)
	ADDQ $fieldPiece__size, R12
	DECQ CX
	JNZ piece
	MOVQ R11, BX
zeros:
	CMPQ BX, R10
	JGE next
	VMOVUPS Y0, (DI)(BX*1)
	ADDQ $32, BX
	JMP zeros
next:
	ADDQ R9, SI
	ADDQ R10, DI
	DECQ R8
	JNZ field
	VZEROUPPER
	RET
