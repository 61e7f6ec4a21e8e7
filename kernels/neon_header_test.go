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
	{"SMLALH(19, 22, 19)", "smlal v19.4s, v22.4h, v19.4h", 0x0e7382d3},
	{"SMLALH(30, 20, 11)", "smlal v11.4s, v20.4h, v30.4h", 0x0e7e828b},
	{"SMLALH2(30, 30, 11)", "smlal2 v11.4s, v30.8h, v30.8h", 0x4e7e83cb},
	{"SMLALH2(3, 16, 1)", "smlal2 v1.4s, v16.8h, v3.8h", 0x4e638201},
	{"MULI(22, 25, 1)", "mul v1.4s, v25.4s, v22.4s", 0x4eb69f21},
	{"MULI(26, 23, 24)", "mul v24.4s, v23.4s, v26.4s", 0x4eba9ef8},
	{"MLAI(0, 28, 2)", "mla v2.4s, v28.4s, v0.4s", 0x4ea09782},
	{"MLAI(11, 12, 7)", "mla v7.4s, v12.4s, v11.4s", 0x4eab9587},
	{"MULI0(15, 29, 22)", "mul v22.4s, v29.4s, v15.s[0]", 0x4f8f83b6},
	{"MULI0(22, 16, 29)", "mul v29.4s, v16.4s, v22.s[0]", 0x4f96821d},
	{"MLAI0(6, 23, 18)", "mla v18.4s, v23.4s, v6.s[0]", 0x6f8602f2},
	{"MLAI0(2, 27, 5)", "mla v5.4s, v27.4s, v2.s[0]", 0x6f820365},
	{"SADALP(13, 21)", "sadalp v21.4s, v13.8h", 0x4e6069b5},
	{"SADALP(23, 9)", "sadalp v9.4s, v23.8h", 0x4e606ae9},
	{"ADDP(21, 17, 5)", "addp v5.4s, v17.4s, v21.4s", 0x4eb5be25},
	{"ADDP(19, 20, 19)", "addp v19.4s, v20.4s, v19.4s", 0x4eb3be93},
	{"ADDI(11, 5, 9)", "add v9.4s, v5.4s, v11.4s", 0x4eab84a9},
	{"ADDI(19, 30, 10)", "add v10.4s, v30.4s, v19.4s", 0x4eb387ca},
	{"SUBI(3, 5, 25)", "sub v25.4s, v5.4s, v3.4s", 0x6ea384b9},
	{"SUBI(2, 15, 22)", "sub v22.4s, v15.4s, v2.4s", 0x6ea285f6},
	{"UMAXV(16, 29)", "umaxv s29, v16.4s", 0x6eb0aa1d},
	{"UMAXV(26, 9)", "umaxv s9, v26.4s", 0x6eb0ab49},
	{"SSHRB(3, 2, 31)", "sshr v31.16b, v2.16b, #3", 0x4f0d045f},
	{"SSHRB(5, 8, 8)", "sshr v8.16b, v8.16b, #5", 0x4f0b0508},
	{"SSHR(1, 10, 27)", "sshr v27.4s, v10.4s, #1", 0x4f3f055b},
	{"SSHR(5, 3, 26)", "sshr v26.4s, v3.4s, #5", 0x4f3b047a},
	{"SHL(1, 29, 10)", "shl v10.4s, v29.4s, #1", 0x4f2157aa},
	{"SHL(7, 20, 30)", "shl v30.4s, v20.4s, #7", 0x4f27569e},
	{"USHRB(2, 30, 25)", "ushr v25.16b, v30.16b, #2", 0x6f0e07d9},
	{"USHRB(4, 24, 11)", "ushr v11.16b, v24.16b, #4", 0x6f0c070b},
	{"SLIB(2, 11, 5)", "sli v5.16b, v11.16b, #2", 0x6f0a5565},
	{"SLIB(6, 23, 4)", "sli v4.16b, v23.16b, #6", 0x6f0e56e4},
	{"SXTLB(22, 2)", "sxtl v2.8h, v22.8b", 0x0f08a6c2},
	{"SXTLB(19, 23)", "sxtl v23.8h, v19.8b", 0x0f08a677},
	{"SXTLB2(17, 31)", "sxtl2 v31.8h, v17.16b", 0x4f08a63f},
	{"SXTLB2(16, 18)", "sxtl2 v18.8h, v16.16b", 0x4f08a612},
	{"SXTLH(21, 11)", "sxtl v11.4s, v21.4h", 0x0f10a6ab},
	{"SXTLH(0, 30)", "sxtl v30.4s, v0.4h", 0x0f10a41e},
	{"SXTLH2(16, 20)", "sxtl2 v20.4s, v16.8h", 0x4f10a614},
	{"SXTLH2(17, 29)", "sxtl2 v29.4s, v17.8h", 0x4f10a63d},
	{"XTNS(18, 22)", "xtn v22.4h, v18.4s", 0x0e612a56},
	{"XTNS(22, 17)", "xtn v17.4h, v22.4s", 0x0e612ad1},
	{"XTNS2(22, 26)", "xtn2 v26.8h, v22.4s", 0x4e612ada},
	{"XTNS2(22, 11)", "xtn2 v11.8h, v22.4s", 0x4e612acb},
	{"XTNH(28, 23)", "xtn v23.8b, v28.8h", 0x0e212b97},
	{"XTNH(21, 9)", "xtn v9.8b, v21.8h", 0x0e212aa9},
	{"XTNH2(10, 12)", "xtn2 v12.16b, v10.8h", 0x4e21294c},
	{"XTNH2(23, 30)", "xtn2 v30.16b, v23.8h", 0x4e212afe},
	{"ANDB(18, 5, 26)", "and v26.16b, v5.16b, v18.16b", 0x4e321cba},
	{"ANDB(10, 26, 19)", "and v19.16b, v26.16b, v10.16b", 0x4e2a1f53},
	{"ORRB(17, 1, 12)", "orr v12.16b, v1.16b, v17.16b", 0x4eb11c2c},
	{"ORRB(10, 28, 11)", "orr v11.16b, v28.16b, v10.16b", 0x4eaa1f8b},
	{"BIT(14, 11, 2)", "bit v2.16b, v11.16b, v14.16b", 0x6eae1d62},
	{"BIT(30, 14, 10)", "bit v10.16b, v14.16b, v30.16b", 0x6ebe1dca},
	{"BIF(3, 8, 7)", "bif v7.16b, v8.16b, v3.16b", 0x6ee31d07},
	{"BIF(20, 11, 30)", "bif v30.16b, v11.16b, v20.16b", 0x6ef41d7e},
	{"TBL(12, 2, 26)", "tbl v26.16b, {v2.16b}, v12.16b", 0x4e0c005a},
	{"TBL(29, 22, 24)", "tbl v24.16b, {v22.16b}, v29.16b", 0x4e1d02d8},
	{"ZIPS1(4, 13, 15)", "zip1 v15.4s, v13.4s, v4.4s", 0x4e8439af},
	{"ZIPS1(23, 0, 22)", "zip1 v22.4s, v0.4s, v23.4s", 0x4e973816},
	{"ZIPS2(25, 17, 26)", "zip2 v26.4s, v17.4s, v25.4s", 0x4e997a3a},
	{"ZIPS2(7, 23, 2)", "zip2 v2.4s, v23.4s, v7.4s", 0x4e877ae2},
	{"ZIPD1(19, 6, 18)", "zip1 v18.2d, v6.2d, v19.2d", 0x4ed338d2},
	{"ZIPD1(21, 18, 22)", "zip1 v22.2d, v18.2d, v21.2d", 0x4ed53a56},
	{"ZIPD2(8, 26, 26)", "zip2 v26.2d, v26.2d, v8.2d", 0x4ec87b5a},
	{"ZIPD2(23, 29, 9)", "zip2 v9.2d, v29.2d, v23.2d", 0x4ed77ba9},
	{"ZERO(10)", "movi v10.4s, #0", 0x4f00040a},
	{"ZERO(24)", "movi v24.4s, #0", 0x4f000418},
	{"LDQ(416, 20, 5)", "ldr q5, [x20, #416]", 0x3dc06a85},
	{"LDQ(1360, 13, 6)", "ldr q6, [x13, #1360]", 0x3dc155a6},
	{"LDUQ(81, 11, 24)", "ldur q24, [x11, #81]", 0x3cc51178},
	{"LDUQ(57, 16, 18)", "ldur q18, [x16, #57]", 0x3cc39212},
	{"LDS(1456, 13, 10)", "ldr s10, [x13, #1456]", 0xbd45b1aa},
	{"LDS(1520, 16, 16)", "ldr s16, [x16, #1520]", 0xbd45f210},
	{"STQ(48, 10, 31)", "str q31, [x10, #48]", 0x3d800d5f},
	{"STQ(304, 1, 7)", "str q7, [x1, #304]", 0x3d804c27},
	{"LDRS(8, 18)", "ld1r {v18.4s}, [x8]", 0x4d40c912},
	{"LDRS(26, 8)", "ld1r {v8.4s}, [x26]", 0x4d40cb48},
	{"LDRSNEXT(1, 30)", "ld1r {v30.4s}, [x1], #4", 0x4ddfc83e},
	{"LDRSNEXT(8, 30)", "ld1r {v30.4s}, [x8], #4", 0x4ddfc91e},
	{"FADD(2, 15, 31)", "fadd v31.4s, v15.4s, v2.4s", 0x4e22d5ff},
	{"FADD(17, 9, 18)", "fadd v18.4s, v9.4s, v17.4s", 0x4e31d532},
	{"FSUB(18, 31, 30)", "fsub v30.4s, v31.4s, v18.4s", 0x4eb2d7fe},
	{"FSUB(7, 1, 8)", "fsub v8.4s, v1.4s, v7.4s", 0x4ea7d428},
	{"FMUL(19, 18, 21)", "fmul v21.4s, v18.4s, v19.4s", 0x6e33de55},
	{"FMUL(18, 1, 29)", "fmul v29.4s, v1.4s, v18.4s", 0x6e32dc3d},
	{"FDIV(22, 23, 8)", "fdiv v8.4s, v23.4s, v22.4s", 0x6e36fee8},
	{"FDIV(2, 0, 16)", "fdiv v16.4s, v0.4s, v2.4s", 0x6e22fc10},
	{"FMIN(29, 6, 12)", "fmin v12.4s, v6.4s, v29.4s", 0x4ebdf4cc},
	{"FMIN(0, 27, 27)", "fmin v27.4s, v27.4s, v0.4s", 0x4ea0f77b},
	{"FMAX(30, 24, 30)", "fmax v30.4s, v24.4s, v30.4s", 0x4e3ef71e},
	{"FMAX(25, 12, 18)", "fmax v18.4s, v12.4s, v25.4s", 0x4e39f592},
	{"FMLA(29, 4, 19)", "fmla v19.4s, v4.4s, v29.4s", 0x4e3dcc93},
	{"FMLA(0, 27, 18)", "fmla v18.4s, v27.4s, v0.4s", 0x4e20cf72},
	{"FMLA0(30, 19, 9)", "fmla v9.4s, v19.4s, v30.s[0]", 0x4f9e1269},
	{"FMLA0(10, 30, 31)", "fmla v31.4s, v30.4s, v10.s[0]", 0x4f8a13df},
	{"FMUL0(21, 9, 27)", "fmul v27.4s, v9.4s, v21.s[0]", 0x4f95913b},
	{"FMUL0(3, 4, 14)", "fmul v14.4s, v4.4s, v3.s[0]", 0x4f83908e},
	{"FCMGT(17, 5, 4)", "fcmgt v4.4s, v5.4s, v17.4s", 0x6eb1e4a4},
	{"FCMGT(1, 21, 27)", "fcmgt v27.4s, v21.4s, v1.4s", 0x6ea1e6bb},
	{"FCMLTZ(4, 25)", "fcmlt v25.4s, v4.4s, #0.0", 0x4ea0e899},
	{"FCMLTZ(31, 3)", "fcmlt v3.4s, v31.4s, #0.0", 0x4ea0ebe3},
	{"FABS(7, 7)", "fabs v7.4s, v7.4s", 0x4ea0f8e7},
	{"FABS(14, 7)", "fabs v7.4s, v14.4s", 0x4ea0f9c7},
	{"FNEG(8, 18)", "fneg v18.4s, v8.4s", 0x6ea0f912},
	{"FNEG(28, 9)", "fneg v9.4s, v28.4s", 0x6ea0fb89},
	{"FSQRT(11, 11)", "fsqrt v11.4s, v11.4s", 0x6ea1f96b},
	{"FSQRT(26, 10)", "fsqrt v10.4s, v26.4s", 0x6ea1fb4a},
	{"FADDPS(4, 13)", "faddp s13, v4.2s", 0x7e30d88d},
	{"FADDPS(2, 6)", "faddp s6, v2.2s", 0x7e30d846},
	{"SCVTF(24, 4)", "scvtf v4.4s, v24.4s", 0x4e21db04},
	{"SCVTF(17, 3)", "scvtf v3.4s, v17.4s", 0x4e21da23},
	{"FCVTNS(7, 25)", "fcvtns v25.4s, v7.4s", 0x4e21a8f9},
	{"FCVTNS(8, 0)", "fcvtns v0.4s, v8.4s", 0x4e21a900},
	{"FCVTL(27, 5)", "fcvtl v5.4s, v27.4h", 0x0e217b65},
	{"FCVTL(20, 31)", "fcvtl v31.4s, v20.4h", 0x0e217a9f},
	{"FCVTL2(31, 22)", "fcvtl2 v22.4s, v31.8h", 0x4e217bf6},
	{"FCVTL2(23, 3)", "fcvtl2 v3.4s, v23.8h", 0x4e217ae3},
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
