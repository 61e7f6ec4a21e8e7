//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// Products of quantized panels with AVX2, as dot_avx512_amd64.s has them: eight
// rows in a register, so a line of a panel is two. Levels stay below 128, so the pair sums of
// VPMADDUBSW fit int16: 2*127*127 < 32768.
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

// OFFSETS makes a, b the offsets of rows 0-7 and 8-15 from the scale bytes at R11.
#define OFFSETS(a, b) \
	VPMOVZXBD (R11), Y4 \
	VPMOVZXBD 8(R11), Y5 \
	VPSLLD $24, Y4, Y4 \
	VPSLLD $24, Y5, Y5 \
	VBLENDVPS Y4, Y11, Y12, a \
	VBLENDVPS Y5, Y11, Y12, b

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

#define GEMVSETUP \
	PANELSETUP \
	MOVQ gemvArgs_dst(AX), DI \
	MOVQ gemvArgs_acts(AX), DX \
	MOVQ gemvArgs_count(AX), CX \
	MOVQ gemvArgs_panelBytes(AX), R8

#define PANELBEGIN \
	LEAQ const_ScalesOffset(SI), R11 \
	LEAQ (SI)(R9*1), R12 \
	MOVQ DX, R13 \
	MOVQ R10, BX \
	VXORPS Y0, Y0, Y0 \
	VXORPS Y1, Y1, Y1

// GROUPBEGIN starts the integer sums Y2, Y3.
#define GROUPBEGIN \
	OFFSETS(Y2, Y3) \
	VPBROADCASTD 4(R13), Y4 \
	VPMADDWD Y4, Y2, Y2 \
	VPMADDWD Y4, Y3, Y3

#define GROUPEND(bytes) \
	FACTORS(Y4, Y5) \
	VCVTDQ2PS Y2, Y2 \
	VCVTDQ2PS Y3, Y3 \
	VMULPS Y4, Y2, Y2 \
	VMULPS Y5, Y3, Y3 \
	VBROADCASTSS (R13), Y4 \
	VFMADD231PS Y4, Y2, Y0 \
	VFMADD231PS Y4, Y3, Y1 \
	ADDQ $16, R11 \
	ADDQ $bytes, R12 \
	ADDQ $40, R13 \
	DECQ BX

#define PANELEND \
	VMULPS (SI), Y0, Y0 \
	VMULPS 32(SI), Y1, Y1 \
	VMOVUPS Y0, (DI) \
	VMOVUPS Y1, 32(DI) \
	ADDQ $64, DI \
	ADDQ R8, SI \
	DECQ CX

// MULADD adds the products of levels t and the broadcast activations a to acc.
#define MULADD(a, t, acc) \
	VPMADDUBSW a, t, t \
	VPMADDWD Y15, t, t \
	VPADDD t, acc, acc

#define D4HALF(line, acc) \
	VMOVDQU line(R12), Y4 \
	VPSRLW $4, Y4, Y5 \
	VPAND Y13, Y4, Y4 \
	VPAND Y13, Y5, Y5 \
	VPSHUFB Y4, Y14, Y4 \
	VPSHUFB Y5, Y14, Y5 \
	MULADD(Y6, Y4, acc) \
	MULADD(Y7, Y5, acc)

#define D4LINE(line, act) \
	VPBROADCASTD act(R13), Y6 \
	VPBROADCASTD act+4(R13), Y7 \
	D4HALF(line, Y2) \
	D4HALF(line+32, Y3)

// func gemvD4AVX2(args *gemvArgs)
TEXT ·gemvD4AVX2(SB), NOSPLIT, $0-8
	GEMVSETUP
	CONSTD(0x0f0f0f0f, X13, Y13)
panel:
	PANELBEGIN
group:
	GROUPBEGIN
	D4LINE(0, 8)
	D4LINE(64, 16)
	D4LINE(128, 24)
	D4LINE(192, 32)
	GROUPEND(256)
	JNZ group
	PANELEND
	JNZ panel
	VZEROUPPER
	RET

#define D8LINE(line, act) \
	VPBROADCASTD act(R13), Y6 \
	VMOVDQU line(R12), Y4 \
	VMOVDQU line+32(R12), Y5 \
	MULADD(Y6, Y4, Y2) \
	MULADD(Y6, Y5, Y3)

// func gemvD8AVX2(args *gemvArgs)
TEXT ·gemvD8AVX2(SB), NOSPLIT, $0-8
	GEMVSETUP
