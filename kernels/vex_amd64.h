// VEX instructions that the assembler lacks or knows in their EVEX form only, as bytes. Operands are the numbers of Y registers,
// in the assembler's order: the destination last.

// VEX.256.66.0F38.W0 50 /r: each int32 of d gets the products of four uint8 of u and int8 of s added.
#define VPDPBUSDY(s, u, d) BYTE $0xc4; BYTE $(0xe2 - 0x80*((d)>>3) - 0x20*((s)>>3)); BYTE $(0x7d - 8*(u)); BYTE $0x50; BYTE $(0xc0 + 8*((d)&7) + ((s)&7))
