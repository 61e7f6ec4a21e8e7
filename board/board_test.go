package board

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	if s := At(dir).Read(); s.Known || s.MHz != 0 || s.Throttled != nil {
		t.Errorf("an empty /sys: %+v", s)
	}
	write(t, dir, map[string]string{
		"class/thermal/thermal_zone0/temp":                  "61500\n",
		"class/thermal/thermal_zone1/temp":                  "70250\n",
		"class/thermal/thermal_zone2/temp":                  "broken\n",
		"devices/system/cpu/cpu0/cpufreq/scaling_cur_freq":  "1500000\n",
		"devices/platform/soc/soc:firmware/get_throttled":   "50005\n",
		"devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq":  "1800000",
		"devices/system/cpu/cpufreq/policy0/affected_cpus":  "0",
		"devices/system/cpu/cpu10/cpufreq/cpuinfo_max_freq": "1200000",
	})
	s := At(dir).Read()
	if !s.Known || s.Celsius != 70.25 || s.MHz != 1500 || !slices.Equal(s.Throttled, []string{"under-voltage", "throttled"}) {
		t.Errorf("%+v", s)
	}
	if n := At(dir).BigCores(); n != 1 {
		t.Errorf("%d big cores, want 1", n)
	}
}

func TestGuard(t *testing.T) {
	dir := t.TempDir()
	g := &Guard{Limit: 70, Board: At(dir)}
	if g.Check() == nil {
		t.Error("a limit without a sensor must be refused")
	}
	temps := []string{"71000", "69000", "66900"}
	set := func() {
		write(t, dir, map[string]string{"class/thermal/thermal_zone0/temp": temps[0]})
		temps = temps[1:]
	}
	set()
	said := 0
	g.Say = func(string) { said++ }
	g.sleep = func(context.Context, time.Duration) error { set(); return nil }
	if err := g.Wait(t.Context()); err != nil || g.Check() != nil {
		t.Fatal(err)
	}
	if said != 1 || g.Waited != 2*time.Second || g.Hottest != 71 {
		t.Errorf("said %d times, waited %v, hottest %v", said, g.Waited, g.Hottest)
	}
	g.next = time.Time{}
	if err := g.Wait(t.Context()); err != nil || g.Waited != 2*time.Second {
		t.Errorf("a cool board waits: %v, %v", g.Waited, err)
	}
}