panel:
	PANELBEGIN
group:
	GROUPBEGIN
	D8LINE(0, 8)
	D8LINE(64, 12)
	D8LINE(128, 16)
	D8LINE(192, 20)
	D8LINE(256, 24)
	D8LINE(320, 28)
	D8LINE(384, 32)
	D8LINE(448, 36)
	GROUPEND(512)
	JNZ group
	PANELEND
	JNZ panel
	VZEROUPPER
	RET

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

#define QUADS(act, acc) \
	VPBROADCASTD act(R13), Y8 \
	MULADD(Y8, Y4, acc) \
	VPBROADCASTD act+4(R13), Y9 \
	MULADD(Y9, Y5, acc) \
	VPBROADCASTD act+8(R13), Y8 \
	MULADD(Y8, Y6, acc) \
	VPBROADCASTD act+12(R13), Y9 \
	MULADD(Y9, Y7, acc)

// func gemvD2AVX2(args *gemvArgs)
TEXT ·gemvD2AVX2(SB), NOSPLIT, $0-8
	GEMVSETUP
	CONSTD(0x03030303, X13, Y13)
panel:
	PANELBEGIN
group:
	GROUPBEGIN
	D2HALF(0)
	QUADS(8, Y2)
	D2HALF(32)
	QUADS(8, Y3)
	D2HALF(64)
	QUADS(24, Y2)
	D2HALF(96)
	QUADS(24, Y3)
	GROUPEND(128)
	JNZ group
	PANELEND
	JNZ panel
	VZEROUPPER
	RET

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

// func gemvD3AVX2(args *gemvArgs)
TEXT ·gemvD3AVX2(SB), NOSPLIT, $0-8
	GEMVSETUP
	CONSTD(0x03030303, X13, Y13)
	CONSTD(0x04040404, X10, Y10)
panel:
	PANELBEGIN
group:
	GROUPBEGIN
	D3HALF0(0, 128)
	QUADS(8, Y2)
	D3HALF0(32, 160)
	QUADS(8, Y3)
	D3HALF1(64, 128)
	QUADS(24, Y2)
	D3HALF1(96, 160)
	QUADS(24, Y3)
	GROUPEND(192)
	JNZ group
	PANELEND
	JNZ panel
	VZEROUPPER
	RET

// func expandScalesAVX2(args *gemvArgs)
//
// The scales as float32, then tileMagic times each.
TEXT ·expandScalesAVX2(SB), NOSPLIT, $0-8
	PANELSETUP
	CONSTD(const_tileMagicBits, X13, Y13)
	MOVQ gemvArgs_scales(AX), DI
	LEAQ const_ScalesOffset(SI), R11
group:
	FACTORS(Y4, Y5)
	VMULPS Y13, Y4, Y2
	VMULPS Y13, Y5, Y3
	VMOVUPS Y4, (DI)
	VMOVUPS Y5, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ $16, R11
	ADDQ $const_expandedScales, DI
	DECQ R10
	JNZ group
	VZEROUPPER
	RET

#define EXPANDSETUP \
	PANELSETUP \
	VPBROADCASTD panelLUT_shift(R11), Y12 \
	MOVQ gemvArgs_levels(AX), DI \
	LEAQ const_ScalesOffset(SI), R11 \
	LEAQ (SI)(R9*1), R12

// SHIFTS makes Y2, Y3 what to add to the levels of rows 0-7 and 8-15: the shift where a row's scale has TableBit.
#define SHIFTS \
	VPMOVZXBD (R11), Y2 \
	VPMOVZXBD 8(R11), Y3 \
	VPSLLD $24, Y2, Y2 \
	VPSLLD $24, Y3, Y3 \
	VPSRAD $31, Y2, Y2 \
	VPSRAD $31, Y3, Y3 \
	VPAND Y12, Y2, Y2 \
	VPAND Y12, Y3, Y3

#define EXPANDEND(bytes) \
	ADDQ $16, R11 \
	ADDQ $bytes, R12 \
	ADDQ $const_expandedLevels, DI \
	DECQ R10

#define D4EXPAND(line, out, shift) \
	VMOVDQU line(R12), Y4 \
	VPSRLW $4, Y4, Y5 \
	VPAND Y13, Y4, Y4 \
	VPAND Y13, Y5, Y5 \
	VPSHUFB Y4, Y14, Y4 \
	VPSHUFB Y5, Y14, Y5 \
	VPADDB shift, Y4, Y4 \
	VPADDB shift, Y5, Y5 \
	VMOVDQU Y4, out(DI) \
	VMOVDQU Y5, out+64(DI)

