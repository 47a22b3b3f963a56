// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	fleetSize = 10_000
	// fleetInterval of the largest fleet is short, so that restart and storm need not wait long until checks are due.
	fleetInterval = 2 * time.Minute
	crowdSize     = 50_000
	crowdBytes    = 4 << 10
	// settleTime is how long the operator runs before its memory is read.
	settleTime = time.Minute
	// crowdTime is longer than the two minutes after which Go collects garbage at the latest.
	crowdTime = 3 * time.Minute
)

// measureScale syncs fleets of several sizes, and leaves one of the largest. The large fleet is compared with the small
// ones just before and after it, because the speed of a machine drifts.
func measureScale(ctx context.Context, b *bench) error {
	before, err := b.scale(ctx, "small-before", syncSize, usualInterval)
	if err != nil {
		return err
	}
	large, err := b.scale(ctx, "large", fleetSize, usualInterval)
	if err != nil {
		return err
	}
	after, err := b.scale(ctx, "small-after", syncSize, usualInterval)
	if err != nil {
		return err
	}
	b.add("sync_rate_10000", large.rate, "resources/s", higher)
	b.add("sync_flatness", large.rate*2/(before.rate+after.rate), "", higher)
	b.add("peak_rss_mib_10000", large.peak, "MiB", lower)
	b.add("heap_kib_per_resource", (large.heap-before.heap)/(fleetSize-syncSize), "KiB", lower)

	if _, err := b.scale(ctx, "half", fleetSize/2, fleetInterval); err != nil {
		return err
	}
	b.logf("Creating as many again")
	if err := b.growFleet(ctx, b.fleet, fleetSize); err != nil {
		return err
	}
	return b.fleet.observer.waitForAll(ctx, b, accepted, fleetSize)
}

// scale syncs a new fleet in place of the last one.
func (b *bench) scale(ctx context.Context, namespace string, size int, interval time.Duration) (point, error) {
	if err := b.reset(ctx); err != nil {
		return point{}, err
	}
	f, err := b.newFleet(ctx, namespace, size, interval)
	if err != nil {
		return point{}, err
	}
	b.fleet = f
	result, err := b.sync(ctx, f, withoutLimit...)
	if err != nil {
		return point{}, err
	}
	p := result.point(size)
	if p.heap, err = b.operator.liveHeap(ctx); err != nil {
		return point{}, err
	}
	b.logf("%d: %.0f/s, %.2f ms CPU each, peak RSS %.0f MiB, live heap %.0f KiB, calls each: %s", size, p.rate, p.cpu,
		p.peak, p.heap, result.calls.perItem(float64(size)))
	b.series.add(p)
	return p, nil
}

// measureGrowth measures the memory for each further resource in the short time of a quick run.
func measureGrowth(ctx context.Context, b *bench) error {
	f := b.fleet
	if f == nil || b.operator == nil {
		return errors.New("it needs reaction before it")
	}
	before, err := b.operator.liveHeap(ctx)
	if err != nil {
		return err
	}
	from := f.size
	if err := b.growFleet(ctx, f, 2*from); err != nil {
		return err
	}
	if err := f.observer.waitForAll(ctx, b, accepted, f.size); err != nil {
		return err
	}
	after, err := b.operator.liveHeap(ctx)
	if err != nil {
		return err
	}
	b.add("heap_kib_per_resource", (after-before)/float64(f.size-from), "KiB", lower)
	return nil
}

// takeLargeFleet returns the fleet that scale left, and stops its operator.
func (b *bench) takeLargeFleet() (*fleet, error) {
	if b.fleet == nil || b.fleet.size < fleetSize {
		return nil, errors.New("it needs scale before it")
	}
	return b.fleet, b.stopOperator()
}

// measureCrowd compares the operator's memory without and with many Secrets that no resource refers to.
func measureCrowd(ctx context.Context, b *bench) error {
	f, err := b.takeLargeFleet()
	if err != nil {
		return err
	}
	alone, err := b.measureSettled(ctx, f)
	if err != nil {
		return err
	}
	if err := b.stopOperator(); err != nil {
		return err
	}
	b.logf("Creating %d Secrets", crowdSize)
	if err := b.createCrowd(ctx); err != nil {
		return err
	}
	among, err := b.measureSettled(ctx, f)
	if err != nil {
		return err
	}
	b.profile(ctx, "crowd", time.Second)
	if err := pause(ctx, crowdTime-settleTime); err != nil {
		return err
	}
	later, peak, err := b.operator.memory()
	if err != nil {
		return err
	}
	b.add("rss_mib_10000", alone, "MiB", lower)
	b.add("rss_mib_10000_among_50000", among, "MiB", lower)
	b.add("rss_mib_10000_among_50000_later", later, "MiB", lower)
	b.add("peak_rss_mib_10000_among_50000", peak, "MiB", lower)
	b.add("rss_mib_crowd", max(among, later)-alone, "MiB", lower)
	return nil
}

// measureSettled starts the operator, and returns its RSS after a while. It also prints how soon a new resource is
// Ready.
func (b *bench) measureSettled(ctx context.Context, f *fleet) (float64, error) {
	newest := f.size
	if err := b.growFleet(ctx, f, f.size+1); err != nil {
		return 0, err
	}
	if err := b.startOperator(); err != nil {
		return 0, err
	}
	err := f.observer.wait(ctx, b, waitTimeout, func() bool { return f.observer.states[resourceName(newest)] == accepted })
	if err != nil {
		return 0, err
	}
	first := time.Since(b.operator.began)
	received, err := b.operator.received()
	if err != nil {
		return 0, err
	}
	b.logf("A new resource was Ready after %.1f s and %.1f MiB of reads", first.Seconds(), received/(1<<20))
	if err := pause(ctx, settleTime); err != nil {
		return 0, err
	}
	now, _, err := b.operator.memory()
	return now, err
}

// createCrowd creates the Secrets, with labels as other programs set them.
func (b *bench) createCrowd(ctx context.Context) error {
	const namespace = "crowd"
	err := b.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if err != nil {
		return err
	}
	value := make([]byte, crowdBytes)
	return forEach(ctx, 0, crowdSize, func(ctx context.Context, i int) error {
		return b.admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: fmt.Sprintf("crowd-%05d", i),
				Labels: map[string]string{"app.kubernetes.io/name": "crowd", "app.kubernetes.io/managed-by": "somebody"},
			},
			Data: map[string][]byte{"value": value},
		})
	})
}
