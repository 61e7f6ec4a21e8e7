// The codes of a group become levels, written once for every routine that reads them. A q register holds a
// quarter of a line: rows 4r..4r+3 (r = 0..3), 4 bytes each. The file that includes this defines
//
//	PAIR(p, lo, hi, r)   take levels of rows 4r..: register lo has k = 8p..8p+3 of each, hi k = 8p+4..8p+7
//	PAIRBEGIN(p)         before the four PAIR of p
//
//	R3 codes of the group    V28 levels of the codes    V29 0x0f in every byte    V3..V11 are changed

#include "neon_arm64.h"

// Two lines of D8: code is level.
#define D8PAIR(p) \
	PAIRBEGIN(p); \
	LDQ(128*(p), 3, 4); LDQ(128*(p)+64, 3, 8); \
	LDQ(128*(p)+16, 3, 5); LDQ(128*(p)+80, 3, 9); \
	LDQ(128*(p)+32, 3, 6); LDQ(128*(p)+96, 3, 10); \
	LDQ(128*(p)+48, 3, 7); LDQ(128*(p)+112, 3, 11); \
	PAIR(p, 4, 8, 0); \
	PAIR(p, 5, 9, 1); \
	PAIR(p, 6, 10, 2); \
	PAIR(p, 7, 11, 3)

#define D8GROUP D8PAIR(0); D8PAIR(1); D8PAIR(2); D8PAIR(3)

// A quarter line of D4 in register x; its high nibbles go to x+4.
#define D4LEVELS(x) \
	USHRB(4, x, (x)+4); \
	ANDB(29, x, x); \
	TBL((x)+4, 28, (x)+4); \
	TBL(x, 28, x)

#define D4PAIR(p) \
	PAIRBEGIN(p); \
	LDQ(64*(p), 3, 4); \
	LDQ(64*(p)+16, 3, 5); \
	LDQ(64*(p)+32, 3, 6); \
	LDQ(64*(p)+48, 3, 7); \
	D4LEVELS(4); \
	D4LEVELS(5); \
	D4LEVELS(6); \
	D4LEVELS(7); \
	PAIR(p, 4, 8, 0); \
	PAIR(p, 5, 9, 1); \
	PAIR(p, 6, 10, 2); \
	PAIR(p, 7, 11, 3)

#define D4GROUP D4PAIR(0); D4PAIR(1); D4PAIR(2); D4PAIR(3)

// D2 in V4..V7, one line: codes at bits 0 and 2, then 4 and 6. The table repeats, so
// what is left above a code does not matter.
#define D2LOW(p, r) \
	ANDB(29, 4+(r), 8); \
	USHRB(2, 4+(r), 9); \
	ANDB(29, 9, 9); \
	TBL(8, 28, 8); \
	TBL(9, 28, 9); \
	PAIR(p, 8, 9, r)

#define D2HIGH(p, r) \
	USHRB(4, 4+(r), 8); \
	USHRB(6, 4+(r), 9); \
	TBL(8, 28, 8); \
	TBL(9, 28, 9); \
	PAIR(p, 8, 9, r)

#define D2LOAD(j) \
	LDQ(64*(j), 3, 4); \
	LDQ(64*(j)+16, 3, 5); \
	LDQ(64*(j)+32, 3, 6); \
	LDQ(64*(j)+48, 3, 7)

#define D2LINE(j) \
	D2LOAD(j); \
	PAIRBEGIN(2*(j)); \
	D2LOW(2*(j), 0); \
	D2LOW(2*(j), 1); \
	D2LOW(2*(j), 2); \
	D2LOW(2*(j), 3); \
	PAIRBEGIN(2*(j)+1); \
	D2HIGH(2*(j)+1, 0); \
	D2HIGH(2*(j)+1, 1); \
	D2HIGH(2*(j)+1, 2); \
	D2HIGH(2*(j)+1, 3)

#define D2GROUP D2LINE(0); D2LINE(1)

// D3 has the low bits like D2; SLI puts the bits from V3 on, shifted to be bit 2, above those that are
// bits 0 and 1. Line j finds bit 2 of its codes at bits 4j..4j+3 of the third line.
#define D3LEVELS \
	ANDB(29, 8, 8); \
	ANDB(29, 9, 9); \
	TBL(8, 28, 8); \
	TBL(9, 28, 9)

// Register d gets bits 2b.. of line quarter r and bit c of V3, c > 0.
#define D3BITS(r, b, c, d) \
	USHRB(2*(b), 4+(r), d); \
	USHRB(c, 3, 10); \
	SLIB(2, 10, d)

#define D3FIRST(p, r) \
	LDQ(128+16*(r), 3, 3); \
	ORRB(4+(r), 4+(r), 8); \
	SLIB(2, 3, 8); \
	D3BITS(r, 1, 1, 9); \
	D3LEVELS; \
	PAIR(p, 8, 9, r)

#define D3SECOND(p, r) \
	LDQ(128+16*(r), 3, 3); \
	D3BITS(r, 2, 2, 8); \
	D3BITS(r, 3, 3, 9); \
	D3LEVELS; \
	PAIR(p, 8, 9, r)

#define D3THIRD(p, r) \
	LDQ(128+16*(r), 3, 3); \
	ORRB(4+(r), 4+(r), 8); \
	USHRB(4, 3, 10); \
	SLIB(2, 10, 8); \
	D3BITS(r, 1, 5, 9); \
	D3LEVELS; \
	PAIR(p, 8, 9, r)

#define D3FOURTH(p, r) \
	LDQ(128+16*(r), 3, 3); \
	D3BITS(r, 2, 6, 8); \
	D3BITS(r, 3, 7, 9); \
	D3LEVELS; \
	PAIR(p, 8, 9, r)

#define D3GROUP \
	D2LOAD(0); \
	PAIRBEGIN(0); \
	D3FIRST(0, 0); D3FIRST(0, 1); D3FIRST(0, 2); D3FIRST(0, 3); \
	PAIRBEGIN(1); \
	D3SECOND(1, 0); D3SECOND(1, 1); D3SECOND(1, 2); D3SECOND(1, 3); \
	D2LOAD(1); \
	PAIRBEGIN(2); \
	D3THIRD(2, 0); D3THIRD(2, 1); D3THIRD(2, 2); D3THIRD(2, 3); \
	PAIRBEGIN(3); \
	D3FOURTH(3, 0); D3FOURTH(3, 1); D3FOURTH(3, 2); D3FOURTH(3, 3)
