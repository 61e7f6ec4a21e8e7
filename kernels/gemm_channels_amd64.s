//go:build amd64 && !purego

#include "textflag.h"

// Sums of products channel by channel: up to 3 taps of 32 channels in registers. The rows of A and B are read segment by segment, of k
// rows each, jump bytes apart after each.
//
//	AX  the tile's description
//	SI  a row of A      BX  bytes between rows    R9   jump
//	DI  a row of B      R8  bytes between rows    R10  jump
//	R13 bytes between taps of B                   R12  of C, R11 C
//	DX  segments left   CX  k left
//
// Z0, Z1 a row of A; Z2, Z3 one of B; tap i of C in Z(8+2i), Z(9+2i). K1, K2 are the channels that exist.

#define channelC 0
#define channelA 8
#define channelB 16
#define channelLda 24
#define channelLdb 32
#define channelTap 40
#define channelLdc 48
#define channelK 56
#define channelSegments 64
#define channelJumpA 72
#define channelJumpB 80
#define channelMask 88

#define LOAD(c0, c1) \
	VMOVUPS.Z (R11), K1, c0; \
	VMOVUPS.Z 64(R11), K2, c1; \
	ADDQ R12, R11

#define TAP(at, next, c0, c1) \
	VMOVUPS.Z at, K1, Z2; \
	VMOVUPS.Z next, K2, Z3; \
	VFMADD231PS Z0, Z2, c0; \
	VFMADD231PS Z1, Z3, c1

#define STORE(c0, c1) \
	VMOVUPS c0, K1, (R11); \
	VMOVUPS c1, K2, 64(R11); \
	ADDQ R12, R11

#define LOADS1 LOAD(Z8, Z9)
#define LOADS2 LOADS1; LOAD(Z10, Z11)
#define LOADS3 LOADS2; LOAD(Z12, Z13)

#define TAPS1 TAP((DI), 64(DI), Z8, Z9)
#define TAPS2 TAPS1; TAP((DI)(R13*1), 64(DI)(R13*1), Z10, Z11)
#define TAPS3 TAPS2; TAP((DI)(R13*2), 64(DI)(R13*2), Z12, Z13)

#define STORES1 STORE(Z8, Z9)
#define STORES2 STORES1; STORE(Z10, Z11)
#define STORES3 STORES2; STORE(Z12, Z13)

#define SUMS(LOADS, TAPS, STORES) \
	MOVQ t+0(FP), AX; \
	MOVQ channelA(AX), SI; \
	MOVQ channelB(AX), DI; \
	MOVQ channelLda(AX), BX; \
	MOVQ channelLdb(AX), R8; \
	MOVQ channelJumpA(AX), R9; \
	MOVQ channelJumpB(AX), R10; \
	MOVQ channelTap(AX), R13; \
	MOVQ channelSegments(AX), DX; \
	MOVL channelMask(AX), CX; \
	KMOVW CX, K1; \
	SHRL $16, CX; \
	KMOVW CX, K2; \
	MOVQ channelC(AX), R11; \
	MOVQ channelLdc(AX), R12; \
	LOADS; \
segment: \
	MOVQ channelK(AX), CX; \
	PCALIGN $64; \
loop: \
	VMOVUPS.Z (SI), K1, Z0; \
	VMOVUPS.Z 64(SI), K2, Z1; \
	TAPS; \
	ADDQ BX, SI; \
	ADDQ R8, DI; \
	DECQ CX; \
	JNZ  loop; \
	ADDQ R9, SI; \
	ADDQ R10, DI; \
	DECQ DX; \
	JNZ  segment; \
	MOVQ channelC(AX), R11; \
	STORES; \
	VZEROUPPER; \
	RET

// func channelOuter1AVX512(t *channelTile)
TEXT ·channelOuter1AVX512(SB), NOSPLIT, $0-8
	SUMS(LOADS1, TAPS1, STORES1)

// func channelOuter2AVX512(t *channelTile)
TEXT ·channelOuter2AVX512(SB), NOSPLIT, $0-8
	SUMS(LOADS2, TAPS2, STORES2)

// func channelOuter3AVX512(t *channelTile)
TEXT ·channelOuter3AVX512(SB), NOSPLIT, $0-8
	SUMS(LOADS3, TAPS3, STORES3)
