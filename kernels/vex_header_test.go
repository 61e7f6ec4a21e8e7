package kernels

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// vexBytes are uses of the macros of vex_amd64.h and what GNU as makes of the same instruction.
var vexBytes = []struct{ use, asm, code string }{
	{"VPDPBUSDY(0, 0, 0)", "vpdpbusd %ymm0,%ymm0,%ymm0", "c4 e2 7d 50 c0"},
	{"VPDPBUSDY(14, 12, 6)", "vpdpbusd %ymm14,%ymm12,%ymm6", "c4 c2 1d 50 f6"},
	{"VPDPBUSDY(15, 13, 11)", "vpdpbusd %ymm15,%ymm13,%ymm11", "c4 42 15 50 df"},
	{"VPDPBUSDY(7, 8, 9)", "vpdpbusd %ymm7,%ymm8,%ymm9", "c4 62 3d 50 cf"},
	{"VPDPBUSDY(8, 7, 1)", "vpdpbusd %ymm8,%ymm7,%ymm1", "c4 c2 45 50 c8"},
	{"VPDPBUSDY(3, 15, 8)", "vpdpbusd %ymm3,%ymm15,%ymm8", "c4 62 05 50 c3"},
	{"VPDPBUSDY(9, 0, 15)", "vpdpbusd %ymm9,%ymm0,%ymm15", "c4 42 7d 50 f9"},
}

// TestVEXBytes expands the macros as the assembler does; each must be in the table.
func TestVEXBytes(t *testing.T) {
	header, err := os.ReadFile("vex_amd64.h")
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]macro{}
	for _, m := range regexp.MustCompile(`(?m)^#define (\w+)\(([^)]*)\) (.*)$`).FindAllStringSubmatch(string(header), -1) {
		bodies[m[1]] = macro{strings.Split(m[2], ", "), m[3]}
	}
	if n := strings.Count(string(header), "#define"); len(bodies) != n {
		t.Errorf("%d macros are read of %d", len(bodies), n)
	}
	used := map[string]bool{}
	for _, c := range vexBytes {
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
