// Bodies of the vector routines, written once for both register widths. The file that includes it has
// defined V0..V9 as Z or Y registers, and
//
//	BEGIN, END           a loop over the elements; END also returns
//	LOAD(p, v)           v = the elements at p
//	STORE(v, p)
//	CONST(c, d)          d = constant c of vecTable, in every lane
//	MULC, ADDC, SUBC, XORC (c, a, d)    d = a op constant c
//	SCALE(t, n, p, d)    d = p 2^n, where t = n + expMagic; may change its operands
//	NEGATIVE(m, a, d)    d = a in the lanes where m < 0
//	BELOW(c, m, a, d)    d = a in the lanes where m < constant c
//
//	DI dst    SI x or a    DX b    CX elements left

// Offsets in vecTable.
#define HIGH 0
#define LOW 4
#define LOG2E 8
#define MAGIC 12
#define LN2HIGH 16
#define LN2LOW 20
#define EXP0 24
#define EXP1 28
#define EXP2 32
#define EXP3 36
#define EXP4 40
#define ONE 44
#define TWO 48
#define HALF 52
#define SIXTH 56
#define SQRTHALF 60
#define ERFSCALE 64
#define ERFC0 68
#define ERFC1 72
#define ERFC2 76
#define ERFC3 80
#define ERFC4 84
#define ERFC5 88
#define ERFC6 92
#define ERFC7 96
#define ERFC8 100
#define TANHMAX 104
#define TANH0 108
#define TANH1 112
#define TANH2 116
#define TANH3 120
#define TANH4 124
#define GELU1 128
#define GELU3 132
#define ERFMAX 136
#define ERF0 140
#define ERF1 144
#define ERF2 148
#define ERF3 152
#define ERF4 156
#define ERF5 160
#define SIGN 164
#define BIAS 168

#define ARGS2 \
	MOVQ dst+0(FP), DI; \
	MOVQ x+8(FP), SI; \
	MOVQ n+16(FP), CX

#define ARGS3 \
	MOVQ dst+0(FP), DI; \
	MOVQ a+8(FP), SI; \
	MOVQ b+16(FP), DX; \
	MOVQ n+24(FP), CX

#define NEXT2 \
	ADDQ $BYTES, DI; \
	ADDQ $BYTES, SI

#define NEXT3 \
	NEXT2; \
	ADDQ $BYTES, DX

// dst = a op b
#define BINARY(op) \
	ARGS3; \
	BEGIN; \
	LOAD(SI, V0); \
	LOAD(DX, V1); \
	op V1, V0, V0; \
	STORE(V0, DI); \
	NEXT3; \
	END

// dst = b op a where the order matters: a maximum or minimum gives its second operand if the two are equal or one
// is NaN
#define CHOICE(op) \
	ARGS3; \
	BEGIN; \
	LOAD(SI, V0); \
	LOAD(DX, V1); \
	op V0, V1, V0; \
	STORE(V0, DI); \
	NEXT3; \
	END

#define SQRT \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V0); \
	VSQRTPS V0, V0; \
	STORE(V0, DI); \
	NEXT2; \
	END

// dst = x op a, with the scalar in V8
#define SCALAR(op) \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V0); \
	op V8, V0, V0; \
	STORE(V0, DI); \
	NEXT2; \
	END

// dst += a x
#define AXPY \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V0); \
	LOAD(DI, V1); \
	VFMADD231PS V8, V0, V1; \
	STORE(V1, DI); \
	NEXT2; \
	END

// x = exp(x), step by step as expGeneric
#define EXP(x, t, n, p, u) \
	CONST(HIGH, t); \
	VMINPS x, t, x; \
	CONST(LOW, t); \
	VMAXPS x, t, x; \
	MULC(LOG2E, x, t); \
	ADDC(MAGIC, t, t); \
	SUBC(MAGIC, t, n); \
	MULC(LN2HIGH, n, p); \
	VSUBPS p, x, x; \
	MULC(LN2LOW, n, p); \
	VSUBPS p, x, x; \
	MULC(EXP4, x, p); \
	ADDC(EXP3, p, p); \
	VMULPS x, p, p; \
	ADDC(EXP2, p, p); \
	VMULPS x, p, p; \
	ADDC(EXP1, p, p); \
	VMULPS x, p, p; \
	ADDC(EXP0, p, p); \
	VMULPS x, x, u; \
	VMULPS u, p, p; \
	VADDPS x, p, p; \
	ADDC(ONE, p, p); \
	SCALE(t, n, p, x)

