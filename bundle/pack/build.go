// Package pack makes bundles of models: it records golden outputs, checks that the model fits its platform, and writes folders,
// archives, single executables, Debian packages and differences.
package pack

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/runtime"
)

// Options are the settings of Build.
type Options struct {
	Platform *bundle.Platform
	Memory   int64  // of the board; 0: the platform's
	Context  int    // tokens in the caches that the fit is checked for; 0: the model's
	Name     string // of the bundle; "": the model's
	Version  string // of dsk
	Runner   []byte
	Threads  int
	// Recipients can decrypt the model; none: it is not encrypted. Encrypted bundles are other bytes each time.
	Recipients []age.Recipient
}

// Build makes a bundle of a model's file. The model's bytes are used as they are, and must live as long as the bundle.
func Build(ctx context.Context, data []byte, f *dskfile.File, o Options) (*bundle.Bundle, error) {
	m, err := f.Model()
	if err != nil {
		return nil, err
	}
	if err := CheckRunner(o.Runner, o.Platform); err != nil {
		return nil, err
	}
	fit, golden, err := record(ctx, m, &o)
	if err != nil {
		return nil, err
	}
	name := o.Name
	if name == "" {
		name = plainName(m.Meta.Name)
	} else if plainName(name) != name {
		return nil, &fault.Usage{What: fmt.Sprintf("--name %q: use small letters, digits and dashes", name)}
	}
	man := &bundle.Manifest{Schema: bundle.Schema, Name: name, Platform: o.Platform.Name, Runner: o.Platform.Runner, Version: o.Version, Fit: *fit,
		Model: bundle.ModelInfo{Name: m.Meta.Name, Architecture: m.Meta.Architecture, Task: m.Meta.Task, Parameters: m.Meta.Parameters,
			Source: m.Meta.Source, Steps: m.Meta.Steps}}
	man.Licenses = licenses(m)
	record, err := json.Marshal(golden)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	add := func(path string, data []byte, executable bool, chunks []bundle.Chunk) {
		files[path] = data
		man.Files = append(man.Files, bundle.File{Path: path, Executable: executable, Bytes: int64(len(data)), Chunks: chunks})
	}
	add(o.Platform.RunnerFile(), o.Runner, true, bundle.Split(o.Runner, nil))
	chunks := bundle.SplitModel(data, f.Info())
	if len(o.Recipients) > 0 {
		if data, err = seal(data, o.Recipients); err != nil {
			return nil, err
		}
		chunks = bundle.Split(data, nil)
	}
	add(bundle.ModelFile, data, false, chunks)
	add(bundle.GoldenFile, record, false, bundle.Split(record, nil))
	readme, example := readme(man, m)
	add("README.md", readme, false, bundle.Split(readme, nil))
	add("example.jsonl", example, false, bundle.Split(example, nil))
	text, err := man.Seal()
	if err != nil {
		return nil, err
	}
	return bundle.New(man, text, nil, files), nil
}

// record runs the model on golden inputs, with no more memory than the platform has.
func record(ctx context.Context, m *model.Model, o *Options) (*bundle.Fit, *bundle.Golden, error) {
	p := o.Platform
	memory := o.Memory
	if memory == 0 {
		memory = p.Memory
	}
	fit := &bundle.Fit{Runner: int64(len(o.Runner)) + bundle.RunnerMemory, Memory: memory, System: p.System}
	for _, t := range m.Graph.Init {
		fit.Weights += int64(t.Bytes())
	}
	if err := fit.Check(p); err != nil {
		return nil, nil, err
	}
	// The session accounts for its caches and for the largest plan before it allocates any of it.
	runtime.SetMemoryLimit(p.Left(memory, int64(len(o.Runner))))
	defer runtime.SetMemoryLimit(0)
	golden, used, err := bundle.Record(ctx, m, runtime.Options{Threads: o.Threads, Context: o.Context})
	var resource *fault.Resource
	if errors.As(err, &resource) {
		resource.What = fmt.Sprintf("%s (%s) has %d MiB of memory, of which the system keeps %d and the runner %d: %s", p.Name, p.Title, memory>>20, p.System>>20, fit.Runner>>20, resource.What)
	}
	if err != nil {
		return nil, nil, err
	}
	fit.Caches, fit.Arena = used.StateBytes, used.ArenaBytes
	if err := fit.Check(p); err != nil {
		return nil, nil, err
	}
	fit.Predict(m, p)
	return fit, golden, nil
}

