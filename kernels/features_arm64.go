//go:build arm64 && !purego

package kernels

import "golang.org/x/sys/cpu"

// What the processor can do beside NEON, which every arm64 processor has that Go runs on.
var (
	hasDotProd = cpu.ARM64.HasASIMDDP
	hasI8MM    = hasDotProd && cpu.ARM64.HasI8MM
)

// The instruction sets that routines choose between. Each includes those above it.
var (
	useNEON    bool
	useDotProd bool // SDOT
	useI8MM    bool // SMMLA
)

func offered() []implementation {
	return []implementation{{"neon", true}, {"neon-dotprod", hasDotProd}, {"neon-i8mm", hasI8MM}}
}

func use(name string) {
	useI8MM = name == "neon-i8mm"
	useDotProd = useI8MM || name == "neon-dotprod"
	useNEON = useDotProd || name == "neon"
}

// useSIMD reports whether an implementation in assembly is in use.
func useSIMD() bool { return useNEON }
