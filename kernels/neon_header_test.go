package kernels

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// neonWords are uses of the macros of neon_arm64.h and what LLVM makes of them (llvm-mc -triple=aarch64
// -mattr=+v8.6a -show-encoding).
var neonWords = []struct {
	use, asm string
	word     uint32
}{
	{"SDOTL(3, 1, 29, 15)", "sdot v15.4s, v29.16b, v1.4b[3]", 0x4fa1ebaf},
	{"SDOTL(0, 7, 23, 30)", "sdot v30.4s, v23.16b, v7.4b[0]", 0x4f87e2fe},
	{"SUDOTL(3, 1, 29, 15)", "sudot v15.4s, v29.16b, v1.4b[3]", 0x4f21fbaf},
	{"SUDOTL(0, 7, 23, 30)", "sudot v30.4s, v23.16b, v7.4b[0]", 0x4f07f2fe},
	{"SMMLA(15, 24, 6)", "smmla v6.4s, v24.16b, v15.16b", 0x4e8fa706},
	{"SMMLA(15, 0, 13)", "smmla v13.4s, v0.16b, v15.16b", 0x4e8fa40d},
	{"SMULL(26, 17, 11)", "smull v11.8h, v17.8b, v26.8b", 0x0e3ac22b},
	{"SMULL(24, 10, 4)", "smull v4.8h, v10.8b, v24.8b", 0x0e38c144},
	{"SMULL2(8, 28, 8)", "smull2 v8.8h, v28.16b, v8.16b", 0x4e28c388},
	{"SMULL2(8, 0, 0)", "smull2 v0.8h, v0.16b, v8.16b", 0x4e28c000},
	{"SMLAL(13, 13, 10)", "smlal v10.8h, v13.8b, v13.8b", 0x0e2d81aa},
	{"SMLAL(10, 18, 20)", "smlal v20.8h, v18.8b, v10.8b", 0x0e2a8254},
	{"SMLAL2(12, 13, 11)", "smlal2 v11.8h, v13.16b, v12.16b", 0x4e2c81ab},
	{"SMLAL2(12, 24, 19)", "smlal2 v19.8h, v24.16b, v12.16b", 0x4e2c8313},
	{"SMULLH(1, 23, 26)", "smull v26.4s, v23.4h, v1.4h", 0x0e61c2fa},
	{"SMULLH(10, 9, 16)", "smull v16.4s, v9.4h, v10.4h", 0x0e6ac130},
	{"SMULLH2(4, 21, 19)", "smull2 v19.4s, v21.8h, v4.8h", 0x4e64c2b3},
	{"SMULLH2(0, 21, 4)", "smull2 v4.4s, v21.8h, v0.8h", 0x4e60c2a4},
	{"MULI0(19, 22, 19)", "mul v19.4s, v22.4s, v19.s[0]", 0x4f9382d3},
	{"MULI0(30, 20, 11)", "mul v11.4s, v20.4s, v30.s[0]", 0x4f9e828b},
	{"MLAI0(30, 30, 11)", "mla v11.4s, v30.4s, v30.s[0]", 0x6f9e03cb},
	{"MLAI0(3, 16, 1)", "mla v1.4s, v16.4s, v3.s[0]", 0x6f830201},
	{"SADALP(22, 25)", "sadalp v25.4s, v22.8h", 0x4e606ad9},
	{"SADALP(1, 26)", "sadalp v26.4s, v1.8h", 0x4e60683a},
	{"ADDP(23, 24, 0)", "addp v0.4s, v24.4s, v23.4s", 0x4eb7bf00},
	{"ADDP(28, 2, 11)", "addp v11.4s, v2.4s, v28.4s", 0x4ebcbc4b},
	{"ADDI(12, 7, 15)", "add v15.4s, v7.4s, v12.4s", 0x4eac84ef},
	{"ADDI(29, 22, 22)", "add v22.4s, v22.4s, v29.4s", 0x4ebd86d6},
	{"SUBI(16, 29, 6)", "sub v6.4s, v29.4s, v16.4s", 0x6eb087a6},
	{"SUBI(23, 18, 2)", "sub v2.4s, v18.4s, v23.4s", 0x6eb78642},
	{"UMAXV(27, 5)", "umaxv s5, v27.4s", 0x6eb0ab65},
	{"UMAXV(13, 21)", "umaxv s21, v13.4s", 0x6eb0a9b5},
	{"SSHRB(1, 21, 17)", "sshr v17.16b, v21.16b, #1", 0x4f0f06b1},
	{"SSHRB(6, 20, 19)", "sshr v19.16b, v20.16b, #6", 0x4f0a0693},
	{"SSHR(1, 9, 19)", "sshr v19.4s, v9.4s, #1", 0x4f3f0533},
	{"SSHR(5, 3, 5)", "sshr v5.4s, v3.4s, #5", 0x4f3b0465},
	{"SHL(1, 15, 22)", "shl v22.4s, v15.4s, #1", 0x4f2155f6},
	{"SHL(7, 26, 9)", "shl v9.4s, v26.4s, #7", 0x4f275749},
	{"USHRB(3, 2, 31)", "ushr v31.16b, v2.16b, #3", 0x6f0d045f},
	{"USHRB(5, 8, 8)", "ushr v8.16b, v8.16b, #5", 0x6f0b0508},
	{"SLIB(1, 10, 27)", "sli v27.16b, v10.16b, #1", 0x6f09555b},
	{"SLIB(5, 3, 26)", "sli v26.16b, v3.16b, #5", 0x6f0d547a},
	{"SXTLB(18, 9)", "sxtl v9.8h, v18.8b", 0x0f08a649},
	{"SXTLB(29, 10)", "sxtl v10.8h, v29.8b", 0x0f08a7aa},
	{"SXTLB2(29, 31)", "sxtl2 v31.8h, v29.16b", 0x4f08a7bf},
	{"SXTLB2(20, 30)", "sxtl2 v30.8h, v20.16b", 0x4f08a69e},
	{"SXTLH(17, 18)", "sxtl v18.4s, v17.4h", 0x0f10a632},
	{"SXTLH(30, 25)", "sxtl v25.4s, v30.4h", 0x0f10a7d9},
	{"SXTLH2(9, 7)", "sxtl2 v7.4s, v9.8h", 0x4f10a527},
	{"SXTLH2(24, 11)", "sxtl2 v11.4s, v24.8h", 0x4f10a70b},
	{"XTNS(31, 21)", "xtn v21.4h, v31.4s", 0x0e612bf5},
	{"XTNS(11, 5)", "xtn v5.4h, v11.4s", 0x0e612965},
	{"XTNS2(31, 17)", "xtn2 v17.8h, v31.4s", 0x4e612bf1},
	{"XTNS2(23, 4)", "xtn2 v4.8h, v23.4s", 0x4e612ae4},
	{"XTNH(22, 2)", "xtn v2.8b, v22.8h", 0x0e212ac2},
	{"XTNH(19, 23)", "xtn v23.8b, v19.8h", 0x0e212a77},
	{"XTNH2(17, 31)", "xtn2 v31.16b, v17.8h", 0x4e212a3f},
	{"XTNH2(16, 18)", "xtn2 v18.16b, v16.8h", 0x4e212a12},
	{"ANDB(21, 11, 0)", "and v0.16b, v11.16b, v21.16b", 0x4e351d60},
	{"ANDB(30, 16, 20)", "and v20.16b, v16.16b, v30.16b", 0x4e3e1e14},
	{"ORRB(17, 29, 18)", "orr v18.16b, v29.16b, v17.16b", 0x4eb11fb2},
	{"ORRB(22, 22, 17)", "orr v17.16b, v22.16b, v22.16b", 0x4eb61ed1},
	{"BIT(22, 26, 22)", "bit v22.16b, v26.16b, v22.16b", 0x6eb61f56},
	{"BIT(11, 28, 23)", "bit v23.16b, v28.16b, v11.16b", 0x6eab1f97},
	{"BIF(21, 9, 10)", "bif v10.16b, v9.16b, v21.16b", 0x6ef51d2a},
	{"BIF(12, 23, 30)", "bif v30.16b, v23.16b, v12.16b", 0x6eec1efe},
	{"TBL(18, 5, 26)", "tbl v26.16b, {v5.16b}, v18.16b", 0x4e1200ba},
	{"TBL(10, 26, 19)", "tbl v19.16b, {v26.16b}, v10.16b", 0x4e0a0353},
	{"ZIPS1(17, 1, 12)", "zip1 v12.4s, v1.4s, v17.4s", 0x4e91382c},
	{"ZIPS1(10, 28, 11)", "zip1 v11.4s, v28.4s, v10.4s", 0x4e8a3b8b},
	{"ZIPS2(14, 11, 2)", "zip2 v2.4s, v11.4s, v14.4s", 0x4e8e7962},
	{"ZIPS2(30, 14, 10)", "zip2 v10.4s, v14.4s, v30.4s", 0x4e9e79ca},
	{"ZIPD1(3, 8, 7)", "zip1 v7.2d, v8.2d, v3.2d", 0x4ec33907},
	{"ZIPD1(20, 11, 30)", "zip1 v30.2d, v11.2d, v20.2d", 0x4ed4397e},
	{"ZIPD2(12, 2, 26)", "zip2 v26.2d, v2.2d, v12.2d", 0x4ecc785a},
	{"ZIPD2(29, 22, 24)", "zip2 v24.2d, v22.2d, v29.2d", 0x4edd7ad8},
	{"ZERO(4)", "movi v4.4s, #0", 0x4f000404},
	{"ZERO(13)", "movi v13.4s, #0", 0x4f00040d},
	{"LDQ(1472, 1, 22)", "ldr q22, [x1, #1472]", 0x3dc17036},
	{"LDQ(576, 28, 7)", "ldr q7, [x28, #576]", 0x3dc09387},
	{"LDUQ(9, 4, 18)", "ldur q18, [x4, #9]", 0x3cc09092},
	{"LDUQ(81, 12, 8)", "ldur q8, [x12, #81]", 0x3cc51188},
	{"LDS(848, 15, 9)", "ldr s9, [x15, #848]", 0xbd4351e9},
	{"LDS(1232, 19, 30)", "ldr s30, [x19, #1232]", 0xbd44d27e},
	{"STQ(288, 12, 0)", "str q0, [x12, #288]", 0x3d804980},
	{"STQ(224, 19, 9)", "str q9, [x19, #224]", 0x3d803a69},
	{"LDRS(21, 24)", "ld1r {v24.4s}, [x21]", 0x4d40cab8},
	{"LDRS(14, 14)", "ld1r {v14.4s}, [x14]", 0x4d40c9ce},
	{"LDRSNEXT(10, 30)", "ld1r {v30.4s}, [x10], #4", 0x4ddfc95e},
	{"LDRSNEXT(13, 10)", "ld1r {v10.4s}, [x13], #4", 0x4ddfc9aa},
	{"FADD(16, 19, 31)", "fadd v31.4s, v19.4s, v16.4s", 0x4e30d67f},
	{"FADD(16, 26, 1)", "fadd v1.4s, v26.4s, v16.4s", 0x4e30d741},
	{"FSUB(20, 19, 31)", "fsub v31.4s, v19.4s, v20.4s", 0x4eb4d67f},
	{"FSUB(18, 9, 30)", "fsub v30.4s, v9.4s, v18.4s", 0x4eb2d53e},
	{"FMUL(1, 7, 28)", "fmul v28.4s, v7.4s, v1.4s", 0x6e21dcfc},
	{"FMUL(15, 18, 2)", "fmul v2.4s, v18.4s, v15.4s", 0x6e2fde42},
	{"FDIV(8, 25, 0)", "fdiv v0.4s, v25.4s, v8.4s", 0x6e28ff20},
	{"FDIV(30, 17, 15)", "fdiv v15.4s, v17.4s, v30.4s", 0x6e3efe2f},
	{"FMIN(30, 2, 15)", "fmin v15.4s, v2.4s, v30.4s", 0x4ebef44f},
	{"FMIN(31, 17, 9)", "fmin v9.4s, v17.4s, v31.4s", 0x4ebff629},
	{"FMAX(18, 18, 31)", "fmax v31.4s, v18.4s, v18.4s", 0x4e32f65f},
	{"FMAX(30, 7, 1)", "fmax v1.4s, v7.4s, v30.4s", 0x4e3ef4e1},
	{"FMLA(8, 19, 18)", "fmla v18.4s, v19.4s, v8.4s", 0x4e28ce72},
	{"FMLA(21, 18, 1)", "fmla v1.4s, v18.4s, v21.4s", 0x4e35ce41},
	{"FMLA0(29, 22, 23)", "fmla v23.4s, v22.4s, v29.s[0]", 0x4f9d12d7},
	{"FMLA0(8, 2, 0)", "fmla v0.4s, v2.4s, v8.s[0]", 0x4f881040},
	{"FMUL0(16, 29, 6)", "fmul v6.4s, v29.4s, v16.s[0]", 0x4f9093a6},
	{"FMUL0(12, 0, 27)", "fmul v27.4s, v0.4s, v12.s[0]", 0x4f8c901b},
	{"FCMGT(27, 30, 24)", "fcmgt v24.4s, v30.4s, v27.4s", 0x6ebbe7d8},
	{"FCMGT(30, 25, 12)", "fcmgt v12.4s, v25.4s, v30.4s", 0x6ebee72c},
	{"FCMLTZ(18, 29)", "fcmlt v29.4s, v18.4s, #0.0", 0x4ea0ea5d},
	{"FCMLTZ(4, 19)", "fcmlt v19.4s, v4.4s, #0.0", 0x4ea0e893},
	{"FABS(0, 27)", "fabs v27.4s, v0.4s", 0x4ea0f81b},
	{"FABS(18, 30)", "fabs v30.4s, v18.4s", 0x4ea0fa5e},
	{"FNEG(19, 9)", "fneg v9.4s, v19.4s", 0x6ea0fa69},
	{"FNEG(10, 30)", "fneg v30.4s, v10.4s", 0x6ea0f95e},
	{"FSQRT(31, 21)", "fsqrt v21.4s, v31.4s", 0x6ea1fbf5},
	{"FSQRT(9, 27)", "fsqrt v27.4s, v9.4s", 0x6ea1f93b},
	{"FADDPS(3, 4)", "faddp s4, v3.2s", 0x7e30d864},
	{"FADDPS(14, 17)", "faddp s17, v14.2s", 0x7e30d9d1},
	{"SCVTF(5, 4)", "scvtf v4.4s, v5.4s", 0x4e21d8a4},
	{"SCVTF(1, 21)", "scvtf v21.4s, v1.4s", 0x4e21d835},
	{"FCVTNS(27, 4)", "fcvtns v4.4s, v27.4s", 0x4e21ab64},
	{"FCVTNS(25, 31)", "fcvtns v31.4s, v25.4s", 0x4e21ab3f},
	{"FCVTL(3, 7)", "fcvtl v7.4s, v3.4h", 0x0e217867},
	{"FCVTL(7, 14)", "fcvtl v14.4s, v7.4h", 0x0e2178ee},
	{"FCVTL2(7, 8)", "fcvtl2 v8.4s, v7.8h", 0x4e2178e8},
	{"FCVTL2(18, 28)", "fcvtl2 v28.4s, v18.8h", 0x4e217a5c},
}

