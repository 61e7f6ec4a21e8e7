package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestAllThreads(t *testing.T) {
	for cores, want := range map[int][]int{
		1:  {1},
		2:  {1, 2},
		4:  {1, 2, 3, 4},
		8:  {1, 2, 3, 4, 5, 6, 7, 8},
		12: {1, 2, 3, 4, 5, 6, 7, 8, 12},
		64: {1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64},
	} {
		if got := allThreads(cores); !slices.Equal(got, want) {
			t.Errorf("%d cores: %v, want %v", cores, got, want)
		}
	}
}

func TestBenchUsage(t *testing.T) {
	for _, args := range [][]string{
		{"bench"},
		{"bench", "hardware", "more"},
		{"bench", "kernels", "model.dsk"},
		{"bench", "kernels", "--filter", "["},
		{"bench", "kernels", "--fliter", "gemm"},
	} {
		var stdout, stderr bytes.Buffer
		if code := execute(context.Background(), args, nil, &stdout, &stderr); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, &stderr)
		}
	}
}

// A model that is called like a subcommand can be given with its folder.
func TestBenchModelFile(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := execute(context.Background(), []string{"bench", "./kernels"}, nil, &stdout, &stderr); code == exitOK || !strings.Contains(stderr.String(), "./kernels") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
}

// The JSON is what docs/cli.md promises.
func TestBenchKernelsJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{"bench", "kernels", "--quick", "--json", "-j", "1", "--filter", "^elementwise/Add/"}
	if code := execute(context.Background(), args, nil, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var report struct {
		Version int              `json:"schema_version"`
		Command string           `json:"command"`
		Results []map[string]any `json:"results"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.Version != 1 || report.Command != "bench kernels" || len(report.Results) == 0 {
		t.Errorf("got %s", &stdout)
	}
	picked := 0
	for _, r := range report.Results {
		for _, key := range []string{"kernel", "isa", "format", "kind", "m", "n", "k", "threads", "gbytes_per_second", "limit", "fraction_of_limit", "picked"} {
			if _, ok := r[key]; !ok {
				t.Errorf("no %s in %v", key, r)
			}
		}
		if r["picked"] == true {
			picked++
		}
	}
	if picked != 1 {
		t.Errorf("%d lines are picked", picked)
	}
}
