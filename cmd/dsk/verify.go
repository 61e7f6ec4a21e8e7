package main

import (
	"context"

	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	var trust []string
	var policy string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a whole .dsk file or bundle and check every hash, structure and signature",
		Long: `Read a whole .dsk file and check every hash and structure, or a whole bundle (a folder or an
executable) and check every hash, and its signature if a key is trusted.

  dsk verify model.dsk
  dsk verify app --trust release.pub

EXIT STATUS
  6 if anything is wrong; the message names the chunk, tensor, file or signature.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "-" && bundle.Is(args[0]) {
				return a.verifyBundle(cmd.Context(), args[0], trust, policy)
			}
			if len(trust) > 0 || policy != "" && policy != string(bundle.PolicyOff) {
				return &fault.Format{File: args[0], Offset: -1, Where: "signature", Why: "this is no bundle, and only bundles are signed", Next: "dsk package makes one"}
			}
			return a.runVerify(cmd.Context(), args[0])
		},
	}
	cmd.Flags().StringArrayVar(&trust, "trust", nil, "public key in minisign's format; may be repeated")
	cmd.Flags().StringVar(&policy, "policy", "", "for signatures: off, warn or enforce (default: enforce with --trust)")
	return cmd
}

// verifyBundle checks all of a bundle.
func (a *app) verifyBundle(ctx context.Context, path string, trust []string, policy string) error {
	var o bundle.VerifyOptions
	for _, file := range trust {
		k, err := bundle.ReadKey(file)
		if err != nil {
			return err
		}
		o.Keys = append(o.Keys, k)
	}
	var err error
	if o.Policy, err = bundle.ParsePolicy(policy, len(o.Keys)); err != nil {
		return err
	}
	o.Warn = func(err error) { a.warn("%v", err) }
	b, err := bundle.Open(path)
	if err != nil {
		return err
	}
	defer b.Close()
	p := a.newProgress()
	o.Progress = p.stageFunc("verify")
	err = b.Verify(ctx, o)
	p.finish()
	if err != nil {
		return err
	}
	how := "signature not checked"
	switch {
	case o.Policy == bundle.PolicyEnforce:
		how = "signed by a trusted key"
	case len(b.Signature) == 0:
		how = "not signed"
	}
	if a.json {
		a.printJSON("verify", struct {
			Ok        bool   `json:"ok"`
			ID        string `json:"id"`
			Signature string `json:"signature"`
		}{true, b.Manifest.ID, how})
		return nil
	}
	a.print("%s: ok, %d files, all hashes match, %s", path, len(b.Manifest.Files), how)
	return nil
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
