//go:build amd64 && !purego

#include "vex_amd64.h"

#define MULADD(a, t, acc) VPDPBUSDY(a, t, acc)

#define Q2 2
#define Q3 3
#define Q4 4
#define Q5 5
#define Q6 6
#define Q7 7
#define Q8 8
#define Q9 9

#include "gemv_avx2_amd64.h"

// func gemvD8AVXVNNI(args *gemvArgs)
TEXT ·gemvD8AVXVNNI(SB), NOSPLIT, $0-8
	GEMVSETUP
	GEMV(D8GROUP, 512)

// func gemvD4AVXVNNI(args *gemvArgs)
TEXT ·gemvD4AVXVNNI(SB), NOSPLIT, $0-8
	GEMVSETUP
	CONSTD(0x0f0f0f0f, X13, Y13)
	GEMV(D4GROUP, 256)

// func gemvD3AVXVNNI(args *gemvArgs)
TEXT ·gemvD3AVXVNNI(SB), NOSPLIT, $0-8
	GEMVSETUP
	CONSTD(0x03030303, X13, Y13)
	CONSTD(0x04040404, X10, Y10)
	GEMV(D3GROUP, 192)

// func gemvD2AVXVNNI(args *gemvArgs)
TEXT ·gemvD2AVXVNNI(SB), NOSPLIT, $0-8
	GEMVSETUP
	CONSTD(0x03030303, X13, Y13)
	GEMV(D2GROUP, 128)
