package main

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/spf13/cobra"
)

// withMemoryLimit adds --mem-limit to a command that runs a model.
func (a *app) withMemoryLimit(cmd *cobra.Command) *cobra.Command {
	limit, run := "", cmd.RunE
	cmd.Flags().StringVar(&limit, "mem-limit", "", "refuse models that need more memory: 2GiB, 800MB or bytes (weights, caches and intermediate values)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit != "" {
			bytes, err := parseSize(limit)
			if err != nil {
				return &fault.Usage{What: fmt.Sprintf("--mem-limit %q: give bytes, or a number with B, KB, MB, GB, KiB, MiB or GiB", limit)}
			}
			runtime.SetMemoryLimit(bytes)
			defer runtime.SetMemoryLimit(0)
		}
		return run(cmd, args)
	}
	return cmd
}
