package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
)

type applyFlags struct{ root string }

func (o *applyFlags) add(_ *app, f *flag.FlagSet) {
	f.StringVar(&o.root, "root", "", "`folder` of the installation, with its links current and previous")
}

func (o *applyFlags) options(a *app) bundle.ApplyOptions {
	return bundle.ApplyOptions{VerifyOptions: a.verifyOptions(), Selftest: a.selftestIn}
}

func (o *applyFlags) apply(ctx context.Context, a *app, _ *flag.FlagSet, args []string) error {
	if o.root == "" || len(args) != 1 {
		return &fault.Usage{What: "apply needs --root FOLDER and a delta or bundle"}
	}
	id, err := bundle.Apply(ctx, o.root, args[0], o.options(a))
	return o.report(a, id, err)
}

func (o *applyFlags) rollback(ctx context.Context, a *app, _ *flag.FlagSet, args []string) error {
	if o.root == "" || len(args) != 0 {
		return &fault.Usage{What: "rollback needs --root FOLDER"}
	}
	id, err := bundle.Rollback(ctx, o.root, o.options(a))
	return o.report(a, id, err)
}

// report says which version is in use, after a failure too.
func (o *applyFlags) report(a *app, id string, err error) error {
	if err != nil {
		if id != "" {
			a.warn(fmt.Sprintf("%s is still at version %.12s", o.root, id))
		}
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"schema_version": 1, "command": "apply", "id": id})
	}
	fmt.Fprintf(a.stdout, "%s is at version %s\n", o.root, id)
	return nil
}

// selftestIn runs the self-test of the bundle in a folder with the runner that lies in it: a new runner is proven, too.
func (a *app) selftestIn(ctx context.Context, dir string) error {
	b, err := bundle.Open(dir)
	if err != nil {
		return err
	}
	runner := filepath.Join(dir, filepath.FromSlash(b.Manifest.Files[0].Path))
	b.Close()
	args := []string{"selftest"}
	if a.trust != "" {
		args = append(args, "--trust", a.trust, "--policy", a.policy)
	}
	runner, err = filepath.Abs(runner)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, runner, args...)
	cmd.Env = append(os.Environ(), "DSK_TRUST=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return &fault.Gate{What: fmt.Sprintf("selftest of the version in %s: %v: %s", dir, err, strings.TrimSpace(string(out)))}
	}
	return nil
}
