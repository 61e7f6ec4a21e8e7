package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset/npy"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/tensor"
)

// asRunner makes the test program the runner.
const asRunner = "DSK_EDGE_TEST_AS_RUNNER"

func TestMain(m *testing.M) {
	if os.Getenv(asRunner) != "" {
		main()
	}
	os.Exit(m.Run())
}

const (
	side   = 1024
	layers = 48 // of 4 MiB
)

// large writes a model whose weights have 192 MiB, and an input for it.
func large(t *testing.T) (path, input string) {
	t.Helper()
	w := tensor.New(tensor.F32, side, side)
	for i, v := 0, w.F32(); i < len(v); i++ {
		v[i] = float32(i*7919%2003-1001) / (side * 40)
	}
	w = tensor.Pack(w)
	known := func(name string) model.Value {
		return model.Value{Name: name, Type: model.Type{DType: tensor.F32, Shape: model.Dims(1, side)}}
	}
	g := &model.Graph{Name: "large", Init: map[string]*tensor.Tensor{}, Inputs: []model.Value{known("x0")}, Outputs: []model.Value{known(fmt.Sprint("x", layers))}}
	for i := range layers {
		name := fmt.Sprint("w", i)
		g.Init[name] = w
		g.Nodes = append(g.Nodes, &model.Node{Domain: model.DomainDsk, Op: "Linear", Name: name, Inputs: []string{fmt.Sprint("x", i), name}, Outputs: []string{fmt.Sprint("x", i+1)}})
	}
	dir := t.TempDir()
	path, input = filepath.Join(dir, "large.dsk"), filepath.Join(dir, "x.npy")
	m := &model.Model{Graph: g, Meta: model.Meta{Name: "large", Parameters: layers * side * side}}
	if err := dskfile.Save(t.Context(), path, m, dskfile.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	x := tensor.New(tensor.F32, 1, side)
	for i, v := 0, x.F32(); i < len(v); i++ {
		v[i] = float32(i%17) - 8
	}
	b, err := npy.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(input, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, input
}

// runner runs the runner by way of a shell command that ends in exec "$@".
func runner(t *testing.T, shell string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{"-c", shell, "sh", self}, args...)...)
	cmd.Env = append(os.Environ(), asRunner+"=1")
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// TestMemoryLimit runs a model of twice the memory that the process may have, since its weights are read from the file as they are used, and
// refuses one that cannot fit before it starts.
func TestMemoryLimit(t *testing.T) {
	path, input := large(t)
	run := []string{"run", "--model", path, "--input", "x0=" + input, "--threads", "1", "--json"}
	free, _, code := runner(t, `exec "$@"`, run...)
	if code != 0 || !strings.Contains(free, "data") {
		t.Fatalf("without a limit: exit code %d", code)
	}
	outputs := func(s string) string { before, _, _ := strings.Cut(s, `"seconds"`); return before }
	const allowed = layers * side * side * 4 / 2
	paged := append(run, "--mem-limit", strconv.Itoa(allowed), "--page-weights")
	for name, shell := range map[string]string{
		"data segment": fmt.Sprintf(`ulimit -d %d && exec "$@"`, allowed>>10),
		"group":        inGroup(t, path, allowed),
	} {
		out, errs, code := runner(t, shell, paged...)
		if code != 0 || outputs(out) != outputs(free) {
			t.Errorf("%s limited: exit code %d, the same output %v\n%s", name, code, outputs(out) == outputs(free), errs)
		}
		if !strings.Contains(errs, "larger than the limit of 96 MiB") {
			t.Errorf("%s limited: %s", name, errs)
		}
	}
	for _, c := range []struct{ limit, want string }{{"96MiB", "weights 192.0 MiB"}, {"1KiB", "--mem-limit 1KiB, beside which"}} {
		args := append(run, "--mem-limit", c.limit)
		if c.limit == "1KiB" {
			args = append(args, "--page-weights")
		}
		if _, errs, code := runner(t, `exec "$@"`, args...); code != fault.ExitResource || !strings.Contains(errs, c.want) {
			t.Errorf("--mem-limit %s: exit code %d: %s", c.limit, code, errs)
		}
	}
}

// inGroup is a shell command that runs a program in a control group of the memory, with none of the file in memory before; where no such
// group can be made, it runs it as it is.
func inGroup(t *testing.T, file string, limit int) string {
	for _, form := range []struct{ root, file string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		dir, err := os.MkdirTemp(form.root, "dsk-test-*")
		if err != nil {
			continue
		}
		if os.WriteFile(filepath.Join(dir, form.file), []byte(strconv.Itoa(limit)), 0o644) != nil {
			os.Remove(dir)
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		return fmt.Sprintf(`dd of='%s' oflag=nocache conv=notrunc,fdatasync count=0 status=none; echo $$ >'%s/cgroup.procs' && exec "$@"`, file, dir)
	}
	t.Log("no control group can be made here")
	return `exec "$@"`
}
