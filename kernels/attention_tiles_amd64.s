//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"
#include "amx_amd64.h"

// The numbers of the general registers in amx_amd64.h.
#define nDX 2
#define nBX 3
#define nDI 7
#define nR8 8
#define nR9 9
#define nR10 10
#define nR11 11
#define nR12 12

// func dotPairsAMX(args *pairTile)
//
// Tiles 0..3 hold 32 x 32 sums, or 0 and 1 those of 16 rows; 4, 5 rows of a; 6, 7 columns of b.
//
//	SI  a       R11, R12 its rows 0, 16 as the depth passes   BX  bytes between them
//	R13 b       R9  the same; rows of pairs are R10 = 128 bytes apart
//	DI  dst     R8  its row 16                                DX  bytes between rows
//	CX  depth left                                            R15 strips left
TEXT ·dotPairsAMX(SB), NOSPLIT, $0-8
	MOVQ args+0(FP), AX
	MOVQ pairTile_shapes(AX), CX
	LDTILECFG(1)
	MOVQ pairTile_dst(AX), DI
	MOVQ pairTile_ldd(AX), DX
	MOVQ pairTile_a(AX), SI
	MOVQ pairTile_lda(AX), BX
	MOVQ pairTile_b(AX), R13
	MOVQ pairTile_strips(AX), R15
	MOVQ $128, R10
	MOVQ DX, R8
	SHLQ $4, R8
	ADDQ DI, R8
	CMPQ pairTile_rowTiles(AX), $2
	JNE  strip1

strip2:
	MOVQ SI, R11
	MOVQ BX, R12
	SHLQ $4, R12
	ADDQ SI, R12
	MOVQ R13, R9
	MOVQ pairTile_depth(AX), CX
	CMPQ pairTile_add(AX), $0
	JNE  load2
	TILEZERO(0)
	TILEZERO(1)
	TILEZERO(2)
	TILEZERO(3)
	JMP  depth2

load2:
	TILELOAD(0, nDI, nDX, 0)
	TILELOAD(64, nDI, nDX, 1)
	TILELOAD(0, nR8, nDX, 2)
	TILELOAD(64, nR8, nDX, 3)

depth2:
	TILELOAD(0, nR11, nBX, 4)
	TILELOAD(0, nR9, nR10, 6)
	TDPBF16PS(6, 4, 0)
	TILELOAD(64, nR9, nR10, 7)
	TDPBF16PS(7, 4, 1)
	TILELOAD(0, nR12, nBX, 5)
	TDPBF16PS(6, 5, 2)
	TDPBF16PS(7, 5, 3)
	ADDQ $64, R11
	ADDQ $64, R12
	ADDQ $2048, R9
	DECQ CX
	JNZ  depth2
	TILESTORE(0, 0, nDI, nDX)
	TILESTORE(1, 64, nDI, nDX)
	TILESTORE(2, 0, nR8, nDX)
	TILESTORE(3, 64, nR8, nDX)
	ADDQ $128, DI
	ADDQ $128, R8
	ADDQ pairTile_strip(AX), R13
	DECQ R15
	JNZ  strip2
	TILERELEASE()
	RET

strip1:
	MOVQ SI, R11
	MOVQ R13, R9
	MOVQ pairTile_depth(AX), CX
	CMPQ pairTile_add(AX), $0
	JNE  load1
	TILEZERO(0)
	TILEZERO(1)
	JMP  depth1

load1:
	TILELOAD(0, nDI, nDX, 0)
	TILELOAD(64, nDI, nDX, 1)

depth1:
	TILELOAD(0, nR11, nBX, 4)
	TILELOAD(0, nR9, nR10, 6)
	TDPBF16PS(6, 4, 0)
	TILELOAD(64, nR9, nR10, 7)
	TDPBF16PS(7, 4, 1)
	ADDQ $64, R11
	ADDQ $2048, R9
	DECQ CX
	JNZ  depth1
	TILESTORE(0, 0, nDI, nDX)
	TILESTORE(1, 64, nDI, nDX)
	ADDQ $128, DI
	ADDQ pairTile_strip(AX), R13
	DECQ R15
	JNZ  strip1
	TILERELEASE()
	RET

