// What the routines that read panels eight rows in a register share: with AVX2, and with AVX-VNNI.
// VMOVD, not MOVQ: a legacy SSE move with dirty upper halves stalls for hundreds of nanoseconds.

#define CONSTD(x, xreg, y) MOVL $x, BX; VMOVD BX, xreg; VPBROADCASTD xreg, y

// SI panel, R9 offset of codes, R10 groups, Y15 int16 ones, Y14 levels,
// Y12 offset, Y11 shifted offset
#define PANELSETUP \
	MOVQ args+0(FP), AX \
	MOVQ gemvArgs_panel(AX), SI \
	MOVQ gemvArgs_lut(AX), R11 \
	MOVQ gemvArgs_codes(AX), R9 \
	MOVQ gemvArgs_groups(AX), R10 \
	VMOVDQU panelLUT_code(R11), Y14 \
	VPBROADCASTD panelLUT_offset(R11), Y12 \
	VPBROADCASTD panelLUT_shifted(R11), Y11 \
	VPCMPEQW Y15, Y15, Y15 \
	VPSRLW $15, Y15, Y15

// FACTORS makes a, b the scales as float32.
#define FACTORS(a, b) \
	VPMOVZXBD (R11), a \
	VPMOVZXBD 8(R11), b \
	VPSLLD $25, a, a \
	VPSLLD $25, b, b \
	VPSRLD $25, a, a \
	VPSRLD $25, b, b \
	VCVTDQ2PS a, a \
	VCVTDQ2PS b, b

// D2HALF leaves the levels of the four quads of half a line in Y4..Y7. Y13 = 3 in every byte.
#define D2HALF(line) \
	VMOVDQU line(R12), Y4 \
	VPSRLW $2, Y4, Y5 \
	VPSRLW $4, Y4, Y6 \
	VPSRLW $6, Y4, Y7 \
	VPAND Y13, Y4, Y4 \
	VPAND Y13, Y5, Y5 \
	VPAND Y13, Y6, Y6 \
	VPAND Y13, Y7, Y7 \
	LOOKUP

#define LOOKUP \
	VPSHUFB Y4, Y14, Y4 \
	VPSHUFB Y5, Y14, Y5 \
	VPSHUFB Y6, Y14, Y6 \
	VPSHUFB Y7, Y14, Y7

// D3HALF0 and D3HALF1 do the same for three bits: bit 2 comes from the third line's bits
// 0..3 for the first line, 4..7 for the second. Y13 = 3 and Y10 = 4 in every byte.
#define D3LOW(line) \
	VMOVDQU line(R12), Y4 \
	VPSRLW $2, Y4, Y5 \
	VPSRLW $4, Y4, Y6 \
	VPSRLW $6, Y4, Y7 \
	VPAND Y13, Y4, Y4 \
	VPAND Y13, Y5, Y5 \
	VPAND Y13, Y6, Y6 \
	VPAND Y13, Y7, Y7

#define D3BIT(t) \
	VPAND Y10, Y9, Y9 \
	VPOR Y9, t, t

#define D3HALF0(line, high) \
	D3LOW(line) \
	VMOVDQU high(R12), Y8 \
	VPSLLW $2, Y8, Y9; D3BIT(Y4) \
	VPSLLW $1, Y8, Y9; D3BIT(Y5) \
	VPAND Y10, Y8, Y9; VPOR Y9, Y6, Y6 \
	VPSRLW $1, Y8, Y9; D3BIT(Y7) \
	LOOKUP

#define D3HALF1(line, high) \
	D3LOW(line) \
	VMOVDQU high(R12), Y8 \
	VPSRLW $2, Y8, Y9; D3BIT(Y4) \
	VPSRLW $3, Y8, Y9; D3BIT(Y5) \
	VPSRLW $4, Y8, Y9; D3BIT(Y6) \
	VPSRLW $5, Y8, Y9; D3BIT(Y7) \
	LOOKUP
