package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far a step is: a bar on a terminal, a plain line every few seconds in CI,
// nothing when quiet or redirected. A step shorter than a second shows nothing.
type progress struct {
	out   io.Writer
	mode  progressMode
	stage string
	start time.Time
	last  time.Time
	first int64 // what was done when the stage was seen first
	unit  string
	bar   *progressbar.ProgressBar
}

type progressMode uint8

const (
	progressNone progressMode = iota
	progressBar
	progressLines
)

// lineInterval is the time between plain lines.
const lineInterval = 5 * time.Second

func (a *app) newProgress() *progress {
	p := &progress{out: a.stderr}
	f, isFile := a.stderr.(*os.File)
	switch {
	case a.quiet:
	case os.Getenv("CI") == "true":
		p.mode = progressLines
	case isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb":
		p.mode = progressBar
	}
	return p
}

// stageFunc returns the callback of one stage.
func (p *progress) stageFunc(stage string) func(done, total int64) {
	return func(done, total int64) { p.report(stage, done, total) }
}

// report is called by verbs as they go; it is cheap when nothing is due.
func (p *progress) report(stage string, done, total int64) { p.reportIn("", stage, done, total) }

// reportIn is report for a stage that counts something with a name.
func (p *progress) reportIn(unit, stage string, done, total int64) {
	if p.mode == progressNone {
		return
	}
	p.unit = unit
	now := time.Now()
	if stage != p.stage {
		p.finish()
		p.stage, p.start, p.last, p.first = stage, now, now, done
	}
	switch {
	case now.Sub(p.start) < time.Second:
	case p.mode == progressLines:
		if now.Sub(p.last) >= lineInterval && done < total {
			p.last = now
			fmt.Fprintf(p.out, "%s: %d of %d%s\n", stage, done, total, p.pace(now, done, total))
		}
	default:
		if p.bar == nil {
			p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(stage),
				progressbar.OptionClearOnFinish(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(cmp.Or(p.unit, "it")), progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionEnableColorCodes(os.Getenv("NO_COLOR") == ""))
		}
		_ = p.bar.Set64(min(done, total))
	}
}

// pace says how fast the stage is and how long it will take, once that is known.
func (p *progress) pace(now time.Time, done, total int64) string {
	rate := float64(done-p.first) / now.Sub(p.start).Seconds()
	if rate <= 0 {
		return ""
	}
	left := time.Duration(float64(total-done) / rate * float64(time.Second))
	speed := fmt.Sprintf("%.3g/s", rate)
	if p.unit != "" {
		speed = fmt.Sprintf("%.0f %s/s", rate, p.unit)
	}
	return fmt.Sprintf(", %s, %v left", speed, left.Round(time.Second))
}

// finish clears the bar.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
