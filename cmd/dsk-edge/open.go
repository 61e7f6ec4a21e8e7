package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"strings"

	"github.com/dsk-toolkit/dsk/board"
	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/runtime"
)

// loaded is an open model; b is nil for a .dsk file of its own.
type loaded struct {
	b    *bundle.Bundle
	file *dskfile.File
	m    *model.Model
}

func (l *loaded) Close() {
	if l.file != nil {
		l.file.Close()
	}
	if l.b != nil {
		l.b.Close()
	}
}

// openBundle opens the bundle that the command is about.
func (a *app) openBundle() (*bundle.Bundle, error) {
	if a.model != "" {
		return bundle.Open(a.model)
	}
	if a.self == "" {
		return nil, &fault.Usage{What: "give --model PATH: the program does not know where it lies"}
	}
	b, err := bundle.Open(a.self)
	var format *fault.Format
	if errors.As(err, &format) && format.Where == "" {
		return nil, &fault.Usage{What: fmt.Sprintf("give --model PATH: there is no bundle in or beside %s", filepath.Base(a.self))}
	}
	return b, err
}

// load opens the model. With a trusted key the whole bundle is checked first, and nothing that fails is loaded.
func (a *app) load(ctx context.Context) (*loaded, error) {
	l := &loaded{}
	var err error
	if strings.HasSuffix(a.model, ".dsk") {
		if a.policy == string(bundle.PolicyEnforce) {
			return nil, &fault.Format{File: a.model, Offset: -1, Where: "signature", Why: "a .dsk file of its own is not signed", Next: "load its bundle"}
		}
		l.file, err = dskfile.Open(a.model)
	} else if l.b, err = a.openBundle(); err == nil {
		if a.policy != string(bundle.PolicyOff) {
			err = l.b.Verify(ctx, a.verifyOptions())
		}
		if err == nil {
			a.sealing.apply(l.b)
			l.file, err = l.b.Model()
		}
	}
	if err == nil {
		l.m, err = l.file.Model()
	}
	if err == nil {
		err = a.limitMemory(l.m)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// limitMemory sets the limit that sessions are held to. With --page-weights the mapped weights do not count: the system drops their pages
// when it needs the memory, and reads them again.
func (a *app) limitMemory(m *model.Model) error {
	if a.memory == "" {
		return nil
	}
	limit, err := parseSize(a.memory)
	if err != nil {
		return err
	}
	if a.pageWeights {
		weights := int64(0)
		for _, t := range m.Graph.Init {
			weights += int64(t.Bytes())
		}
		if weights > limit {
			a.warn(fmt.Sprintf("weights of %d MiB are larger than the limit of %d MiB: they are read from storage as they are used", weights>>20, limit>>20))
		}
		a.paged = weights
		limit += weights
	}
	runtime.SetMemoryLimit(limit)
	return nil
}

// selftest replays the recorded inputs.
func selftest(ctx context.Context, a *app, _ *flag.FlagSet, _ []string) error {
	l, err := a.load(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	if l.b == nil {
		return &fault.Usage{What: "a .dsk file has no recorded outputs: selftest needs a bundle"}
	}
	if err := l.b.Verify(ctx, a.verifyOptions()); err != nil {
		return err
	}
	g, err := l.b.Golden()
	if err != nil {
		return err
	}
	checks, err := bundle.Selftest(ctx, l.m, g, a.options())
	if a.json && len(checks) > 0 {
		return errors.Join(err, a.printJSON(map[string]any{"schema_version": 1, "command": "selftest", "kernels": kernels.Selected(), "checks": checks}))
	}
	for _, c := range checks {
		how := "identical"
		if !c.Identical {
			how = fmt.Sprintf("relative error %.2g", c.Error)
		}
		if !c.OK {
			how = "FAILED: " + c.Why
		}
		fmt.Fprintf(a.stdout, "%s: %s\n", c.Output, how)
	}
	if err == nil {
		fmt.Fprintf(a.stdout, "selftest ok: %d outputs, kernels %s\n", len(checks), kernels.Selected())
	}
	return err
}

// verify checks the whole bundle.
func verify(ctx context.Context, a *app, _ *flag.FlagSet, _ []string) error {
	b, err := a.openBundle()
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Verify(ctx, a.verifyOptions()); err != nil {
		return err
	}
	how := "not checked"
	switch {
	case bundle.Policy(a.policy) == bundle.PolicyEnforce:
		how = "of a trusted key"
	case len(b.Signature) == 0:
		how = "none"
	}
	if a.json {
		return a.printJSON(map[string]any{"schema_version": 1, "command": "verify", "ok": true, "id": b.Manifest.ID, "signature": how})
	}
	fmt.Fprintf(a.stdout, "%s for %s: all hashes match, signature %s\n", b.Manifest.Name, b.Manifest.Platform, how)
	return nil
}

// info prints what is known of the bundle and the machine.
func info(_ context.Context, a *app, _ *flag.FlagSet, _ []string) error {
	b, err := a.openBundle()
	if err != nil {
		return err
	}
	defer b.Close()
	local := board.Local()
	state := local.Read()
	if a.json {
		return a.printJSON(map[string]any{"schema_version": 1, "command": "info", "manifest": b.Manifest, "signed": len(b.Signature) > 0,
			"kernels": kernels.Selected(), "cores": goruntime.NumCPU(), "big_cores": local.BigCores(), "board": state})
	}
	m := b.Manifest
	fmt.Fprintf(a.stdout, "bundle    %s for %s, id %s\nmodel     %s, %d parameters\n", m.Name, m.Platform, m.ID, m.Model.Name, m.Model.Parameters)
	for _, s := range m.Model.Steps {
		fmt.Fprintf(a.stdout, "step      %s, dsk %s\n", s.Verb, s.Version)
	}
	for _, l := range m.Licenses {
		fmt.Fprintf(a.stdout, "licence   %s: %s\n", l.Part, l.License)
	}
	fmt.Fprintf(a.stdout, "machine   %s/%s, %d cores, %d fast, kernels %s\n", goruntime.GOOS, goruntime.GOARCH, goruntime.NumCPU(), local.BigCores(), kernels.Selected())
	if state.Known {
		fmt.Fprintf(a.stdout, "board     %.1f C, %.0f MHz %s\n", state.Celsius, state.MHz, strings.Join(state.Throttled, ", "))
	}
	return nil
}
