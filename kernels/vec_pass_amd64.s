//go:build amd64 && !purego

#include "textflag.h"

#define ARGS \
	MOVQ dst+0(FP), DI; \
	MOVQ d+8(FP), SI; \
	MOVQ y+16(FP), DX; \
	MOVQ n+24(FP), CX

// Predicates of comparisons that are false for NaN.
#define GREATER $0x1e
#define LESS $0x11

// func passAVX512(dst, d, y *float32, n int, low, high, slope float32)
TEXT ·passAVX512(SB), NOSPLIT, $0-44
	ARGS
	VBROADCASTSS low+32(FP), Z0
	VBROADCASTSS high+36(FP), Z1
	VBROADCASTSS slope+40(FP), Z2
	KXNORW K1, K1, K1

loop:
	SUBQ $16, CX
	JGE  body
	ADDQ $16, CX
	JEQ  done
	MOVL $1, AX
	SHLL CX, AX
	DECL AX
	KMOVW AX, K1
	XORL CX, CX

body:
	VMOVUPS.Z (SI), K1, Z3
	VMOVUPS.Z (DX), K1, Z4
	VCMPPS GREATER, Z0, Z4, K2
	VCMPPS LESS, Z1, Z4, K2, K3
	VMULPS Z2, Z3, Z5
	VMOVAPS Z3, K3, Z5
	VMOVUPS Z5, K1, (DI)
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $64, DI
	JMP  loop

done:
	VZEROUPPER
	RET

// func passAVX2(dst, d, y *float32, n int, low, high, slope float32)
TEXT ·passAVX2(SB), NOSPLIT, $0-44
	ARGS
	VBROADCASTSS low+32(FP), Y0
	VBROADCASTSS high+36(FP), Y1
	VBROADCASTSS slope+40(FP), Y2

loop:
	VMOVUPS (SI), Y3
	VMOVUPS (DX), Y4
	VCMPPS GREATER, Y0, Y4, Y5
	VCMPPS LESS, Y1, Y4, Y6
	VANDPS Y6, Y5, Y5
	VMULPS Y2, Y3, Y6
	VBLENDVPS Y5, Y3, Y6, Y6
	VMOVUPS Y6, (DI)
	ADDQ $32, SI
	ADDQ $32, DX
	ADDQ $32, DI
	SUBQ $8, CX
	JNE  loop
	VZEROUPPER
	RET
