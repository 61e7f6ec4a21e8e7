//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// Products of quantized panels with AVX-512 VNNI. block.go has the layout, dot_generic.go
// the arithmetic: exact integers per group, then t = sum*scale and acc = fma(t, actScale, acc).
//
// An actBlock is 40 bytes: scale at 0, sum at 4, 32 codes from 8 on.

#define CONSTD(x, z) MOVL $x, BX; VPBROADCASTD BX, z

// What the routines that expand a panel keep in registers.
//	SI panel, R9 offset of codes, R10 groups
//	Z31 levels, Z29 offset, Z28 shifted offset, Z27 TableBit, Z26 MaxScale
#define PANELSETUP \
	MOVQ args+0(FP), AX \
	MOVQ gemvArgs_panel(AX), SI \
	MOVQ gemvArgs_lut(AX), R11 \
	MOVQ gemvArgs_codes(AX), R9 \
	MOVQ gemvArgs_groups(AX), R10 \
	VMOVDQU64 panelLUT_code(R11), Z31 \
	VPBROADCASTD panelLUT_offset(R11), Z29 \
	VPBROADCASTD panelLUT_shifted(R11), Z28 \
	CONSTD(0x80, Z27) \
	CONSTD(0x7f, Z26)

// SCALES reads the 16 scale bytes at R11: Z1 = scales as float32, Z2 = offsets.
#define SCALES \
	VPMOVZXBD (R11), Z1 \
	VPTESTMD Z27, Z1, K1 \
	VPANDD Z26, Z1, Z1 \
	VCVTDQ2PS Z1, Z1 \
	VPBLENDMD Z28, Z29, K1, Z2

// D2LINE leaves the levels of the four quads of a line in Z6..Z9.
#define D2LINE(line) \
	VMOVDQU64 line(R12), Z6 \
	VPSRLW $2, Z6, Z7 \
	VPSRLW $4, Z6, Z8 \
	VPSRLW $6, Z6, Z9 \
	VPANDD Z30, Z6, Z6 \
	VPANDD Z30, Z7, Z7 \
	VPANDD Z30, Z8, Z8 \
	VPANDD Z30, Z9, Z9 \
	VPSHUFB Z6, Z31, Z6 \
	VPSHUFB Z7, Z31, Z7 \
	VPSHUFB Z8, Z31, Z8 \
	VPSHUFB Z9, Z31, Z9

// D3LINE does the same for three bits: the low two from a line, bit 2 from the third
// line's bit h = 4*line+quad, brought in place in Z10..Z13. Z30 = 3 and Z25 = 7 in every byte;
// ternary 0xE4 picks low bits where Z30 is set and high bits elsewhere.
#define D3LINE(line) \
	VMOVDQU64 line(R12), Z6 \
	VPSRLW $2, Z6, Z7 \
	VPSRLW $4, Z6, Z8 \
	VPSRLW $6, Z6, Z9 \
	VPTERNLOGD $0xE4, Z30, Z10, Z6 \
	VPTERNLOGD $0xE4, Z30, Z11, Z7 \
	VPTERNLOGD $0xE4, Z30, Z12, Z8 \
	VPTERNLOGD $0xE4, Z30, Z13, Z9 \
	VPANDD Z25, Z6, Z6 \
	VPANDD Z25, Z7, Z7 \
	VPANDD Z25, Z8, Z8 \
	VPANDD Z25, Z9, Z9 \
	VPSHUFB Z6, Z31, Z6 \
	VPSHUFB Z7, Z31, Z7 \
	VPSHUFB Z8, Z31, Z8 \
	VPSHUFB Z9, Z31, Z9

#define D3HIGH0 \
	VMOVDQU64 128(R12), Z12 \
	VPSLLW $2, Z12, Z10 \
	VPSLLW $1, Z12, Z11 \
	VPSRLW $1, Z12, Z13

#define D3HIGH1 \
	VMOVDQU64 128(R12), Z13 \
	VPSRLW $2, Z13, Z10 \
	VPSRLW $3, Z13, Z11 \
	VPSRLW $4, Z13, Z12 \
	VPSRLW $5, Z13, Z13

// func expandScalesAVX512(args *gemvArgs)
TEXT ·expandScalesAVX512(SB), NOSPLIT, $0-8
	PANELSETUP
	MOVQ gemvArgs_scales(AX), DI
	LEAQ const_ScalesOffset(SI), R11
