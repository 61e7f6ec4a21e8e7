package main

import (
	"fmt"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/spf13/pflag"
)

func usagef(format string, values ...any) error {
	return &fault.Usage{What: fmt.Sprintf(format, values...)}
}

// checkNumbers refuses what is no number, and counts and times below 0.
func checkNumbers(f *pflag.FlagSet) (err error) {
	f.Visit(func(g *pflag.Flag) {
		v := g.Value.String()
		switch g.Value.Type() {
		case "float64":
			if strings.Trim(v, "+-") == "Inf" || v == "NaN" {
				err = usagef("--%s %s: give a number", g.Name, v)
			}
		case "int", "duration":
			if strings.HasPrefix(v, "-") {
				err = usagef("--%s %s: give a number from 0 up", g.Name, v)
			}
		}
	})
	return err
}

// check refuses what is wrong with the flags themselves, before anything is read.
func (o *distillLabelsOptions) check(f *pflag.FlagSet) error {
	switch {
	case o.teacher == "" || o.data == "" || o.output == "":
		return usagef("--teacher, --data and -o FOLDER are needed")
	case !(o.o.Temperature > 0):
		return usagef("--temperature %g: it must be above 0", o.o.Temperature)
	}
	if o.augment.views == 0 {
		for _, name := range []string{"flip", "shift", "cutout", "zoom"} {
			if f.Changed(name) {
				return usagef("--%s needs --views: how many random forms of each picture are labelled", name)
			}
		}
	}
	return checkNumbers(f)
}

// check refuses what is wrong with the flags themselves, before anything is read, and flags that would have no effect.
func (o *distillTrainOptions) check(f *pflag.FlagSet) error {
	taught := o.teacher != "" || o.labels != ""
	var lengths []string
	for _, name := range []string{"epochs", "steps", "time"} {
		if f.Changed(name) {
			lengths = append(lengths, "--"+name)
		}
	}
	switch {
	case o.student == "" || o.data == "":
		return usagef("--student and --data are needed")
	case o.teacher != "" && o.labels != "":
		return usagef("there are both --teacher and --labels: one of them is enough")
	case o.student == "auto" && o.targetSize == "":
		return usagef("--student auto needs --target-size")
	case o.student != "auto" && o.targetSize != "":
		return usagef("--target-size is for --student auto")
	case len(lengths) > 1:
		return usagef("%s each say how long to train: give one", strings.Join(lengths, " and "))
	case f.Changed("steps") && o.o.Steps == 0:
		return usagef("--steps 0: a training takes a step at least")
	case o.o.Control && !taught:
		return usagef("--control compares with a training without a teacher, which this is: give --teacher or --labels")
	case o.o.Control && o.eval == "":
		return usagef("--control compares what both reach on data that they have not seen: give --eval")
	case o.o.Resume && o.output == "-":
		return usagef("--resume needs the checkpoints beside the file of -o; standard output has none")
	}
	for _, needs := range []struct {
		missing bool
		what    string
		flags   []string
	}{
		{!taught, "--teacher or --labels", []string{"alpha", "temperature"}},
		{o.teacher == "", "--teacher", []string{"features", "mix", "photos"}},
		{o.o.Feature == "", "--features", []string{"feature-weight"}},
		{o.eval == "", "--eval", []string{"eval-split", "eval-limit", "evals"}},
	} {
		for _, name := range needs.flags {
			if needs.missing && f.Changed(name) {
				return usagef("--%s needs %s", name, needs.what)
			}
		}
	}
	if o.temperature != "auto" {
		if t, err := autoNumber("temperature", o.temperature); err != nil || t == 0 {
			return usagef("--temperature %s: give a number above 0, or auto", o.temperature)
		}
	}
	return checkNumbers(f)
}
