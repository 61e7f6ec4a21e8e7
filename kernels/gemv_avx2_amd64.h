// Products of quantized panels with one row of activations, eight rows of weights in a register, so a line of a panel is two:
// dot_generic.go has the arithmetic, block.go the layout. The file that includes this has defined
//
//	MULADD(a, t, acc)   adds the products of levels t and activations a, four to an int32, to acc; it may change t
//	Q2..Q9              what it calls registers Y2..Y9
//
// Memory is prefetched as in gemv_avx512_amd64.h, in one stream.
//
//	SI panel    R11 scale bytes, R12 codes, R13 activations of the group    R14 line to prefetch, less AHEAD
//	DI dst      DX activations    CX panels left, BX groups left    R8 bytes of a panel, R9 offset of its codes, R10 its groups
//
//	Y0 Y1 float sums    Y2 Y3 integer sums    Y4..Y7 levels    Y8 Y9 activations
//	Y10 0x04 of D3      Y11 shifted offset    Y12 offset       Y13 mask of a code    Y14 levels of the codes    Y15 see MULADD

#include "go_asm.h"
#include "textflag.h"
#include "codes_avx2_amd64.h"

#define AHEAD 4096

#define GEMVSETUP \
	PANELSETUP \
	MOVQ gemvArgs_dst(AX), DI \
	MOVQ gemvArgs_acts(AX), DX \
	MOVQ gemvArgs_count(AX), CX \
	MOVQ gemvArgs_panelBytes(AX), R8

// OFFSETS makes a, b the offsets of rows 0-7 and 8-15 from the scale bytes at R11.
#define OFFSETS(a, b) \
	VPMOVZXBD (R11), Y4 \
	VPMOVZXBD 8(R11), Y5 \
	VPSLLD $24, Y4, Y4 \
	VPSLLD $24, Y5, Y5 \
	VBLENDVPS Y4, Y11, Y12, a \
	VBLENDVPS Y5, Y11, Y12, b

#define FETCH(line) PREFETCHT0 AHEAD+line(R14)

#define D8LINE(line, act) \
	FETCH(line) \
	VPBROADCASTD act(R13), Y8 \
	VMOVDQU line(R12), Y4 \
	VMOVDQU line+32(R12), Y5 \
	MULADD(Q8, Q4, Q2) \
	MULADD(Q8, Q5, Q3)

#define D8GROUP \
	D8LINE(0, 8) \
	D8LINE(64, 12) \
	D8LINE(128, 16) \
	D8LINE(192, 20) \
	D8LINE(256, 24) \
	D8LINE(320, 28) \
	D8LINE(384, 32) \
	D8LINE(448, 36) \
	FETCH(512)

#define D4HALF(line, acc) \
	VMOVDQU line(R12), Y4 \
	VPSRLW $4, Y4, Y5 \
	VPAND Y13, Y4, Y4 \
	VPAND Y13, Y5, Y5 \
	VPSHUFB Y4, Y14, Y4 \
	VPSHUFB Y5, Y14, Y5 \
	MULADD(Q8, Q4, acc) \
	MULADD(Q9, Q5, acc)

#define D4LINE(line, act) \
	FETCH(line) \
	VPBROADCASTD act(R13), Y8 \
	VPBROADCASTD act+4(R13), Y9 \
	D4HALF(line, Q2) \
	D4HALF(line+32, Q3)

#define D4GROUP \
	D4LINE(0, 8) \
	D4LINE(64, 16) \
	D4LINE(128, 24) \
	D4LINE(192, 32) \
	FETCH(256)

#define QUADS(act, acc) \
	VPBROADCASTD act(R13), Y8 \
	MULADD(Q8, Q4, acc) \
	VPBROADCASTD act+4(R13), Y9 \
	MULADD(Q9, Q5, acc) \
	VPBROADCASTD act+8(R13), Y8 \
	MULADD(Q8, Q6, acc) \
	VPBROADCASTD act+12(R13), Y9 \
	MULADD(Q9, Q7, acc)

#define D3GROUP \
	FETCH(0) \
	D3HALF0(0, 128) \
	QUADS(8, Q2) \
	FETCH(64) \
	D3HALF0(32, 160) \
	QUADS(8, Q3) \
	FETCH(128) \
	D3HALF1(64, 128) \
	QUADS(24, Q2) \
	FETCH(192) \
	D3HALF1(96, 160) \
	QUADS(24, Q3)

#define D2GROUP \
	FETCH(0) \
	D2HALF(0) \
	QUADS(8, Q2) \
	D2HALF(32) \
	QUADS(8, Q3) \
	FETCH(64) \
	D2HALF(64) \
	QUADS(24, Q2) \
	D2HALF(96) \
	QUADS(24, Q3) \
	FETCH(128)

#define GEMV(body, bytes) \
panel: \
	LEAQ const_ScalesOffset(SI), R11 \
	LEAQ (SI)(R9*1), R12 \
	MOVQ DX, R13 \
	MOVQ SI, R14 \
	MOVQ R10, BX \
	VXORPS Y0, Y0, Y0 \
	VXORPS Y1, Y1, Y1 \
group: \
	OFFSETS(Y2, Y3) \
	VPBROADCASTD 4(R13), Y4 \
	VPMADDWD Y4, Y2, Y2 \
	VPMADDWD Y4, Y3, Y3 \
	body \
	FACTORS(Y4, Y5) \
	VCVTDQ2PS Y2, Y2 \
	VCVTDQ2PS Y3, Y3 \
	VMULPS Y4, Y2, Y2 \
	VMULPS Y5, Y3, Y3 \
	VBROADCASTSS (R13), Y4 \
	VFMADD231PS Y4, Y2, Y0 \
	VFMADD231PS Y4, Y3, Y1 \
	ADDQ $const_PanelRows, R11 \
	ADDQ $bytes, R12 \
	ADDQ $const_ActBytes, R13 \
	ADDQ $(bytes+const_PanelRows), R14 \
	DECQ BX \
	JNZ group \
	VMULPS (SI), Y0, Y0 \
	VMULPS 32(SI), Y1, Y1 \
	VMOVUPS Y0, (DI) \
	VMOVUPS Y1, 32(DI) \
	ADDQ $64, DI \
	ADDQ R8, SI \
	DECQ CX \
	JNZ panel \
	VZEROUPPER \
	RET
