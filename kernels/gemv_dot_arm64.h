// GEMV over panels of codes, written once for both products. The file that includes this has defined PAIRBEGIN
// and PAIR of codes_arm64.h and
//
//	BEGINSUMS   starts the sums of PAIR from V20..V23, which hold the offsets' share of rows 0-3, 4-7, 8-11, 12-15
//	SUMS        V20..V23 = the sums of PAIR in the same order; V3..V15 are free
//
//	R1 dst           R4 scale bytes of the group    R7 panels left          R10 groups of a panel
//	R2 panel         R5 activations of the group    R8 offset of the codes  R11 activations of the row
//	R3 codes         R6 groups left                 R9 bytes of a panel    R13 line to prefetch
//
// A group prefetches the lines of a group that lie more than a page of 4 KiB further on: see gemv_avx512_amd64.h.
//
//	V0, V1 activations      V2 scale bytes     V16..V19 float sums, 4 rows each     V20..V23 integer sums
//	V28 levels of the codes    V29 0x0f    V30 offset, V31 what the table bit adds to it, as int16

#include "codes_arm64.h"

#define GEMVSETUP \
	MOVD args+0(FP), R0; \
	MOVD gemvArgs_dst(R0), R1; \
	MOVD gemvArgs_panel(R0), R2; \
	MOVD gemvArgs_acts(R0), R11; \
	MOVD gemvArgs_lut(R0), R12; \
	MOVD gemvArgs_count(R0), R7; \
	MOVD gemvArgs_panelBytes(R0), R9; \
	MOVD gemvArgs_codes(R0), R8; \
	MOVD gemvArgs_groups(R0), R10; \
	FMOVQ panelLUT_code(R12), F28; \
	VMOVI $15, V29.B16; \
	MOVWU panelLUT_offset(R12), R13; \
	MOVWU panelLUT_shifted(R12), R14; \
	SUB R13, R14, R14; \
	VDUP R13, V30.H8; \
	VDUP R14, V31.H8

#define PANELBEGIN \
	ADD $const_ScalesOffset, R2, R4; \
	ADD R8, R2, R3; \
	ADD $4096, R2, R13; \
	MOVD R11, R5; \
	MOVD R10, R6; \
	ZERO(16); \
	ZERO(17); \
	ZERO(18); \
	ZERO(19)

// Integer sums start with offset * act.sum: the sum of 32 activations fits int16.
#define GROUPBEGIN \
	FMOVQ.P 16(R4), F2; \
	FMOVQ 8(R5), F0; \
	FMOVQ 24(R5), F1; \
	LDS(4, 5, 6); \
	VDUP V6.H[0], V6.H8; \
	SSHRB(7, 2, 3); \
	SXTLB(3, 4); \
	SXTLB2(3, 5); \
	VAND V31.B16, V4.B16, V4.B16; \
	VAND V31.B16, V5.B16, V5.B16; \
	VADD V30.H8, V4.H8, V4.H8; \
	VADD V30.H8, V5.H8, V5.H8; \
	SMULLH(6, 4, 20); \
	SMULLH2(6, 4, 21); \
	SMULLH(6, 5, 22); \
	SMULLH2(6, 5, 23); \
	BEGINSUMS

// Float sum r gets its integer sum times the scales in register s times the scale of the activations in V12.
#define FLUSH(r, s) \
	SCVTF(s, s); \
	SCVTF(20+(r), 20+(r)); \
	FMUL(s, 20+(r), 20+(r)); \
	FMLA0(12, 20+(r), 16+(r))

#define GROUPEND(bytes) \
	SUMS; \
	LDS(0, 5, 12); \
	VSHL $1, V2.B16, V2.B16; \
	VUSHR $1, V2.B16, V2.B16; \
	VUXTL V2.B8, V4.H8; \
	VUXTL2 V2.B16, V5.H8; \
	VUXTL V4.H4, V6.S4; \
	VUXTL2 V4.H8, V7.S4; \
	VUXTL V5.H4, V8.S4; \
	VUXTL2 V5.H8, V9.S4; \
	FLUSH(0, 6); \
	FLUSH(1, 7); \
	FLUSH(2, 8); \
	FLUSH(3, 9); \
	ADD $bytes, R3; \
	ADD $(bytes+const_PanelRows), R13; \
	ADD $40, R5; \
	SUBS $1, R6

#define PANELEND \
	FLDPQ (R2), (F4, F5); \
	FLDPQ 32(R2), (F6, F7); \
	FMUL(4, 16, 16); \
	FMUL(5, 17, 17); \
	FMUL(6, 18, 18); \
	FMUL(7, 19, 19); \
	FSTPQ (F16, F17), (R1); \
	FSTPQ (F18, F19), 32(R1); \
	ADD $64, R1; \
	ADD R9, R2; \
	SUBS $1, R7

#define FETCH(line) PRFM line(R13), PLDL1KEEP
#define FETCH128 FETCH(0); FETCH(64); FETCH(128)
#define FETCH192 FETCH128; FETCH(192)
#define FETCH256 FETCH192; FETCH(256)
#define FETCH512 FETCH256; FETCH(320); FETCH(384); FETCH(448); FETCH(512)

#define GEMV(GROUP, FETCHGROUP, bytes) \
	GEMVSETUP; \
panel: \
	PANELBEGIN; \
group: \
	GROUPBEGIN; \
	FETCHGROUP; \
	GROUP; \
	GROUPEND(bytes); \
	BNE group; \
	PANELEND; \
	BNE panel; \
	RET
