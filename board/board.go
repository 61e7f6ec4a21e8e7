// Package board reads what the kernel of a small computer says about it: which cores are fast, how hot it is, whether its clock is held
// down. It reads files below /sys; where they are not, nothing is known and nothing is made up.
package board

import (
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
)

// Board is where the files are.
type Board struct{ sys string }

// Local is the machine that the program runs on.
func Local() *Board { return &Board{"/sys"} }

// At is a board whose files are below another folder.
func At(sys string) *Board { return &Board{sys} }

func (b *Board) number(pattern string) (int64, bool) {
	t, err := os.ReadFile(filepath.Join(b.sys, pattern))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(t)), 10, 64)
	return n, err == nil
}

// BigCores returns how many of the cores that the program may use are the fastest kind: slow ones would make the others wait,
// since every product is split evenly. Cores are told apart by their capacity or by their highest clock.
func (b *Board) BigCores() int {
	usable := goruntime.NumCPU()
	dirs, _ := filepath.Glob(filepath.Join(b.sys, "devices/system/cpu/cpu[0-9]*"))
	for _, file := range []string{"cpu_capacity", "cpufreq/cpuinfo_max_freq"} {
		most, count := int64(0), 0
		for _, d := range dirs {
			rel, err := filepath.Rel(b.sys, filepath.Join(d, file))
			if err != nil {
				continue
			}
			switch n, ok := b.number(rel); {
			case !ok || n < most:
			case n > most:
				most, count = n, 1
			default:
				count++
			}
		}
		if count > 0 {
			return min(count, usable)
		}
	}
	return usable
}

// State is what the board says at a moment.
type State struct {
	Celsius   float64  `json:"celsius,omitempty"` // of the hottest zone
	MHz       float64  `json:"mhz,omitempty"`     // of the first core
	Throttled []string `json:"throttled,omitempty"`
	// Known says whether there is a temperature at all.
	Known bool `json:"known"`
}

// throttleBits are the low bits of what the firmware of a Raspberry Pi says (its documentation of vcgencmd get_throttled).
var throttleBits = [...]string{"under-voltage", "clock capped", "throttled", "soft temperature limit"}

// Read asks the kernel.
func (b *Board) Read() State {
	var s State
	zones, _ := filepath.Glob(filepath.Join(b.sys, "class/thermal/thermal_zone*/temp"))
	for _, z := range zones {
		rel, err := filepath.Rel(b.sys, z)
		if err != nil {
			continue
		}
		if milli, ok := b.number(rel); ok {
			s.Celsius, s.Known = max(s.Celsius, float64(milli)/1000), true
		}
	}
	if khz, ok := b.number("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"); ok {
		s.MHz = float64(khz) / 1000
	}
	flags, err := os.ReadFile(filepath.Join(b.sys, "devices/platform/soc/soc:firmware/get_throttled"))
	if err != nil {
		return s
	}
	bits, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(string(flags)), "0x"), 16, 64)
	if err != nil {
		return s
	}
	for i, name := range throttleBits {
		if bits>>i&1 == 1 {
			s.Throttled = append(s.Throttled, name)
		}
	}
	return s
}
