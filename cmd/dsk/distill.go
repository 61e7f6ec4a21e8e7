package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/kernels/blas"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) distillCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "distill labels | train",
		Short: "Train a small model with the help of a large one",
		Long: `Train a small model with the help of a large one.

  dsk distill labels --teacher t.dsk --data pictures -o soft
  dsk distill train --student "conv 8,16,32 x2" --labels soft --data pictures -o s.dsk

"dsk distill labels --help" and "dsk distill train --help" have the flags.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &fault.Usage{What: "distill what? labels or train"}
		},
	}
	cmd.AddCommand(a.distillLabelsCommand(), a.distillTrainCommand())
	return cmd
}

// augmentFlags are the flags that change pictures at random.
type augmentFlags struct {
	distill.Augment
	views int
}

func (g *augmentFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&g.Flip, "flip", false, "mirror every second picture")
	f.IntVar(&g.Shift, "shift", 0, "move pictures by up to so many pixels")
	f.IntVar(&g.Cutout, "cutout", 0, "blank a square of so many pixels a side")
	f.Float64Var(&g.Zoom, "zoom", 0, "show a part of each picture, of at least this share of its width and height (0 = all of it)")
	f.IntVar(&g.views, "views", 0, "random forms of each picture")
}

// autoNumber is a number or "auto".
func autoNumber(flag, s string) (float64, error) {
	if s == "auto" {
		return distill.Auto, nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0) {
		return 0, &fault.Usage{What: fmt.Sprintf("--%s %q: give a number, or auto", flag, s)}
	}
	return v, nil
}

// fileHash is the SHA-256 of a file.
func fileHash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

type distillLabelsOptions struct {
	teacher, data, output string
	part                  dataFlags
	augment               augmentFlags
	o                     distill.Options
}

func (a *app) distillLabelsCommand() *cobra.Command {
	var o distillLabelsOptions
	cmd := &cobra.Command{
		Use:   "labels --teacher T.dsk --data PATH -o FOLDER",
		Short: "Record a teacher's labels of data",
		Long: `Record what a teacher thinks of data: for each picture, or each token of a text, the
likeliest classes with their probabilities, and the probability of all others together. Many
trainings can learn from them, and the teacher need not run again.

  dsk distill labels --teacher resnet56.dsk --data cifar10 --split train --flip --shift 4 --views 16 -o soft
  dsk distill labels --teacher lm.dsk --data novels.txt --ctx 256 -o soft

What was cut off goes on where it ended when the same command is given again. Files in the folder
are named by the hash of what they hold.

EXIT STATUS
  2 if the folder has labels of another teacher, other data or other settings.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags()); err != nil {
				return err
			}
			return a.runDistillLabels(cmd.Context(), &o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.teacher, "teacher", "", "the model that labels")
	f.StringVar(&o.data, "data", "", "text or images")
	f.StringVarP(&o.output, "output", "o", "", "folder to write")
	f.IntVar(&o.o.Context, "ctx", 0, "tokens in a window of text (0 = the model's context length)")
	f.IntVar(&o.o.TopK, "top-k", 0, "classes that are kept one by one (0 = 64)")
	f.Float64Var(&o.o.Temperature, "temperature", 1, "of the probabilities; matters where there are more classes than --top-k")
	f.IntVar(&o.o.Batch, "batch", 0, "samples at a time (0 = 64 pictures or 8 windows of text)")
	f.Uint64Var(&o.o.Seed, "seed", 1, "of the random forms of pictures")
	o.augment.add(f)
	o.part.add(f)
	return cmd
}

func (a *app) runDistillLabels(ctx context.Context, o *distillLabelsOptions) error {
	d, err := o.part.open(o.data)
	if err != nil {
		return err
	}
	f, m, err := a.openModel(ctx, o.teacher, true)
	if err != nil {
		return err
	}
	defer f.Close()
	o.o.Augment, o.o.Views, o.o.Limit, o.o.Threads = o.augment.Augment, o.augment.views, o.part.limit, a.threads
	if o.o.TeacherHash, err = fileHash(o.teacher); err != nil {
		return err
	}
	p := a.newProgress()
	defer p.finish()
	o.o.Progress = p.report
	info, err := distill.RecordLabels(ctx, m, d, o.output, o.o)
	p.finish()
	if err != nil {
		if _, missing := os.Stat(o.output); errors.Is(err, context.Canceled) && missing == nil {
			fmt.Fprintf(a.stderr, "dsk: what is labelled so far is in %s; the same command goes on with it\n", o.output)
		}
		return err
	}
	if a.json {
		a.printJSON("distill labels", info)
		return nil
	}
	a.print("%s: labels of %s for %d samples of %s, %d rows each, the %d likeliest of %d classes, %d views", o.output, info.Teacher,
		info.Samples, info.Data, info.Rows, info.K, info.Classes, max(info.Views, 1))
	return nil
}

// withBLAS lets gonum's matrix products run on all threads while a command trains.
func (a *app) withBLAS(f func() error) error {
	pool := kernels.NewPool(a.threads)
	defer pool.Close()
	blas.Use(pool)
	defer blas.Use(nil)
	return f()
}
