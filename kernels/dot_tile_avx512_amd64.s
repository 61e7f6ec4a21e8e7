//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// The tile of 6 rows of activations by 32 outputs with AVX-512 VNNI. Every instruction but loads shares two
// ports; per group of 32 and register of 16 sums those are 8 VPDPBUSD and 2 fused operations, so 80 % of the
// time can go to VPDPBUSD. dot_tile_amd64.go tells how the two come about.
//
//	DX          activations of a group: 40 bytes a row; scale at 0, start at 4, 32 codes from 8 on
//	SI R10      levels of the two panels      R11 R12  their scales      CX  groups left
//	Z0..Z11     row t: sums as float32, Z(2t) and Z(2t+1)
//	Z12..Z23    row t: sums of the group, Z(12+2t) and Z(13+2t)
//	Z24 Z25     levels    Z26 four codes of a row
//	Z28 Z29     scales    Z30 Z31 tileMagic times scales

#define TSTART(act, a, b) \
	VPBROADCASTD act+4(DX), a \
	VPBROADCASTD act+4(DX), b

#define TDOT(off, a, b) \
	VPBROADCASTD off(DX), Z26 \
	VPDPBUSD Z26, Z24, a \
	VPDPBUSD Z26, Z25, b

#define TFLUSH(act, a, b, fa, fb) \
	VFMSUB213PS Z30, Z28, a \
	VFMSUB213PS Z31, Z29, b \
	VFMADD231PS.BCST act(DX), a, fa \
	VFMADD231PS.BCST act(DX), b, fb

#define TLOAD(row, fa, fb) \
	VMOVUPS row*128(BX), fa \
	VMOVUPS row*128+64(BX), fb

#define TSTORE(fa, fb) \
	VMULPS Z24, fa, fa \
	VMULPS Z25, fb, fb \
	VMOVUPS fa, (DI) \
	VMOVUPS fb, 64(DI) \
	ADDQ R13, DI

#define START1 TSTART(0, Z12, Z13)
#define START2 START1; TSTART(40, Z14, Z15)
#define START3 START2; TSTART(80, Z16, Z17)
#define START4 START3; TSTART(120, Z18, Z19)
#define START5 START4; TSTART(160, Z20, Z21)
#define START6 START5; TSTART(200, Z22, Z23)

#define DOT1(o) TDOT(o+0, Z12, Z13)
#define DOT2(o) DOT1(o); TDOT(o+40, Z14, Z15)
#define DOT3(o) DOT2(o); TDOT(o+80, Z16, Z17)
#define DOT4(o) DOT3(o); TDOT(o+120, Z18, Z19)
#define DOT5(o) DOT4(o); TDOT(o+160, Z20, Z21)
#define DOT6(o) DOT5(o); TDOT(o+200, Z22, Z23)

#define FLUSH1 TFLUSH(0, Z12, Z13, Z0, Z1)
#define FLUSH2 FLUSH1; TFLUSH(40, Z14, Z15, Z2, Z3)
#define FLUSH3 FLUSH2; TFLUSH(80, Z16, Z17, Z4, Z5)
#define FLUSH4 FLUSH3; TFLUSH(120, Z18, Z19, Z6, Z7)
#define FLUSH5 FLUSH4; TFLUSH(160, Z20, Z21, Z8, Z9)
#define FLUSH6 FLUSH5; TFLUSH(200, Z22, Z23, Z10, Z11)

#define LOAD1 TLOAD(0, Z0, Z1)
#define LOAD2 LOAD1; TLOAD(1, Z2, Z3)
#define LOAD3 LOAD2; TLOAD(2, Z4, Z5)
#define LOAD4 LOAD3; TLOAD(3, Z6, Z7)
#define LOAD5 LOAD4; TLOAD(4, Z8, Z9)
#define LOAD6 LOAD5; TLOAD(5, Z10, Z11)

#define STORE1 TSTORE(Z0, Z1)
#define STORE2 STORE1; TSTORE(Z2, Z3)
#define STORE3 STORE2; TSTORE(Z4, Z5)
#define STORE4 STORE3; TSTORE(Z6, Z7)
#define STORE5 STORE4; TSTORE(Z8, Z9)
#define STORE6 STORE5; TSTORE(Z10, Z11)

#define QUAD(line, off, dot) \
	VMOVDQU64 line(SI), Z24 \
	VMOVDQU64 line(R10), Z25 \
	dot(off)

#define TILE(label, rows, load, start, dot, flush, store) \
	load \
	PCALIGN $64 \
label: \
	start \
	PREFETCHT0 2048(DX) \
	PREFETCHT0 2112(DX) \
	PREFETCHT0 2176(DX) \
	PREFETCHT0 2240(DX) \
	QUAD(0, 8, dot) \
	QUAD(64, 12, dot) \
	QUAD(128, 16, dot) \
	QUAD(192, 20, dot) \
	QUAD(256, 24, dot) \
	QUAD(320, 28, dot) \
	QUAD(384, 32, dot) \
	QUAD(448, 36, dot) \
	VMOVUPS (R11), Z28 \
	VMOVUPS (R12), Z29 \
	VMOVUPS 64(R11), Z30 \
	VMOVUPS 64(R12), Z31 \
	flush \
	ADDQ $const_expandedLevels, SI \
	ADDQ $const_expandedLevels, R10 \
	ADDQ $const_expandedScales, R11 \
	ADDQ $const_expandedScales, R12 \
	ADDQ $(40*rows), DX \
	DECQ CX \
	JNZ label \
	MOVQ tileArgs_factors(AX), SI \
	MOVQ (tileArgs_factors+8)(AX), R10 \
	VMOVUPS (SI), Z24 \
	VMOVUPS (R10), Z25 \
	store \
	VZEROUPPER \
	RET

// func dotTileAVX512(args *tileArgs)
TEXT ·dotTileAVX512(SB), NOSPLIT, $0-8
	MOVQ args+0(FP), AX
	MOVQ tileArgs_rows(AX), R8
	MOVQ tileArgs_dst(AX), DI
	MOVQ tileArgs_ldd(AX), R13
	MOVQ tileArgs_sums(AX), BX
	MOVQ tileArgs_acts(AX), DX
	MOVQ tileArgs_levels(AX), SI
	MOVQ (tileArgs_levels+8)(AX), R10
	MOVQ tileArgs_scales(AX), R11
	MOVQ (tileArgs_scales+8)(AX), R12
	MOVQ tileArgs_groups(AX), CX
	CMPQ R8, $6
	JEQ six
	CMPQ R8, $5
	JEQ five
	CMPQ R8, $4
	JEQ four
	CMPQ R8, $3
	JEQ three
	CMPQ R8, $2
	JEQ two
	TILE(tile1, 1, LOAD1, START1, DOT1, FLUSH1, STORE1)
two:
	TILE(tile2, 2, LOAD2, START2, DOT2, FLUSH2, STORE2)
three:
	TILE(tile3, 3, LOAD3, START3, DOT3, FLUSH3, STORE3)
four:
	TILE(tile4, 4, LOAD4, START4, DOT4, FLUSH4, STORE4)
five:
	TILE(tile5, 5, LOAD5, START5, DOT5, FLUSH5, STORE5)
six:
	TILE(tile6, 6, LOAD6, START6, DOT6, FLUSH6, STORE6)
