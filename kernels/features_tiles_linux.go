//go:build amd64 && !purego

package kernels

import "syscall"

// tilesAllowed asks the kernel for the registers of AMX, which it keeps from processes that do not: a signal must find
// room for them on the stack of its handler. The grant holds for the process.
func tilesAllowed() bool {
	const (
		archPrctl     = syscall.SYS_ARCH_PRCTL
		requestXState = 0x1023 // ARCH_REQ_XCOMP_PERM
		tileData      = 18     // XFEATURE_XTILEDATA
	)
	_, _, err := syscall.RawSyscall(archPrctl, requestXState, tileData, 0)
	return err == 0
}
