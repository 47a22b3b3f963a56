// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// rounds is how often the sync of a small fleet is repeated, so that the median counts.
	rounds   = 3
	syncSize = 1000
	// usualInterval is the default of spec.checkInterval.
	usualInterval = 5 * time.Minute
)

// syncResult is what a process used from its start until every resource was Ready.
type syncResult struct {
	took  time.Duration
	cpu   time.Duration
	peak  float64 // highest RSS, in MiB
	calls calls
}

func (r syncResult) point(size int) point {
	n := float64(size)
	return point{size: size, rate: n / r.took.Seconds(), cpu: milliseconds(r.cpu) / n, peak: r.peak}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// sync starts the operator on a fleet that exists, and waits until every resource is Ready.
func (b *bench) sync(ctx context.Context, f *fleet, flags ...string) (syncResult, error) {
	before, err := b.countCalls(ctx)
	if err != nil {
		return syncResult{}, err
	}
	if err := b.startOperator(flags...); err != nil {
		return syncResult{}, err
	}
	if err := f.observer.waitForAll(ctx, b, accepted, f.size); err != nil {
		return syncResult{}, err
	}
	result := syncResult{took: time.Since(b.operator.began)}
	if result.cpu, err = processCPU(b.operator.ID()); err != nil {
		return syncResult{}, err
	}
	if _, result.peak, err = b.operator.memory(); err != nil {
		return syncResult{}, err
	}
	after, err := b.countCalls(ctx)
	result.calls = after.since(before)
	return result, err
}

// measureSync runs the loop of creates and the operator by turns, each on a fleet of its own. The speed of a machine
// drifts, so a run of the operator is compared with the loops before and after it. The last fleet is left to steady.
func measureSync(ctx context.Context, b *bench) error {
	var perCreate []float64
	var last syncResult
	var loop series
	for round := range rounds {
		if err := b.reset(ctx); err != nil {
			return err
		}
		p, err := b.measureCreateLoop(ctx, fmt.Sprintf("loop-%d", round), syncSize)
		if err != nil {
			return err
		}
		loop.add(p)
		f, err := b.newFleet(ctx, fmt.Sprintf("sync-%d", round), syncSize, steadyInterval)
		if err != nil {
			return err
		}
		b.fleet = f
		if last, err = b.sync(ctx, f, withoutLimit...); err != nil {
			return err
		}
		b.series.add(last.point(syncSize))
		perCreate = append(perCreate, (last.calls.reads()+last.calls.writes())/syncSize)
		b.logf("Loop %.0f/s, operator %.0f/s", p.rate, last.point(syncSize).rate)
	}
	if err := b.printSizes(ctx, b.fleet); err != nil {
		return err
	}
	var ratios []float64
	for i, run := range b.series.points {
		before, after := loop.points[i], loop.points[min(i+1, rounds-1)]
		ratios = append(ratios, run.rate*2/(before.rate+after.rate))
	}
	b.logf("Calls per resource: %s", last.calls.perItem(syncSize))
	b.add("sync_rate_1000", b.series.median(syncSize, rate), "resources/s", higher)
	b.add("loop_rate_1000", loop.median(syncSize, rate), "resources/s", higher)
	b.add("sync_ratio_1000", median(ratios), "", higher)
	b.add("calls_per_create", median(perCreate), "calls", lower)
	b.add("cpu_ms_per_create", b.series.median(syncSize, cpu), "ms", lower)
	b.add("loop_cpu_ms_per_create", loop.median(syncSize, cpu), "ms", lower)
	b.add("peak_rss_mib_1000", b.series.median(syncSize, peak), "MiB", lower)
	return nil
}

// measureCreateLoop runs the bare loop of creates, and deletes its fleet again before an operator is started.
func (b *bench) measureCreateLoop(ctx context.Context, namespace string, size int) (point, error) {
	f, err := b.newFleet(ctx, namespace, size, usualInterval)
	if err != nil {
		return point{}, err
	}
	result, err := b.runCreateLoop(ctx, f)
	if err != nil {
		return point{}, err
	}
	return result.point(size), b.deleteFleet(ctx, f)
}
