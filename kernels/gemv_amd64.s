//go:build amd64 && !purego

#include "textflag.h"

// One row of x times four panels, converted in registers: every weight is read once.
//
//	SI x    R8 R9 R10 R11 the panels' weights of column k    CX k left    DI dst

#define ARGS \
	MOVQ dst+0(FP), DI; \
	MOVQ x+8(FP), SI; \
	MOVQ w0+16(FP), R8; \
	MOVQ w1+24(FP), R9; \
	MOVQ w2+32(FP), R10; \
	MOVQ w3+40(FP), R11; \
	MOVQ k+48(FP), CX

#define NEXT(bytes) \
	ADDQ $4, SI; \
	ADDQ $bytes, R8; \
	ADDQ $bytes, R9; \
	ADDQ $bytes, R10; \
	ADDQ $bytes, R11; \
	DECQ CX

// AVX-512: Z0 x, Z1..Z4 weights, Z8..Z11 sums.

#define ZEROZ \
	VPXORD Z8, Z8, Z8; \
	VPXORD Z9, Z9, Z9; \
	VPXORD Z10, Z10, Z10; \
	VPXORD Z11, Z11, Z11

#define FMAZ \
	VFMADD231PS Z1, Z0, Z8; \
	VFMADD231PS Z2, Z0, Z9; \
	VFMADD231PS Z3, Z0, Z10; \
	VFMADD231PS Z4, Z0, Z11

#define STOREZ \
	VMOVUPS Z8, (DI); \
	VMOVUPS Z9, 64(DI); \
	VMOVUPS Z10, 128(DI); \
	VMOVUPS Z11, 192(DI); \
	VZEROUPPER

// func gemvF32AVX512(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)
TEXT ·gemvF32AVX512(SB), NOSPLIT, $0-56
	ARGS
	ZEROZ

loop:
	VBROADCASTSS (SI), Z0
	VFMADD231PS  (R8), Z0, Z8
	VFMADD231PS  (R9), Z0, Z9
	VFMADD231PS  (R10), Z0, Z10
	VFMADD231PS  (R11), Z0, Z11
	PREFETCHT0   4096(R8)
	PREFETCHT0   4096(R9)
	PREFETCHT0   4096(R10)
	PREFETCHT0   4096(R11)
	NEXT(64)
	JNZ          loop
	STOREZ
	RET

// func gemvF16AVX512(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)
TEXT ·gemvF16AVX512(SB), NOSPLIT, $0-56
	ARGS
	ZEROZ

loop:
	VBROADCASTSS (SI), Z0
	VCVTPH2PS    (R8), Z1
	VCVTPH2PS    (R9), Z2
	VCVTPH2PS    (R10), Z3
	VCVTPH2PS    (R11), Z4
	FMAZ
	PREFETCHT0   4096(R8)
	PREFETCHT0   4096(R9)
	PREFETCHT0   4096(R10)
	PREFETCHT0   4096(R11)
	NEXT(32)
	JNZ          loop
	STOREZ
	RET

// func gemvBF16AVX512(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)
TEXT ·gemvBF16AVX512(SB), NOSPLIT, $0-56
	ARGS
	ZEROZ

loop:
	VBROADCASTSS (SI), Z0
	VPMOVZXWD    (R8), Z1
	VPMOVZXWD    (R9), Z2
	VPMOVZXWD    (R10), Z3
	VPMOVZXWD    (R11), Z4
	VPSLLD       $16, Z1, Z1
	VPSLLD       $16, Z2, Z2
	VPSLLD       $16, Z3, Z3
	VPSLLD       $16, Z4, Z4
	FMAZ
	PREFETCHT0   4096(R8)
	PREFETCHT0   4096(R9)
	PREFETCHT0   4096(R10)
	PREFETCHT0   4096(R11)
	NEXT(32)
	JNZ          loop
	STOREZ
	RET

// AVX2: Y0 x, Y1..Y7 weights, Y8..Y15 sums, two for each panel.

#define ZEROY \
	VXORPS Y8, Y8, Y8; \
	VXORPS Y9, Y9, Y9; \
	VXORPS Y10, Y10, Y10; \
	VXORPS Y11, Y11, Y11; \
	VXORPS Y12, Y12, Y12; \
	VXORPS Y13, Y13, Y13; \
	VXORPS Y14, Y14, Y14; \
	VXORPS Y15, Y15, Y15

#define STOREY \
	VMOVUPS Y8, (DI); \
	VMOVUPS Y9, 32(DI); \
	VMOVUPS Y10, 64(DI); \
	VMOVUPS Y11, 96(DI); \
	VMOVUPS Y12, 128(DI); \
	VMOVUPS Y13, 160(DI); \
	VMOVUPS Y14, 192(DI); \
	VMOVUPS Y15, 224(DI); \
	VZEROUPPER

#define F16Y(w, t0, t1, c0, c1) \
	VCVTPH2PS (w), t0; \
	VCVTPH2PS 16(w), t1; \
	VFMADD231PS t0, Y0, c0; \
	VFMADD231PS t1, Y0, c1

#define BF16Y(w, t0, t1, c0, c1) \
	VPMOVZXWD (w), t0; \
	VPMOVZXWD 16(w), t1; \
	VPSLLD $16, t0, t0; \
	VPSLLD $16, t1, t1; \
	VFMADD231PS t0, Y0, c0; \
	VFMADD231PS t1, Y0, c1

