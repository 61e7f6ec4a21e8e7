package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk"
	"github.com/spf13/cobra"
)

func (a *app) demoCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Take the models inside this binary through convert, quantize, eval, run and bench",
		Long: `Take the models inside this binary through the main commands: a language model that was
stored in 4 bits, and a digit classifier that starts as ONNX. Each command is
printed before it runs; the files stay in --dir if that is given.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context(), dir) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder to work in (default: a temporary one, removed afterwards)")
	return cmd
}

// demoSteps are command lines; {} stands for the working folder.
var demoSteps = [][]string{
	{"convert", "{}/digits-cnn.onnx", "-o", "{}/digits.dsk", "--preprocess", "gray,mean=33.3285,std=78.5655", "--force"},
	{"quantize", "{}/digits.dsk", "-o", "{}/digits-4bit.dsk", "--weight-bits", "4", "--eval", "{}/digits", "--force"},
	{"eval", "{}/digits-4bit.dsk", "--data", "{}/digits"},
	{"run", "{}/digits-4bit.dsk", "{}/digits/00.png", "{}/digits/07.png", "--top", "2"},
	{"bench", "{}/digits-4bit.dsk", "-r", "3"},
	{"inspect", "{}/gutenberg-1M-4bit.dsk"},
	{"verify", "{}/gutenberg-1M-4bit.dsk"},
	{"eval", "{}/gutenberg-1M-4bit.dsk", "--data", "{}/text.txt", "--ctx", "256"},
	{"run", "{}/gutenberg-1M-4bit.dsk", "It was a dark and stormy", "--max-tokens", "40", "--temperature", "0.8", "--top-k", "40", "--seed", "7"},
	{"bench", "{}/gutenberg-1M-4bit.dsk", "-p", "128", "-n", "64", "-r", "3"},
}

func (a *app) runDemo(ctx context.Context, dir string) error {
	if dir == "" {
		tmp, err := os.MkdirTemp("", "dsk-demo-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		dir = tmp
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := extractDemo(dir); err != nil {
		return err
	}
	start := time.Now()
	for _, step := range demoSteps {
		args := make([]string, len(step))
		for i, word := range step {
			args[i] = strings.ReplaceAll(word, "{}", dir)
		}
		a.print("\n$ dsk %s", strings.Join(args, " "))
		root := (&app{stdin: strings.NewReader(""), stdout: a.stdout, stderr: a.stderr}).root()
		root.SetArgs(append(args, "--threads", fmt.Sprint(a.threads)))
		if err := root.ExecuteContext(ctx); err != nil {
			return fmt.Errorf("dsk %s: %w", args[0], err)
		}
	}
	a.print("\nall steps done in %.1f s", time.Since(start).Seconds())
	return nil
}

// extractDemo writes the embedded files to dir, without their folders' path in the repository.
func extractDemo(dir string) error {
	places := map[string]string{
		"testdata/models/digits-cnn/digits-cnn.onnx": "digits-cnn.onnx",
		"testdata/models/digits-cnn/images":          "digits",
		"testdata/models/gutenberg-1M-4bit.dsk":      "gutenberg-1M-4bit.dsk",
		"testdata/text/text.txt":                     "text.txt",
	}
	for from, to := range places {
		err := fs.WalkDir(dsk.Demo, from, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := dsk.Demo.ReadFile(path)
			if err != nil {
				return err
			}
			target := filepath.Join(dir, to, filepath.FromSlash(strings.TrimPrefix(path, from)))
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				return err
			}
			return os.WriteFile(target, b, 0o644)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