group:
	SCALES
	VMOVUPS Z1, (DI)
	VMOVDQU64 Z2, 64(DI)
	ADDQ $16, R11
	ADDQ $const_expandedScales, DI
	DECQ R10
	JNZ group
	VZEROUPPER
	RET

#define EXPANDSETUP \
	PANELSETUP \
	MOVQ gemvArgs_levels(AX), DI \
	LEAQ (SI)(R9*1), R12

#define EXPANDEND(bytes) \
	ADDQ $bytes, R12 \
	ADDQ $const_expandedLevels, DI \
	DECQ R10

#define D4EXPAND(line, out) \
	VMOVDQU64 line(R12), Z6 \
	VPSRLW $4, Z6, Z7 \
	VPANDD Z30, Z6, Z6 \
	VPANDD Z30, Z7, Z7 \
	VPSHUFB Z6, Z31, Z6 \
	VPSHUFB Z7, Z31, Z7 \
	VMOVDQU64 Z6, out(DI) \
	VMOVDQU64 Z7, out+64(DI)

#define QUADSOUT(out) \
	VMOVDQU64 Z6, out(DI) \
	VMOVDQU64 Z7, out+64(DI) \
	VMOVDQU64 Z8, out+128(DI) \
	VMOVDQU64 Z9, out+192(DI)

// func expandD4AVX512(args *gemvArgs)
TEXT ·expandD4AVX512(SB), NOSPLIT, $0-8
	EXPANDSETUP
	CONSTD(0x0f0f0f0f, Z30)
group:
	D4EXPAND(0, 0)
	D4EXPAND(64, 128)
	D4EXPAND(128, 256)
	D4EXPAND(192, 384)
	EXPANDEND(256)
	JNZ group
	VZEROUPPER
	RET

// func expandD2AVX512(args *gemvArgs)
TEXT ·expandD2AVX512(SB), NOSPLIT, $0-8
	EXPANDSETUP
	CONSTD(0x03030303, Z30)
group:
	D2LINE(0)
	QUADSOUT(0)
	D2LINE(64)
	QUADSOUT(256)
	EXPANDEND(128)
	JNZ group
	VZEROUPPER
	RET

// func expandD3AVX512(args *gemvArgs)
TEXT ·expandD3AVX512(SB), NOSPLIT, $0-8
	EXPANDSETUP
	CONSTD(0x03030303, Z30)
	CONSTD(0x07070707, Z25)
group:
	D3HIGH0
	D3LINE(0)
	QUADSOUT(0)
	D3HIGH1
	D3LINE(64)
	QUADSOUT(256)
	EXPANDEND(192)
	JNZ group
	VZEROUPPER
	RET

// The tile kernel: up to 6 rows of activations times 32 outputs.
//	DX row 0, R8 = DX + 3*R9, R9 stride: rows 0..5 are at (DX), (DX)(R9*1), (DX)(R9*2), (R8), ...
//	SI, R10 levels; R11, R12 scales of the two panels; CX groups
//	row t: float sums Z(2t), Z(2t+1); integer sums Z(12+2t), Z(13+2t)
//	Z24, Z25 levels or offsets, Z26 broadcast, Z28, Z29 scales

#define TSTART(act, a, b) \
	VPBROADCASTD 4 act, Z26 \
	VPMADDWD Z26, Z24, a \
	VPMADDWD Z26, Z25, b

#define TDOT(off, act, a, b) \
	VPBROADCASTD off act, Z26 \
	VPDPBUSD Z26, Z24, a \
	VPDPBUSD Z26, Z25, b

#define TFLUSH(act, a, b, fa, fb) \
	VCVTDQ2PS a, a \
	VCVTDQ2PS b, b \
	VMULPS Z28, a, a \
	VMULPS Z29, b, b \
	VBROADCASTSS (0) act, Z26 \
	VFMADD231PS Z26, a, fa \
	VFMADD231PS Z26, b, fb

#define TSTORE(fa, fb) \
	VMULPS Z24, fa, fa \
	VMULPS Z25, fb, fb \
	VMOVUPS fa, (DI) \
	VMOVUPS fb, 64(DI) \
	ADDQ R13, DI

#define START1 TSTART((DX), Z12, Z13)
#define START2 START1; TSTART((DX)(R9*1), Z14, Z15)
#define START3 START2; TSTART((DX)(R9*2), Z16, Z17)
#define START4 START3; TSTART((R8), Z18, Z19)
#define START5 START4; TSTART((R8)(R9*1), Z20, Z21)
#define START6 START5; TSTART((R8)(R9*2), Z22, Z23)

