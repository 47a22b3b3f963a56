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
)

// operator is the operator's process.
type operator struct {
	*process.Process

	began    time.Time
	metrics  string // its address
	profiles string
}

// fast raises the politeness bucket, for what is about the operator's own speed.
var fast = []string{"--check-qps=5000", "--check-burst=5000"}

// startOperator starts the operator, with the flags that it has in a cluster and some more.
func (b *bench) startOperator(flags ...string) error {
	metrics, err := freeAddress()
	if err != nil {
		return err
	}
	profiles, err := freeAddress()
	if err != nil {
		return err
	}
	flags = append([]string{
		"--kubeconfig=" + b.kubeconfig, "--allowed-endpoint=" + b.emulatorURL, "--health-probe-bind-address=0",
		"--metrics-bind-address=" + metrics, "--metrics-secure=false", "--pprof-bind-address=" + profiles,
	}, flags...)
	// It trusts the emulator's authority as it would Jupico's, so that resources are as small as they mostly are.
	environment := []string{"SSL_CERT_FILE=" + b.caFile}
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

// clockTicks is how many ticks of /proc/PID/stat make a second, on every Linux that Go runs on.
const clockTicks = 100

// cpu is the processor time that the operator has used.
func (o *operator) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.ID()))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything.
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

// memory is how much the operator has resident, and how much it had at most, in MiB.
func (o *operator) memory() (now, peak float64, err error) {
	if now, err = o.proc("status", "VmRSS"); err != nil {
		return 0, 0, err
	}
	peak, err = o.proc("status", "VmHWM")
	return now / 1024, peak / 1024, err
}

// received is how many bytes the operator has read, of which nearly all come from the network.
func (o *operator) received() (float64, error) { return o.proc("io", "rchar") }

// proc reads a number of a file of /proc.
func (o *operator) proc(file, name string) (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", o.ID(), file))
	if err != nil {
		return 0, err
	}
	match := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)`).FindSubmatch(content)
	if match == nil {
		return 0, fmt.Errorf("/proc/%d/%s says nothing of %s", o.ID(), file, name)
	}
	return strconv.ParseFloat(string(match[1]), 64)
}

var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// liveHeap is what the operator holds after a garbage collection, in KiB.
func (o *operator) liveHeap(ctx context.Context) (float64, error) {
	var least float64
	for range 3 { // what was about to be let go is gone the next time
		profile, err := get(ctx, o.profiles+"/debug/pprof/heap?gc=1&debug=1")
		if err != nil {
			return 0, err
		}
		match := heapAlloc.FindSubmatch(profile)
		if match == nil {
			return 0, errors.New("the heap profile says nothing of HeapAlloc")
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

// profile keeps profiles of the operator, where they are asked for: of the processor, in the background, and the heap.
func (b *bench) profile(ctx context.Context, name string, lasting time.Duration) {
	if b.profiles == "" || b.operator == nil {
		return
	}
	save := func(kind, query string) {
		profile, err := get(ctx, b.operator.profiles+"/debug/pprof/"+kind+query)
		if err == nil {
			err = os.WriteFile(filepath.Join(b.profiles, name+"."+kind+".prof"), profile, 0o600)
		}
		if err != nil {
			b.say("No profile: %v", err)
		}
	}
	go save("profile", fmt.Sprintf("?seconds=%d", max(1, int(lasting.Seconds()))))
	save("heap", "")
}
