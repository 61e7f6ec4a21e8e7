package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/bench"
	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/quant"
)

// setDevice reads --target-device and --max-latency MS[@DEVICE].
func (o *quantizeOptions) setDevice(q *quant.Options) error {
	device := o.device
	if o.maxLatency != "" {
		ms, at, found := strings.Cut(o.maxLatency, "@")
		limit, err := strconv.ParseFloat(strings.TrimSuffix(ms, "ms"), 64)
		if err != nil || !(limit > 0) {
			return &fault.Usage{What: fmt.Sprintf("--max-latency %q: give milliseconds and a device, 66@raspberrypi:4 for instance", o.maxLatency)}
		}
		if found {
			if device != "" && device != at {
				return &fault.Usage{What: fmt.Sprintf("--max-latency is for %s, and --target-device %s", at, device)}
			}
			device = at
		}
		q.MaxLatency = limit
	}
	if device == "" {
		return nil
	}
	d, err := readDevice(device)
	if err != nil {
		return err
	}
	q.TargetDevice, q.Device = d.Name, d
	return nil
}

// readDevice takes a file that dsk bench kernels --json or dsk bench hardware --json made, or the name of a platform.
func readDevice(name string) (*quant.Device, error) {
	if strings.HasSuffix(name, ".json") {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		d, err := benchDevice(b)
		if err != nil {
			return nil, fault.InFile(err, name)
		}
		d.Name = strings.TrimSuffix(filepath.Base(name), ".json")
		return d, nil
	}
	p, err := bundle.FindPlatform(name)
	if err != nil {
		return nil, err
	}
	d := &quant.Device{Name: p.Name, Source: "the platform's clock, vector units and memory", Cache: p.L2 + p.L3}
	if len(p.Cores) > 0 && p.Bandwidth > 0 {
		c := p.Cores[0]
		peak := float64(c.Count) * float64(c.MHz) * 1e6 * float64(c.MACs)
		d.Rates = limitRates(bundle.Efficiency*peak, bundle.Efficiency*peak/4, p.Bandwidth*1e9)
		d.Depthwise = bundle.Efficiency * peak / 16
	}
	return d, nil
}

// limitRates are the rates of a machine of which only the limits are known: every width computes alike, floats slower, and a token's
// products take as long as reading their weights.
func limitRates(int8, float, bytes float64) map[int][]quant.Rate {
	rates := map[int][]quant.Rate{}
	for _, bits := range []int{2, 3, 4, 8, 16, 32} {
		operations := int8
		if bits > 8 {
			operations = float
		}
		rates[bits] = []quant.Rate{{Rows: 1, Memory: true, Bytes: bytes}, {Rows: 64, Operations: operations}}
	}
	return rates
}

// formatBits are the widths of the formats in tables of kernels.
var formatBits = map[string]int{"D2": 2, "D3": 3, "D4": 4, "D8": 8, "F16": 16, "F32": 32}

// benchDevice reads a table that dsk bench wrote.
func benchDevice(b []byte) (*quant.Device, error) {
	var table struct {
		Command  string
		Results  []json.RawMessage
		Hardware *bench.Hardware
	}
	err := json.Unmarshal(b, &table)
	switch {
	case err != nil:
		return nil, fault.Formatf("table", "%v", err)
	case table.Command == "bench kernels":
		return kernelDevice(table.Results, table.Hardware)
	case table.Command != "bench hardware":
		return nil, fault.Formatf("table", "no table of dsk bench kernels --json or dsk bench hardware --json")
	}
	h := &bench.Hardware{}
	if err := json.Unmarshal(b, h); err != nil {
		return nil, fault.Formatf("table", "%v", err)
	}
	d := &quant.Device{Source: "limits measured by dsk bench hardware", Cache: lastCache(h)}
	var int8, float, bytes float64
	for _, l := range h.Results {
		switch l.Test {
		case "peak_int8":
			int8 = max(int8, l.GMACs*1e9)
		case "peak_f32":
			float = max(float, l.GMACs*1e9)
		case "read_memory":
			bytes = max(bytes, l.GBytesPerSecond*1e9)
		}
	}
	if int8 == 0 || float == 0 || bytes == 0 {
		return nil, fault.Formatf("table", "peak_int8, peak_f32 or read_memory is missing")
	}
	d.Rates = limitRates(bundle.Efficiency*int8, bundle.Efficiency*float, bytes)
	d.Depthwise = bundle.Efficiency * float / 4
	return d, nil
}

// kernelDevice takes the picked kernels' rates with the most threads.
func kernelDevice(results []json.RawMessage, h *bench.Hardware) (*quant.Device, error) {
	d := &quant.Device{Source: "kernels timed by dsk bench kernels", Timed: true, Rates: map[int][]quant.Rate{}}
	if h != nil {
		d.Cache = lastCache(h)
	}
	var picked []bench.KernelResult
	threads := 0
	for _, raw := range results {
		var r bench.KernelResult
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fault.Formatf("table", "%v", err)
		}
		if r.Picked {
			picked = append(picked, r)
			threads = max(threads, r.Threads)
		}
	}
	for _, r := range picked {
		bits := formatBits[r.Format]
		switch {
		case r.Kernel == "DepthwiseConv2D" && r.GMACs > 0:
			// The slowest counts: small maps and large strides are what most of a network's are like.
			if rate := r.GMACs * 1e9 * float64(threads); d.Depthwise == 0 || rate < d.Depthwise {
				d.Depthwise = rate
			}
		case r.Kernel != "MatMul" || r.Threads != threads || bits == 0:
		case r.GMACs > 0:
			d.Rates[bits] = append(d.Rates[bits], quant.Rate{Rows: r.M, Operations: r.GMACs * 1e9})
		case r.GBytesPerSecond > 0:
			d.Rates[bits] = append(d.Rates[bits], quant.Rate{Rows: r.M, Memory: r.Source == "memory", Bytes: r.GBytesPerSecond * 1e9})
		}
	}
	for _, bits := range formatBits {
		if len(d.Rates[bits]) == 0 {
			return nil, fault.Formatf("table", "no kernel for weights of %d bit: make the table with dsk bench kernels --json without --filter", bits)
		}
	}
	return d, nil
}

func lastCache(h *bench.Hardware) int64 {
	var last int64
	for _, c := range h.Caches {
		last = max(last, int64(c.Bytes))
	}
	return last
}
