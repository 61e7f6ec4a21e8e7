//go:build amd64 && !purego

package kernels

import "golang.org/x/sys/cpu"

// What the processor, and the operating system for the wide registers, can do.
var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ &&
		cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VNNI
)
