//go:build amd64 && !purego

#include "textflag.h"

// The vector routines on 8 lanes, for multiples of 8 elements.

#define BYTES 32
#define V0 Y0
#define V1 Y1
#define V2 Y2
#define V3 Y3
#define V4 Y4
#define V5 Y5
#define V6 Y6
#define V7 Y7
#define V8 Y8
#define V9 Y9

#define BEGIN \
loop: \
	SUBQ $8, CX; \
	JLT done

#define END \
	JMP loop; \
done: \
	VZEROUPPER; \
	RET

#define LOAD(p, v) VMOVUPS (p), v
#define STORE(v, p) VMOVUPS v, (p)
#define CONST(c, d) VBROADCASTSS ·vecTable+c(SB), d

#define MULC(c, a, d) \
	CONST(c, Y15); \
	VMULPS Y15, a, d

#define ADDC(c, a, d) \
	CONST(c, Y15); \
	VADDPS Y15, a, d

#define SUBC(c, a, d) \
	CONST(c, Y15); \
	VSUBPS Y15, a, d

#define XORC(c, a, d) \
	CONST(c, Y15); \
	VXORPS Y15, a, d

// In two steps, as expGeneric: t is n, then its half, n the other half.
#define SCALE(t, n, p, d) \
	CONST(MAGIC, Y15); \
	VPSUBD Y15, t, n; \
	VPSRAD $1, n, t; \
	VPSUBD t, n, n; \
	CONST(BIAS, Y15); \
	VPADDD Y15, t, t; \
	VPADDD Y15, n, n; \
	VPSLLD $23, t, t; \
	VPSLLD $23, n, n; \
	VMULPS t, p, p; \
	VMULPS n, p, d

#define NEGATIVE(m, a, d) VBLENDVPS m, a, d, d

#define BELOW(c, m, a, d) \
	CONST(c, Y15); \
	VCMPPS $1, Y15, m, Y15; \
	VBLENDVPS Y15, a, d, d

#include "vec_amd64.h"

// func addAVX2(dst, a, b *float32, n int)
TEXT ·addAVX2(SB), NOSPLIT, $0-32
	BINARY(VADDPS)

// func subAVX2(dst, a, b *float32, n int)
TEXT ·subAVX2(SB), NOSPLIT, $0-32
	BINARY(VSUBPS)

// func mulAVX2(dst, a, b *float32, n int)
TEXT ·mulAVX2(SB), NOSPLIT, $0-32
	BINARY(VMULPS)

// func divAVX2(dst, a, b *float32, n int)
TEXT ·divAVX2(SB), NOSPLIT, $0-32
	BINARY(VDIVPS)

// func maxAVX2(dst, a, b *float32, n int)
TEXT ·maxAVX2(SB), NOSPLIT, $0-32
	CHOICE(VMAXPS)

// func minAVX2(dst, a, b *float32, n int)
TEXT ·minAVX2(SB), NOSPLIT, $0-32
	CHOICE(VMINPS)

// func sqrtAVX2(dst, x *float32, n int)
TEXT ·sqrtAVX2(SB), NOSPLIT, $0-24
	SQRT

// func erfAVX2(dst, x *float32, n int)
TEXT ·erfAVX2(SB), NOSPLIT, $0-24
	ERF

// func expShiftAVX2(dst, x *float32, n int, shift float32)
TEXT ·expShiftAVX2(SB), NOSPLIT, $0-28
	VBROADCASTSS shift+24(FP), V8
	EXPSHIFT

// func sigmoidAVX2(dst, x *float32, n int)
TEXT ·sigmoidAVX2(SB), NOSPLIT, $0-24
	SIGMOID

// func swishAVX2(dst, x *float32, n int)
TEXT ·swishAVX2(SB), NOSPLIT, $0-24
	SWISH

// func geluAVX2(dst, x *float32, n int)
TEXT ·geluAVX2(SB), NOSPLIT, $0-24
	GELU

// func geluTanhAVX2(dst, x *float32, n int)
TEXT ·geluTanhAVX2(SB), NOSPLIT, $0-24
	GELUTANH

// func tanhAVX2(dst, x *float32, n int)
TEXT ·tanhAVX2(SB), NOSPLIT, $0-24
	TANH

// func hardSwishAVX2(dst, x *float32, n int)
TEXT ·hardSwishAVX2(SB), NOSPLIT, $0-24
	HARDSWISH

// func clipAVX2(dst, x *float32, n int, lo, hi float32)
TEXT ·clipAVX2(SB), NOSPLIT, $0-32
	VBROADCASTSS lo+24(FP), V8
	VBROADCASTSS hi+28(FP), V9
	CLIP

// func leakyAVX2(dst, x *float32, n int, alpha float32)
TEXT ·leakyAVX2(SB), NOSPLIT, $0-28
	VBROADCASTSS alpha+24(FP), V8
	LEAKY

// func scaleAVX2(dst, x *float32, n int, a float32)
TEXT ·scaleAVX2(SB), NOSPLIT, $0-28
	VBROADCASTSS a+24(FP), V8
	SCALAR(VMULPS)

// func addScalarAVX2(dst, x *float32, n int, a float32)
TEXT ·addScalarAVX2(SB), NOSPLIT, $0-28
	VBROADCASTSS a+24(FP), V8
	SCALAR(VADDPS)

// func axpyAVX2(dst, x *float32, n int, a float32)
TEXT ·axpyAVX2(SB), NOSPLIT, $0-28
	VBROADCASTSS a+24(FP), V8
	AXPY

// func ropeAVX2(dst, x, cos, sin *float32, half, n int)
TEXT ·ropeAVX2(SB), NOSPLIT, $0-48
	ROPE
