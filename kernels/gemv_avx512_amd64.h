// Products of quantized panels with a few rows of activations, with AVX-512 VNNI: dot_generic.go has the arithmetic, block.go
// the layout. The file that includes this has defined
//
//	LOOKUP(mask, x)   x = levels of the codes that are bits mask of each byte of x; the levels are in Z31
//
// Weights mostly come from memory, and one thread gets what memory has only if very many lines are on their way. The processor
// fetches ahead by itself, but not beyond a page of 4 KiB, and to begin in the next one takes it a few accesses. So each group
// prefetches the lines of a group that lie AHEAD bytes further on, more than a page, and one row of activations is multiplied
// with two halves of the panels side by side, which are two such streams.
//
//	R15 args    SI panel, first stream    R11 scale bytes, R12 codes, R13 activations of the group, AX, R8 those of rows 3, 6
//	DI  dst     CX panels left            R14 line to prefetch, less AHEAD
//	DX  acts    BX groups left            R8, R9  one row: from first stream to second in panels, in dst
//	R10 groups of a panel                 R9      more rows: from one row of activations to the next
//
//	Z0..Z5    float sums, of rows or streams     Z12, Z13  scales of the streams, or scales and offsets
//	Z6..Z11   integer sums                       Z14       what is broadcast, or tileMagic times scales
//	Z16..Z23  levels of the streams              Z15, Z24  third line of D3, Z25 its bits
//	More rows: Z16..Z19 levels, Z20, Z21 float sums of rows 6 and 7, Z22, Z23 their integer sums, Z24 tileMagic
//	Z26 MaxScale    Z27 0x07    Z28 shifted offset    Z29 offset    Z30 mask of a code    Z31 levels

#include "go_asm.h"
#include "textflag.h"

#define AHEAD 4096

#define CONSTD(x, z) MOVL $x, BX; VPBROADCASTD BX, z

#define SETUP(mask) \
	MOVQ args+0(FP), R15 \
	MOVQ gemvArgs_panel(R15), SI \
	MOVQ gemvArgs_lut(R15), R11 \
	MOVQ gemvArgs_groups(R15), R10 \
	MOVQ gemvArgs_dst(R15), DI \
	MOVQ gemvArgs_acts(R15), DX \
	MOVQ gemvArgs_count(R15), CX \
	MOVQ gemvArgs_stride(R15), R9 \
	VMOVDQU64 panelLUT_code(R11), Z31 \
	VPBROADCASTD panelLUT_offset(R11), Z29 \
	VPBROADCASTD panelLUT_shifted(R11), Z28 \
	CONSTD(mask, Z30) \
	CONSTD(0x07070707, Z27) \
	CONSTD(const_MaxScale, Z26)

#define PANELBEGIN \
	LEAQ const_ScalesOffset(SI), R11 \
	MOVQ gemvArgs_codes(R15), R12 \
	ADDQ SI, R12 \
	MOVQ DX, R13 \
	MOVQ SI, R14 \
	MOVQ R10, BX

#define PANELEND \
	ADDQ $64, DI \
	ADDQ gemvArgs_panelBytes(R15), SI \
	DECQ CX

// GROUPEND leaves the flags of BX. A group also takes its share of the scales' lines.
#define GROUPEND(bytes) \
	ADDQ $const_PanelRows, R11 \
	ADDQ $bytes, R12 \
	ADDQ $const_ActBytes, R13 \
	ADDQ $(bytes+const_PanelRows), R14 \
	DECQ BX

// SCALES makes s the 16 scale bytes at addr as float32, o the offsets.
#define SCALES(addr, s, o) \
	VPMOVZXBD addr, s \
	VPCMPUD $6, Z26, s, K1 \
	VPANDD Z26, s, s \
	VCVTDQ2PS s, s \
	VPBLENDMD Z28, Z29, K1, o

// Levels of a line: of its quads, in the order of k.

#define D8LEVELS(addr, a) \
	VMOVDQU64 addr, a

#define D4LEVELS(addr, a, b) \
	VMOVDQU64 addr, a \
	VPSRLW $4, a, b \
	LOOKUP(Z30, a) \
	LOOKUP(Z30, b)

#define LOWBITS(addr, a, b, c, d) \
	VMOVDQU64 addr, a \
	VPSRLW $2, a, b \
	VPSRLW $4, a, c \
	VPSRLW $6, a, d

