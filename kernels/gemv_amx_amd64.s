//go:build amd64 && !purego

#define LOOKUP(mask, x) \
	VPERMB Z31, x, x

#include "gemv_avx512_amd64.h"
#include "amx_amd64.h"

// Products of quantized panels with up to eight rows of activations in tiles of AMX. A tile of activations has the rows twice, first with the
// codes of one group and zeros, then with zeros and the codes of the next, so that one TDPBSUD makes the sums of two groups. These stay apart, as each
// output is a chain over the groups. Levels go by way of memory to tiles, and sums by way of memory to registers. So that nothing is read which was written
// just before, a step of two groups takes up several stages of different ones:
//
//	the sums of two steps before are stored, the levels of this step are multiplied, those of the step after the next are made, and the sums of four
//	steps before are scaled.
//
// There are four places for levels and for sums, and each stage walks panels and activations by itself.
//
//	AX  args                 R12  codes that are expanded       R13  packed activations that are multiplied
//	BX  64                   DX, SI  activations that are scaled, rows 0 and 4    R10 their scales in the panel
//	CX  what comes up        R8  rows      R9, R15 from one row of activations to the next, to the third
//	DI  dst                  R14 levels of this step; +4096 sums of four steps before; xor 2048 those of two steps away
//	R11 a line of tileMagic
//
//	Z0..Z7         sums of the rows                             Z24 tileMagic    Z26 MaxScale    Z28 shifted offset    Z29 offset
//	Z8, Z9, Z10    scales, offsets, tileMagic times scales      Z30 mask of a code    Z31 levels    others: what comes up
//	tiles 0, 1 sums  4, 5 activations  6, 7 levels

#define nBX 3
#define nCX 1
#define nR11 11
#define nR13 13
#define nR14 14

DATA magicLine<>+0(SB)/8, $0x4b4000004b400000
DATA magicLine<>+8(SB)/8, $0x4b4000004b400000
DATA magicLine<>+16(SB)/8, $0x4b4000004b400000
DATA magicLine<>+24(SB)/8, $0x4b4000004b400000
DATA magicLine<>+32(SB)/8, $0x4b4000004b400000
DATA magicLine<>+40(SB)/8, $0x4b4000004b400000
DATA magicLine<>+48(SB)/8, $0x4b4000004b400000
DATA magicLine<>+56(SB)/8, $0x4b4000004b400000
GLOBL magicLine<>(SB), RODATA|NOPTR, $64

#define CLEAR \
	VPXORD Z0, Z0, Z0 \
	VPXORD Z1, Z1, Z1 \
	VPXORD Z2, Z2, Z2 \
	VPXORD Z3, Z3, Z3 \
	VPXORD Z4, Z4, Z4 \
	VPXORD Z5, Z5, Z5 \
	VPXORD Z6, Z6, Z6 \
	VPXORD Z7, Z7, Z7

// PACK lays the activations out for tiles, 1024 bytes for each two groups, behind the places for sums.
#define PACK \
	MOVQ gemvArgs_rows(AX), R8 \
	MOVQ R8, R15 \
	SHLQ $6, R15 \
	LEAQ 8192(R14), R13 \
	MOVQ R10, CX \
	VPXORD Z1, Z1, Z1 \
pair: \
	MOVQ DX, SI \
	MOVQ R13, R11 \
	MOVQ R8, R12 \
row: \
	VMOVDQU 8(SI), Y0 \
	VMOVDQA64 Z0, (R11) \
	VMOVDQA64 Z1, (R11)(R15*1) \
	CMPQ CX, $1 \
	JEQ  one \
	VMOVDQU 48(SI), Y0 \
	VMOVDQU Y0, 32(R11)(R15*1) \
one: \
	ADDQ R9, SI \
	ADDQ $64, R11 \
	DECQ R12 \
	JNZ  row \
	ADDQ $80, DX \
	ADDQ $1024, R13 \
	SUBQ $2, CX \
	JGT  pair

#define BEGIN(mask) \
	SETUP(mask) \
	MOVQ R15, AX \
	MOVQ R10, eLeft-8(SP) \
	MOVQ R10, fLeft-16(SP) \
	MOVQ CX, ePanels-24(SP) \
	MOVQ CX, fPanels-32(SP) \
	MOVQ SI, fBase-40(SP) \
	MOVQ $4, early-48(SP) \
	MOVQ R10, CX \
	INCQ CX \
	SHRQ $1, CX \
	MOVQ CX, pairs-56(SP) \
	MOVQ CX, tLeft-64(SP) \
	MOVQ gemvArgs_levels(AX), R14 \
	PACK \
	MOVQ gemvArgs_shapes(AX), CX \
	LDTILECFG(nCX) \
	MOVQ fBase-40(SP), R10 \
	MOVQ gemvArgs_codes(AX), R12 \
	ADDQ R10, R12 \
	ADDQ $const_ScalesOffset, R10 \
	LEAQ 8192(R14), R13 \
	MOVQ gemvArgs_acts(AX), DX \
	LEAQ (DX)(R9*4), SI \
	LEAQ (R9)(R9*2), R15 \
	LEAQ magicLine<>(SB), R11 \
	CONSTD(const_tileMagicBits, Z24) \
	MOVQ $64, BX \
	CLEAR

