//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"
#include "amx_amd64.h"
#include "conv_int_finish_amd64.h"

// The numbers of the general registers in amx_amd64.h.
#define nBX 3
#define nSI 6
#define nDI 7
#define nR8 8
#define nR9 9
#define nR10 10
#define nR11 11
#define nR12 12
#define nR15 15

// Sums of blocks of up to 32 rows x 32 outputs, and what becomes of them. Where there are 16 outputs, and no others, two rows
// are finished as one of 32: paired is 1 then.
//
//	AX  the description         BX  bytes between rows of x
//	R9, R8    rows 0 and 16 as the window passes      R13 from one line of it to the next
//	R11, R12  w0, w1, in tiles of R10 = 64 bytes a row
//	DX  lines left              CX  steps left        R15 0, then 128: bytes between rows of starts, of sums
//
// Tiles 0, 1 hold sums of rows 0..15, 2 and 3 those of the others; 4, 5 rows of x; 6, 7 columns of weights.

#define BEGIN \
	MOVQ levelTile_x(AX), R9; \
	MOVQ levelTile_ldx(AX), BX; \
	MOVQ BX, R8; \
	SHLQ $4, R8; \
	ADDQ R9, R8; \
	MOVQ levelTile_w0(AX), R11; \
	MOVQ levelTile_w1(AX), R12; \
	MOVQ levelTile_start(AX), DI; \
	MOVQ levelTile_segments(AX), DX; \
	MOVQ $64, R10; \
	XORL R15, R15

#define STEP22 \
	TILELOAD(0, nR9, nBX, 4); \
	TILELOAD(0, nR11, nR10, 6); \
	TDPBUSD(6, 4, 0); \
	TILELOAD(0, nR12, nR10, 7); \
	TDPBUSD(7, 4, 1); \
	TILELOAD(0, nR8, nBX, 5); \
	TDPBUSD(6, 5, 2); \
	TDPBUSD(7, 5, 3)

#define STEP21 \
	TILELOAD(0, nR9, nBX, 4); \
	TILELOAD(0, nR11, nR10, 6); \
	TDPBUSD(6, 4, 0); \
	TILELOAD(0, nR8, nBX, 5); \
	TDPBUSD(6, 5, 2)

#define STEP12 \
	TILELOAD(0, nR9, nBX, 4); \
	TILELOAD(0, nR11, nR10, 6); \
	TDPBUSD(6, 4, 0); \
	TILELOAD(0, nR12, nR10, 7); \
	TDPBUSD(7, 4, 1)

#define STEP11 \
	TILELOAD(0, nR9, nBX, 4); \
	TILELOAD(0, nR11, nR10, 6); \
	TDPBUSD(6, 4, 0)

#define START0 TILELOAD(0, nDI, nR15, 0)
#define START1 TILELOAD(64, nDI, nR15, 1)
#define START2 TILELOAD(0, nDI, nR15, 2)
#define START3 TILELOAD(64, nDI, nR15, 3)

#define SUMS0 TILESTORE(0, 0, nSI, nR15)
#define SUMS1 TILESTORE(1, 64, nSI, nR15)
#define SUMS2 TILESTORE(2, 0, nDI, nR15)
#define SUMS3 TILESTORE(3, 64, nDI, nR15)

#define NONE

// WINDOW's WIDTH is the bytes of a row of sums, and SECOND those of 16.
#define WINDOW(line, step, done, WIDTH, SECOND, STEP, S0, S1, S2, S3, T0, T1, T2, T3) \
	S0; S1; S2; S3; \
line: \
	MOVQ levelTile_steps(AX), CX; \
step: \
	STEP; \
	ADDQ $64, R9; \
	ADDQ $64, R8; \
	ADDQ $1024, R11; \
	ADDQ $1024, R12; \
	DECQ CX; \
	JNZ step; \
	ADDQ R13, R9; \
	ADDQ R13, R8; \
	DECQ DX; \
	JNZ line; \
	MOVQ levelTile_sums(AX), SI; \
	LEAQ SECOND(SI), DI; \
	MOVQ $WIDTH, R15; \
	T0; T1; T2; T3; \
	JMP done