// plainName makes a name that file systems, Debian and systemd take.
func plainName(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-")
	if len(name) < 2 {
		return "dsk-model"
	}
	return name
}

// licenses lists the parts of a bundle that have one. The runner's libraries are those of its build.
func licenses(m *model.Model) []bundle.License {
	of := m.Meta.License
	if of == "" {
		of = "not stated by its source"
	}
	return []bundle.License{
		{Part: "model", License: of},
		{Part: "runner: Go standard library and golang.org/x", License: "BSD-3-Clause"},
		{Part: "runner: github.com/dlclark/regexp2", License: "MIT"},
		{Part: "runner: github.com/x448/float16", License: "MIT"},
		{Part: "runner: aead.dev/minisign", License: "MIT"},
		{Part: "runner, where it decrypts: filippo.io/age", License: "BSD-3-Clause"},
	}
}

// example is a request to the runner, as a line of serve-stdio.
func exampleRequest(m *model.Model) string {
	switch m.Meta.Task {
	case model.TaskLM, model.TaskSeq2Seq:
		return `{"id":1,"prompt":"Once upon a time","max_tokens":16}`
	case model.TaskEmbed, model.TaskTextClassify:
		return `{"id":1,"text":"a red bicycle"}`
	case model.TaskClassify, model.TaskDetect:
		return `{"id":1,"image":"photo.jpg"}`
	}
	return `{"id":1,"golden":true}`
}

// readme is the text beside the model, and an example call.
func readme(man *bundle.Manifest, m *model.Model) (text, example []byte) {
	run := "./" + man.Files[0].Path
	if man.Files[0].Path == "run.wasm" {
		run = "wasmtime run --dir . run.wasm"
	}
	call := run + ` "Once upon a time"`
	switch m.Meta.Task {
	case model.TaskClassify, model.TaskDetect:
		call = run + " photo.jpg"
	case model.TaskEmbed, model.TaskTextClassify:
		call = run + ` "a red bicycle"`
	case model.TaskGraph:
		call = run + " run --input NAME=x.npy"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\nA model and all that runs it, for %s. Nothing has to be installed.\n\n", man.Name, man.Platform)
	fmt.Fprintf(&b, "    %s --selftest        # replays the recorded inputs on this machine\n    %s\n", run, call)
	fmt.Fprintf(&b, "    %s serve-stdio < example.jsonl\n    %s bench --duration 1m\n    %s verify --trust KEY.pub\n    %s help\n\n", run, run, run, run)
	fmt.Fprintf(&b, "Memory: weights %.1f MiB, caches %.1f MiB, intermediate values %.1f MiB, runner %.1f MiB.\n",
		mib(man.Fit.Weights), mib(man.Fit.Caches), mib(man.Fit.Arena), mib(man.Fit.Runner))
	if man.Fit.PredictedMS > 0 {
		fmt.Fprintf(&b, "Predicted, not measured: %.3g ms for a run or a token.\n", man.Fit.PredictedMS)
	}
	b.WriteString("\nLicences:\n\n")
	for _, l := range man.Licenses {
		fmt.Fprintf(&b, "- %s: %s\n", l.Part, l.License)
	}
	b.WriteString("\n`manifest.json` has the hash of every piece of every file, and where the model came from.\n")
	return b.Bytes(), []byte(exampleRequest(m) + "\n")
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// CheckRunner looks at the first bytes of a runner: the operating system's format and the processor.
func CheckRunner(b []byte, p *bundle.Platform) error {
	want := map[string]struct {
		magic   string
		at      int
		machine string
	}{
		"linux-arm64": {"\x7fELF\x02", 18, "\xb7\x00"}, "android-arm64": {"\x7fELF\x02", 18, "\xb7\x00"}, "linux-amd64": {"\x7fELF\x02", 18, "\x3e\x00"},
		"linux-armv7": {"\x7fELF\x01", 18, "\x28\x00"}, "windows-amd64": {"MZ", 0, "MZ"},
		"darwin-arm64": {"\xcf\xfa\xed\xfe", 4, "\x0c\x00\x00\x01"}, "wasip1-wasm": {"\x00asm", 0, "\x00asm"},
	}[p.Runner]
	if len(b) < 64 || !bytes.HasPrefix(b, []byte(want.magic)) || !bytes.HasPrefix(b[want.at:], []byte(want.machine)) {
		return fault.Formatf("runner", "it is no program for %s", p.Runner)
	}
	return nil
}

// UnpackRunner decompresses a runner, which dsk carries as gzip.
func UnpackRunner(r io.Reader) ([]byte, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
