// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// rounds is how often a short run is repeated, so that its median counts.
	rounds   = 3
	syncSize = 1000
	// usualInterval is the default of spec.checkInterval.
	usualInterval = 5 * time.Minute
	syncTimeout   = 10 * time.Minute
)

// synced is what a run has shown, from the start of the process until every resource is Ready.
type synced struct {
	took  time.Duration
	cpu   time.Duration
	peak  float64
	calls calls
}

func (s synced) point(size int) point {
	n := float64(size)
	return point{size: size, rate: n / s.took.Seconds(), cpu: float64(s.cpu.Microseconds()) / 1000 / n, peak: s.peak}
}

// sync starts the operator on a fleet that exists, and waits until every resource is Ready.
func (b *bench) sync(ctx context.Context, f *fleet, flags ...string) (synced, error) {
	before, err := b.countCalls(ctx)
	if err != nil {
		return synced{}, err
	}
	if err := b.startOperator(flags...); err != nil {
		return synced{}, err
	}
	if err := f.watch.waitForAll(ctx, b, syncTimeout, accepted, f.size); err != nil {
		return synced{}, err
	}
	s := synced{took: time.Since(b.operator.began)}
	if s.cpu, err = b.operator.cpu(); err != nil {
		return synced{}, err
	}
	if _, s.peak, err = b.operator.memory(); err != nil {
		return synced{}, err
	}
	after, err := b.countCalls(ctx)
	s.calls = after.since(before)
	return s, err
}

// measureSync lets loop and operator take turns, each on a fleet of its own that was made just before. A run of the
// operator is compared with the loop's before and after it, since the machine's speed drifts, and the last one with
// that before it alone: it is left running, and its fleet is steady's.
func measureSync(ctx context.Context, b *bench) error {
	var perCreate []float64
	var last synced
	var loop series
	for round := range rounds {
		if err := b.dismiss(ctx); err != nil {
			return err
		}
		p, err := b.measureLoop(ctx, fmt.Sprintf("loop-%d", round), syncSize)
		if err != nil {
			return err
		}
		loop.add(p)
		f, err := b.newFleet(ctx, fmt.Sprintf("sync-%d", round), syncSize, steadyInterval)
		if err != nil {
			return err
		}
		b.fleet = f
		if last, err = b.sync(ctx, f, fast...); err != nil {
			return err
		}
		b.series.add(last.point(syncSize))
		perCreate = append(perCreate, (last.calls.reads()+last.calls.writes())/syncSize)
		b.say("Loop %.0f/s, operator %.0f/s", p.rate, last.point(syncSize).rate)
	}
	if err := b.describeSizes(ctx, b.fleet); err != nil {
		return err
	}
	var ratios []float64
	for i, run := range b.series.points {
		before, after := loop.points[i], loop.points[min(i+1, rounds-1)]
		ratios = append(ratios, run.rate*2/(before.rate+after.rate))
	}
	b.say("Calls per resource: %s", last.calls.perItem(syncSize))
	b.add("sync_rate_1000", b.series.median(syncSize, rate), "resources/s", higher)
	b.add("loop_rate_1000", loop.median(syncSize, rate), "resources/s", higher)
	b.add("sync_ratio_1000", median(ratios), "", higher)
	b.add("calls_per_create", median(perCreate), "calls", lower)
	b.add("cpu_ms_per_create", b.series.median(syncSize, cpu), "ms", lower)
	b.add("loop_cpu_ms_per_create", loop.median(syncSize, cpu), "ms", lower)
	b.add("peak_rss_mib_1000", b.series.median(syncSize, peak), "MiB", lower)
	return nil
}

// measureLoop runs the bare loop. Its resources are gone before an operator could see them.
func (b *bench) measureLoop(ctx context.Context, namespace string, size int) (point, error) {
	f, err := b.newFleet(ctx, namespace, size, usualInterval)
	if err != nil {
		return point{}, err
	}
	s, err := b.runLoop(ctx, f)
	if err != nil {
		return point{}, err
	}
	return s.point(size), b.remove(ctx, f)
}