// func levelStripAMX(t *levelTile, blocks, rows int, shapes *tileShapes)
TEXT ·levelStripAMX(SB), NOSPLIT, $0-32
	MOVQ t+0(FP), AX
	MOVQ shapes+24(FP), CX
	LDTILECFG(1)
	CONSTANTS

block:
	MOVQ levelTile_k(AX), R13
	SHLQ $2, R13
	ADDQ levelTile_jump(AX), R13
	MOVQ levelTile_steps(AX), CX
	SHLQ $6, CX
	SUBQ CX, R13
	BEGIN
	MOVQ levelTile_w0(AX), CX
	CMPQ CX, levelTile_w1(AX)
	JEQ  onePanel
	CMPQ rows+16(FP), $16
	JLE  oneTile
	WINDOW(line22, step22, finish, 128, 2048, STEP22, START0, START1, START2, START3, SUMS0, SUMS1, SUMS2, SUMS3)

oneTile:
	WINDOW(line12, step12, finish, 128, 2048, STEP12, START0, START1, NONE, NONE, SUMS0, SUMS1, NONE, NONE)

onePanel:
	CMPQ rows+16(FP), $16
	JLE  smallest
	CMPQ levelTile_paired(AX), $0
	JNE  paired
	WINDOW(line21, step21, finish, 128, 2048, STEP21, START0, START2, NONE, NONE, SUMS0, SUMS2, NONE, NONE)

smallest:
	WINDOW(line11, step11, finish, 128, 2048, STEP11, START0, NONE, NONE, NONE, SUMS0, NONE, NONE, NONE)

paired:
	WINDOW(line21p, step21p, finish, 64, 1024, STEP21, START0, START2, NONE, NONE, SUMS0, SUMS2, NONE, NONE)

finish:
	MOVQ rows+16(FP), R8
	MOVQ levelTile_paired(AX), CX
	SHRQ CX, R8
	FINISH
	DECQ blocks+8(FP)
	JZ   done
	MOVQ rows+16(FP), CX
	IMULQ levelTile_ldx(AX), CX
	ADDQ CX, levelTile_x(AX)
	MOVQ DI, levelTile_dst(AX)
	MOVQ R15, levelTile_z(AX)
	MOVQ R9, levelTile_q(AX)
	JMP  block

done:
	TILERELEASE()
	VZEROUPPER
	RET

// func levelSumsAMX(t *levelTile, rows int, shapes *tileShapes)
TEXT ·levelSumsAMX(SB), NOSPLIT, $0-24
	MOVQ t+0(FP), AX
	MOVQ shapes+16(FP), CX
	LDTILECFG(1)
	MOVQ levelTile_k(AX), R13
	SHLQ $2, R13
	ADDQ levelTile_jump(AX), R13
	MOVQ levelTile_steps(AX), CX
	SHLQ $6, CX
	SUBQ CX, R13
	BEGIN
	MOVL levelTile_mask(AX), CX
	SHRL $16, CX
	JZ   onePanel
	CMPQ rows+8(FP), $16
	JLE  oneTile
	WINDOW(line22, step22, done, 128, 2048, STEP22, START0, START1, START2, START3, SUMS0, SUMS1, SUMS2, SUMS3)

oneTile:
	WINDOW(line12, step12, done, 128, 2048, STEP12, START0, START1, NONE, NONE, SUMS0, SUMS1, NONE, NONE)

onePanel:
	CMPQ rows+8(FP), $16
	JLE  smallest
	WINDOW(line21, step21, done, 128, 2048, STEP21, START0, START2, NONE, NONE, SUMS0, SUMS2, NONE, NONE)

smallest:
	WINDOW(line11, step11, done, 128, 2048, STEP11, START0, NONE, NONE, NONE, SUMS0, NONE, NONE, NONE)

done:
	TILERELEASE()
	RET
