package tensor

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// smallBytes are allocated without a look at how much memory there is.
const smallBytes = 64 << 20

// Room returns a *fault.Resource if n bytes for something are more than the memory that is left, where that is
// known: a crafted or mistaken size is an error then, where the system would end the program.
func Room(n int, what string) error {
	if n <= smallBytes {
		return nil
	}
	if left, known := AvailableMemory(); known && int64(n) > left {
		return &fault.Resource{What: fmt.Sprintf("not enough memory: %s takes %d MiB, %d MiB are available", what, n>>20, left>>20)}
	}
	return nil
}
