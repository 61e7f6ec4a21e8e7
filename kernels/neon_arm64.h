// Instructions of the vector unit as words: many are unknown to the Go assembler, and the others are here
// as well so that a macro can compute registers. Vector registers are numbers 0..31, general registers (p) 0..30.
// Operands stand as in the Go assembler, the result d last; lanes are named by letters: B bytes, H 16
// bits, S 32 bits (where nothing is said), D 64. neon_header_test.go holds each to LLVM's encoding.
//
//	SDOTL     needs FEAT_DotProd    d[r] += sum_k n[4r+k] m[4i+k], k < 4
//	SUDOTL    needs FEAT_I8MM       as SDOTL, with unsigned m
//	SMMLA     needs FEAT_I8MM       d[2r+c] += sum_k n[8r+k] m[8c+k], k < 8

#define REGS2(n, d) (n)<<5 | (d)
#define REGS3(m, n, d) (m)<<16 | (n)<<5 | (d)

// Integers.

#define SDOTL(i, m, n, d) WORD $(0x4f80e000 | ((i)&1)<<21 | ((i)>>1)<<11 | REGS3(m, n, d)) // sdot vd.4s, vn.16b, vm.4b[i]
#define SUDOTL(i, m, n, d) WORD $(0x4f00f000 | ((i)&1)<<21 | ((i)>>1)<<11 | REGS3(m, n, d)) // sudot vd.4s, vn.16b, vm.4b[i]
#define SMMLA(m, n, d) WORD $(0x4e80a400 | REGS3(m, n, d)) // smmla vd.4s, vn.16b, vm.16b
#define SMULL(m, n, d) WORD $(0x0e20c000 | REGS3(m, n, d)) // smull vd.8h, vn.8b, vm.8b
#define SMULL2(m, n, d) WORD $(0x4e20c000 | REGS3(m, n, d)) // smull2 vd.8h, vn.16b, vm.16b
#define SMLAL(m, n, d) WORD $(0x0e208000 | REGS3(m, n, d)) // smlal vd.8h, vn.8b, vm.8b
#define SMLAL2(m, n, d) WORD $(0x4e208000 | REGS3(m, n, d)) // smlal2 vd.8h, vn.16b, vm.16b
#define SMULLH(m, n, d) WORD $(0x0e60c000 | REGS3(m, n, d)) // smull vd.4s, vn.4h, vm.4h
#define SMULLH2(m, n, d) WORD $(0x4e60c000 | REGS3(m, n, d)) // smull2 vd.4s, vn.8h, vm.8h
#define MULI0(m, n, d) WORD $(0x4f808000 | REGS3(m, n, d)) // mul vd.4s, vn.4s, vm.s[0]
#define MLAI0(m, n, d) WORD $(0x6f800000 | REGS3(m, n, d)) // mla vd.4s, vn.4s, vm.s[0]
#define SADALP(n, d) WORD $(0x4e606800 | REGS2(n, d)) // sadalp vd.4s, vn.8h
#define ADDP(m, n, d) WORD $(0x4ea0bc00 | REGS3(m, n, d)) // addp vd.4s, vn.4s, vm.4s
#define ADDI(m, n, d) WORD $(0x4ea08400 | REGS3(m, n, d)) // add vd.4s, vn.4s, vm.4s
#define SUBI(m, n, d) WORD $(0x6ea08400 | REGS3(m, n, d)) // sub vd.4s, vn.4s, vm.4s
#define UMAXV(n, d) WORD $(0x6eb0a800 | REGS2(n, d)) // umaxv sd, vn.4s
#define SSHRB(s, n, d) WORD $(0x4f000400 | (16-(s))<<16 | REGS2(n, d)) // sshr vd.16b, vn.16b, #s
#define SSHR(s, n, d) WORD $(0x4f000400 | (64-(s))<<16 | REGS2(n, d)) // sshr vd.4s, vn.4s, #s
#define SHL(s, n, d) WORD $(0x4f005400 | (32+(s))<<16 | REGS2(n, d)) // shl vd.4s, vn.4s, #s
#define USHRB(s, n, d) WORD $(0x6f000400 | (16-(s))<<16 | REGS2(n, d)) // ushr vd.16b, vn.16b, #s
#define SLIB(s, n, d) WORD $(0x6f005400 | (8+(s))<<16 | REGS2(n, d)) // sli vd.16b, vn.16b, #s
#define SXTLB(n, d) WORD $(0x0f08a400 | REGS2(n, d)) // sxtl vd.8h, vn.8b
#define SXTLB2(n, d) WORD $(0x4f08a400 | REGS2(n, d)) // sxtl2 vd.8h, vn.16b
#define SXTLH(n, d) WORD $(0x0f10a400 | REGS2(n, d)) // sxtl vd.4s, vn.4h
#define SXTLH2(n, d) WORD $(0x4f10a400 | REGS2(n, d)) // sxtl2 vd.4s, vn.8h
#define XTNS(n, d) WORD $(0x0e612800 | REGS2(n, d)) // xtn vd.4h, vn.4s
#define XTNS2(n, d) WORD $(0x4e612800 | REGS2(n, d)) // xtn2 vd.8h, vn.4s
#define XTNH(n, d) WORD $(0x0e212800 | REGS2(n, d)) // xtn vd.8b, vn.8h
#define XTNH2(n, d) WORD $(0x4e212800 | REGS2(n, d)) // xtn2 vd.16b, vn.8h

