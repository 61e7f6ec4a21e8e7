//go:build amd64 && !purego

// The pair sums of VPMADDUBSW fit int16, as levels stay below 128: 2*127*127 < 32768. Y15 has int16 ones.
#define MULADD(a, t, acc) \
	VPMADDUBSW a, t, t \
	VPMADDWD Y15, t, t \
	VPADDD t, acc, acc

#define Q2 Y2
#define Q3 Y3
#define Q4 Y4
#define Q5 Y5
#define Q6 Y6
#define Q7 Y7
#define Q8 Y8
#define Q9 Y9

#include "gemv_avx2_amd64.h"

// func gemvD8AVX2(args *gemvArgs)
TEXT ·gemvD8AVX2(SB), NOSPLIT, $0-8
	GEMVSETUP
	GEMV(D8GROUP, 512)

// func gemvD4AVX2(args *gemvArgs)
TEXT ·gemvD4AVX2(SB), NOSPLIT, $0-8
	GEMVSETUP
	CONSTD(0x0f0f0f0f, X13, Y13)
	GEMV(D4GROUP, 256)

// func gemvD3AVX2(args *gemvArgs)
TEXT ·gemvD3AVX2(SB), NOSPLIT, $0-8
	GEMVSETUP
	CONSTD(0x03030303, X13, Y13)
	CONSTD(0x04040404, X10, Y10)
	GEMV(D3GROUP, 192)

// func gemvD2AVX2(args *gemvArgs)
TEXT ·gemvD2AVX2(SB), NOSPLIT, $0-8
	GEMVSETUP
	CONSTD(0x03030303, X13, Y13)
	GEMV(D2GROUP, 128)
