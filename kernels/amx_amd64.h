// Instructions of AMX and AVX512-BF16, which the assembler lacks, as bytes. Operands are the numbers of tile registers (t, d, a, b), of Z
// registers (lo, hi) and of general registers as the processor counts them: AX 0, CX 1, DX 2, BX 3, SI 6, DI 7, R8 8 and so on.

// VEX.128.NP.0F38.W0 49 !(11):000:bbb: the shapes of the tiles from 64 bytes at a register below SP.
#define LDTILECFG(r) BYTE $0xc4; BYTE $0xe2; BYTE $0x78; BYTE $0x49; BYTE $(r)

// VEX.128.NP.0F38.W0 49 C0: no tiles are in use.
#define TILERELEASE() BYTE $0xc4; BYTE $0xe2; BYTE $0x78; BYTE $0x49; BYTE $0xc0

// VEX.128.F2.0F38.W0 49 11:rrr:000: t = 0.
#define TILEZERO(t) BYTE $0xc4; BYTE $0xe2; BYTE $0x7b; BYTE $0x49; BYTE $(0xc0 + 8*(t))

// VEX.128.F2.0F38.W0 4B !(11):rrr:100: t = rows at r + off, s bytes apart; off < 128.
#define TILELOAD(off, r, s, t) BYTE $0xc4; BYTE $(0xe2 - 0x40*((s)>>3) - 0x20*((r)>>3)); BYTE $0x7b; BYTE $0x4b; BYTE $(0x44 + 8*(t)); BYTE $(8*((s)&7) + ((r)&7)); BYTE $(off)

// VEX.128.F3.0F38.W0 4B !(11):rrr:100: the rows of t to r + off, s bytes apart; off < 128.
#define TILESTORE(t, off, r, s) BYTE $0xc4; BYTE $(0xe2 - 0x40*((s)>>3) - 0x20*((r)>>3)); BYTE $0x7a; BYTE $0x4b; BYTE $(0x44 + 8*(t)); BYTE $(8*((s)&7) + ((r)&7)); BYTE $(off)

// VEX.128.F3.0F38.W0 5C 11:rrr:bbb: d += a b, of pairs of bfloat16.
#define TDPBF16PS(b, a, d) BYTE $0xc4; BYTE $0xe2; BYTE $(0x7a - 8*(b)); BYTE $0x5c; BYTE $(0xc0 + 8*(d) + (a))

// EVEX.512.F2.0F38.W0 72 /r: lo = lo and hi as bfloat16; hi > 0, both below 8.
#define VCVTNE2PS2BF16(lo, hi) BYTE $0x62; BYTE $0xf2; BYTE $(0x7f - 8*(hi)); BYTE $0x48; BYTE $0x72; BYTE $(0xc0 + 9*(lo))

// VEX.128.66.0F38.W0 5E 11:rrr:bbb: d += a b, of unsigned bytes of a and signed ones of b, four to an int32.
#define TDPBUSD(b, a, d) BYTE $0xc4; BYTE $0xe2; BYTE $(0x79 - 8*(b)); BYTE $0x5e; BYTE $(0xc0 + 8*(d) + (a))

// VEX.128.F3.0F38.W0 5E 11:rrr:bbb: d += a b, of signed bytes of a and unsigned ones of b, four to an int32.
#define TDPBSUD(b, a, d) BYTE $0xc4; BYTE $0xe2; BYTE $(0x7a - 8*(b)); BYTE $0x5e; BYTE $(0xc0 + 8*(d) + (a))