// dst = exp(x - shift), with the shift in V8
#define EXPSHIFT \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V0); \
	VSUBPS V8, V0, V0; \
	EXP(V0, V1, V2, V3, V4); \
	STORE(V0, DI); \
	NEXT2; \
	END

// V0 = 1 + exp(-V0)
#define LOGISTIC \
	XORC(SIGN, V0, V0); \
	EXP(V0, V1, V2, V3, V4); \
	ADDC(ONE, V0, V0)

#define SIGMOID \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V0); \
	LOGISTIC; \
	CONST(ONE, V1); \
	VDIVPS V0, V1, V0; \
	STORE(V0, DI); \
	NEXT2; \
	END

#define SWISH \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V5); \
	VMOVAPS V5, V0; \
	LOGISTIC; \
	VDIVPS V0, V5, V0; \
	STORE(V0, DI); \
	NEXT2; \
	END

#define GELUTANH \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V5); \
	VMULPS V5, V5, V0; \
	MULC(GELU3, V0, V0); \
	ADDC(GELU1, V0, V0); \
	VMULPS V5, V0, V0; \
	LOGISTIC; \
	VDIVPS V0, V5, V0; \
	STORE(V0, DI); \
	NEXT2; \
	END

// z = erfc(z) for z >= 0, step by step as erfcGeneric; t 1/(1 + 0.4z), q the polynomial times it. Changes V1..V4.
#define ERFC(z, t, q) \
	MULC(ERFSCALE, z, t); \
	ADDC(ONE, t, t); \
	CONST(ONE, q); \
	VDIVPS t, q, t; \
	MULC(ERFC8, t, q); \
	ADDC(ERFC7, q, q); \
	VMULPS t, q, q; \
	ADDC(ERFC6, q, q); \
	VMULPS t, q, q; \
	ADDC(ERFC5, q, q); \
	VMULPS t, q, q; \
	ADDC(ERFC4, q, q); \
	VMULPS t, q, q; \
	ADDC(ERFC3, q, q); \
	VMULPS t, q, q; \
	ADDC(ERFC2, q, q); \
	VMULPS t, q, q; \
	ADDC(ERFC1, q, q); \
	VMULPS t, q, q; \
	ADDC(ERFC0, q, q); \
	VMULPS t, q, q; \
	VMULPS z, z, z; \
	XORC(SIGN, z, z); \
	EXP(z, V1, V2, V3, V4); \
	VMULPS q, z, z

#define GELU \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V5); \
	CONST(SIGN, V1); \
	VANDNPS V5, V1, V0; \
	MULC(SQRTHALF, V0, V0); \
	ERFC(V0, V6, V7); \
	MULC(HALF, V5, V6); \
	VMULPS V0, V6, V6; \
	VSUBPS V6, V5, V0; \
	NEGATIVE(V5, V6, V0); \
	STORE(V0, DI); \
	NEXT2; \
	END

// V5 x, V8 |x|, V0 the exponential form, V1 the polynomial form
#define ERF \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V5); \
	CONST(SIGN, V1); \
	VANDNPS V5, V1, V0; \
	VMOVAPS V0, V8; \
	ERFC(V0, V6, V7); \
	CONST(ONE, V1); \
	VSUBPS V0, V1, V0; \
	CONST(SIGN, V1); \
	VANDPS V5, V1, V1; \
	VORPS V1, V0, V0; \
	VMULPS V5, V5, V7; \
	MULC(ERF5, V7, V1); \
	ADDC(ERF4, V1, V1); \
	VMULPS V7, V1, V1; \
	ADDC(ERF3, V1, V1); \
	VMULPS V7, V1, V1; \
	ADDC(ERF2, V1, V1); \
	VMULPS V7, V1, V1; \
	ADDC(ERF1, V1, V1); \
	VMULPS V7, V1, V1; \
	ADDC(ERF0, V1, V1); \
	VMULPS V5, V1, V1; \
	BELOW(ERFMAX, V8, V1, V0); \
	STORE(V0, DI); \
	NEXT2; \
	END

