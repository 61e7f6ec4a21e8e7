//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"
#include "vex_amd64.h"

// The tile of dot_tile_amd64.go with AVX-VNNI: one of its two panels, up to three rows of activations at a time.
//
//	R13         activations of a group: 40 bytes a row, R14 bytes a group
//	SI          levels of the panel    R11  its scales    CX  groups left
//	Y0..Y5      row t: sums as float32, Y(2t) and Y(2t+1)
//	Y6..Y11     row t: sums of the group, Y(6+2t) and Y(7+2t)
//	Y12 Y13     levels or scales       Y14  codes or scale of a row

#define TDOT(off, a, b) \
	VPBROADCASTD off(R13), Y14 \
	VPDPBUSDY(14, 12, a) \
	VPDPBUSDY(14, 13, b)

#define TSTART(act, a, b) \
	VPBROADCASTD act+4(R13), a \
	VPBROADCASTD act+4(R13), b

#define TFLUSH(act, a, b, fa, fb) \
	VFMSUB213PS 64(R11), Y12, a \
	VFMSUB213PS 96(R11), Y13, b \
	VBROADCASTSS act(R13), Y14 \
	VFMADD231PS Y14, a, fa \
	VFMADD231PS Y14, b, fb

#define TLOAD(row, fa, fb) \
	VMOVUPS row*128(R9), fa \
	VMOVUPS row*128+32(R9), fb

#define TSTORE(fa, fb) \
	VMULPS Y12, fa, fa \
	VMULPS Y13, fb, fb \
	VMOVUPS fa, (DI) \
	VMOVUPS fb, 32(DI) \
	ADDQ R12, DI

#define START1 TSTART(0, Y6, Y7)
#define START2 START1; TSTART(40, Y8, Y9)
#define START3 START2; TSTART(80, Y10, Y11)

#define DOT1(o) TDOT(o+0, 6, 7)
#define DOT2(o) DOT1(o); TDOT(o+40, 8, 9)
#define DOT3(o) DOT2(o); TDOT(o+80, 10, 11)

#define FLUSH1 TFLUSH(0, Y6, Y7, Y0, Y1)
#define FLUSH2 FLUSH1; TFLUSH(40, Y8, Y9, Y2, Y3)
#define FLUSH3 FLUSH2; TFLUSH(80, Y10, Y11, Y4, Y5)

#define LOAD1 TLOAD(0, Y0, Y1)
#define LOAD2 LOAD1; TLOAD(1, Y2, Y3)
#define LOAD3 LOAD2; TLOAD(2, Y4, Y5)

#define STORE1 TSTORE(Y0, Y1)
#define STORE2 STORE1; TSTORE(Y2, Y3)
#define STORE3 STORE2; TSTORE(Y4, Y5)

#define QUAD(line, off, dot) \
	VMOVDQU line(SI), Y12 \
	VMOVDQU line+32(SI), Y13 \
	dot(off)

// TILE computes rows rows and goes on with those that are left.
#define TILE(label, rows, load, start, dot, flush, store) \
	load \
	PCALIGN $64 \
label: \
	start \
	QUAD(0, 8, dot) \
	QUAD(64, 12, dot) \
	QUAD(128, 16, dot) \
	QUAD(192, 20, dot) \
	QUAD(256, 24, dot) \
	QUAD(320, 28, dot) \
	QUAD(384, 32, dot) \
	QUAD(448, 36, dot) \
	VMOVUPS (R11), Y12 \
	VMOVUPS 32(R11), Y13 \
	flush \
	ADDQ $const_expandedLevels, SI \
	ADDQ $const_expandedScales, R11 \
	ADDQ R14, R13 \
	DECQ CX \
	JNZ label \
	MOVQ tileArgs_factors(AX)(BX*8), SI \
	VMOVUPS (SI), Y12 \
	VMOVUPS 32(SI), Y13 \
	store \
	ADDQ $(128*rows), R9 \
	ADDQ $(40*rows), DX \
	SUBQ $rows, R10 \
	JMP next

// func dotTileAVXVNNI(args *tileArgs, panel int)
TEXT ·dotTileAVXVNNI(SB), NOSPLIT, $0-16
	MOVQ args+0(FP), AX
	MOVQ panel+8(FP), BX
	MOVQ tileArgs_dst(AX), DI
	MOVQ tileArgs_sums(AX), R9
	MOVQ BX, CX
	SHLQ $6, CX
	ADDQ CX, DI
	ADDQ CX, R9
	MOVQ tileArgs_ldd(AX), R12
	MOVQ tileArgs_acts(AX), DX
	MOVQ tileArgs_rows(AX), R10
	IMUL3Q $40, R10, R14
next:
	MOVQ tileArgs_levels(AX)(BX*8), SI
	MOVQ tileArgs_scales(AX)(BX*8), R11
	MOVQ tileArgs_groups(AX), CX
	MOVQ DX, R13
	CMPQ R10, $4 // 2 + 2 rows
	JEQ two
	CMPQ R10, $3
	JGE three
	CMPQ R10, $2
	JEQ two
	CMPQ R10, $1
	JEQ one
	VZEROUPPER
	RET
one:
	TILE(tile1, 1, LOAD1, START1, DOT1, FLUSH1, STORE1)
two:
	TILE(tile2, 2, LOAD2, START2, DOT2, FLUSH2, STORE2)
three:
	TILE(tile3, 3, LOAD3, START3, DOT3, FLUSH3, STORE3)
