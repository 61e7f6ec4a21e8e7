package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{&os.PathError{Op: "open", Path: "x", Err: os.ErrNotExist}, 1},
		{&fault.Usage{}, 2},
		{&fault.Gate{}, 3},
		{&fault.Unsupported{}, 4},
		{&fault.Resource{}, 5},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 5},
		{syscall.ENOMEM, 5},
		{&fault.Format{}, 6},
		{context.Canceled, 130},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
		if c.err == nil {
			continue
		}
		if got := exitCode(fmt.Errorf("more: %w", c.err)); got != c.want {
			t.Errorf("%v, wrapped: %d, want %d", c.err, got, c.want)
		}
	}
	for _, code := range []int{exitOK, exitFailure, exitUsage, exitGate, exitUnsupported, exitResource, exitInput, exitInterrupted} {
		if !strings.Contains(exitCodesText, fmt.Sprintf("\n  %-4d ", code)) {
			t.Errorf("help exit-codes does not list %d", code)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, msg strings.Builder
	if code := execute(ctx, []string{"verify", "../../testdata/models/gutenberg-1M-4bit.dsk"}, strings.NewReader(""), &out, &msg); code != exitInterrupted {
		t.Errorf("exit code %d, want 130: %s", code, msg.String())
	}
}
