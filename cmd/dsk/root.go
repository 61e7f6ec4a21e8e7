package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is the release; the build may set it with -ldflags "-X main.version=...".
var version = "0.1.0"

// app is one invocation: its streams and the flags that every command has.
type app struct {
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	json    bool
	quiet   bool
	threads int
	printed bool  // a JSON object has been written
	outErr  error // why what was printed did not reach stdout
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stderr: stderr}
	a.stdout = &output{stdout, a}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(a.stdout)
	root.SetErr(stderr)
	cmd, err := run(ctx, root)
	if err == nil {
		err = a.outErr
	}
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	code := exitCode(err)
	if code == exitInterrupted {
		fmt.Fprintln(stderr, "dsk: interrupted")
		return code
	}
	fmt.Fprintf(stderr, "dsk: %v\n", err)
	if code == exitUsage && cmd != nil {
		fmt.Fprintf(stderr, "run \"%s --help\" for the flags\n", cmd.CommandPath())
	}
	if a.json && !a.printed {
		a.printJSON(cmd.Name(), struct {
			Errors []jsonError `json:"errors"`
		}{[]jsonError{{code, err.Error(), items(err)}}})
	}
	return code
}

// output is stdout; it remembers that a write failed, so that lost results are no success.
type output struct {
	io.Writer
	app *app
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && o.app.outErr == nil {
		o.app.outErr = fmt.Errorf("standard output: %w", err)
	}
	return n, err
}

// run is the command, and its error. A panic, which is a mistake of ours, becomes one too: what was
// begun is cleaned up on the way, and the report says where it was.
func run(ctx context.Context, root *cobra.Command) (cmd *cobra.Command, err error) {
	cmd = root
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v (please report this, with what follows)\n%s", r, debug.Stack())
		}
	}()
	return root.ExecuteContextC(ctx)
}

type jsonError struct {
	Code    int          `json:"code"`
	Message string       `json:"message"`
	Items   []fault.Item `json:"items,omitempty"`
}

func items(err error) []fault.Item {
	var u *fault.Unsupported
	if errors.As(err, &u) {
		return u.Items
	}
	return nil
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "dsk",
		Short: "Take a trained model to a small, fast, proven file, and run it",
		Long: `dsk takes a trained model (ONNX, safetensors, GGUF) to a small, fast, proven .dsk file
and runs it on any CPU. Every step is measured, reproducible and offline.

  dsk convert model.onnx -o model.dsk
  dsk quantize model.dsk -o small.dsk --weight-bits 4 --eval data/
  dsk run small.dsk photo.jpg`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(root *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var known []string
			for _, c := range root.Commands() {
				known = append(known, c.Name())
			}
			return &fault.Usage{What: fmt.Sprintf("unknown command %q%s", args[0], didYouMean("", args[0], known))}
		},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if err := kernels.EnvError(); err != nil {
				return &fault.Usage{What: err.Error()}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "print one JSON object on stdout")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	f.IntVarP(&a.threads, "threads", "j", 0, "worker threads (0 = all cores); results do not depend on it")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &fault.Usage{What: err.Error() + suggestFlag(cmd, err)}
	})
	root.AddCommand(a.convertCommand(), a.inspectCommand(), a.checkCommand(), a.quantizeCommand(), a.pruneCommand(), a.distillCommand(), a.withMemoryLimit(a.evalCommand()),
		a.withMemoryLimit(a.runCommand()), a.embedCommand(), a.tokenizeCommand(), a.withMemoryLimit(a.benchCommand()), a.verifyCommand(), a.packageCommand(), a.signCommand(), a.keygenCommand(), a.doctorCommand(), a.demoCommand(),
		a.versionCommand(), exitCodesTopic())
	wrapArgs(root)
	return root
}

// wrapArgs makes wrong arguments of all commands below c wrong usage.
func wrapArgs(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		wrapArgs(c)
		args := c.Args
		c.Args = func(cmd *cobra.Command, list []string) error {
			if args == nil {
				return nil
			}
			if err := args(cmd, list); err != nil {
				return &fault.Usage{What: fmt.Sprintf("%v; usage: dsk %s", err, strings.TrimPrefix(strings.TrimSuffix(cmd.UseLine(), " [flags]"), "dsk "))}
			}
			return nil
		}
	}
}

// suggestFlag names the known flag nearest to an unknown one.
func suggestFlag(cmd *cobra.Command, err error) string {
	_, name, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		return ""
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	return didYouMean("--", name, known)
}

func didYouMean(prefix, word string, known []string) string {
	best := fault.Nearest(word, known)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s%s?", prefix, best)
}

// printJSON writes the one object of --json: the fields of v behind schema_version and command.
func (a *app) printJSON(command string, v any) {
	a.printed = true
	body, err := json.Marshal(v)
	if err != nil {
		// NaN and infinities, of a broken model, have no place in JSON.
		a.printed = false
		a.outErr = fmt.Errorf("the result cannot be written as JSON: %w", err)
		return
	}
	head := fmt.Sprintf(`{"schema_version":1,"command":%q`, command)
	if len(body) > 2 {
		head += ","
	}
	fmt.Fprintf(a.stdout, "%s%s\n", head, body[1:])
}

// print writes a line of a report to stdout.
func (a *app) print(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }

// warn writes a line to stderr.
func (a *app) warn(format string, args ...any) {
	fmt.Fprintf(a.stderr, "dsk: warning: "+format+"\n", args...)
}

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesText}
}
