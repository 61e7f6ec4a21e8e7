// Command dsk-edge is the runner that goes into bundles: it runs, checks, times and updates a model on the board. It is small: no
// importers, no quantization, no network. See docs/bundles.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/dsk-toolkit/dsk/board"
	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/runtime"
)

// version is the release; the build may set it with -ldflags "-X main.version=...".
var version = "0.1.0"

// app is one invocation.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	self           string // the program's own file, in which or beside which a bundle may lie

	model, trust, policy, threads, memory string
	tempLimit                             float64
	context                               int
	json, pageWeights                     bool
	paged                                 int64 // bytes of weights that --mem-limit does not count
	keys                                  []bundle.Key
	guard                                 board.Guard
	sealing                               sealing
}

// command is one of the runner's commands.
type command struct {
	name, args, what string
	run              func(ctx context.Context, a *app, f *flag.FlagSet, args []string) error
	flags            func(a *app, f *flag.FlagSet)
}

func commands() []command {
	var run runFlags
	var timing benchFlags
	var update applyFlags
	return []command{
		{"run", "[PROMPT | TEXT | IMAGE...]", "run the model", run.run, run.add},
		{"serve-stdio", "", "answer requests, a line of JSON each, until the end of the input", serveStdio, nil},
		{"bench", "", "time the model: --duration 10m for sustained speed, temperature and throttling", timing.run, timing.add},
		{"selftest", "", "replay the recorded inputs and compare the outputs", selftest, nil},
		{"verify", "", "check every hash, and the signature with --trust", verify, nil},
		{"info", "", "what is in the bundle and in this machine", info, nil},
		{"apply", "DELTA", "bring the bundle in --root up to date; a failure leaves it as it is", update.apply, update.add},
		{"rollback", "", "go back to the version before the last update in --root", update.rollback, update.add},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	self, err := os.Executable()
	if err != nil {
		self = ""
	}
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, self: self}
	code := a.execute(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// execute runs one command line and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	err := a.dispatch(ctx, args)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	code := fault.ExitCode(err)
	switch {
	case err == nil:
	case code == fault.ExitInterrupted:
		fmt.Fprintln(a.stderr, "dsk-edge: interrupted")
	default:
		fmt.Fprintf(a.stderr, "dsk-edge: %v\n", err)
	}
	return code
}

// dispatch finds the command. What is none is a prompt or an image for run.
func (a *app) dispatch(ctx context.Context, args []string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	list := commands()
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		a.help(list)
		return nil
	}
	if args[0] == "version" {
		fmt.Fprintf(a.stdout, "dsk-edge %s\n", version)
		return nil
	}
	at := slices.IndexFunc(list, func(c command) bool { return c.name == strings.TrimPrefix(args[0], "--") })
	if at < 0 {
		at, args = 0, append([]string{"run"}, args...)
	}
	c := list[at]
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	a.addFlags(f)
	if c.flags != nil {
		c.flags(a, f)
	}
	rest, err := parseMixed(f, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(a.stdout, "dsk-edge %s [flags] %s: %s\n", c.name, c.args, c.what)
		f.SetOutput(a.stdout)
		f.PrintDefaults()
		return nil
	}
	if err != nil {
		return &fault.Usage{What: fmt.Sprintf("%s: %v", c.name, err)}
	}
	if c.args == "" && len(rest) > 0 {
		return &fault.Usage{What: fmt.Sprintf("%s takes no arguments, but %q is one", c.name, rest[0])}
	}
	if err := a.prepare(); err != nil {
		return err
	}
	err = c.run(ctx, a, f, rest)
	if resource := (*fault.Resource)(nil); a.paged > 0 && errors.As(err, &resource) {
		resource.What = fmt.Sprintf("--mem-limit %s, beside which --page-weights allows %.1f MiB of weights: %s", a.memory, float64(a.paged)/(1<<20), resource.What)
	}
	return err
}

