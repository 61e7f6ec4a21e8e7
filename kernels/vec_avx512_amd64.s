//go:build amd64 && !purego

#include "textflag.h"

// The vector routines on 16 lanes. A last block of fewer elements is masked by K1.

#define BYTES 64
#define V0 Z0
#define V1 Z1
#define V2 Z2
#define V3 Z3
#define V4 Z4
#define V5 Z5
#define V6 Z6
#define V7 Z7
#define V8 Z8
#define V9 Z9

#define BEGIN \
	KXNORW K1, K1, K1; \
loop: \
	SUBQ $16, CX; \
	JGE body; \
	ADDQ $16, CX; \
	JEQ done; \
	MOVL $1, AX; \
	SHLL CX, AX; \
	DECL AX; \
	KMOVW AX, K1; \
	XORL CX, CX; \
body:

#define END \
	JMP loop; \
done: \
	VZEROUPPER; \
	RET

#define LOAD(p, v) VMOVUPS.Z (p), K1, v
#define STORE(v, p) VMOVUPS v, K1, (p)
#define CONST(c, d) VBROADCASTSS ·vecTable+c(SB), d
#define MULC(c, a, d) VMULPS.BCST ·vecTable+c(SB), a, d
#define ADDC(c, a, d) VADDPS.BCST ·vecTable+c(SB), a, d
#define SUBC(c, a, d) VSUBPS.BCST ·vecTable+c(SB), a, d
#define XORC(c, a, d) VXORPS.BCST ·vecTable+c(SB), a, d
#define SCALE(t, n, p, d) VSCALEFPS n, p, d

#define NEGATIVE(m, a, d) \
	VPMOVD2M m, K2; \
	VMOVAPS a, K2, d

#define BELOW(c, m, a, d) \
	VCMPPS.BCST $1, ·vecTable+c(SB), m, K2; \
	VMOVAPS a, K2, d

#include "vec_amd64.h"

// func addAVX512(dst, a, b *float32, n int)
TEXT ·addAVX512(SB), NOSPLIT, $0-32
	BINARY(VADDPS)

// func subAVX512(dst, a, b *float32, n int)
TEXT ·subAVX512(SB), NOSPLIT, $0-32
	BINARY(VSUBPS)

// func mulAVX512(dst, a, b *float32, n int)
TEXT ·mulAVX512(SB), NOSPLIT, $0-32
	BINARY(VMULPS)

// func divAVX512(dst, a, b *float32, n int)
TEXT ·divAVX512(SB), NOSPLIT, $0-32
	BINARY(VDIVPS)

// func maxAVX512(dst, a, b *float32, n int)
TEXT ·maxAVX512(SB), NOSPLIT, $0-32
	CHOICE(VMAXPS)

// func minAVX512(dst, a, b *float32, n int)
TEXT ·minAVX512(SB), NOSPLIT, $0-32
	CHOICE(VMINPS)

// func sqrtAVX512(dst, x *float32, n int)
TEXT ·sqrtAVX512(SB), NOSPLIT, $0-24
	SQRT

// func erfAVX512(dst, x *float32, n int)
TEXT ·erfAVX512(SB), NOSPLIT, $0-24
	ERF

// func expShiftAVX512(dst, x *float32, n int, shift float32)
TEXT ·expShiftAVX512(SB), NOSPLIT, $0-28
	VBROADCASTSS shift+24(FP), V8
	EXPSHIFT

// func sigmoidAVX512(dst, x *float32, n int)
TEXT ·sigmoidAVX512(SB), NOSPLIT, $0-24
	SIGMOID

// func swishAVX512(dst, x *float32, n int)
TEXT ·swishAVX512(SB), NOSPLIT, $0-24
	SWISH

// func geluAVX512(dst, x *float32, n int)
TEXT ·geluAVX512(SB), NOSPLIT, $0-24
	GELU

// func geluTanhAVX512(dst, x *float32, n int)
TEXT ·geluTanhAVX512(SB), NOSPLIT, $0-24
	GELUTANH

// func tanhAVX512(dst, x *float32, n int)
TEXT ·tanhAVX512(SB), NOSPLIT, $0-24
	TANH

// func hardSwishAVX512(dst, x *float32, n int)
TEXT ·hardSwishAVX512(SB), NOSPLIT, $0-24
	HARDSWISH

// func clipAVX512(dst, x *float32, n int, lo, hi float32)
TEXT ·clipAVX512(SB), NOSPLIT, $0-32
	VBROADCASTSS lo+24(FP), V8
	VBROADCASTSS hi+28(FP), V9
	CLIP

// func leakyAVX512(dst, x *float32, n int, alpha float32)
TEXT ·leakyAVX512(SB), NOSPLIT, $0-28
	VBROADCASTSS alpha+24(FP), V8
	LEAKY

// func scaleAVX512(dst, x *float32, n int, a float32)
TEXT ·scaleAVX512(SB), NOSPLIT, $0-28
	VBROADCASTSS a+24(FP), V8
	SCALAR(VMULPS)

// func addScalarAVX512(dst, x *float32, n int, a float32)
TEXT ·addScalarAVX512(SB), NOSPLIT, $0-28
	VBROADCASTSS a+24(FP), V8
	SCALAR(VADDPS)

// func axpyAVX512(dst, x *float32, n int, a float32)
TEXT ·axpyAVX512(SB), NOSPLIT, $0-28
	VBROADCASTSS a+24(FP), V8
	AXPY

// func ropeAVX512(dst, x, cos, sin *float32, half, n int)
TEXT ·ropeAVX512(SB), NOSPLIT, $0-48
	ROPE
