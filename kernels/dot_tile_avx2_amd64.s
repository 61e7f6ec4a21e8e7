//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// The tile of dot_tile_amd64.go with AVX2: one of its two panels, two rows of activations at a time.
//
//	R13         activations of a group: two rows, R8 bytes apart (0: a last row alone, computed twice); R14 bytes a group
//	SI          levels of the panel    R11  its scales    CX  groups left
//	Y0 Y1       row 0: sums as float32    Y2 Y3  row 1
//	Y4 Y5       row 0: sums of the group  Y6 Y7  row 1
//	Y8..Y13     levels, codes, products   Y15  int16 ones

// QUAD adds four products per output.
#define QUAD(line, off) \
	VMOVDQU line(SI), Y8 \
	VMOVDQU line+32(SI), Y9 \
	VPBROADCASTD off(R13), Y10 \
	VPBROADCASTD off(R13)(R8*1), Y11 \
	VPMADDUBSW Y10, Y8, Y12 \
	VPMADDUBSW Y10, Y9, Y13 \
	VPMADDUBSW Y11, Y8, Y8 \
	VPMADDUBSW Y11, Y9, Y9 \
	VPMADDWD Y15, Y12, Y12 \
	VPMADDWD Y15, Y13, Y13 \
	VPMADDWD Y15, Y8, Y8 \
	VPMADDWD Y15, Y9, Y9 \
	VPADDD Y12, Y4, Y4 \
	VPADDD Y13, Y5, Y5 \
	VPADDD Y8, Y6, Y6 \
	VPADDD Y9, Y7, Y7

// func dotTileAVX2(args *tileArgs, panel int)
TEXT ·dotTileAVX2(SB), NOSPLIT, $0-16
	MOVQ args+0(FP), AX
	MOVQ panel+8(FP), BX
	MOVQ tileArgs_dst(AX), DI
	MOVQ tileArgs_sums(AX), R9
	MOVQ BX, CX
	SHLQ $6, CX
	ADDQ CX, DI
	ADDQ CX, R9
	MOVQ tileArgs_ldd(AX), R12
	MOVQ tileArgs_acts(AX), DX
	MOVQ tileArgs_rows(AX), R10
	IMUL3Q $40, R10, R14
	MOVQ $40, R8
	VPCMPEQW Y15, Y15, Y15
	VPSRLW $15, Y15, Y15
rows:
	VMOVUPS (R9), Y0
	VMOVUPS 32(R9), Y1
	CMPQ R10, $1
	JNE two
	XORQ R8, R8
	XORQ R12, R12
	SUBQ $128, R9
two:
	VMOVUPS 128(R9), Y2
	VMOVUPS 160(R9), Y3
	ADDQ $256, R9
	MOVQ tileArgs_levels(AX)(BX*8), SI
	MOVQ tileArgs_scales(AX)(BX*8), R11
	MOVQ tileArgs_groups(AX), CX
	MOVQ DX, R13
	PCALIGN $64
group:
	VPBROADCASTD 4(R13), Y4
	VPBROADCASTD 4(R13), Y5
	VPBROADCASTD 4(R13)(R8*1), Y6
	VPBROADCASTD 4(R13)(R8*1), Y7
	QUAD(0, 8)
	QUAD(64, 12)
	QUAD(128, 16)
	QUAD(192, 20)
	QUAD(256, 24)
	QUAD(320, 28)
	QUAD(384, 32)
	QUAD(448, 36)
	VMOVUPS (R11), Y8
	VMOVUPS 32(R11), Y9
	VMOVUPS 64(R11), Y12
	VMOVUPS 96(R11), Y13
	VBROADCASTSS (R13), Y10
	VBROADCASTSS (R13)(R8*1), Y11
	VFMSUB213PS Y12, Y8, Y4
	VFMSUB213PS Y13, Y9, Y5
	VFMSUB213PS Y12, Y8, Y6
	VFMSUB213PS Y13, Y9, Y7
	VFMADD231PS Y10, Y4, Y0
	VFMADD231PS Y10, Y5, Y1
	VFMADD231PS Y11, Y6, Y2
	VFMADD231PS Y11, Y7, Y3
	ADDQ $const_expandedLevels, SI
	ADDQ $const_expandedScales, R11
	ADDQ R14, R13
	DECQ CX
	JNZ group
	MOVQ tileArgs_factors(AX)(BX*8), SI
	VMOVUPS (SI), Y8
	VMOVUPS 32(SI), Y9
	VMULPS Y8, Y0, Y0
	VMULPS Y9, Y1, Y1
	VMULPS Y8, Y2, Y2
	VMULPS Y9, Y3, Y3
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, (DI)(R12*1)
	VMOVUPS Y3, 32(DI)(R12*1)
	LEAQ (DI)(R12*2), DI
	ADDQ $80, DX
	SUBQ $2, R10
	JGT rows
	VZEROUPPER
	RET
