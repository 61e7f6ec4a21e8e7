package bundle

import (
	"fmt"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// Platform is a kind of machine that bundles are made for. Figures that depend on the buyer's choice are those of the
// smallest machine sold under the name; 0 stands for what is not known.
type Platform struct {
	Name   string // "raspberrypi:4"
	Title  string
	Runner string // the runner that it needs: operating system and architecture, as in "linux-arm64"
	// Features are the instruction sets that kernels look for and that every machine of the platform has, as kernels.Features names them.
	Features []string
	Cores    []Cluster // the fastest first
	Memory   int64     // bytes of main memory
	System   int64     // of it, what the operating system keeps
	L1, L2   int64     // bytes of data cache: of each core; of each core or of all, as the processor has it
	L3       int64     // bytes, 0: none
	// Bandwidth is what one process can read from memory, in 1e9 bytes a second.
	Bandwidth float64
	Slows     float64 // degrees Celsius at which the firmware lowers the clock
	Stops     float64 // degrees Celsius at which it halts or cuts the clock to the least
}

// Cluster is a number of equal cores.
type Cluster struct {
	Name  string // of the core's design
	Count int
	MHz   int
	// MACs is how many multiply-adds of 8 bits the vector units of a core finish in a cycle at most with the instructions of Features.
	MACs int
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// platforms is the table. Sources: the makers' data sheets and product briefs (BCM2710A1, BCM2837, BCM2711, BCM2712; Jetson Nano and
// Orin Nano system-on-module data sheets), Arm's software optimization guides for the widths of the vector units, and
// Raspberry Pi's documentation of temperatures. Bandwidths are typical of one process that reads, below the memory's peak.
var platforms = []Platform{
	{Name: "raspberrypi:zero2", Title: "Raspberry Pi Zero 2 W", Runner: "linux-arm64", Features: []string{"asimd"},
		Cores: []Cluster{{"Cortex-A53", 4, 1000, 8}}, Memory: 512 * mib, System: 128 * mib,
		L1: 32 * kib, L2: 512 * kib, Bandwidth: 1.8, Slows: 80, Stops: 85},
	{Name: "raspberrypi:3", Title: "Raspberry Pi 3", Runner: "linux-arm64", Features: []string{"asimd"},
		Cores: []Cluster{{"Cortex-A53", 4, 1200, 8}}, Memory: 1 * gib, System: 192 * mib,
		L1: 32 * kib, L2: 512 * kib, Bandwidth: 2.2, Slows: 80, Stops: 85},
	{Name: "raspberrypi:4", Title: "Raspberry Pi 4", Runner: "linux-arm64", Features: []string{"asimd"},
		Cores: []Cluster{{"Cortex-A72", 4, 1500, 8}}, Memory: 1 * gib, System: 192 * mib,
		L1: 32 * kib, L2: 1 * mib, Bandwidth: 4, Slows: 80, Stops: 85},
	{Name: "raspberrypi:5", Title: "Raspberry Pi 5", Runner: "linux-arm64", Features: []string{"asimd", "asimddp"},
		Cores: []Cluster{{"Cortex-A76", 4, 2400, 32}}, Memory: 2 * gib, System: 256 * mib,
		L1: 64 * kib, L2: 512 * kib, L3: 2 * mib, Bandwidth: 10, Slows: 80, Stops: 85},
	{Name: "jetson-nano", Title: "NVIDIA Jetson Nano (CPU)", Runner: "linux-arm64", Features: []string{"asimd"},
		Cores: []Cluster{{"Cortex-A57", 4, 1430, 8}}, Memory: 4 * gib, System: 768 * mib,
		L1: 32 * kib, L2: 2 * mib, Bandwidth: 8, Slows: 97, Stops: 102},
	{Name: "jetson-orin", Title: "NVIDIA Jetson Orin Nano (CPU)", Runner: "linux-arm64", Features: []string{"asimd", "asimddp"},
		Cores: []Cluster{{"Cortex-A78AE", 6, 1500, 32}}, Memory: 4 * gib, System: 768 * mib,
		L1: 64 * kib, L2: 256 * kib, L3: 4 * mib, Bandwidth: 25, Slows: 99, Stops: 104},
	{Name: "android-arm64", Title: "Android phone, 64 bit (Termux)", Runner: "android-arm64", Features: []string{"asimd"},
		Cores: []Cluster{{"big", 4, 2000, 8}, {"little", 4, 1600, 8}}, Memory: 3 * gib, System: 1536 * mib,
		L1: 32 * kib, L2: 256 * kib, Bandwidth: 6, Slows: 45, Stops: 60},
	{Name: "linux-arm64", Title: "Linux, 64-bit Arm", Runner: "linux-arm64", Features: []string{"asimd"}},
	{Name: "linux-armv7", Title: "Linux, 32-bit Arm with VFP", Runner: "linux-armv7"},
	{Name: "linux-amd64", Title: "Linux, 64-bit x86", Runner: "linux-amd64"},
	{Name: "windows-amd64", Title: "Windows, 64-bit x86", Runner: "windows-amd64"},
	{Name: "darwin-arm64", Title: "macOS, Apple silicon", Runner: "darwin-arm64", Features: []string{"asimd", "asimddp"},
		Cores:  []Cluster{{"Firestorm", 4, 3200, 64}, {"Icestorm", 4, 2060, 32}},
		Memory: 8 * gib, System: 3 * gib, L1: 128 * kib, L2: 12 * mib, Bandwidth: 50},
	{Name: "wasm", Title: "WebAssembly with WASI (wasmtime, node, ...)", Runner: "wasip1-wasm", Memory: 4*gib - 64*kib},
}

// shortNames are other names of platforms.
var shortNames = map[string]string{"raspberrypi": "raspberrypi:4", "jetson": "jetson-nano", "orin": "jetson-orin", "rpi": "raspberrypi:4"}

// Platforms returns the table, which the caller must not change.
func Platforms() []Platform { return platforms }

// FindPlatform returns the platform of a name; an unknown one is a *fault.Usage with the nearest known.
func FindPlatform(name string) (*Platform, error) {
	long := name
	if s, ok := shortNames[name]; ok {
		long = s
	}
	var names []string
	for i := range platforms {
		if platforms[i].Name == long {
			return &platforms[i], nil
		}
		names = append(names, platforms[i].Name)
	}
	what := fmt.Sprintf("unknown platform %q", name)
	if near := fault.Nearest(name, names); near != "" {
		what += fmt.Sprintf("; did you mean %s?", near)
	}
	return nil, &fault.Usage{What: what + " The platforms are " + strings.Join(names, ", ")}
}

// Runners returns the names of the runners that the platforms need, each once.
func Runners() []string {
	var names []string
	seen := map[string]bool{}
	for _, p := range platforms {
		if !seen[p.Runner] {
			seen[p.Runner] = true
			names = append(names, p.Runner)
		}
	}
	return names
}

// OS is the operating system of a runner's name.
func (p *Platform) OS() string {
	os, _, _ := strings.Cut(p.Runner, "-")
	return os
}

// RunnerFile is the name of the runner in a bundle.
func (p *Platform) RunnerFile() string {
	switch p.OS() {
	case "windows":
		return "run.exe"
	case "wasip1":
		return "run.wasm"
	}
	return "run"
}

// DebArch is the platform's architecture as Debian names it, "" where there is no Debian.
func (p *Platform) DebArch() string {
	switch p.Runner {
	case "linux-arm64":
		return "arm64"
	case "linux-armv7":
		return "armhf"
	case "linux-amd64":
		return "amd64"
	}
	return ""
}
