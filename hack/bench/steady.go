// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	steadyInterval = 30 * time.Second
	// operatorWarmUp is longer than steadyInterval, so that a restarted operator has checked every resource once.
	operatorWarmUp = 35 * time.Second
	// loopWarmUp and a window together are long enough for the loop to check every resource once.
	loopWarmUp   = 10 * time.Second
	steadyWindow = 20 * time.Second
	// operatorWindows follow one window of the loop, and two more of the loop follow them.
	operatorWindows = 3
)

// measureSteady measures what a check costs while nothing changes: how much CPU the operator uses for it, beside a
// bare loop of the same checks at the same pace. The loop runs before and after the operator, because the speed of a
// machine drifts. The operator resumes the schedule in the statuses that the loop wrote, so its checks are spread as
// evenly over the interval.
func measureSteady(ctx context.Context, b *bench) error {
	if b.fleet == nil {
		f, err := b.newFleet(ctx, "steady", syncSize, steadyInterval)
		if err != nil {
			return err
		}
		b.fleet = f
		if _, err := b.sync(ctx, f, withoutLimit...); err != nil {
			return err
		}
	}
	b.fleet.observer.stop() // it would use CPU for each check
	if err := b.stopOperator(); err != nil {
		return err
	}
	loop, err := b.measureCheckLoop(ctx, b.fleet, 1)
	if err != nil {
		return err
	}
	operator, err := b.measureChecks(ctx)
	if err != nil {
		return err
	}
	if err := b.stopOperator(); err != nil {
		return err
	}
	again, err := b.measureCheckLoop(ctx, b.fleet, operatorWindows-1)
	if err != nil {
		return err
	}
	loop = append(loop, again...)
	b.add("cpu_ms_per_check", median(operator), "ms", lower)
	b.add("loop_cpu_ms_per_check", median(loop), "ms", lower)
	b.add("cpu_ratio_check", median(operator)/median(loop), "", lower)
	return nil
}

// measureChecks starts the operator on the fleet. It returns the CPU per check, in ms, of each window.
func (b *bench) measureChecks(ctx context.Context) ([]float64, error) {
	if err := b.startOperator(withoutLimit...); err != nil {
		return nil, err
	}
	if err := pause(ctx, operatorWarmUp); err != nil {
		return nil, err
	}
	before, err := b.readUsage(ctx, true)
	if err != nil {
		return nil, err
	}
	b.profile(ctx, "steady", operatorWindows*steadyWindow)
	perCheck, err := b.measureWindows(ctx, "Operator", operatorWindows, func() (time.Duration, float64, error) {
		checks, _, err := b.countWork(ctx)
		if err != nil {
			return 0, 0, err
		}
		used, err := processCPU(b.operator.ID())
		return used, checks, err
	})
	if err != nil {
		return nil, err
	}
	after, err := b.readUsage(ctx, false)
	if err != nil {
		return nil, err
	}
	rss, _, err := b.operator.memory()
	if err != nil {
		return nil, err
	}
	checks := after.checks - before.checks
	made := after.calls.since(before.calls)
	b.logf("Calls per check: %s", made.perItem(checks))
	b.add("reads_per_check", made.reads()/checks, "calls", lower)
	b.add("writes_per_check", made.writes()/checks, "calls", lower)
	b.add("reconciles_per_check", (after.reconciles-before.reconciles)/checks, "reconciles", lower)
	b.add("requests_per_check", (after.requests-before.requests)/checks, "requests", lower)
	b.add("rss_mib_1000", rss, "MiB", lower)
	return perCheck, nil
}

// usage is what the operator has used so far.
type usage struct {
	calls      calls
	requests   float64
	checks     float64
	reconciles float64
}

// readUsage reads the number of checks first at the beginning of a measurement, and last at its end. So the requests
// and calls of a check that is in flight do not count without their check.
func (b *bench) readUsage(ctx context.Context, isBeginning bool) (u usage, err error) {
	steps := []func() error{
		func() (err error) {
			u.checks, u.reconciles, err = b.countWork(ctx)
			return err
		},
		func() (err error) {
			u.calls, err = b.countCalls(ctx)
			return err
		},
		func() (err error) {
			u.requests, err = b.countRequests(ctx)
			return err
		},
	}
	if !isBeginning {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return usage{}, err
		}
	}
	return u, nil
}

// measureCheckLoop runs the bare loop of checks. It returns the CPU per check, in ms, of each window.
func (b *bench) measureCheckLoop(ctx context.Context, f *fleet, windows int) (perCheck []float64, err error) {
	loop, err := b.startCheckLoop(f)
	if err != nil {
		return nil, err
	}
	defer func() {
		if failure := loop.Failure(); failure != nil {
			err = fmt.Errorf("%w: %s", failure, loop.Tail(5))
		}
		_ = loop.Stop() // nothing depends on how it ends
	}()
	if err := pause(ctx, loopWarmUp); err != nil {
		return nil, err
	}
	return b.measureWindows(ctx, "Loop", windows, func() (time.Duration, float64, error) {
		requests, err := b.countRequests(ctx)
		if err != nil {
			return 0, 0, err
		}
		used, err := processCPU(loop.ID())
		return used, requests, err
	})
}

// measureWindows returns the CPU per check, in ms, of several windows one after the other. read returns the CPU time
// and the number of checks so far.
func (b *bench) measureWindows(
	ctx context.Context, name string, windows int, read func() (time.Duration, float64, error),
) ([]float64, error) {
	var perCheck []float64
	for range windows {
		bytesBefore, err := b.patchBytes(ctx)
		if err != nil {
			return nil, err
		}
		cpuBefore, checksBefore, err := read()
		if err != nil {
			return nil, err
		}
		if err := pause(ctx, steadyWindow); err != nil {
			return nil, err
		}
		cpuAfter, checksAfter, err := read()
		if err != nil {
			return nil, err
		}
		bytesAfter, err := b.patchBytes(ctx)
		if err != nil {
			return nil, err
		}
		checks := checksAfter - checksBefore
		if checks == 0 {
			return nil, fmt.Errorf("there was no check in %s", steadyWindow)
		}
		perCheck = append(perCheck, milliseconds(cpuAfter-cpuBefore)/checks)
		b.logf("%s: %.1f checks/s, %.2f ms of CPU and a patch of %.0f bytes each", name, checks/steadyWindow.Seconds(),
			perCheck[len(perCheck)-1], (bytesAfter-bytesBefore)/checks)
	}
	return perCheck, nil
}

// pause waits, unless the context ends.
func pause(ctx context.Context, duration time.Duration) error {
	select {
	case <-time.After(duration):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
