// Sums of rows x 32 outputs, 128 bytes a row, become outputs, two rows at a time, as levelTile.finish has it.
//
//	AX  the description    SI  sums      R8  rows left
//	DI  dst                DX  ldd       CX  what act asks for
//	R15 z or nil           BX  ldz       R9  q or nil, R10 ldq
//
// CONSTANTS loads Z0, Z1 multipliers; Z2, Z3 bias; Z4, Z5 z's zero and scale; Z6 slope; Z7 inverse; Z20, Z21 lo, hi; Z22 zero in words;
// Z23 lo as a level in words; Z24 the order of dwords after packing; Z25, Z26 negative; of a curve Z16..Z19 and Z27..Z30 coefficients, Z6, Z7
// scale and shift, Z15, Z20, Z21 bounds, Z31 what rounds. K1 the columns, K3 and K4 its halves. Rows in work
// are in Z8..Z11; K2, K5 and K6 are the second row's masks. FINISH leaves DI, R15 and R9 behind the rows.

#define CONSTANTS \
	MOVQ levelTile_mult(AX), CX; \
	MOVQ levelTile_bias(AX), DX; \
	VMOVUPS (CX), Z0; \
	VMOVUPS 64(CX), Z1; \
	VMOVUPS (DX), Z2; \
	VMOVUPS 64(DX), Z3; \
	VPBROADCASTD levelTile_zZero(AX), Z4; \
	VBROADCASTSS levelTile_zScale(AX), Z5; \
	VBROADCASTSS levelTile_slope(AX), Z6; \
	VBROADCASTSS levelTile_inverse(AX), Z7; \
	VBROADCASTSS levelTile_lo(AX), Z20; \
	VBROADCASTSS levelTile_hi(AX), Z21; \
	VPBROADCASTD levelTile_zero(AX), Z22; \
	VCVTPS2DQ Z20, Z23; \
	VPADDD Z22, Z23, Z23; \
	VPACKSSDW Z22, Z22, Z22; \
	VPACKSSDW Z23, Z23, Z23; \
	VMOVDQU32 ·levelOrder(SB), Z24; \
	MOVL levelTile_mask(AX), CX; \
	KMOVD CX, K1; \
	KMOVW CX, K3; \
	SHRL $16, CX; \
	KMOVW CX, K4; \
	MOVQ levelTile_negative(AX), CX; \
	TESTQ CX, CX; \
	JZ constant; \
	VMOVDQU32 (CX), Z25; \
	VMOVDQU32 64(CX), Z26; \
constant: \
	TESTL $32, levelTile_act(AX); \
	JZ begun; \
	MOVQ levelTile_curve(AX), CX; \
	VMOVUPS (CX), Z16; \
	VMOVUPS 64(CX), Z17; \
	VMOVUPS 128(CX), Z18; \
	VMOVUPS 192(CX), Z19; \
	VMOVUPS 256(CX), Z27; \
	VMOVUPS 320(CX), Z28; \
	VMOVUPS 384(CX), Z29; \
	VMOVUPS 448(CX), Z30; \
	VBROADCASTSS levelTile_curveScale(AX), Z6; \
	VBROADCASTSS levelTile_curveShift(AX), Z7; \
	VBROADCASTSS levelTile_curveTop(AX), Z20; \
	VBROADCASTSS ·curveLast(SB), Z21; \
	VBROADCASTSS ·curveMagic(SB), Z31; \
	VPXORD Z15, Z15, Z15; \
begun:

// ROWQ is a row of which q says how it is quantized.
#define ROWQ(off, a, b) \
	MOVBLZX Quantized_Zero(R9), R11; \
	VPBROADCASTD R11, Z12; \
	VPMULLD Z12, Z25, Z13; \
	VPMULLD Z12, Z26, Z14; \
	VPADDD off(SI), Z13, a; \
	VPADDD off+64(SI), Z14, b; \
	VBROADCASTSS Quantized_Scale(R9), Z12; \
	VMULPS Z12, Z0, Z13; \
	VMULPS Z12, Z1, Z14; \
	VCVTDQ2PS a, a; \
	VCVTDQ2PS b, b; \
	VMULPS Z13, a, a; \
	VMULPS Z14, b, b

#define ROWZ(k0, k1, a, b) \
	VPMOVZXBD.Z (R15), k0, Z12; \
	VPMOVZXBD.Z 16(R15), k1, Z13; \
	VPSUBD Z4, Z12, Z12; \
	VPSUBD Z4, Z13, Z13; \
	VCVTDQ2PS Z12, Z12; \
	VCVTDQ2PS Z13, Z13; \
	VMULPS Z5, Z12, Z12; \
	VMULPS Z5, Z13, Z13; \
	VADDPS Z12, a, a; \
	VADDPS Z13, b, b

#define SLOPE(a) \
	VMULPS Z6, a, Z12; \
	VMAXPS a, Z12, a

#define BOUNDS(a) \
	VMAXPS Z20, a, a; \
	VMINPS Z21, a, a

// LEVEL leaves a NaN, and what no int32 holds, to the lower bound of words.
#define LEVEL(a) \
	VMULPS Z7, a, a; \
	VMINPS a, Z21, a; \
	VCVTPS2DQ a, a