#define D2LEVELS(addr, a, b, c, d) \
	LOWBITS(addr, a, b, c, d) \
	LOOKUP(Z30, a) \
	LOOKUP(Z30, b) \
	LOOKUP(Z30, c) \
	LOOKUP(Z30, d)

// D3BITS takes bit 2 from Z25: ternary 0xE4 picks x where Z30 is set and Z25 elsewhere.
#define D3BITS(x) \
	VPTERNLOGD $0xE4, Z30, Z25, x \
	LOOKUP(Z27, x)

// D3FIRST and D3SECOND take the third line in h: its bit b is bit 2 of quad b.
#define D3FIRST(addr, h, a, b, c, d) \
	LOWBITS(addr, a, b, c, d) \
	VPSLLW $2, h, Z25 \
	D3BITS(a) \
	VPSLLW $1, h, Z25 \
	D3BITS(b) \
	VMOVDQA64 h, Z25 \
	D3BITS(c) \
	VPSRLW $1, h, Z25 \
	D3BITS(d)

#define D3SECOND(addr, h, a, b, c, d) \
	LOWBITS(addr, a, b, c, d) \
	VPSRLW $2, h, Z25 \
	D3BITS(a) \
	VPSRLW $3, h, Z25 \
	D3BITS(b) \
	VPSRLW $4, h, Z25 \
	D3BITS(c) \
	VPSRLW $5, h, Z25 \
	D3BITS(d)

// One row of activations, two streams.

#define FETCH(line) \
	PREFETCHT0 AHEAD+line(R14) \
	PREFETCHT0 AHEAD+line(R14)(R8*1)

#define DOTS(off, a, b) \
	VPBROADCASTD off(R13), Z14 \
	VPDPBUSD Z14, a, Z6 \
	VPDPBUSD Z14, b, Z7

#define D8STREAMS(line, act) \
	FETCH(line) \
	D8LEVELS(line(R12), Z16) \
	D8LEVELS(line(R12)(R8*1), Z20) \
	DOTS(act, Z16, Z20)

#define D8BOTH \
	D8STREAMS(0, 8) \
	D8STREAMS(64, 12) \
	D8STREAMS(128, 16) \
	D8STREAMS(192, 20) \
	D8STREAMS(256, 24) \
	D8STREAMS(320, 28) \
	D8STREAMS(384, 32) \
	D8STREAMS(448, 36) \
	FETCH(512)

#define D4STREAMS(line, act) \
	FETCH(line) \
	D4LEVELS(line(R12), Z16, Z17) \
	D4LEVELS(line(R12)(R8*1), Z20, Z21) \
	DOTS(act, Z16, Z20) \
	DOTS(act+4, Z17, Z21)

#define D4BOTH \
	D4STREAMS(0, 8) \
	D4STREAMS(64, 16) \
	D4STREAMS(128, 24) \
	D4STREAMS(192, 32) \
	FETCH(256)

#define DOTSQUADS(act) \
	DOTS(act, Z16, Z20) \
	DOTS(act+4, Z17, Z21) \
	DOTS(act+8, Z18, Z22) \
	DOTS(act+12, Z19, Z23)

#define D3BOTH \
	VMOVDQU64 128(R12), Z15 \
	VMOVDQU64 128(R12)(R8*1), Z24 \
	FETCH(0) \
	FETCH(64) \
	D3FIRST((R12), Z15, Z16, Z17, Z18, Z19) \
	D3FIRST((R12)(R8*1), Z24, Z20, Z21, Z22, Z23) \
	DOTSQUADS(8) \
	FETCH(128) \
	FETCH(192) \
	D3SECOND(64(R12), Z15, Z16, Z17, Z18, Z19) \
	D3SECOND(64(R12)(R8*1), Z24, Z20, Z21, Z22, Z23) \
	DOTSQUADS(24)

#define D2BOTH \
	FETCH(0) \
	D2LEVELS((R12), Z16, Z17, Z18, Z19) \
	D2LEVELS((R12)(R8*1), Z20, Z21, Z22, Z23) \
	DOTSQUADS(8) \
	FETCH(64) \
	D2LEVELS(64(R12), Z16, Z17, Z18, Z19) \
	D2LEVELS(64(R12)(R8*1), Z20, Z21, Z22, Z23) \
	DOTSQUADS(24) \
	FETCH(128)