// V5 x, V6 |x|, V0 the exponential form, V1 the polynomial form
#define TANH \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V5); \
	CONST(SIGN, V1); \
	VANDNPS V5, V1, V6; \
	VADDPS V6, V6, V0; \
	EXP(V0, V1, V2, V3, V4); \
	ADDC(ONE, V0, V0); \
	CONST(TWO, V1); \
	VDIVPS V0, V1, V0; \
	CONST(ONE, V1); \
	VSUBPS V0, V1, V0; \
	CONST(SIGN, V1); \
	VANDPS V5, V1, V1; \
	VORPS V1, V0, V0; \
	VMULPS V5, V5, V7; \
	MULC(TANH4, V7, V1); \
	ADDC(TANH3, V1, V1); \
	VMULPS V7, V1, V1; \
	ADDC(TANH2, V1, V1); \
	VMULPS V7, V1, V1; \
	ADDC(TANH1, V1, V1); \
	VMULPS V7, V1, V1; \
	ADDC(TANH0, V1, V1); \
	VMULPS V7, V1, V1; \
	VMULPS V5, V1, V1; \
	VADDPS V5, V1, V1; \
	BELOW(TANHMAX, V6, V1, V0); \
	STORE(V0, DI); \
	NEXT2; \
	END

#define HARDSWISH \
	ARGS2; \
	VXORPS V8, V8, V8; \
	CONST(ONE, V9); \
	BEGIN; \
	LOAD(SI, V5); \
	MULC(SIXTH, V5, V0); \
	ADDC(HALF, V0, V0); \
	VMAXPS V8, V0, V0; \
	VMINPS V9, V0, V0; \
	VMULPS V5, V0, V0; \
	STORE(V0, DI); \
	NEXT2; \
	END

// dst = min(max(x, V8), V9)
#define CLIP \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V0); \
	VMAXPS V8, V0, V0; \
	VMINPS V9, V0, V0; \
	STORE(V0, DI); \
	NEXT2; \
	END

// dst = x, or V8 x where x < 0
#define LEAKY \
	ARGS2; \
	BEGIN; \
	LOAD(SI, V0); \
	VMULPS V8, V0, V1; \
	NEGATIVE(V0, V1, V0); \
	STORE(V0, DI); \
	NEXT2; \
	END

// Half-split rotation: SI the first half of x, R8 the second; DI, R9 of dst; R10 cos, R11 sin
#define ROPE \
	MOVQ dst+0(FP), DI; \
	MOVQ x+8(FP), SI; \
	MOVQ cos+16(FP), R10; \
	MOVQ sin+24(FP), R11; \
	MOVQ half+32(FP), AX; \
	MOVQ n+40(FP), CX; \
	LEAQ (SI)(AX*4), R8; \
	LEAQ (DI)(AX*4), R9; \
	BEGIN; \
	LOAD(SI, V0); \
	LOAD(R8, V1); \
	LOAD(R10, V2); \
	LOAD(R11, V3); \
	VMULPS V2, V0, V4; \
	VMULPS V3, V1, V5; \
	VSUBPS V5, V4, V4; \
	VMULPS V3, V0, V0; \
	VMULPS V2, V1, V1; \
	VADDPS V1, V0, V0; \
	STORE(V4, DI); \
	STORE(V0, R9); \
	NEXT2; \
	ADDQ $BYTES, R8; \
	ADDQ $BYTES, R9; \
	ADDQ $BYTES, R10; \
	ADDQ $BYTES, R11; \
	END
