package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Cache is one level of a processor's data caches.
type Cache struct {
	Level   int  `json:"level"`
	Bytes   int  `json:"bytes"`
	Threads int  `json:"shared_by"`         // processors that share one
	Assumed bool `json:"assumed,omitempty"` // the system does not tell
}

const (
	cacheFolder  = "/sys/devices/system/cpu/cpu0/cache"
	memoryFile   = "/proc/meminfo"
	controlGroup = "/sys/fs/cgroup"
)

// caches returns the data caches as the folder of Linux lists them, nearest first. What a small machine of today has is
// assumed where nothing is listed.
func caches(folder string) []Cache {
	var list []Cache
	for i := 0; ; i++ {
		index := filepath.Join(folder, fmt.Sprintf("index%d", i))
		kind := readLine(index, "type")
		if kind == "" {
			break
		}
		level, err1 := strconv.Atoi(readLine(index, "level"))
		size, err2 := parseSize(readLine(index, "size"))
		if kind == "Instruction" || err1 != nil || err2 != nil || size == 0 || level != len(list)+1 {
			continue
		}
		threads, err := parseCPUList(readLine(index, "shared_cpu_list"))
		if err != nil {
			threads = 1
		}
		list = append(list, Cache{Level: level, Bytes: size, Threads: threads})
	}
	if len(list) == 0 {
		list = []Cache{{Level: 1, Bytes: 32 << 10, Threads: 1, Assumed: true}, {Level: 2, Bytes: 512 << 10, Threads: 4, Assumed: true}}
	}
	return list
}

func readLine(folder, name string) string {
	b, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// parseSize reads a size as Linux writes it: 48K, 32M, 512.
func parseSize(s string) (int, error) {
	unit := 1
	if s != "" {
		switch s[len(s)-1] {
		case 'K':
			unit, s = 1<<10, s[:len(s)-1]
		case 'M':
			unit, s = 1<<20, s[:len(s)-1]
		case 'G':
			unit, s = 1<<30, s[:len(s)-1]
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return n * unit, nil
}

// parseCPUList counts the processors of a list such as 0-3,8,10-11.
func parseCPUList(s string) (int, error) {
	count := 0
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || a < 0 || b < a {
			return 0, fmt.Errorf("%q is not a list of processors", s)
		}
		count += b - a + 1
	}
	return count, nil
}

// freeMemory returns the bytes that may still be used: what the system calls available, or less where a control group
// allows less; 0 if unknown.
func freeMemory(meminfo, group string) int {
	free := 0
	if b, err := os.ReadFile(meminfo); err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemAvailable:" {
				kb, _ := strconv.Atoi(f[1])
				free = kb << 10
			}
		}
	}
	most, err1 := strconv.Atoi(readLine(group, "memory.max"))
	used, err2 := strconv.Atoi(readLine(group, "memory.current"))
	if err1 == nil && err2 == nil && free > 0 {
		free = min(free, max(most-used, 0))
	}
	return free
}

// streamBytes is the size of a buffer whose reading is one from memory: 8 times the last cache, but at most a quarter
// of the free memory.
func streamBytes(list []Cache, free int) int {
	n := 8 * list[len(list)-1].Bytes
	if list[0].Assumed {
		n = 256 << 20
	}
	if free == 0 {
		free = 1 << 30
	}
	n = min(n, free/4)
	return max(n/streamAlign, 1) * streamAlign
}

// streamAlign keeps every chunk of the buffer whole patterns.
const streamAlign = streamChunks * patternBytes
