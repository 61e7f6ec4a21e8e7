package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	args := append([]string{"selftest"}, a.sealing.args()...)
	if a.trust != "" {
		args = append(args, "--trust", a.trust, "--policy", a.policy)
	}
	out, err := runProgram(ctx, runner, args)
	if err != nil {
		return &fault.Gate{What: fmt.Sprintf("selftest of the version in %s: %v: %s", dir, err, strings.TrimSpace(out))}
	}
	return nil
}

// runProgram runs a program with arguments, kills it when ctx ends, and returns what it wrote. It trusts no key of the environment: the
// arguments say which. Package os/exec would make the runner larger.
func runProgram(ctx context.Context, path string, args []string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DSK_TRUST=") })
	p, err := os.StartProcess(path, append([]string{path}, args...), &os.ProcAttr{Files: []*os.File{nil, w, w}, Env: env})
	if err := errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() }) // an error means that it has ended
	defer stop()
	out, readErr := io.ReadAll(r)
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	return string(out), errors.Join(err, readErr)
}
