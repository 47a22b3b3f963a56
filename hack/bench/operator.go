// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jupico-operator/jupico-operator/hack/process"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

// operator is the process of the operator.
type operator struct {
	*process.Process

	began    time.Time
	metrics  string // base URL
	profiles string // base URL
}

// withoutLimit keeps the token bucket from limiting what is to show the operator's own speed.
var withoutLimit = []string{"--check-qps=5000", "--check-burst=5000"}

// startOperator starts the operator with the environment of the manifest, the flags that it needs here, and others.
func (b *bench) startOperator(flags ...string) error {
	metrics, err := testbed.FreeAddress()
	if err != nil {
		return err
	}
	profiles, err := testbed.FreeAddress()
	if err != nil {
		return err
	}
	flags = append([]string{
		"--kubeconfig=" + b.operatorKubeconfig, "--allowed-endpoint=" + b.emulator.URL, "--health-probe-bind-address=0",
		"--metrics-bind-address=" + metrics, "--metrics-secure=false", "--pprof-bind-address=" + profiles,
	}, flags...)
	// The operator trusts the emulator's authority as it would Jupico's, so that the resources need no CA reference.
	environment := append([]string{"SSL_CERT_FILE=" + b.emulator.CAFile}, b.runtimeEnvironment...)
	began := time.Now()
	p, err := process.Start("the operator", b.path("operator.log"), environment, b.managerPath, flags...)
	if err != nil {
		return err
	}
	b.operator = &operator{Process: p, began: began, metrics: "http://" + metrics, profiles: "http://" + profiles}
	return nil
}

func (b *bench) stopOperator() error {
	if b.operator == nil {
		return nil
	}
	err := b.operator.Stop()
	b.operator = nil
	return err
}

// clockTicks is the number of ticks in /proc/PID/stat that make a second, on every Linux that Go runs on.
const clockTicks = 100

// processCPU returns the CPU time that a process has used.
func processCPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses, which may contain spaces.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// memory returns the operator's RSS and its highest RSS, in MiB.
func (o *operator) memory() (now, peak float64, err error) {
	if now, err = o.proc("status", "VmRSS"); err != nil {
		return 0, 0, err
	}
	peak, err = o.proc("status", "VmHWM")
	return now / 1024, peak / 1024, err
}

// received returns the number of bytes that the operator has read, nearly all of them from the network.
func (o *operator) received() (float64, error) { return o.proc("io", "rchar") }

// proc reads a number from a file in /proc.
func (o *operator) proc(file, name string) (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", o.ID(), file))
	if err != nil {
		return 0, err
	}
	match := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)`).FindSubmatch(content)
	if match == nil {
		return 0, fmt.Errorf("/proc/%d/%s does not contain %s", o.ID(), file, name)
	}
	return strconv.ParseFloat(string(match[1]), 64)
}

var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// liveHeap returns the size of the operator's heap after a garbage collection, in KiB.
func (o *operator) liveHeap(ctx context.Context) (float64, error) {
	var least float64
	for range 3 { // the least of several, because work goes on meanwhile
		profile, err := testbed.Get(ctx, o.profiles+"/debug/pprof/heap?gc=1&debug=1")
		if err != nil {
			return 0, err
		}
		match := heapAlloc.FindSubmatch(profile)
		if match == nil {
			return 0, errors.New("the heap profile does not contain HeapAlloc")
		}
		bytes, err := strconv.ParseFloat(string(match[1]), 64)
		if err != nil {
			return 0, err
		}
		if least == 0 || bytes < least {
			least = bytes
		}
	}
	return least / 1024, nil
}

// profile writes profiles of the operator's heap and, in the background, of its CPU, if the command line asks for them.
func (b *bench) profile(ctx context.Context, name string, duration time.Duration) {
	if b.profiles == "" || b.operator == nil {
		return
	}
	save := func(kind, query string) {
		profile, err := testbed.Get(ctx, b.operator.profiles+"/debug/pprof/"+kind+query)
		if err == nil {
			err = os.WriteFile(filepath.Join(b.profiles, name+"."+kind+".prof"), profile, 0o600)
		}
		if err != nil {
			b.logf("Could not write a profile: %v", err)
		}
	}
	go save("profile", fmt.Sprintf("?seconds=%d", max(1, int(duration.Seconds()))))
	save("heap", "")
}
