//go:build amd64 && !purego

package kernels

import "golang.org/x/sys/cpu"

// What the processor, and the operating system for the wide registers, can do.
var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ &&
		cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VNNI
	hasVNNI = hasAVX2 && cpu.X86.HasAVXVNNI
)

// The instruction sets that routines choose between, best first. useVNNI implies useAVX2, useAVX512 excludes both.
var (
	useAVX512 bool // AVX-512 F, BW, DQ, VL and VNNI
	useVNNI   bool // AVX-VNNI: VPDPBUSD in its VEX form
	useAVX2   bool // AVX2 and FMA
)

func offered() []implementation {
	return []implementation{{"avx2", hasAVX2}, {"avxvnni", hasVNNI}, {"avx512vnni", hasAVX512}}
}

func use(name string) {
	useAVX512, useVNNI = name == "avx512vnni", name == "avxvnni"
	useAVX2 = useVNNI || name == "avx2"
}

// useSIMD reports whether an implementation in assembly is in use.
func useSIMD() bool { return useAVX512 || useAVX2 }
