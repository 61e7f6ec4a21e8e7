package main

import (
	goruntime "runtime"
	"runtime/debug"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the kernels in use",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { a.runVersion(); return nil },
	}
}

func (a *app) runVersion() {
	v := struct {
		Version  string `json:"version"`
		Commit   string `json:"commit,omitempty"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
		Kernels  string `json:"kernels"`
	}{version, commit(), goruntime.Version(), goruntime.GOOS + "/" + goruntime.GOARCH, kernels.Selected()}
	if a.json {
		a.printJSON("version", v)
		return
	}
	a.print("dsk %s %s (%s, kernels %s)", v.Version, v.Platform, v.Go, v.Kernels)
	if v.Commit != "" {
		a.print("commit %s", v.Commit)
	}
}

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
