package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a whole .dsk file and check every hash and structure",
		Long: `Read a whole .dsk file and check every hash and structure.

EXIT STATUS
  6 if anything is wrong; the message names the chunk or tensor.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runVerify(cmd.Context(), args[0]) },
	}
}

func (a *app) runVerify(ctx context.Context, path string) error {
	f, err := a.openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	p := a.newProgress()
	err = f.Verify(ctx, p.stageFunc("verify"))
	p.finish()
	if err != nil {
		return err
	}
	info := f.Info()
	if a.json {
		a.printJSON("verify", struct {
			Ok     bool  `json:"ok"`
			Bytes  int64 `json:"bytes"`
			Chunks int   `json:"chunks"`
		}{true, info.FileBytes, len(info.Chunks)})
		return nil
	}
	a.print("%s: ok, %s in %d chunks, all hashes match", path, megabytes(info.FileBytes), len(info.Chunks))
	return nil
}
