package main

import (
	"errors"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"12345": 12345, "1B": 1, "800KB": 800_000, "3.2MB": 3_200_000, "1.5 GB": 1_500_000_000, "2KiB": 2048, "3MiB": 3 << 20, "0.5GiB": 1 << 29,
	} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "MB", "-1MB", "3mb", "3 M", "1.2.3", "0", "3TB", "1e6"} {
		var u *fault.Usage
		if got, err := parseSize(s); !errors.As(err, &u) {
			t.Errorf("%q: %d, %v; want a usage error", s, got, err)
		}
	}
}