// CURVE leaves the level before its zero point, as levelCurve.level has it.
#define CURVE(a) \
	VFMADD213PS Z7, Z6, a; \
	VMAXPS Z15, a, a; \
	VMINPS Z20, a, a; \
	VMINPS Z21, a, Z12; \
	VADDPS Z31, Z12, Z12; \
	VSUBPS Z31, Z12, Z13; \
	VSUBPS Z13, a, a; \
	VMOVAPS Z12, Z13; \
	VMOVAPS Z12, Z14; \
	VPERMI2PS Z30, Z29, Z13; \
	VPERMI2PS Z28, Z27, Z14; \
	VFMADD213PS Z14, a, Z13; \
	VMOVAPS Z12, Z14; \
	VPERMI2PS Z19, Z18, Z14; \
	VPERMI2PS Z17, Z16, Z12; \
	VFMADD213PS Z14, a, Z13; \
	VFMADD213PS Z12, a, Z13; \
	VCVTPS2DQ Z13, a

#define FINISH \
	MOVQ levelTile_sums(AX), SI; \
	MOVQ levelTile_dst(AX), DI; \
	MOVQ levelTile_ldd(AX), DX; \
	MOVQ levelTile_z(AX), R15; \
	MOVQ levelTile_ldz(AX), BX; \
	MOVQ levelTile_q(AX), R9; \
	MOVQ levelTile_ldq(AX), R10; \
	MOVL levelTile_act(AX), CX; \
	KMOVD K1, K2; \
	KMOVW K3, K5; \
	KMOVW K4, K6; \
pair: \
	CMPQ R8, $1; \
	JNE both; \
	KXORD K2, K2, K2; \
	KXORW K5, K5, K5; \
	KXORW K6, K6, K6; \
both: \
	TESTL $16, CX; \
	JNZ values; \
	TESTQ R9, R9; \
	JNZ dynamic; \
	VCVTDQ2PS (SI), Z8; \
	VCVTDQ2PS 64(SI), Z9; \
	VCVTDQ2PS 128(SI), Z10; \
	VCVTDQ2PS 192(SI), Z11; \
	VMULPS Z0, Z8, Z8; \
	VMULPS Z1, Z9, Z9; \
	VMULPS Z0, Z10, Z10; \
	VMULPS Z1, Z11, Z11; \
	JMP scaled; \
dynamic: \
	ROWQ(0, Z8, Z9); \
	ADDQ R10, R9; \
	CMPQ R8, $1; \
	JEQ scaled; \
	ROWQ(128, Z10, Z11); \
	ADDQ R10, R9; \
scaled: \
	VADDPS Z2, Z8, Z8; \
	VADDPS Z3, Z9, Z9; \
	VADDPS Z2, Z10, Z10; \
	VADDPS Z3, Z11, Z11; \
	TESTQ R15, R15; \
	JZ summed; \
	ROWZ(K3, K4, Z8, Z9); \
	ADDQ BX, R15; \
	CMPQ R8, $1; \
	JEQ summed; \
	ROWZ(K5, K6, Z10, Z11); \
	ADDQ BX, R15; \
summed: \
	TESTL $2, CX; \
	JZ straight; \
	SLOPE(Z8); \
	SLOPE(Z9); \
	SLOPE(Z10); \
	SLOPE(Z11); \
straight: \
	TESTL $36, CX; \
	JZ floats; \
	TESTL $32, CX; \
	JNZ curve; \
	LEVEL(Z8); \
	LEVEL(Z9); \
	LEVEL(Z10); \
	LEVEL(Z11); \
bytes: \
	VPACKSSDW Z9, Z8, Z8; \
	VPACKSSDW Z11, Z10, Z10; \
	VPADDSW Z22, Z8, Z8; \
	VPADDSW Z22, Z10, Z10; \
	VPMAXSW Z23, Z8, Z8; \
	VPMAXSW Z23, Z10, Z10; \
	VPACKUSWB Z10, Z8, Z8; \
	VPERMD Z8, Z24, Z8; \
	VEXTRACTI64X4 $1, Z8, Y9; \
	VMOVDQU8 Y8, K1, (DI); \
	VMOVDQU8 Y9, K2, (DI)(DX*1); \
	JMP next; \
curve: \
	CURVE(Z8); \
	CURVE(Z9); \
	CURVE(Z10); \
	CURVE(Z11); \
	JMP bytes; \
values: \
	VMOVUPS (SI), Z8; \
	VMOVUPS 64(SI), Z9; \
	VMOVUPS 128(SI), Z10; \
	VMOVUPS 192(SI), Z11; \
	JMP straight; \
floats: \
	TESTL $1, CX; \
	JZ store; \
	BOUNDS(Z8); \
	BOUNDS(Z9); \
	BOUNDS(Z10); \
	BOUNDS(Z11); \
store: \
	VMOVUPS Z8, K3, (DI); \
	VMOVUPS Z9, K4, 64(DI); \
	VMOVUPS Z10, K5, (DI)(DX*1); \
	VMOVUPS Z11, K6, 64(DI)(DX*1); \
next: \
	ADDQ $256, SI; \
	CMPQ R8, $1; \
	JEQ last; \
	LEAQ (DI)(DX*2), DI; \
	SUBQ $2, R8; \
	JNZ pair; \
	JMP finished; \
last: \
	ADDQ DX, DI; \
finished:
