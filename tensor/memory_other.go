//go:build !linux

package tensor

// AvailableMemory returns how many bytes can be allocated without swapping, and whether that is known.
func AvailableMemory() (int64, bool) { return 0, false }