// Bits and moves.

#define ANDB(m, n, d) WORD $(0x4e201c00 | REGS3(m, n, d)) // and vd.16b, vn.16b, vm.16b
#define ORRB(m, n, d) WORD $(0x4ea01c00 | REGS3(m, n, d)) // orr vd.16b, vn.16b, vm.16b
#define BIT(m, n, d) WORD $(0x6ea01c00 | REGS3(m, n, d)) // bit vd.16b, vn.16b, vm.16b
#define BIF(m, n, d) WORD $(0x6ee01c00 | REGS3(m, n, d)) // bif vd.16b, vn.16b, vm.16b
#define TBL(m, n, d) WORD $(0x4e000000 | REGS3(m, n, d)) // tbl vd.16b, {vn.16b}, vm.16b
#define ZIPS1(m, n, d) WORD $(0x4e803800 | REGS3(m, n, d)) // zip1 vd.4s, vn.4s, vm.4s
#define ZIPS2(m, n, d) WORD $(0x4e807800 | REGS3(m, n, d)) // zip2 vd.4s, vn.4s, vm.4s
#define ZIPD1(m, n, d) WORD $(0x4ec03800 | REGS3(m, n, d)) // zip1 vd.2d, vn.2d, vm.2d
#define ZIPD2(m, n, d) WORD $(0x4ec07800 | REGS3(m, n, d)) // zip2 vd.2d, vn.2d, vm.2d
#define ZERO(d) WORD $(0x4f000400 | (d)) // movi vd.4s, #0
#define LDQ(off, p, d) WORD $(0x3dc00000 | ((off)>>4)<<10 | REGS2(p, d)) // ldr qd, [xp, #{off}]
#define LDUQ(off, p, d) WORD $(0x3cc00000 | (off)<<12 | REGS2(p, d)) // ldur qd, [xp, #{off}]
#define LDS(off, p, d) WORD $(0xbd400000 | ((off)>>2)<<10 | REGS2(p, d)) // ldr sd, [xp, #{off}]
#define STQ(off, p, d) WORD $(0x3d800000 | ((off)>>4)<<10 | REGS2(p, d)) // str qd, [xp, #{off}]
#define LDRS(p, d) WORD $(0x4d40c800 | REGS2(p, d)) // ld1r {vd.4s}, [xp]
#define LDRSNEXT(p, d) WORD $(0x4ddfc800 | REGS2(p, d)) // ld1r {vd.4s}, [xp], #4

// Float32.

#define FADD(m, n, d) WORD $(0x4e20d400 | REGS3(m, n, d)) // fadd vd.4s, vn.4s, vm.4s
#define FSUB(m, n, d) WORD $(0x4ea0d400 | REGS3(m, n, d)) // fsub vd.4s, vn.4s, vm.4s
#define FMUL(m, n, d) WORD $(0x6e20dc00 | REGS3(m, n, d)) // fmul vd.4s, vn.4s, vm.4s
#define FDIV(m, n, d) WORD $(0x6e20fc00 | REGS3(m, n, d)) // fdiv vd.4s, vn.4s, vm.4s
#define FMIN(m, n, d) WORD $(0x4ea0f400 | REGS3(m, n, d)) // fmin vd.4s, vn.4s, vm.4s
#define FMAX(m, n, d) WORD $(0x4e20f400 | REGS3(m, n, d)) // fmax vd.4s, vn.4s, vm.4s
#define FMLA(m, n, d) WORD $(0x4e20cc00 | REGS3(m, n, d)) // fmla vd.4s, vn.4s, vm.4s
#define FMLA0(m, n, d) WORD $(0x4f801000 | REGS3(m, n, d)) // fmla vd.4s, vn.4s, vm.s[0]
#define FMUL0(m, n, d) WORD $(0x4f809000 | REGS3(m, n, d)) // fmul vd.4s, vn.4s, vm.s[0]
#define FCMGT(m, n, d) WORD $(0x6ea0e400 | REGS3(m, n, d)) // fcmgt vd.4s, vn.4s, vm.4s
#define FCMLTZ(n, d) WORD $(0x4ea0e800 | REGS2(n, d)) // fcmlt vd.4s, vn.4s, #0.0
#define FABS(n, d) WORD $(0x4ea0f800 | REGS2(n, d)) // fabs vd.4s, vn.4s
#define FNEG(n, d) WORD $(0x6ea0f800 | REGS2(n, d)) // fneg vd.4s, vn.4s
#define FSQRT(n, d) WORD $(0x6ea1f800 | REGS2(n, d)) // fsqrt vd.4s, vn.4s
#define FADDPS(n, d) WORD $(0x7e30d800 | REGS2(n, d)) // faddp sd, vn.2s
#define SCVTF(n, d) WORD $(0x4e21d800 | REGS2(n, d)) // scvtf vd.4s, vn.4s
#define FCVTNS(n, d) WORD $(0x4e21a800 | REGS2(n, d)) // fcvtns vd.4s, vn.4s
#define FCVTL(n, d) WORD $(0x0e217800 | REGS2(n, d)) // fcvtl vd.4s, vn.4h
#define FCVTL2(n, d) WORD $(0x4e217800 | REGS2(n, d)) // fcvtl2 vd.4s, vn.8h