#define STREAMS(both, bytes) \
	MOVQ gemvArgs_second(R15), R8 \
	MOVQ gemvArgs_secondDst(R15), R9 \
panels: \
	PANELBEGIN \
	VPXORD Z0, Z0, Z0 \
	VPXORD Z1, Z1, Z1 \
groups: \
	SCALES((R11), Z12, Z16) \
	SCALES((R11)(R8*1), Z13, Z20) \
	VPBROADCASTD 4(R13), Z14 \
	VPMADDWD Z14, Z16, Z6 \
	VPMADDWD Z14, Z20, Z7 \
	both \
	VCVTDQ2PS Z6, Z6 \
	VCVTDQ2PS Z7, Z7 \
	VBROADCASTSS (R13), Z14 \
	VMULPS Z12, Z6, Z6 \
	VMULPS Z13, Z7, Z7 \
	VFMADD231PS Z14, Z6, Z0 \
	VFMADD231PS Z14, Z7, Z1 \
	GROUPEND(bytes) \
	JNZ groups \
	VMULPS (SI), Z0, Z0 \
	VMULPS (SI)(R8*1), Z1, Z1 \
	VMOVUPS Z0, (DI) \
	VMOVUPS Z1, (DI)(R9*1) \
	PANELEND \
	JNZ panels \
	VZEROUPPER \
	RET

// Two to eight rows of activations, one stream: levels are made once for all. Integer sums start from tileMagic, which saves their
// conversion: dot_tile_amd64.go.

#define FETCH1(line) PREFETCHT0 AHEAD+line(R14)

#define D8LINE(line, act, dot) \
	FETCH1(line) \
	D8LEVELS(line(R12), Z16) \
	dot(act, Z16)

#define D8GROUP(dot) \
	D8LINE(0, 8, dot) \
	D8LINE(64, 12, dot) \
	D8LINE(128, 16, dot) \
	D8LINE(192, 20, dot) \
	D8LINE(256, 24, dot) \
	D8LINE(320, 28, dot) \
	D8LINE(384, 32, dot) \
	D8LINE(448, 36, dot) \
	FETCH1(512)

#define D4LINE(line, act, dot) \
	FETCH1(line) \
	D4LEVELS(line(R12), Z16, Z17) \
	dot(act, Z16) \
	dot(act+4, Z17)

#define D4GROUP(dot) \
	D4LINE(0, 8, dot) \
	D4LINE(64, 16, dot) \
	D4LINE(128, 24, dot) \
	D4LINE(192, 32, dot) \
	FETCH1(256)

#define QUADS(act, dot) \
	dot(act, Z16) \
	dot(act+4, Z17) \
	dot(act+8, Z18) \
	dot(act+12, Z19)

#define D3GROUP(dot) \
	VMOVDQU64 128(R12), Z15 \
	FETCH1(0) \
	FETCH1(64) \
	D3FIRST((R12), Z15, Z16, Z17, Z18, Z19) \
	QUADS(8, dot) \
	FETCH1(128) \
	FETCH1(192) \
	D3SECOND(64(R12), Z15, Z16, Z17, Z18, Z19) \
	QUADS(24, dot)

#define D2GROUP(dot) \
	FETCH1(0) \
	D2LEVELS((R12), Z16, Z17, Z18, Z19) \
	QUADS(8, dot) \
	FETCH1(64) \
	D2LEVELS(64(R12), Z16, Z17, Z18, Z19) \
	QUADS(24, dot) \
	FETCH1(128)

#define DOT(off, row, l, sum) VPDPBUSD.BCST off row, l, sum

#define DOT2(o, l) DOT(o, (R13), l, Z6); DOT(o, (R13)(R9*1), l, Z7)
#define DOT3(o, l) DOT2(o, l); DOT(o, (R13)(R9*2), l, Z8)
#define DOT4(o, l) DOT3(o, l); DOT(o, (AX), l, Z9)
#define DOT5(o, l) DOT4(o, l); DOT(o, (AX)(R9*1), l, Z10)
#define DOT6(o, l) DOT5(o, l); DOT(o, (AX)(R9*2), l, Z11)
#define DOT7(o, l) DOT6(o, l); DOT(o, (R8), l, Z22)
#define DOT8(o, l) DOT7(o, l); DOT(o, (R8)(R9*1), l, Z23)

#define START(row, sum) \
	VMOVDQA64 Z24, sum \
	VPDPWSSD.BCST 4 row, Z13, sum

