package main

import (
	goruntime "runtime"
	"strings"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/spf13/cobra"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Show what this machine has and which kernels dsk uses on it",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { a.runDoctor(); return nil },
	}
}

func (a *app) runDoctor() {
	d := struct {
		Platform     string    `json:"platform"`
		Cores        int       `json:"cores"`
		Features     []string  `json:"cpu_features"`
		Kernels      []string  `json:"kernels"`
		Selected     string    `json:"selected_kernels"`
		MemoryBytes  int64     `json:"memory_bytes,omitempty"`
		Available    int64     `json:"available_memory_bytes,omitempty"`
		Temperatures []float64 `json:"temperatures_celsius,omitempty"`
	}{goruntime.GOOS + "/" + goruntime.GOARCH, goruntime.NumCPU(), kernels.Features(), kernels.List(), kernels.Selected(),
		memoryBytes("MemTotal"), memoryBytes("MemAvailable"), temperatures()}
	if a.json {
		a.printJSON("doctor", d)
		return
	}
	a.print("platform      %s, %d cores", d.Platform, d.Cores)
	a.print("CPU features  %s", orNone(strings.Join(d.Features, " ")))
	for _, k := range d.Kernels {
		mark := ""
		if k == d.Selected {
			mark = "  <--"
		}
		a.print("kernels       %s%s", k, mark)
	}
	if d.MemoryBytes > 0 {
		a.print("memory        %s, %s available", megabytes(d.MemoryBytes), megabytes(d.Available))
	}
	for _, t := range d.Temperatures {
		a.print("temperature   %.1f C", t)
	}
	if len(d.Temperatures) == 0 {
		a.print("temperature   no sensor")
	}
}