// TestNEONWords expands the macros as the assembler does; each must be in the table.
func TestNEONWords(t *testing.T) {
	header, err := os.ReadFile("neon_arm64.h")
	if err != nil {
		t.Fatal(err)
	}
	macros := map[string]macro{}
	for _, m := range regexp.MustCompile(`(?m)^#define (\w+)\(([^)]*)\) (.*?)( //.*)?$`).FindAllStringSubmatch(string(header), -1) {
		macros[m[1]] = macro{strings.Split(m[2], ", "), strings.TrimPrefix(m[3], "WORD $")}
	}
	if n := strings.Count(string(header), "#define"); len(macros) != n {
		t.Errorf("%d macros are read of %d", len(macros), n)
	}
	used := map[string]bool{"REGS2": true, "REGS3": true}
	for _, c := range neonWords {
		used[c.use[:strings.Index(c.use, "(")]] = true
		if word, err := evalMacro(macros, c.use, nil); err != nil || uint32(word) != c.word {
			t.Errorf("%s is %#08x (%v), want %#08x: %s", c.use, word, err, c.word, c.asm)
		}
	}
	for name := range macros {
		if !used[name] {
			t.Errorf("%s is not in the table", name)
		}
	}
}

// macro is a macro of the assembler that gives a number.
type macro struct {
	params []string
	body   string
}