// Offsets in pairExpTable.
#define C1 0
#define C2 4
#define C3 8
#define ONE 12

// z = 2^(16 elements at off(SI) times Z16, less Z17), added to sum; those that k does not select are 0.
//	Z20 1, Z21..Z23 polynomial
#define WEIGHTS(off, k, z, sum) \
	VMOVUPS.Z off(SI), k, z \
	VFMSUB213PS Z17, Z16, z \
	VREDUCEPS $1, z, Z4 \
	VMOVAPS Z23, Z5 \
	VFMADD213PS Z22, Z4, Z5 \
	VFMADD213PS Z21, Z4, Z5 \
	VFMADD213PS Z20, Z4, Z5 \
	VSCALEFPS.Z z, Z5, k, z \
	VADDPS z, sum, sum

// func expPairsAMX(dst *uint16, x *float32, n int, scale, shift float32) float32
TEXT ·expPairsAMX(SB), NOSPLIT, $0-36
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS scale+24(FP), Z16
	VBROADCASTSS shift+28(FP), Z17
	VBROADCASTSS ·pairExpTable+C1(SB), Z21
	VBROADCASTSS ·pairExpTable+C2(SB), Z22
	VBROADCASTSS ·pairExpTable+C3(SB), Z23
	VBROADCASTSS ·pairExpTable+ONE(SB), Z20
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	KXNORQ K1, K1, K1
	KXNORQ K2, K2, K2
	KXNORQ K3, K3, K3
	KXNORQ K4, K4, K4

loop:
	SUBQ $64, CX
	JGE  body
	ADDQ $64, CX
	JEQ  fold
	MOVQ $-1, AX
	SHLQ CX, AX
	NOTQ AX
	KMOVQ AX, K1
	SHRQ $16, AX
	KMOVQ AX, K2
	SHRQ $16, AX
	KMOVQ AX, K3
	SHRQ $16, AX
	KMOVQ AX, K4
	XORL CX, CX

body:
	WEIGHTS(0, K1, Z6, Z0)
	WEIGHTS(64, K2, Z7, Z1)
	VCVTNE2PS2BF16(6, 7)
	VMOVDQU16 Z6, K1, (DI)
	WEIGHTS(128, K3, Z6, Z2)
	WEIGHTS(192, K4, Z7, Z3)
	VCVTNE2PS2BF16(6, 7)
	VMOVDQU16 Z6, K3, 64(DI)
	ADDQ $256, SI
	ADDQ $128, DI
	JMP  loop

fold:
	VADDPS Z2, Z0, Z0
	VADDPS Z3, Z1, Z1
	VADDPS Z1, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VPERMILPD $1, X0, X1
	VADDPS X1, X0, X0
	VPSHUFD $1, X0, X1
	VADDPS X1, X0, X0
	VMOVSS X0, ret+32(FP)
	VZEROUPPER
	RET

// func interleavePairsAVX512(dst *uint32, src *byte, stride, pairs int)
TEXT ·interleavePairsAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ stride+16(FP), R9
	MOVQ pairs+24(FP), CX

pair:
	VPMOVZXWD (SI), Z0
	VPMOVZXWD 32(SI), Z1
	VPMOVZXWD (SI)(R9*1), Z2
	VPMOVZXWD 32(SI)(R9*1), Z3
	VPSLLD $16, Z2, Z2
	VPSLLD $16, Z3, Z3
	VPORD Z2, Z0, Z0
	VPORD Z3, Z1, Z1
	VMOVDQU32 Z0, (DI)
	VMOVDQU32 Z1, 64(DI)
	LEAQ (SI)(R9*2), SI
	ADDQ $128, DI
	DECQ CX
	JNZ  pair
	VZEROUPPER
	RET