#define START2 START((R13), Z6); START((R13)(R9*1), Z7)
#define START3 START2; START((R13)(R9*2), Z8)
#define START4 START3; START((AX), Z9)
#define START5 START4; START((AX)(R9*1), Z10)
#define START6 START5; START((AX)(R9*2), Z11)
#define START7 START6; START((R8), Z22)
#define START8 START7; START((R8)(R9*1), Z23)

#define FLUSH(row, sum, acc) \
	VFMSUB213PS Z14, Z12, sum \
	VFMADD231PS.BCST (0) row, sum, acc

#define FLUSH2 FLUSH((R13), Z6, Z0); FLUSH((R13)(R9*1), Z7, Z1)
#define FLUSH3 FLUSH2; FLUSH((R13)(R9*2), Z8, Z2)
#define FLUSH4 FLUSH3; FLUSH((AX), Z9, Z3)
#define FLUSH5 FLUSH4; FLUSH((AX)(R9*1), Z10, Z4)
#define FLUSH6 FLUSH5; FLUSH((AX)(R9*2), Z11, Z5)
#define FLUSH7 FLUSH6; FLUSH((R8), Z22, Z20)
#define FLUSH8 FLUSH7; FLUSH((R8)(R9*1), Z23, Z21)

#define STORE(acc) \
	VMULPS Z12, acc, acc \
	VMOVUPS acc, (R11) \
	ADDQ R12, R11

#define STORE2 STORE(Z0); STORE(Z1)
#define STORE3 STORE2; STORE(Z2)
#define STORE4 STORE3; STORE(Z3)
#define STORE5 STORE4; STORE(Z4)
#define STORE6 STORE5; STORE(Z5)
#define STORE7 STORE6; STORE(Z20)
#define STORE8 STORE7; STORE(Z21)

#define ROWS(panel, group, body, dot, bytes, start, flush, store) \
panel: \
	PANELBEGIN \
	LEAQ (R9)(R9*2), AX \
	LEAQ (R13)(AX*2), R8 \
	ADDQ R13, AX \
	VPXORD Z0, Z0, Z0 \
	VPXORD Z1, Z1, Z1 \
	VPXORD Z2, Z2, Z2 \
	VPXORD Z3, Z3, Z3 \
	VPXORD Z4, Z4, Z4 \
	VPXORD Z5, Z5, Z5 \
	VPXORD Z20, Z20, Z20 \
	VPXORD Z21, Z21, Z21 \
group: \
	SCALES((R11), Z12, Z13) \
	VMULPS Z24, Z12, Z14 \
	start \
	body(dot) \
	flush \
	ADDQ $const_ActBytes, AX \
	ADDQ $const_ActBytes, R8 \
	GROUPEND(bytes) \
	JNZ group \
	VMOVUPS (SI), Z12 \
	MOVQ DI, R11 \
	MOVQ gemvArgs_ldd(R15), R12 \
	store \
	PANELEND \
	JNZ panel \
	VZEROUPPER \
	RET

#define GEMV(both, body, bytes) \
	CONSTD(const_tileMagicBits, Z24) \
	MOVQ gemvArgs_rows(R15), BX \
	CMPQ BX, $8 \
	JEQ rows8 \
	CMPQ BX, $7 \
	JEQ rows7 \
	CMPQ BX, $6 \
	JEQ rows6 \
	CMPQ BX, $5 \
	JEQ rows5 \
	CMPQ BX, $4 \
	JEQ rows4 \
	CMPQ BX, $3 \
	JEQ rows3 \
	CMPQ BX, $2 \
	JEQ rows2 \
	STREAMS(both, bytes) \
	ROWS(rows2, groups2, body, DOT2, bytes, START2, FLUSH2, STORE2) \
	ROWS(rows3, groups3, body, DOT3, bytes, START3, FLUSH3, STORE3) \
	ROWS(rows4, groups4, body, DOT4, bytes, START4, FLUSH4, STORE4) \
	ROWS(rows5, groups5, body, DOT5, bytes, START5, FLUSH5, STORE5) \
	ROWS(rows6, groups6, body, DOT6, bytes, START6, FLUSH6, STORE6) \
	ROWS(rows7, groups7, body, DOT7, bytes, START7, FLUSH7, STORE7) \
	ROWS(rows8, groups8, body, DOT8, bytes, START8, FLUSH8, STORE8)
