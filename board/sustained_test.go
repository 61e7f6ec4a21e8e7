package board

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// TestSummary takes the burst speed from the first tenth of the seconds and the sustained speed from the last half.
func TestSummary(t *testing.T) {
	r := &Report{}
	for i := range 20 {
		r.EachSecond = append(r.EachSecond, Second{PerSecond: 100 - 3*float64(i)})
	}
	r.summarize([]float64{4, 1, 2, 3, 5})
	if r.Burst != 100 || r.Sustained != 58 || r.MedianMS != 3 || r.P95MS != 5 {
		t.Errorf("%+v", r)
	}
	r = &Report{EachSecond: []Second{{PerSecond: 1}}}
	if r.summarize([]float64{20, 20}); r.Burst != 50 || r.Sustained != 50 {
		t.Errorf("a short run: %+v", r)
	}
}

// TestMeasure sees a board that reports throttling, and one whose steps became slow.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"class/thermal/thermal_zone0/temp": "81000", "devices/platform/soc/soc:firmware/get_throttled": "4\n"})
	step := func(context.Context) error { time.Sleep(time.Millisecond); return nil }
	r, err := Measure(t.Context(), &Guard{Board: At(dir)}, 1050*time.Millisecond, step)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.EachSecond) != 1 || r.EachSecond[0].Celsius != 81 || len(r.Throttled) != 1 || r.Throttled[0] != "throttled" || !r.Sensors || r.Steps < 2 {
		t.Errorf("%+v", r)
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "THROTTLED: throttled") || !strings.Contains(b.String(), "hottest 81.0 C") {
		t.Errorf("%v: %s", err, b.String())
	}
	broken := errors.New("broken")
	if _, err := Measure(t.Context(), &Guard{Board: At(dir)}, time.Hour, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// TestCompare refuses reports of throttled runs and of other settings.
func TestCompare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.json")
	good := Report{Schema: 1, Command: "bench", Kernels: "neon", Threads: 4, Sustained: 50, Throttled: []string{}}
	if err := good.Save(path); err != nil {
		t.Fatal(err)
	}
	now := good
	now.Sustained = 75
	if ratio, err := now.Compare(path); err != nil || ratio != 1.5 {
		t.Errorf("%v, %v", ratio, err)
	}
	hot, other := now, now
	hot.Throttled, other.Threads = []string{"throttled"}, 2
	for name, r := range map[string]Report{"throttled": hot, "other threads": other} {
		var gate *fault.Gate
		if _, err := r.Compare(path); !errors.As(err, &gate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := hot.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := now.Compare(path); err == nil || !strings.Contains(err.Error(), "let the board cool") {
		t.Errorf("an older run that was throttled: %v", err)
	}
	b, err := json.Marshal(map[string]int{"command": 1})
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	var format *fault.Format
	if _, err := now.Compare(path); !errors.As(err, &format) {
		t.Errorf("no report: %v", err)
	}
}