// func gemvF32AVX2(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)
TEXT ·gemvF32AVX2(SB), NOSPLIT, $0-56
	ARGS
	ZEROY

loop:
	VBROADCASTSS (SI), Y0
	VFMADD231PS  (R8), Y0, Y8
	VFMADD231PS  32(R8), Y0, Y9
	VFMADD231PS  (R9), Y0, Y10
	VFMADD231PS  32(R9), Y0, Y11
	VFMADD231PS  (R10), Y0, Y12
	VFMADD231PS  32(R10), Y0, Y13
	VFMADD231PS  (R11), Y0, Y14
	VFMADD231PS  32(R11), Y0, Y15
	PREFETCHT0   4096(R8)
	PREFETCHT0   4096(R9)
	PREFETCHT0   4096(R10)
	PREFETCHT0   4096(R11)
	NEXT(64)
	JNZ          loop
	STOREY
	RET

// func gemvF16AVX2(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)
TEXT ·gemvF16AVX2(SB), NOSPLIT, $0-56
	ARGS
	ZEROY

loop:
	VBROADCASTSS (SI), Y0
	F16Y(R8, Y1, Y2, Y8, Y9)
	F16Y(R9, Y3, Y4, Y10, Y11)
	F16Y(R10, Y5, Y6, Y12, Y13)
	F16Y(R11, Y7, Y1, Y14, Y15)
	PREFETCHT0   4096(R8)
	PREFETCHT0   4096(R9)
	PREFETCHT0   4096(R10)
	PREFETCHT0   4096(R11)
	NEXT(32)
	JNZ          loop
	STOREY
	RET

// func gemvBF16AVX2(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)
TEXT ·gemvBF16AVX2(SB), NOSPLIT, $0-56
	ARGS
	ZEROY

loop:
	VBROADCASTSS (SI), Y0
	BF16Y(R8, Y1, Y2, Y8, Y9)
	BF16Y(R9, Y3, Y4, Y10, Y11)
	BF16Y(R10, Y5, Y6, Y12, Y13)
	BF16Y(R11, Y7, Y1, Y14, Y15)
	PREFETCHT0   4096(R8)
	PREFETCHT0   4096(R9)
	PREFETCHT0   4096(R10)
	PREFETCHT0   4096(R11)
	NEXT(32)
	JNZ          loop
	STOREY
	RET

// Conversions of a multiple of 16 elements: SI src, DI dst, CX elements left. AVX2 is enough:
// they wait for memory.

// func expandF16AVX2(dst *float32, src *uint16, n int)
TEXT ·expandF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

loop:
	VCVTPH2PS (SI), Y0
	VCVTPH2PS 16(SI), Y1
	VMOVUPS   Y0, (DI)
	VMOVUPS   Y1, 32(DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	SUBQ      $16, CX
	JNZ       loop
	VZEROUPPER
	RET

// func expandBF16AVX2(dst *float32, src *uint16, n int)
TEXT ·expandBF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

loop:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD    $16, Y0, Y0
	VPSLLD    $16, Y1, Y1
	VMOVUPS   Y0, (DI)
	VMOVUPS   Y1, 32(DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	SUBQ      $16, CX
	JNZ       loop
	VZEROUPPER
	RET

// Transposes eight rows by k columns, a multiple of 4: rows r and r+4 share a register, so no step
// crosses its halves.
//
// func packTrans8AVX2(dst *float32, ldd int, src *float32, ld, k int)
//
//	SI, R8 src rows 0, 4    BX ld    R9 3 ld    DI dst    DX ldd    R10 3 ldd    CX k left
TEXT ·packTrans8AVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), DX
	MOVQ src+16(FP), SI
	MOVQ ld+24(FP), BX
	MOVQ k+32(FP), CX
	SHLQ $2, DX
	SHLQ $2, BX
	LEAQ (SI)(BX*4), R8
	LEAQ (BX)(BX*2), R9
	LEAQ (DX)(DX*2), R10

loop:
	VMOVUPS     (SI), X0
	VMOVUPS     (SI)(BX*1), X1
	VMOVUPS     (SI)(BX*2), X2
	VMOVUPS     (SI)(R9*1), X3
	VINSERTF128 $1, (R8), Y0, Y0        // rows 0 | 4
	VINSERTF128 $1, (R8)(BX*1), Y1, Y1  // rows 1 | 5
	VINSERTF128 $1, (R8)(BX*2), Y2, Y2
	VINSERTF128 $1, (R8)(R9*1), Y3, Y3
	VUNPCKLPS   Y1, Y0, Y4              // r0k0 r1k0 r0k1 r1k1
	VUNPCKHPS   Y1, Y0, Y5              // r0k2 r1k2 r0k3 r1k3
	VUNPCKLPS   Y3, Y2, Y6
	VUNPCKHPS   Y3, Y2, Y7
	VUNPCKLPD   Y6, Y4, Y0              // k0 of rows 0 1 2 3 | 4 5 6 7
	VUNPCKHPD   Y6, Y4, Y1
	VUNPCKLPD   Y7, Y5, Y2
	VUNPCKHPD   Y7, Y5, Y3
	VMOVUPS     Y0, (DI)
	VMOVUPS     Y1, (DI)(DX*1)
	VMOVUPS     Y2, (DI)(DX*2)
	VMOVUPS     Y3, (DI)(R10*1)
	LEAQ        (DI)(DX*4), DI
	ADDQ        $16, SI
	ADDQ        $16, R8
	SUBQ        $4, CX
	JNZ         loop
	VZEROUPPER
	RET
