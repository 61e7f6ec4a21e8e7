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
//
// The scales as float32, then tileMagic times each.
TEXT ·expandScalesAVX512(SB), NOSPLIT, $0-8
	PANELSETUP
	CONSTD(const_tileMagicBits, Z30)
	MOVQ gemvArgs_scales(AX), DI
	LEAQ const_ScalesOffset(SI), R11
group:
	VPMOVZXBD (R11), Z1
	VPANDD Z26, Z1, Z1
	VCVTDQ2PS Z1, Z1
	VMULPS Z30, Z1, Z2
	VMOVUPS Z1, (DI)
	VMOVUPS Z2, 64(DI)
	ADDQ $16, R11
	ADDQ $const_expandedScales, DI
	DECQ R10
	JNZ group
	VZEROUPPER
	RET

// SHIFTS makes Z2 what to add to the levels of a row: the shift where the row's scale has TableBit.
#define EXPANDSETUP(bytes) \
	PANELSETUP \
	VPBROADCASTD panelLUT_shift(R11), Z28 \
	MOVQ gemvArgs_levels(AX), DI \
	LEAQ const_ScalesOffset(SI), R11 \
	LEAQ (SI)(R9*1), R12 \
	IMUL3Q $bytes, R10, R13

// NEXT asks for a line of the codes that are expanded next: those behind the last group.
#define NEXT(line) PREFETCHT1 line(R12)(R13*1)

#define SHIFTS \
	VPMOVZXBD (R11), Z1 \
	VPTESTMD Z27, Z1, K1 \
	VMOVDQA32.Z Z28, K1, Z2

#define EXPANDEND(bytes) \
	ADDQ $16, R11 \
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
	VPADDB Z2, Z6, Z6 \
	VPADDB Z2, Z7, Z7 \
	VMOVDQU64 Z6, out(DI) \
	VMOVDQU64 Z7, out+64(DI)

#define QUADSOUT(out) \
	VPADDB Z2, Z6, Z6 \
	VPADDB Z2, Z7, Z7 \
	VPADDB Z2, Z8, Z8 \
	VPADDB Z2, Z9, Z9 \
	VMOVDQU64 Z6, out(DI) \
	VMOVDQU64 Z7, out+64(DI) \
	VMOVDQU64 Z8, out+128(DI) \
	VMOVDQU64 Z9, out+192(DI)

#define D8EXPAND(line) \
	VPADDB line(R12), Z2, Z6 \
	VPADDB line+64(R12), Z2, Z7 \
	VMOVDQU64 Z6, line(DI) \
	VMOVDQU64 Z7, line+64(DI)

// func expandD8AVX512(args *gemvArgs)
TEXT ·expandD8AVX512(SB), NOSPLIT, $0-8
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
	D8EXPAND(128)
	D8EXPAND(256)
	D8EXPAND(384)
	EXPANDEND(512)
	JNZ group
	VZEROUPPER
	RET

// func expandD4AVX512(args *gemvArgs)
TEXT ·expandD4AVX512(SB), NOSPLIT, $0-8
	EXPANDSETUP(256)
	CONSTD(0x0f0f0f0f, Z30)
group:
	SHIFTS
	NEXT(0)
	NEXT(64)
	NEXT(128)
	NEXT(192)
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
	EXPANDSETUP(128)
	CONSTD(0x03030303, Z30)
group:
	SHIFTS
	NEXT(0)
	NEXT(64)
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
	EXPANDSETUP(192)
	CONSTD(0x03030303, Z30)
	CONSTD(0x07070707, Z25)
group:
	SHIFTS
	NEXT(0)
	NEXT(64)
	NEXT(128)
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

// WEIGHTS turns byte i of the levels in Z6 to weights of 16 rows, column 4j+i.
#define WEIGHTS(z, out) \
	VPANDD Z27, z, z \
	VPSUBD Z28, z, z \
	VCVTDQ2PS z, z \
	VMULPS Z1, z, z \
	VMOVUPS z, out(DI)

// func expandFloatsAVX512(dst *float32, levels, scales, rowScales *byte, groups int)
TEXT ·expandFloatsAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ levels+8(FP), SI
	MOVQ scales+16(FP), R11
	MOVQ rowScales+24(FP), R12
	MOVQ groups+32(FP), R10
	VMOVUPS (R12), Z2
	CONSTD(0xff, Z27)
	CONSTD(const_LevelZero, Z28)
group:
	VMULPS (R11), Z2, Z1
	MOVQ $8, CX
line:
	VMOVDQU64 (SI), Z6
	VPSRLD $8, Z6, Z7
	VPSRLD $16, Z6, Z8
	VPSRLD $24, Z6, Z9
	WEIGHTS(Z6, 0)
	WEIGHTS(Z7, 64)
	WEIGHTS(Z8, 128)
	WEIGHTS(Z9, 192)
	ADDQ $64, SI
	ADDQ $256, DI
	DECQ CX
	JNZ line
	ADDQ $const_expandedScales, R11
	DECQ R10
	JNZ group
	VZEROUPPER
	RET
