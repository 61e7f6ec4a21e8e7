//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"
#include "codes_avx2_amd64.h"

// What comes before products of quantized panels with AVX2: levels and scales of panels, and quantized activations.

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

#define EXPANDSETUP(bytes) \
	PANELSETUP \
	VPBROADCASTD panelLUT_shift(R11), Y12 \
	MOVQ gemvArgs_levels(AX), DI \
	LEAQ const_ScalesOffset(SI), R11 \
	LEAQ (SI)(R9*1), R12 \
	IMUL3Q $bytes, R10, R13

// NEXT asks for a line of the codes that are expanded next: those behind the last group.
#define NEXT(line) PREFETCHT1 line(R12)(R13*1)

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
	EXPANDSETUP(512)
group:
	SHIFTS
	NEXT(0)
	NEXT(64)
	NEXT(128)
	NEXT(192)
	NEXT(256)
	NEXT(320)
	NEXT(384)
	NEXT(448)
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
	EXPANDSETUP(256)
	CONSTD(0x0f0f0f0f, X13, Y13)
group:
	SHIFTS
	NEXT(0)
	NEXT(64)
	NEXT(128)
	NEXT(192)
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
	EXPANDSETUP(128)
	CONSTD(0x03030303, X13, Y13)
group:
	SHIFTS
	NEXT(0)
	NEXT(64)
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
	EXPANDSETUP(192)
	CONSTD(0x03030303, X13, Y13)
	CONSTD(0x04040404, X10, Y10)
group:
	SHIFTS
	NEXT(0)
	NEXT(64)
	NEXT(128)
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

// func quantizeActsAVX2(dst *actBlock, first, second *float32, ld, ldSecond, groups int)
//
// The steps of quantizeActsGroup, for groups whose halves begin ld and ldSecond bytes apart. Y15 magnitude mask, Y14 bits below minActMax, Y13
// bits of infinity, X12 127, Y11 the order that undoes the packs' lanes.
TEXT ·quantizeActsAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ first+8(FP), SI
	MOVQ second+16(FP), DX
	MOVQ ld+24(FP), R8
	MOVQ ldSecond+32(FP), R9
	MOVQ groups+40(FP), CX
	VPCMPEQD Y15, Y15, Y15
	VPSRLD $1, Y15, Y15
	CONSTD(const_minActMaxBits-1, X14, Y14)
	CONSTD(0x7f800000, X13, Y13)
	CONSTD(0x42fe0000, X12, Y12)
	VMOVDQU actOrder<>(SB), Y11
group:
	PREFETCHT0 1024(SI)
	PREFETCHT0 1088(SI)
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VMOVUPS (DX), Y2
	VMOVUPS 32(DX), Y3
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
	ADDQ R8, SI
	ADDQ R9, DX
	ADDQ $40, DI
	DECQ CX
	JNZ group
	VZEROUPPER
	RET
