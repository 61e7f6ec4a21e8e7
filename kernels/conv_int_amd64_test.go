//go:build amd64 && !purego

package kernels

import (
	"testing"

	"golang.org/x/sys/cpu"
)

// TestWithoutByteTiles runs the AVX-512 level as on a processor without AMX.
func TestWithoutByteTiles(t *testing.T) {
	if has := hasAVX512 && cpu.X86.HasAMXTile && cpu.X86.HasAMXInt8 && tilesAllowed(); has != useByteTiles {
		t.Errorf("the processor has tiles of bytes: %v, they are used: %v", has, useByteTiles)
	}
	if !useByteTiles {
		t.Skip("there is no AMX here")
	}
	useByteTiles = false
	defer func() { useByteTiles = true }()
	t.Run("IntConv", TestIntConv)
	t.Run("IntProduct", TestIntProduct)
}
