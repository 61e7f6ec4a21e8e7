//go:build amd64 && !purego

// VPERMB looks at six bits of a byte, and the levels repeat as often as there are codes: what is left above a code
// does not matter.
#define LOOKUP(mask, x) \
	VPERMB Z31, x, x

#include "gemv_avx512_amd64.h"

// func gemvD4VBMI(args *gemvArgs)
TEXT ·gemvD4VBMI(SB), NOSPLIT, $0-8
	SETUP(0x0f0f0f0f)
	GEMV(D4BOTH, D4GROUP, 256)

// func gemvD3VBMI(args *gemvArgs)
TEXT ·gemvD3VBMI(SB), NOSPLIT, $0-8
	SETUP(0x03030303)
	GEMV(D3BOTH, D3GROUP, 192)

// func gemvD2VBMI(args *gemvArgs)
TEXT ·gemvD2VBMI(SB), NOSPLIT, $0-8
	SETUP(0x03030303)
	GEMV(D2BOTH, D2GROUP, 128)