#define QUADSOUT(out, shift) \
	VPADDB shift, Y4, Y4 \
	VPADDB shift, Y5, Y5 \
	VPADDB shift, Y6, Y6 \
	VPADDB shift, Y7, Y7 \
	VMOVDQU Y4, out(DI) \
	VMOVDQU Y5, out+64(DI) \
	VMOVDQU Y6, out+128(DI) \
	VMOVDQU Y7, out+192(DI)

#define D8EXPAND(line) \
	VPADDB line(R12), Y2, Y4 \
	VPADDB line+32(R12), Y3, Y5 \
	VMOVDQU Y4, line(DI) \
	VMOVDQU Y5, line+32(DI)

// func expandD8AVX2(args *gemvArgs)
TEXT ·expandD8AVX2(SB), NOSPLIT, $0-8
	EXPANDSETUP
group:
	SHIFTS
	D8EXPAND(0)
	D8EXPAND(64)
	D8EXPAND(128)
	D8EXPAND(192)
	D8EXPAND(256)
	D8EXPAND(320)
	D8EXPAND(384)
	D8EXPAND(448)
	EXPANDEND(512)
	JNZ group
	VZEROUPPER
	RET

// func expandD4AVX2(args *gemvArgs)
TEXT ·expandD4AVX2(SB), NOSPLIT, $0-8
	EXPANDSETUP
	CONSTD(0x0f0f0f0f, X13, Y13)
group:
	SHIFTS
	D4EXPAND(0, 0, Y2)
	D4EXPAND(32, 32, Y3)
	D4EXPAND(64, 128, Y2)
	D4EXPAND(96, 160, Y3)
	D4EXPAND(128, 256, Y2)
	D4EXPAND(160, 288, Y3)
	D4EXPAND(192, 384, Y2)
	D4EXPAND(224, 416, Y3)
	EXPANDEND(256)
	JNZ group
	VZEROUPPER
	RET

// func expandD2AVX2(args *gemvArgs)
TEXT ·expandD2AVX2(SB), NOSPLIT, $0-8
	EXPANDSETUP
	CONSTD(0x03030303, X13, Y13)
group:
	SHIFTS
	D2HALF(0)
	QUADSOUT(0, Y2)
	D2HALF(32)
	QUADSOUT(32, Y3)
	D2HALF(64)
	QUADSOUT(256, Y2)
	D2HALF(96)
	QUADSOUT(288, Y3)
	EXPANDEND(128)
	JNZ group
	VZEROUPPER
	RET

// func expandD3AVX2(args *gemvArgs)
TEXT ·expandD3AVX2(SB), NOSPLIT, $0-8
	EXPANDSETUP
	CONSTD(0x03030303, X13, Y13)
	CONSTD(0x04040404, X10, Y10)
group:
	SHIFTS
	D3HALF0(0, 128)
	QUADSOUT(0, Y2)
	D3HALF0(32, 160)
	QUADSOUT(32, Y3)
	D3HALF1(64, 128)
	QUADSOUT(256, Y2)
	D3HALF1(96, 160)
	QUADSOUT(288, Y3)
	EXPANDEND(192)
	JNZ group
	VZEROUPPER
	RET

// WEIGHTS turns a byte of the levels of 8 rows to weights.
#define WEIGHTS(y, scale, out) \
	VPAND Y12, y, y \
	VPSUBD Y13, y, y \
	VCVTDQ2PS y, y \
	VMULPS scale, y, y \
	VMOVUPS y, out(DI)

#define HALFLINE(half, scale) \
	VMOVDQU half(SI), Y4 \
	VPSRLD $8, Y4, Y5 \
	VPSRLD $16, Y4, Y6 \
	VPSRLD $24, Y4, Y7 \
	WEIGHTS(Y4, scale, half) \
	WEIGHTS(Y5, scale, half+64) \
	WEIGHTS(Y6, scale, half+128) \
	WEIGHTS(Y7, scale, half+192)

