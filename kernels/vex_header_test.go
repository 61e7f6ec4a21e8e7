package kernels

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// codeBytes is the use of a macro, and the instruction as GNU as takes it and its bytes.
type codeBytes struct{ use, asm, code string }

// vexBytes are uses of the macros of vex_amd64.h and what GNU as makes of the same instruction.
var vexBytes = []codeBytes{
	{"VPDPBUSDY(0, 0, 0)", "vpdpbusd %ymm0,%ymm0,%ymm0", "c4 e2 7d 50 c0"},
	{"VPDPBUSDY(14, 12, 6)", "vpdpbusd %ymm14,%ymm12,%ymm6", "c4 c2 1d 50 f6"},
	{"VPDPBUSDY(15, 13, 11)", "vpdpbusd %ymm15,%ymm13,%ymm11", "c4 42 15 50 df"},
	{"VPDPBUSDY(7, 8, 9)", "vpdpbusd %ymm7,%ymm8,%ymm9", "c4 62 3d 50 cf"},
	{"VPDPBUSDY(8, 7, 1)", "vpdpbusd %ymm8,%ymm7,%ymm1", "c4 c2 45 50 c8"},
	{"VPDPBUSDY(3, 15, 8)", "vpdpbusd %ymm3,%ymm15,%ymm8", "c4 62 05 50 c3"},
	{"VPDPBUSDY(9, 0, 15)", "vpdpbusd %ymm9,%ymm0,%ymm15", "c4 42 7d 50 f9"},
}

// amxBytes is vexBytes for amx_amd64.h.
var amxBytes = []codeBytes{
	{"LDTILECFG(0)", "ldtilecfg (%rax)", "c4 e2 78 49 00"},
	{"LDTILECFG(2)", "ldtilecfg (%rdx)", "c4 e2 78 49 02"},
	{"TILERELEASE()", "tilerelease", "c4 e2 78 49 c0"},
	{"TILELOAD(0, 6, 3, 4)", "{disp8} tileloadd (%rsi,%rbx,1),%tmm4", "c4 e2 7b 4b 64 1e 00"},
	{"TILELOAD(0, 9, 10, 6)", "{disp8} tileloadd (%r9,%r10,1),%tmm6", "c4 82 7b 4b 74 11 00"},
	{"TILELOAD(64, 9, 10, 7)", "tileloadd 64(%r9,%r10,1),%tmm7", "c4 82 7b 4b 7c 11 40"},
	{"TILELOAD(64, 12, 2, 3)", "tileloadd 64(%r12,%rdx,1),%tmm3", "c4 c2 7b 4b 5c 14 40"},
	{"TILESTORE(0, 64, 7, 2)", "tilestored %tmm0,64(%rdi,%rdx,1)", "c4 e2 7a 4b 44 17 40"},
	{"TILESTORE(2, 0, 12, 10)", "{disp8} tilestored %tmm2,(%r12,%r10,1)", "c4 82 7a 4b 54 14 00"},
	{"TILEZERO(0)", "tilezero %tmm0", "c4 e2 7b 49 c0"},
	{"TILEZERO(3)", "tilezero %tmm3", "c4 e2 7b 49 d8"},
	{"TDPBF16PS(6, 4, 0)", "tdpbf16ps %tmm6,%tmm4,%tmm0", "c4 e2 4a 5c c4"},
	{"TDPBF16PS(7, 5, 3)", "tdpbf16ps %tmm7,%tmm5,%tmm3", "c4 e2 42 5c dd"},
	{"TDPBSUD(6, 4, 0)", "tdpbsud %tmm6,%tmm4,%tmm0", "c4 e2 4a 5e c4"},
	{"TDPBSUD(7, 4, 1)", "tdpbsud %tmm7,%tmm4,%tmm1", "c4 e2 42 5e cc"},
	{"TDPBUSD(6, 4, 0)", "tdpbusd %tmm6,%tmm4,%tmm0", "c4 e2 49 5e c4"},
	{"TDPBUSD(7, 5, 3)", "tdpbusd %tmm7,%tmm5,%tmm3", "c4 e2 41 5e dd"},
	{"VCVTNE2PS2BF16(6, 7)", "vcvtne2ps2bf16 %zmm6,%zmm7,%zmm6", "62 f2 47 48 72 f6"},
	{"VCVTNE2PS2BF16(1, 2)", "vcvtne2ps2bf16 %zmm1,%zmm2,%zmm1", "62 f2 6f 48 72 c9"},
}

func TestVEXBytes(t *testing.T) { checkHeader(t, "vex_amd64.h", vexBytes) }

func TestAMXBytes(t *testing.T) { checkHeader(t, "amx_amd64.h", amxBytes) }

// checkHeader expands the macros as the assembler does; each must be in the table.
func checkHeader(t *testing.T, file string, table []codeBytes) {
	header, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]macro{}
	for _, m := range regexp.MustCompile(`(?m)^#define (\w+)\(([^)]*)\) (.*)$`).FindAllStringSubmatch(string(header), -1) {
		var params []string
		if m[2] != "" {
			params = strings.Split(m[2], ", ")
		}
		bodies[m[1]] = macro{params, m[3]}
	}
	if n := strings.Count(string(header), "#define"); len(bodies) != n {
		t.Errorf("%d macros are read of %d", len(bodies), n)
	}
	used := map[string]bool{}
	for _, c := range table {
		name, _, _ := strings.Cut(c.use, "(")
		used[name] = true
		// Each byte becomes a macro of its own for the evaluation.
		var code []string
		for _, b := range strings.Split(bodies[name].body, "; ") {
			one := map[string]macro{name: {bodies[name].params, strings.TrimPrefix(b, "BYTE $")}}
			v, err := evalMacro(one, c.use, nil)
			if err != nil || v != v&0xff {
				t.Errorf("%s: %s gives %#x (%v)", c.use, b, v, err)
			}
			code = append(code, fmt.Sprintf("%02x", v))
		}
		if got := strings.Join(code, " "); got != c.code {
			t.Errorf("%s is %s, want %s: %s", c.use, got, c.code, c.asm)
		}
	}
	for name := range bodies {
		if !used[name] {
			t.Errorf("%s is not in the table", name)
		}
	}
}
