package runtime

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// smallBytes are allocated without a look at how much memory there is.
const smallBytes = 64 << 20

// addressBytes bounds what can be addressed where nothing else is known.
const addressBytes = 1 << 46

// available says how much memory may still be taken; a variable for tests.
var available = tensor.AvailableMemory

// room returns a *fault.Resource if n bytes for something are more than the machine has left. A crafted or
// mistaken size is an error then, where the system would end the program.
func room(n int, what string) error {
	if n <= smallBytes {
		return nil
	}
	left, known := available()
	if !known {
		left = addressBytes
	}
	if int64(n) > left {
		return &fault.Resource{What: fmt.Sprintf("not enough memory: %s takes %d MiB, %d MiB are available", what, n>>20, left>>20)}
	}
	return nil
}