#define DOT1(o) TDOT(o, (DX), Z12, Z13)
#define DOT2(o) DOT1(o); TDOT(o, (DX)(R9*1), Z14, Z15)
#define DOT3(o) DOT2(o); TDOT(o, (DX)(R9*2), Z16, Z17)
#define DOT4(o) DOT3(o); TDOT(o, (R8), Z18, Z19)
#define DOT5(o) DOT4(o); TDOT(o, (R8)(R9*1), Z20, Z21)
#define DOT6(o) DOT5(o); TDOT(o, (R8)(R9*2), Z22, Z23)

#define FLUSH1 TFLUSH((DX), Z12, Z13, Z0, Z1)
#define FLUSH2 FLUSH1; TFLUSH((DX)(R9*1), Z14, Z15, Z2, Z3)
#define FLUSH3 FLUSH2; TFLUSH((DX)(R9*2), Z16, Z17, Z4, Z5)
#define FLUSH4 FLUSH3; TFLUSH((R8), Z18, Z19, Z6, Z7)
#define FLUSH5 FLUSH4; TFLUSH((R8)(R9*1), Z20, Z21, Z8, Z9)
#define FLUSH6 FLUSH5; TFLUSH((R8)(R9*2), Z22, Z23, Z10, Z11)

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

#define TILE(label, start, dot, flush, store) \
label: \
	VMOVUPS (R11), Z28 \
	VMOVUPS (R12), Z29 \
	VMOVDQU64 64(R11), Z24 \
	VMOVDQU64 64(R12), Z25 \
	start \
	QUAD(0, 8, dot) \
	QUAD(64, 12, dot) \
	QUAD(128, 16, dot) \
	QUAD(192, 20, dot) \
	QUAD(256, 24, dot) \
	QUAD(320, 28, dot) \
	QUAD(384, 32, dot) \
	QUAD(448, 36, dot) \
	flush \
	ADDQ $const_expandedLevels, SI \
	ADDQ $const_expandedLevels, R10 \
	ADDQ $const_expandedScales, R11 \
	ADDQ $const_expandedScales, R12 \
	ADDQ $40, DX \
	ADDQ $40, R8 \
	DECQ CX \
	JNZ label \
	MOVQ tileArgs_rowScales(AX), SI \
	MOVQ (tileArgs_rowScales+8)(AX), R10 \
	VMOVUPS (SI), Z24 \
	VMOVUPS (R10), Z25 \
	store \
	VZEROUPPER \
	RET

// func dotTileAVX512(args *tileArgs)
TEXT ·dotTileAVX512(SB), NOSPLIT, $0-8
	MOVQ args+0(FP), AX
	MOVQ tileArgs_dst(AX), DI
	MOVQ tileArgs_ldd(AX), R13
	MOVQ tileArgs_acts(AX), DX
	MOVQ tileArgs_actStride(AX), R9
	LEAQ (R9)(R9*2), R8
	ADDQ DX, R8
	MOVQ tileArgs_levels(AX), SI
	MOVQ (tileArgs_levels+8)(AX), R10
	MOVQ tileArgs_scales(AX), R11
	MOVQ (tileArgs_scales+8)(AX), R12
	MOVQ tileArgs_groups(AX), CX
	MOVQ tileArgs_rows(AX), BX
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	VPXORD Z4, Z4, Z4
	VPXORD Z5, Z5, Z5
	VPXORD Z6, Z6, Z6
	VPXORD Z7, Z7, Z7
	VPXORD Z8, Z8, Z8
	VPXORD Z9, Z9, Z9
	VPXORD Z10, Z10, Z10
	VPXORD Z11, Z11, Z11
	CMPQ BX, $6
	JEQ tile6
	CMPQ BX, $5
	JEQ tile5
	CMPQ BX, $4
	JEQ tile4
	CMPQ BX, $3
	JEQ tile3
	CMPQ BX, $2
	JEQ tile2
	TILE(tile1, START1, DOT1, FLUSH1, STORE1)
	TILE(tile2, START2, DOT2, FLUSH2, STORE2)
	TILE(tile3, START3, DOT3, FLUSH3, STORE3)
	TILE(tile4, START4, DOT4, FLUSH4, STORE4)
	TILE(tile5, START5, DOT5, FLUSH5, STORE5)
	TILE(tile6, START6, DOT6, FLUSH6, STORE6)
