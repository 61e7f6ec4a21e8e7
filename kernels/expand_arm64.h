// Panels prepared for the tile kernels: levels as PAIR stores them at R1, 128 bytes per p.
//
//	R1 levels out    R2 panel    R3 codes    R6 groups left    V28 levels of the codes    V29 0x0f

#define PAIRBEGIN(p)

#include "codes_arm64.h"

#define EXPAND(GROUP, bytes) \
	MOVD args+0(FP), R0; \
	MOVD gemvArgs_levels(R0), R1; \
	MOVD gemvArgs_panel(R0), R2; \
	MOVD gemvArgs_codes(R0), R3; \
	MOVD gemvArgs_groups(R0), R6; \
	MOVD gemvArgs_lut(R0), R12; \
	ADD R2, R3; \
	FMOVQ panelLUT_code(R12), F28; \
	VMOVI $15, V29.B16; \
group: \
	GROUP; \
	ADD $bytes, R3; \
	ADD $const_expandedLevels, R1; \
	SUBS $1, R6; \
	BNE group; \
	RET