// Levels of a group go to out(CX).

#define D8COPY(line) \
	FETCHLINE(line) \
	VMOVDQU64 line(R12), Z16 \
	VMOVDQA64 Z16, line(CX)

#define FETCHLINE(line) PREFETCHT0 AHEAD+line(R12)

#define D8EXPAND1 \
	D8COPY(0) \
	D8COPY(64) \
	D8COPY(128) \
	D8COPY(192) \
	D8COPY(256) \
	D8COPY(320) \
	D8COPY(384) \
	D8COPY(448)

#define D4LINE1(line, out) \
	FETCHLINE(line) \
	D4LEVELS(line(R12), Z16, Z17) \
	VMOVDQA64 Z16, out(CX) \
	VMOVDQA64 Z17, out+64(CX)

#define D4EXPAND1 \
	D4LINE1(0, 0) \
	D4LINE1(64, 128) \
	D4LINE1(128, 256) \
	D4LINE1(192, 384)

#define OUT4(out) \
	VMOVDQA64 Z16, out(CX) \
	VMOVDQA64 Z17, out+64(CX) \
	VMOVDQA64 Z18, out+128(CX) \
	VMOVDQA64 Z19, out+192(CX)

#define D3EXPAND1 \
	FETCHLINE(0) \
	FETCHLINE(64) \
	FETCHLINE(128) \
	VMOVDQU64 128(R12), Z20 \
	D3FIRST((R12), Z20, Z16, Z17, Z18, Z19) \
	OUT4(0) \
	D3SECOND(64(R12), Z20, Z16, Z17, Z18, Z19) \
	OUT4(256)

#define D2EXPAND1 \
	FETCHLINE(0) \
	FETCHLINE(64) \
	D2LEVELS((R12), Z16, Z17, Z18, Z19) \
	OUT4(0) \
	D2LEVELS(64(R12), Z16, Z17, Z18, Z19) \
	OUT4(256)

// EXPAND makes the levels of the step after the next. Behind the last group that one is made again.
#define EXPAND(body, bytes, odd, stay, more) \
	MOVQ R14, CX \
	XORQ $2048, CX \
	body \
	ADDQ $bytes, R12 \
	SUBQ $2, eLeft-8(SP) \
	JLT  odd \
	ADDQ $512, CX \
	body \
	ADDQ $bytes, R12 \
	CMPQ eLeft-8(SP), $0 \
	JNE  more \
odd: \
	DECQ ePanels-24(SP) \
	JLE  stay \
	ADDQ gemvArgs_codes(AX), R12 \
	MOVQ gemvArgs_groups(AX), CX \
	MOVQ CX, eLeft-8(SP) \
	JMP  more \
stay: \
	SUBQ $bytes, R12 \
	MOVQ $1, eLeft-8(SP) \
more:

#define MULTIPLY(c, a, b, more) \
	MOVQ R14, CX \
	XORQ $2048, CX \
	ADDQ $4096, CX \
	TILESTORE(c, 0, nCX, nBX) \
	XORL CX, CX \
	TILELOAD(0, nR11, nCX, c) \
	TILELOAD(0, nR13, nBX, a) \
	TILELOAD(0, nR14, nBX, b) \
	TDPBSUD(b, a, c) \
	ADDQ $1024, R13 \
	DECQ tLeft-64(SP) \
	JNZ  more \
	LEAQ 8192(R14), R13 \
	ANDQ $~4095, R13 \
	MOVQ pairs-56(SP), CX \
	MOVQ CX, tLeft-64(SP) \
more:

#define SCALED(at, row, off, t, acc) \
	VMOVDQA64 at(CX), t \
	VPDPWSSD.BCST off+4 row, Z9, t \
	VFMSUB213PS Z10, Z8, t \
	VFMADD231PS.BCST off row, t, acc

