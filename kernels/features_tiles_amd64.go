//go:build amd64 && !linux && !purego

package kernels

// tilesAllowed is false where it is not known how a process gets the registers of AMX.
func tilesAllowed() bool { return false }