// func expandFloatsAVX2(dst *float32, levels, scales, rowScales *byte, groups int)
TEXT ·expandFloatsAVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ levels+8(FP), SI
	MOVQ scales+16(FP), R11
	MOVQ rowScales+24(FP), R12
	MOVQ groups+32(FP), R10
	VMOVUPS (R12), Y0
	VMOVUPS 32(R12), Y1
	CONSTD(0xff, X12, Y12)
	CONSTD(const_LevelZero, X13, Y13)
group:
	VMULPS (R11), Y0, Y2
	VMULPS 32(R11), Y1, Y3
	MOVQ $8, CX
line:
	HALFLINE(0, Y2)
	HALFLINE(32, Y3)
	ADDQ $64, SI
	ADDQ $256, DI
	DECQ CX
	JNZ line
	ADDQ $const_expandedScales, R11
	DECQ R10
	JNZ group
	VZEROUPPER
	RET

DATA actOrder<>+0(SB)/4, $0
DATA actOrder<>+4(SB)/4, $4
DATA actOrder<>+8(SB)/4, $1
DATA actOrder<>+12(SB)/4, $5
DATA actOrder<>+16(SB)/4, $2
DATA actOrder<>+20(SB)/4, $6
DATA actOrder<>+24(SB)/4, $3
DATA actOrder<>+28(SB)/4, $7
GLOBL actOrder<>(SB), RODATA|NOPTR, $32

// func quantizeActsAVX2(dst *actBlock, x *float32, groups int)
//
// The steps of quantizeActsGroup. Y15 magnitude mask, Y14 bits below minActMax, Y13
// bits of infinity, X12 127, Y11 the order that undoes the packs' lanes.
TEXT ·quantizeActsAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ groups+16(FP), CX
	VPCMPEQD Y15, Y15, Y15
	VPSRLD $1, Y15, Y15
	CONSTD(const_minActMaxBits-1, X14, Y14)
	CONSTD(0x7f800000, X13, Y13)
	CONSTD(0x42fe0000, X12, Y12)
	VMOVDQU actOrder<>(SB), Y11
group:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VMOVUPS 64(SI), Y2
	VMOVUPS 96(SI), Y3
	VPAND Y15, Y0, Y4
	VPAND Y15, Y1, Y5
	VPAND Y15, Y2, Y6
	VPAND Y15, Y3, Y7
	VPMAXSD Y5, Y4, Y4
	VPMAXSD Y7, Y6, Y6
	VPMAXSD Y6, Y4, Y4
	VEXTRACTI128 $1, Y4, X5
	VPMAXSD X5, X4, X4
	VPSHUFD $0x4e, X4, X5
	VPMAXSD X5, X4, X4
	VPSHUFD $0xb1, X4, X5
	VPMAXSD X5, X4, X4
	VDIVSS X12, X4, X5 // m / 127
	VMOVSS X5, (DI)
	VDIVSS X4, X12, X6 // 127 / m
	VPBROADCASTD X4, Y4
	VBROADCASTSS X6, Y6
	VPCMPGTD Y14, Y4, Y7
	VPCMPGTD Y4, Y13, Y4
	VPAND Y4, Y7, Y7 // ones where m is finite and large enough
	VMULPS Y6, Y0, Y0
	VMULPS Y6, Y1, Y1
	VMULPS Y6, Y2, Y2
	VMULPS Y6, Y3, Y3
	VCVTPS2DQ Y0, Y0
	VCVTPS2DQ Y1, Y1
	VCVTPS2DQ Y2, Y2
	VCVTPS2DQ Y3, Y3
	VPAND Y7, Y0, Y0
	VPAND Y7, Y1, Y1
	VPAND Y7, Y2, Y2
	VPAND Y7, Y3, Y3
	VPADDD Y1, Y0, Y4
	VPADDD Y3, Y2, Y5
	VPADDD Y5, Y4, Y4
	VEXTRACTI128 $1, Y4, X5
	VPADDD X5, X4, X4
	VPSHUFD $0x4e, X4, X5
	VPADDD X5, X4, X4
	VPSHUFD $0xb1, X4, X5
	VPADDD X5, X4, X4
	VMOVD X4, 4(DI)
	VPACKSSDW Y1, Y0, Y0
	VPACKSSDW Y3, Y2, Y2
	VPACKSSWB Y2, Y0, Y0
	VPERMD Y0, Y11, Y0
	VMOVDQU Y0, 8(DI)
	ADDQ $128, SI
	ADDQ $40, DI
	DECQ CX
	JNZ group
	VZEROUPPER
	RET