// SCALEDROWS scales the sums at CX of a group, off bytes into the activations.
#define SCALEDROWS(off, done) \
	SCALES((R10), Z8, Z9) \
	ADDQ $const_PanelRows, R10 \
	VMULPS Z24, Z8, Z10 \
	SCALED(0, (DX), off, Z16, Z0) \
	CMPQ R8, $2 \
	JLT  done \
	SCALED(64, (DX)(R9*1), off, Z17, Z1) \
	JEQ  done \
	SCALED(128, (DX)(R9*2), off, Z18, Z2) \
	CMPQ R8, $4 \
	JLT  done \
	SCALED(192, (DX)(R15*1), off, Z19, Z3) \
	JEQ  done \
	SCALED(256, (SI), off, Z20, Z4) \
	CMPQ R8, $6 \
	JLT  done \
	SCALED(320, (SI)(R9*1), off, Z21, Z5) \
	JEQ  done \
	SCALED(384, (SI)(R9*2), off, Z22, Z6) \
	CMPQ R8, $8 \
	JLT  done \
	SCALED(448, (SI)(R15*1), off, Z23, Z7) \
done:

#define RESULT(acc) \
	VMULPS Z8, acc, acc \
	VMOVUPS acc, (DX) \
	ADDQ SI, DX

// RESULTS stores the outputs of a panel and goes on to the next one.
#define RESULTS(done) \
	MOVQ fBase-40(SP), R10 \
	VMOVUPS (R10), Z8 \
	MOVQ DI, DX \
	MOVQ gemvArgs_ldd(AX), SI \
	RESULT(Z0) \
	CMPQ R8, $2 \
	JLT  done \
	RESULT(Z1) \
	CMPQ R8, $3 \
	JLT  done \
	RESULT(Z2) \
	CMPQ R8, $4 \
	JLT  done \
	RESULT(Z3) \
	CMPQ R8, $5 \
	JLT  done \
	RESULT(Z4) \
	CMPQ R8, $6 \
	JLT  done \
	RESULT(Z5) \
	CMPQ R8, $7 \
	JLT  done \
	RESULT(Z6) \
	CMPQ R8, $8 \
	JLT  done \
	RESULT(Z7) \
done: \
	DECQ fPanels-32(SP) \
	JZ   stop \
	CLEAR \
	ADDQ $64, DI \
	ADDQ gemvArgs_panelBytes(AX), R10 \
	MOVQ R10, fBase-40(SP) \
	ADDQ $const_ScalesOffset, R10 \
	MOVQ gemvArgs_acts(AX), DX \
	LEAQ (DX)(R9*4), SI \
	MOVQ gemvArgs_groups(AX), CX \
	MOVQ CX, fLeft-16(SP)

#define STEP(body, bytes, c, a, b, acts, odd, stay, made, first, second, last, stored, next) \
	MULTIPLY(c, a, b, acts) \
	EXPAND(body, bytes, odd, stay, made) \
	DECQ early-48(SP) \
	JGE  next \
	LEAQ 4096(R14), CX \
	PREFETCHT0 AHEAD(R10) \
	SCALEDROWS(0, first) \
	SUBQ $2, fLeft-16(SP) \
	JLT  last \
	MOVQ R8, BX \
	SHLQ $6, BX \
	ADDQ BX, CX \
	MOVQ $64, BX \
	SCALEDROWS(40, second) \
	ADDQ $80, DX \
	ADDQ $80, SI \
	CMPQ fLeft-16(SP), $0 \
	JNE  next \
last: \
	RESULTS(stored) \
next: \
	ADDQ $1024, R14 \
	ANDQ $~4096, R14

#define GROUPS(body, bytes) \
	ADDQ $2048, R14 \
	EXPAND(body, bytes, odd0, stay0, made0) \
	ADDQ $1024, R14 \
	EXPAND(body, bytes, odd1, stay1, made1) \
	SUBQ $3072, R14 \
step: \
	STEP(body, bytes, 0, 4, 6, acts2, odd2, stay2, made2, first2, second2, last2, stored2, next2) \
	STEP(body, bytes, 1, 5, 7, acts3, odd3, stay3, made3, first3, second3, last3, stored3, next3) \
	JMP  step \
stop: \
	TILERELEASE() \
	VZEROUPPER \
	RET

// func gemvD8AMX(args *gemvArgs)
TEXT ·gemvD8AMX(SB), NOSPLIT, $64-8
	BEGIN(0)
	GROUPS(D8EXPAND1, 512)

// func gemvD4AMX(args *gemvArgs)
TEXT ·gemvD4AMX(SB), NOSPLIT, $64-8
	BEGIN(0x0f0f0f0f)
	GROUPS(D4EXPAND1, 256)

// func gemvD3AMX(args *gemvArgs)
TEXT ·gemvD3AMX(SB), NOSPLIT, $64-8
	BEGIN(0x03030303)
	GROUPS(D3EXPAND1, 192)

// func gemvD2AMX(args *gemvArgs)
TEXT ·gemvD2AMX(SB), NOSPLIT, $64-8
	BEGIN(0x03030303)
	GROUPS(D2EXPAND1, 128)
