package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/runtime/audio"
	"github.com/spf13/pflag"
)

// audioOptions are the flags of running a model on recordings.
type audioOptions struct{ language, task string }

func (o *audioOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.language, "language", "", "language of a recording, such as de (default: the model finds out)")
	f.StringVar(&o.task, "task", "transcribe", "what to do with a recording: transcribe, or translate into English")
}

// recordingResult is one recording's entry in the output of run.
type recordingResult struct {
	File     string          `json:"file"`
	Language string          `json:"language,omitempty"`
	Text     string          `json:"text"`
	Segments []audio.Segment `json:"segments"`
	Seconds  float64         `json:"seconds"`
	Speed    float64         `json:"times_realtime"`
}

// runRecordings prints what is said in recordings, window by window.
func (a *app) runRecordings(ctx context.Context, m *model.Model, files []string, o *runOptions) error {
	if len(files) == 0 {
		return &fault.Usage{What: "give a recording: a .wav file"}
	}
	tok, err := modelTokenizer(m)
	if err != nil {
		return err
	}
	r, err := audio.New(m, tok, runtime.Options{Threads: a.threads, Context: o.text.ctx, Cache: runtime.CacheType(o.text.kv)})
	if err != nil {
		return err
	}
	defer r.Close()
	options := audio.Options{Language: o.audio.language, Task: o.audio.task,
		Generate: runtime.GenerateOptions{Sampler: o.text.sampler(), Stop: o.text.stop}}
	if o.text.maxGiven {
		options.Generate.MaxTokens = o.text.maxTokens
	}
	all := make([]recordingResult, 0, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		sound, err := audio.ParseWAV(data)
		if err != nil {
			return fault.InFile(err, file)
		}
		if len(files) > 1 && !a.json {
			a.print("%s", file)
		}
		result, start := recordingResult{File: file, Segments: []audio.Segment{}, Seconds: sound.Seconds()}, time.Now()
		result.Language, err = r.Transcribe(ctx, sound, options, func(s audio.Segment) error {
			result.Segments = append(result.Segments, s)
			if !a.json && s.Text != "" {
				a.print("%s", s.Text)
			}
			return nil
		})
		if err != nil {
			return err
		}
		var texts []string
		for _, s := range result.Segments {
			texts = append(texts, s.Text)
		}
		result.Text = strings.TrimSpace(strings.Join(texts, " "))
		result.Speed = result.Seconds / max(time.Since(start).Seconds(), 1e-9)
		all = append(all, result)
	}
	if a.json {
		a.printJSON("run", struct {
			Recordings []recordingResult `json:"recordings"`
		}{all})
	}
	return nil
}
