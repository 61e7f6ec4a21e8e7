//go:build amd64 && !purego

// Codes are masked, as VPSHUFB looks at the top bit of a byte too.
#define LOOKUP(mask, x) \
	VPANDD mask, x, x \
	VPSHUFB x, Z31, x

#include "gemv_avx512_amd64.h"

// func gemvD8AVX512(args *gemvArgs)
TEXT ·gemvD8AVX512(SB), NOSPLIT, $0-8
	SETUP(0)
	GEMV(D8BOTH, D8GROUP, 512)

// func gemvD4AVX512(args *gemvArgs)
TEXT ·gemvD4AVX512(SB), NOSPLIT, $0-8
	SETUP(0x0f0f0f0f)
	GEMV(D4BOTH, D4GROUP, 256)

// func gemvD3AVX512(args *gemvArgs)
TEXT ·gemvD3AVX512(SB), NOSPLIT, $0-8
	SETUP(0x03030303)
	GEMV(D3BOTH, D3GROUP, 192)

// func gemvD2AVX512(args *gemvArgs)
TEXT ·gemvD2AVX512(SB), NOSPLIT, $0-8
	SETUP(0x03030303)
	GEMV(D2BOTH, D2GROUP, 128)
