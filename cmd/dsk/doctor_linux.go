package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memoryBytes reads an entry of /proc/meminfo; 0 if it is not there.
func memoryBytes(entry string) int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == entry+":" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb * 1024
		}
	}
	return 0
}

// temperatures reads the kernel's thermal zones, in degrees Celsius.
func temperatures() []float64 {
	var out []float64
	zones, _ := filepath.Glob("/sys/class/thermal/thermal_zone*/temp")
	for _, z := range zones {
		b, err := os.ReadFile(z)
		if err != nil {
			continue
		}
		if milli, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64); err == nil {
			out = append(out, milli/1000)
		}
	}
	return out
}
