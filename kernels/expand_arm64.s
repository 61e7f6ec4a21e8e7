//go:build !purego

#include "go_asm.h"
#include "textflag.h"

// Levels in the order of D8.
#define PAIR(p, lo, hi, r) \
	STQ(128*(p)+16*(r), 1, lo); \
	STQ(128*(p)+64+16*(r), 1, hi)

#include "expand_arm64.h"

// func expandD4NEON(args *gemvArgs)
TEXT ·expandD4NEON(SB), NOSPLIT, $0-8
	EXPAND(D4GROUP, 256)

// func expandD3NEON(args *gemvArgs)
TEXT ·expandD3NEON(SB), NOSPLIT, $0-8
	EXPAND(D3GROUP, 192)

// func expandD2NEON(args *gemvArgs)
TEXT ·expandD2NEON(SB), NOSPLIT, $0-8
	EXPAND(D2GROUP, 128)

// SCALES stores the scales of rows 4r.. at R1, from register s, and the offsets behind them, from register o.
#define SCALES(r, s, o) \
	SCVTF(s, s); \
	STQ(16*(r), 1, s); \
	STQ(64+16*(r), 1, o)

// func expandScalesNEON(args *gemvArgs)
//
// V2 scale bytes, V30 offset, V31 what the table bit adds to it; offsets are stored as int32.
TEXT ·expandScalesNEON(SB), NOSPLIT, $0-8
	MOVD args+0(FP), R0
	MOVD gemvArgs_scales(R0), R1
	MOVD gemvArgs_panel(R0), R4
	MOVD gemvArgs_groups(R0), R6
	MOVD gemvArgs_lut(R0), R12
	ADD $const_ScalesOffset, R4
	MOVWU panelLUT_offset(R12), R13
	MOVWU panelLUT_shifted(R12), R14
	SUB R13, R14, R14
	VDUP R13, V30.H8
	VDUP R14, V31.H8
group:
	FMOVQ.P 16(R4), F2
	SSHRB(7, 2, 3)
	SXTLB(3, 4)
	SXTLB2(3, 5)
	VAND V31.B16, V4.B16, V4.B16
	VAND V31.B16, V5.B16, V5.B16
	VADD V30.H8, V4.H8, V4.H8
	VADD V30.H8, V5.H8, V5.H8
	SXTLH(4, 6)
	SXTLH2(4, 7)
	SXTLH(5, 8)
	SXTLH2(5, 9)
	VSHL $1, V2.B16, V2.B16
	VUSHR $1, V2.B16, V2.B16
	VUXTL V2.B8, V4.H8
	VUXTL2 V2.B16, V5.H8
	VUXTL V4.H4, V10.S4
	VUXTL2 V4.H8, V11.S4
	VUXTL V5.H4, V12.S4
	VUXTL2 V5.H8, V13.S4
	SCALES(0, 10, 6)
	SCALES(1, 11, 7)
	SCALES(2, 12, 8)
	SCALES(3, 13, 9)
	ADD $const_expandedScales, R1
	SUBS $1, R6
	BNE group
	RET

// func quantizeActsNEON(dst *actBlock, first, second *float32, ld, ldSecond, groups int)
//
// The steps of quantizeActsGroup, for groups whose halves begin ld and ldSecond bytes apart. V0..V7 the group, V8..V15 its magnitudes, then its codes;
// R3 bits below minActMax, R4 bits of infinity, F17 127.
TEXT ·quantizeActsNEON(SB), NOSPLIT, $0-48
	MOVD dst+0(FP), R0
	MOVD first+8(FP), R1
	MOVD second+16(FP), R6
	MOVD ld+24(FP), R7
	MOVD ldSecond+32(FP), R8
	MOVD groups+40(FP), R2
	MOVD $const_minActMaxBits, R3
	MOVD $0x7f800000, R4
	FMOVS $127.0, F17
group:
	VLD1 (R1), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1 (R6), [V4.S4, V5.S4, V6.S4, V7.S4]
	ADD R7, R1
	ADD R8, R6
	FABS(0, 8)
	FABS(1, 9)
	FABS(2, 10)
	FABS(3, 11)
	FABS(4, 12)
	FABS(5, 13)
	FABS(6, 14)
	FABS(7, 15)
	VUMAX V9.S4, V8.S4, V8.S4
	VUMAX V11.S4, V10.S4, V10.S4
	VUMAX V13.S4, V12.S4, V12.S4
	VUMAX V15.S4, V14.S4, V14.S4
	VUMAX V10.S4, V8.S4, V8.S4
	VUMAX V14.S4, V12.S4, V12.S4
	VUMAX V12.S4, V8.S4, V8.S4
	UMAXV(8, 16)
	FMOVS F16, R5
	FDIVS F17, F16, F18 // m / 127
	FMOVS F18, (R0)
	CMPW R3, R5
	BLO none
	CMPW R4, R5
	BHS none
	FDIVS F16, F17, F18 // 127 / m
	VDUP V18.S[0], V18.S4
	FMUL(18, 0, 0)
	FMUL(18, 1, 1)
	FMUL(18, 2, 2)
	FMUL(18, 3, 3)
	FMUL(18, 4, 4)
	FMUL(18, 5, 5)
	FMUL(18, 6, 6)
	FMUL(18, 7, 7)
	FCVTNS(0, 0)
	FCVTNS(1, 1)
	FCVTNS(2, 2)
	FCVTNS(3, 3)
	FCVTNS(4, 4)
	FCVTNS(5, 5)
	FCVTNS(6, 6)
	FCVTNS(7, 7)
	VADD V1.S4, V0.S4, V8.S4
	VADD V3.S4, V2.S4, V9.S4
	VADD V5.S4, V4.S4, V10.S4
	VADD V7.S4, V6.S4, V11.S4
	VADD V9.S4, V8.S4, V8.S4
	VADD V11.S4, V10.S4, V10.S4
	VADD V10.S4, V8.S4, V8.S4
	VADDV V8.S4, V8
	FMOVS F8, 4(R0)
	XTNS(0, 0)
	XTNS2(1, 0)
	XTNS(2, 2)
	XTNS2(3, 2)
	XTNS(4, 4)
	XTNS2(5, 4)
	XTNS(6, 6)
	XTNS2(7, 6)
	XTNH(0, 0)
	XTNH2(2, 0)
	XTNH(4, 4)
	XTNH2(6, 4)
	FMOVQ F0, 8(R0)
	FMOVQ F4, 24(R0)
	B next
none:
	MOVW ZR, 4(R0)
	ZERO(0)
	FMOVQ F0, 8(R0)
	FMOVQ F0, 24(R0)
next:
	ADD $40, R0
	SUBS $1, R2
	BNE group
	RET
