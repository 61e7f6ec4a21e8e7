//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"
#include "conv_int_finish_amd64.h"

// func levelFinishAVX512(t *levelTile, rows int)
TEXT ·levelFinishAVX512(SB), NOSPLIT, $0-16
	MOVQ t+0(FP), AX
	CONSTANTS
	MOVQ rows+8(FP), R8
	FINISH
	VZEROUPPER
	RET