// evalMacro evaluates an expression of numbers, params and macros. Operators bind as in Go, but
// the assembler reads a>>b<<c as a>>(b<<c).
func evalMacro(macros map[string]macro, expr string, params map[string]int64) (int64, error) {
	x, err := parser.ParseExpr(expr)
	if err != nil {
		return 0, err
	}
	var eval func(ast.Expr) (constant.Value, error)
	eval = func(x ast.Expr) (constant.Value, error) {
		switch x := x.(type) {
		case *ast.ParenExpr:
			return eval(x.X)
		case *ast.BasicLit:
			return constant.MakeFromLiteral(x.Value, x.Kind, 0), nil
		case *ast.Ident:
			v, ok := params[x.Name]
			if !ok {
				return nil, fmt.Errorf("%s is unknown", x.Name)
			}
			return constant.MakeInt64(v), nil
		case *ast.CallExpr:
			m, ok := macros[fmt.Sprint(x.Fun)]
			if !ok || len(m.params) != len(x.Args) {
				return nil, fmt.Errorf("no macro %s of %d operands", x.Fun, len(x.Args))
			}
			inner := map[string]int64{}
			for i, arg := range x.Args {
				v, err := eval(arg)
				if err != nil {
					return nil, err
				}
				inner[m.params[i]], _ = constant.Int64Val(v)
			}
			v, err := evalMacro(macros, m.body, inner)
			return constant.MakeInt64(v), err
		case *ast.BinaryExpr:
			if _, chain := x.X.(*ast.BinaryExpr); chain && x.Op.Precedence() == token.SHL.Precedence() {
				return nil, fmt.Errorf("%s: the assembler reads a>>b<<c as a>>(b<<c)", expr)
			}
			a, err := eval(x.X)
			if err != nil {
				return nil, err
			}
			b, err := eval(x.Y)
			if err != nil {
				return nil, err
			}
			if x.Op == token.SHL || x.Op == token.SHR {
				n, _ := constant.Uint64Val(b)
				return constant.Shift(a, x.Op, uint(n)), nil
			}
			return constant.BinaryOp(a, x.Op, b), nil
		}
		return nil, fmt.Errorf("%T in %s", x, expr)
	}
	v, err := eval(x)
	if err != nil {
		return 0, err
	}
	n, _ := constant.Int64Val(v)
	return n, nil
}
