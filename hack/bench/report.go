// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// The directions in which a figure becomes better.
const (
	higher = "higher"
	lower  = "lower"
)

// row is one figure. A row without a target is there for comparison.
type row struct {
	Name   string   `json:"name"`
	Value  float64  `json:"value"`
	Unit   string   `json:"unit"`
	Target *float64 `json:"target"`
	Better string   `json:"better"`
	Pass   *bool    `json:"pass"`
}

// targets are the bounds of the rows that have one.
var targets = map[string]float64{
	"sync_ratio_1000":       0.9,
	"sync_flatness":         0.9,
	"calls_per_create":      3.1,
	"reads_per_check":       0,
	"writes_per_check":      1,
	"requests_per_check":    1.01, // a few more requests may be in flight at the end than at the beginning
	"cpu_ratio_check":       0.9,
	"rss_mib_1000":          75,
	"heap_kib_per_resource": 8,
	"rss_mib_crowd":         20,
	"reaction_p99_ms":       150,
	"restart_s_10000":       15,
	"restart_over_bucket":   0,
	"storm_over_bucket":     0,
}

// machine describes where the figures were measured.
type machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	MemoryGiB  float64 `json:"memoryGiB"`
	Kernel     string  `json:"kernel"`
	Go         string  `json:"go"`
	Kubernetes string  `json:"kubernetes"`
	// Load is the load average of the last minute before anything was started here, so it shows what others do.
	Load string `json:"load"`
}

// report holds all results.
type report struct {
	Machine machine `json:"machine"`
	Rows    []row   `json:"rows"`
}

// add adds a row and prints it.
func (b *bench) add(name string, value float64, unit, better string) {
	r := row{Name: name, Value: value, Unit: unit, Better: better}
	if target, exists := targets[name]; exists {
		pass := better == higher && value >= target || better == lower && value <= target
		r.Target, r.Pass = &target, &pass
	}
	b.report.Rows = append(b.report.Rows, r)
	fmt.Printf("         %s\n", strings.Join(strings.Fields(strings.Join(r.cells(), " ")), " "))
}

func (r row) cells() []string {
	target, verdict := "", ""
	if r.Target != nil {
		bound := map[string]string{higher: "at least", lower: "at most"}[r.Better]
		target = fmt.Sprintf("%s %.4g", bound, *r.Target)
		verdict = map[bool]string{true: "reached", false: "MISSED"}[*r.Pass]
	}
	return []string{r.Name, fmt.Sprintf("%.4g", r.Value), r.Unit, target, verdict}
}

// print prints the rows as a table.
func (r report) print() {
	fmt.Printf("\n%s, %d cores, %.0f GiB, Linux %s, %s, Kubernetes %s, load %s\n\n", r.Machine.CPU, r.Machine.Cores,
		r.Machine.MemoryGiB, r.Machine.Kernel, r.Machine.Go, r.Machine.Kubernetes, r.Machine.Load)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ROW\tVALUE\tUNIT\tTARGET\tVERDICT")
	for _, row := range r.Rows {
		_, _ = fmt.Fprintln(table, strings.Join(row.cells(), "\t"))
	}
	_ = table.Flush()
	fmt.Println()
}

func (r report) write(path string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o600)
}

// passes reports whether every row with a target reached it.
func (r report) passes() bool {
	return !slices.ContainsFunc(r.Rows, func(row row) bool { return row.Pass != nil && !*row.Pass })
}

// describeMachine asks the system. Fields that it has no answer for stay empty.
func describeMachine(assets string) machine {
	read := func(path string) string {
		content, _ := os.ReadFile(path)
		return strings.TrimSpace(string(content))
	}
	find := func(pattern, text string) string {
		match := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if match == nil {
			return ""
		}
		return match[1]
	}
	m := machine{
		CPU: find(`model name\s*: (.*)`, read("/proc/cpuinfo")), Cores: runtime.NumCPU(),
		Kernel: read("/proc/sys/kernel/osrelease"), Go: runtime.Version(), Load: find(`^(\S+)`, read("/proc/loadavg")),
	}
	var kib float64
	_, _ = fmt.Sscan(find(`MemTotal:\s*(\d+)`, read("/proc/meminfo")), &kib)
	m.MemoryGiB = kib / (1 << 20)
	//nolint:noctx // it exits at once
	version, _ := exec.Command(filepath.Join(assets, "kube-apiserver"), "--version").Output()
	m.Kubernetes = strings.TrimSpace(strings.TrimPrefix(string(version), "Kubernetes "))
	return m
}

// median returns the middle one of several values.
func median(values []float64) float64 { return percentile(values, 0.5) }

// percentile returns the value that a share of the values do not exceed.
func percentile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
