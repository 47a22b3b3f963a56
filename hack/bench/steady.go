// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

const (
	steadyInterval = 30 * time.Second
	steadyWarmUp   = 35 * time.Second
	steadyWindow   = 90 * time.Second
)

// usage is what was used so far.
type usage struct {
	cpu        time.Duration
	calls      calls
	requests   float64
	checks     float64
	reconciles float64
}

func (b *bench) usage(ctx context.Context) (u usage, err error) {
	if u.checks, u.reconciles, err = b.countWork(ctx); err != nil {
		return u, err
	}
	if u.requests, err = b.countRequests(ctx); err != nil {
		return u, err
	}
	if u.cpu, err = b.operator.cpu(); err != nil {
		return u, err
	}
	u.calls, err = b.countCalls(ctx)
	return u, err
}

// measureSteady looks at resources of which nothing changes: those that sync left, or some like them.
func measureSteady(ctx context.Context, b *bench) error {
	if b.fleet == nil {
		f, err := b.newFleet(ctx, "steady", syncSize, steadyInterval)
		if err != nil {
			return err
		}
		b.fleet = f
		if _, err := b.sync(ctx, f, fast...); err != nil {
			return err
		}
	}
	b.fleet.watch.stop() // it would take a part of the machine
	if err := pause(ctx, steadyWarmUp); err != nil {
		return err
	}
	before, err := b.usage(ctx)
	if err != nil {
		return err
	}
	b.profile(ctx, "steady", steadyWindow/2)
	if err := pause(ctx, steadyWindow); err != nil {
		return err
	}
	after, err := b.usage(ctx)
	if err != nil {
		return err
	}
	now, _, err := b.operator.memory()
	if err != nil {
		return err
	}
	checks := after.checks - before.checks
	used := after.calls.since(before.calls)
	b.say("%.0f checks, and calls per check: %s", checks, used.perItem(checks))
	b.add("cpu_ms_per_check", float64((after.cpu-before.cpu).Microseconds())/1000/checks, "ms", lower)
	b.add("reads_per_check", used.reads()/checks, "calls", lower)
	b.add("writes_per_check", used.writes()/checks, "calls", lower)
	b.add("reconciles_per_check", (after.reconciles-before.reconciles)/checks, "reconciles", lower)
	b.add("requests_per_check", (after.requests-before.requests)/checks, "requests", lower)
	b.add("rss_mib_1000", now, "MiB", lower)
	return nil
}

// pause waits, unless somebody ends the program.
func pause(ctx context.Context, lasting time.Duration) error {
	select {
	case <-time.After(lasting):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