// parseMixed takes flags before, between and after the arguments; all after "--" are arguments.
func parseMixed(f *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		left := f.Args()
		if taken := len(args) - len(left); len(left) == 0 || taken > 0 && args[taken-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

func (a *app) help(list []command) {
	fmt.Fprintf(a.stdout, "dsk-edge %s runs the model of a bundle: its own, the one beside it, or --model PATH\n\n", version)
	for _, c := range list {
		fmt.Fprintf(a.stdout, "  %-12s %-27s %s\n", c.name, c.args, c.what)
	}
	fmt.Fprintln(a.stdout, "\nCOMMAND --help lists the flags. Exit codes: 0 ok, 1 failure, 2 usage, 3 selftest or gate, 4 unsupported, 5 memory, 6 damaged or not trusted.")
}

func (a *app) addFlags(f *flag.FlagSet) {
	f.StringVar(&a.model, "model", "", "bundle, or .dsk file (default: the program's own bundle)")
	f.StringVar(&a.trust, "trust", os.Getenv("DSK_TRUST"), "public `key` files in minisign's format, separated by commas; with one, nothing else is loaded")
	f.StringVar(&a.policy, "policy", "", "for signatures: off, warn or enforce (default: enforce with --trust)")
	f.StringVar(&a.threads, "threads", "auto", "worker threads; auto: one for each fast core")
	f.StringVar(&a.memory, "mem-limit", "", "refuse to start if the model needs more: 200MiB, 1GB or bytes")
	f.BoolVar(&a.pageWeights, "page-weights", false, "with --mem-limit: weights may be larger, they are read from the file as they are used")
	f.Float64Var(&a.tempLimit, "temp-limit", 0, "wait whenever the board is as hot as this, in degrees Celsius")
	f.IntVar(&a.context, "ctx", 0, "context in tokens (0 = the model's)")
	f.BoolVar(&a.json, "json", false, "print one JSON object")
	a.sealing.add(f)
}

// prepare reads what all commands share.
func (a *app) prepare() error {
	if err := kernels.EnvError(); err != nil {
		return &fault.Usage{What: err.Error()}
	}
	for path := range strings.SplitSeq(a.trust, ",") {
		if path == "" {
			continue
		}
		k, err := bundle.ReadKey(path)
		if err != nil {
			return err
		}
		a.keys = append(a.keys, k)
	}
	policy, err := bundle.ParsePolicy(a.policy, len(a.keys))
	if err != nil {
		return err
	}
	a.policy = string(policy)
	if a.threads != "auto" {
		if n, err := strconv.Atoi(a.threads); err != nil || n < 1 {
			return &fault.Usage{What: fmt.Sprintf("--threads %q: give a number, or auto", a.threads)}
		}
	}
	a.guard = board.Guard{Limit: a.tempLimit, Board: board.Local(), Say: a.warn}
	if err := a.guard.Check(); err != nil {
		return &fault.Usage{What: err.Error()}
	}
	return nil
}

func (a *app) warn(text string) { fmt.Fprintf(a.stderr, "dsk-edge: %s\n", text) }

// options are those of a session.
func (a *app) options() runtime.Options {
	n, err := strconv.Atoi(a.threads)
	if err != nil {
		n = board.Local().BigCores()
	}
	return runtime.Options{Threads: n, Context: a.context}
}

func (a *app) verifyOptions() bundle.VerifyOptions {
	return bundle.VerifyOptions{Policy: bundle.Policy(a.policy), Keys: a.keys, Warn: func(err error) { a.warn("warning: " + err.Error()) }}
}

func (a *app) printJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(append(b, '\n'))
	return err
}

// parseSize reads bytes, or a number with a unit.
func parseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	for _, u := range []struct {
		name string
		n    int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = rest, u.n
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n <= 0 || n*float64(unit) > 1<<50 {
		return 0, &fault.Usage{What: fmt.Sprintf("%q is no size: give bytes, or a number with B, KB, MB, GB, KiB, MiB or GiB", s)}
	}
	return int64(n * float64(unit)), nil
}
