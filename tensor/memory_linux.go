package tensor

import (
	"math"
	"os"
	"strconv"
	"strings"
)

// controlGroups are where Linux shows the limit, the use and the statistics of a process's memory (version 2, version 1), and
// what the statistics call the page cache, which gives way.
var controlGroups = [...]struct{ limit, used, stat, cache string }{
	{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "file"},
	{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes", "/sys/fs/cgroup/memory/memory.stat", "total_cache"},
}

// AvailableMemory returns how many bytes can be allocated without swapping, and whether that is known: the
// least of what the system and the process's control group have left.
func AvailableMemory() (int64, bool) {
	left := int64(math.MaxInt64)
	if kb, ok := entry("/proc/meminfo", "MemAvailable:"); ok {
		left = kb * 1024
	}
	for _, g := range controlGroups {
		limit, ok := entry(g.limit, "")
		used, ok2 := entry(g.used, "")
		if ok && ok2 {
			cache, _ := entry(g.stat, g.cache)
			left = min(left, max(0, limit-max(0, used-cache)))
		}
	}
	return left, left != math.MaxInt64
}

// entry reads the number after key in a file of a line for each, or the file's only number.
func entry(path, key string) (int64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if key != "" && (len(f) < 2 || f[0] != key) {
			continue
		}
		if key != "" {
			f = f[1:]
		}
		if len(f) == 0 {
			continue
		}
		n, err := strconv.ParseInt(f[0], 10, 64)
		return n, err == nil
	}
	return 0, false
}
