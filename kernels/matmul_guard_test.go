//go:build linux || darwin

package kernels

import (
	"fmt"
	"math/rand"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// fenced returns n bytes that touch a page without access: behind them, or before
// them if front is set.
func fenced(t *testing.T, n int, front bool) []byte {
	t.Helper()
	page := os.Getpagesize()
	inner := roundUp(max(n, 1), page)
	mem, err := unix.Mmap(-1, 0, inner+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			t.Error(err)
		}
	})
	for _, fence := range [][]byte{mem[:page], mem[page+inner:]} {
		if err := unix.Mprotect(fence, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if front {
		return mem[page : page+n]
	}
	return mem[page+inner-n : page+inner]
}

// TestProductStaysInside puts every operand against a page without access: a read or write
// outside ends the test program.
func TestProductStaysInside(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(11))
		for _, f := range formats {
			for _, size := range [][3]int{{1, 1, 1}, {16, 32, 1}, {17, 33, 2}, {33, 95, 4}, {64, 64, 7}, {48, 40, 13}} {
				n, k, rows := size[0], size[1], size[2]
				for _, front := range []bool{false, true} {
					t.Run(fmt.Sprint(f, size, front), func(t *testing.T) {
						w := randPanels(f, n, k, r)
						data := fenced(t, len(w.Data), front)
						copy(data, w.Data)
						w.Data = data
						m := NewMatMul(nil, w, nil, Activation{})
						x := floatsOf(fenced(t, rows*k*4, front))
						copy(x, randActs(rows*k, r))
						dst := floatsOf(fenced(t, rows*n*4, front))
						m.Run(dst, n, x, k, rows, fenced(t, m.ScratchBytes(rows), front))
					})
				}
			}
		}
	})
}
