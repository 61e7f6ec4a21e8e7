package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeFiles makes files with contents below folder.
func writeFiles(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCaches(t *testing.T) {
	folder := t.TempDir()
	writeFiles(t, folder, map[string]string{
		"index0/level": "1", "index0/type": "Data", "index0/size": "48K", "index0/shared_cpu_list": "0",
		"index1/level": "1", "index1/type": "Instruction", "index1/size": "32K", "index1/shared_cpu_list": "0",
		"index2/level": "2", "index2/type": "Unified", "index2/size": "2048K", "index2/shared_cpu_list": "0,4",
		"index3/level": "3", "index3/type": "Unified", "index3/size": "32M", "index3/shared_cpu_list": "0-7",
	})
	want := []Cache{{Level: 1, Bytes: 48 << 10, Threads: 1}, {Level: 2, Bytes: 2 << 20, Threads: 2}, {Level: 3, Bytes: 32 << 20, Threads: 8}}
	if diff := cmp.Diff(want, caches(folder)); diff != "" {
		t.Error(diff)
	}
	for _, c := range caches(filepath.Join(folder, "absent")) {
		if !c.Assumed || c.Bytes == 0 {
			t.Errorf("a cache that is not listed: %+v", c)
		}
	}
}

// Some small boards list caches without their sizes.
func TestCachesWithoutSizes(t *testing.T) {
	folder := t.TempDir()
	writeFiles(t, folder, map[string]string{"index0/level": "1", "index0/type": "Data", "index0/shared_cpu_list": "0"})
	if list := caches(folder); len(list) == 0 || !list[0].Assumed {
		t.Errorf("got %+v", list)
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int{"48K": 48 << 10, "2048K": 2 << 20, "32M": 32 << 20, "1G": 1 << 30, "512": 512} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "K", "-1K", "12Q", "1.5M"} {
		if n, err := parseSize(s); err == nil {
			t.Errorf("%q gives %d", s, n)
		}
	}
}

func TestParseCPUList(t *testing.T) {
	for s, want := range map[string]int{"0": 1, "0-3": 4, "0,4": 2, "0-3,8,10-11": 7} {
		if got, err := parseCPUList(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "a", "3-1", "1,", "0-"} {
		if n, err := parseCPUList(s); err == nil {
			t.Errorf("%q gives %d", s, n)
		}
	}
}

func TestFreeMemory(t *testing.T) {
	folder := t.TempDir()
	writeFiles(t, folder, map[string]string{
		"meminfo":         "MemTotal:       24683840 kB\nMemFree:        20529152 kB\nMemAvailable:   20000000 kB",
		"none/memory.max": "max", "none/memory.current": "1000",
		"some/memory.max": "3000000", "some/memory.current": "1000000",
	})
	meminfo := filepath.Join(folder, "meminfo")
	for group, want := range map[string]int{"none": 20000000 << 10, "absent": 20000000 << 10, "some": 2000000} {
		if got := freeMemory(meminfo, filepath.Join(folder, group)); got != want {
			t.Errorf("%s: %d, want %d", group, got, want)
		}
	}
	if got := freeMemory(filepath.Join(folder, "absent"), folder); got != 0 {
		t.Errorf("without meminfo: %d", got)
	}
}

func TestStreamBytes(t *testing.T) {
	three := []Cache{{Level: 1, Bytes: 32 << 10}, {Level: 2, Bytes: 1 << 20}, {Level: 3, Bytes: 32 << 20}}
	for _, c := range []struct {
		list []Cache
		free int
		want int
	}{
		{three, 16 << 30, 256 << 20},
		{three, 512 << 20, 128 << 20},
		{three[:2], 16 << 30, 8 << 20},
		{three, 1, streamAlign},
		{caches("absent"), 16 << 30, 256 << 20},
		{three, 0, 256 << 20},
	} {
		if got := streamBytes(c.list, c.free); got != c.want {
			t.Errorf("%d caches, %d free: %d, want %d", len(c.list), c.free, got, c.want)
		}
	}
}

func TestLevels(t *testing.T) {
	server := []Cache{{Level: 1, Bytes: 48 << 10, Threads: 1}, {Level: 2, Bytes: 2 << 20, Threads: 1}, {Level: 3, Bytes: 256 << 20, Threads: 64}}
	board := []Cache{{Level: 1, Bytes: 32 << 10, Threads: 1}, {Level: 2, Bytes: 1 << 20, Threads: 4}}
	for _, c := range []struct {
		list    []Cache
		threads int
		want    []level
	}{
		{server, 1, []level{{"l1", 24 << 10}, {"l2", 1 << 20}, {"l3", 8 << 20}, {"memory", 0}}},
		{server, 64, []level{{"l1", 24 << 10}, {"l2", 1 << 20}, {"l3", 2 << 20}, {"memory", 0}}},
		{board, 1, []level{{"l1", 16 << 10}, {"l2", 512 << 10}, {"memory", 0}}},
		{board, 4, []level{{"l1", 16 << 10}, {"l2", 128 << 10}, {"memory", 0}}},
	} {
		if diff := cmp.Diff(c.want, levels(c.list, c.threads), cmp.AllowUnexported(level{})); diff != "" {
			t.Errorf("%d threads: %s", c.threads, diff)
		}
	}
	for _, c := range []struct {
		list           []Cache
		bytes, threads int
		want           string
	}{
		{server, 24 << 10, 1, "l1"},
		{server, 80 << 10, 1, "l2"},
		{server, 80 << 10, 2, "l1"},
		{server, 3 << 20, 1, "l3"},
		{server, 3 << 20, 2, "l2"},
		{server, 128 << 20, 2, "l3"},
		{server, 129 << 20, 2, "memory"},
		{board, 1 << 20, 4, "memory"},
		{board, 512 << 10, 4, "l2"},
	} {
		if got := levelOf(c.list, c.bytes, c.threads); got != c.want {
			t.Errorf("%d bytes, %d threads: %s, want %s", c.bytes, c.threads, got, c.want)
		}
	}
}
