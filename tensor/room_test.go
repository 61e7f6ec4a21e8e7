package tensor_test

import (
	"errors"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestHugeDeferred: a tensor that is larger than the memory is an error, not the end of the program.
func TestHugeDeferred(t *testing.T) {
	left, known := tensor.AvailableMemory()
	if !known {
		t.Skip("this system does not say how much memory is left")
	}
	if left <= 0 {
		t.Fatalf("%d bytes are left", left)
	}
	huge := tensor.Deferred(tensor.F32, []int{1 << 30, 1 << 14}, tensor.RowMajor, nil, func([]byte) error { return nil })
	var resource *fault.Resource
	if err := huge.Load(); !errors.As(err, &resource) {
		t.Errorf("got %v, want too little memory", err)
	}
}
