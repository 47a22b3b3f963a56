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
	fleetSize    = 10_000
	crowdSize    = 50_000
	crowdBytes   = 4 << 10
	crowdWatched = 5 * time.Minute
	settled      = time.Minute
)

// measureScale synchronises fleets of several sizes, and leaves one of the largest. That is compared with small ones
// just before and after it, since the machine's speed drifts.
func measureScale(ctx context.Context, b *bench) error {
	before, err := b.scale(ctx, "small-before", syncSize)
	if err != nil {
		return err
	}
	large, err := b.scale(ctx, "large", fleetSize)
	if err != nil {
		return err
	}
	after, err := b.scale(ctx, "small-after", syncSize)
	if err != nil {
		return err
	}
	b.add("sync_rate_10000", large.rate, "resources/s", higher)
	b.add("sync_flatness", large.rate*2/(before.rate+after.rate), "", higher)
	b.add("peak_rss_mib_10000", large.peak, "MiB", lower)
	b.add("heap_kib_per_resource", (large.heap-before.heap)/(fleetSize-syncSize), "KiB", lower)

	if _, err := b.scale(ctx, "half", fleetSize/2); err != nil {
		return err
	}
	b.say("Creating as many again")
	if err := b.grow(ctx, b.fleet, fleetSize); err != nil {
		return err
	}
	return b.fleet.watch.waitForAll(ctx, b, syncTimeout, accepted, fleetSize)
}

// scale synchronises a new fleet in place of the last one.
func (b *bench) scale(ctx context.Context, namespace string, size int) (point, error) {
	if err := b.dismiss(ctx); err != nil {
		return point{}, err
	}
	f, err := b.newFleet(ctx, namespace, size, usualInterval)
	if err != nil {
		return point{}, err
	}
	b.fleet = f
	s, err := b.sync(ctx, f, fast...)
	if err != nil {
		return point{}, err
	}
	p := s.point(size)
	if p.heap, err = b.operator.liveHeap(ctx); err != nil {
		return point{}, err
	}
	b.say("%d: %.0f/s, %.2f ms CPU each, peak RSS %.0f MiB, live heap %.0f KiB, calls each: %s", size, p.rate, p.cpu,
		p.peak, p.heap, s.calls.perItem(float64(size)))
	b.series.add(p)
	return p, nil
}

// measureGrowth is what scale says of memory, in the little time that a quick run has.
func measureGrowth(ctx context.Context, b *bench) error {
	f := b.fleet
	if f == nil || b.operator == nil {
		return errors.New("it builds on reaction")
	}
	before, err := b.operator.liveHeap(ctx)
	if err != nil {
		return err
	}
	from := f.size
	if err := b.grow(ctx, f, 2*from); err != nil {
		return err
	}
	if err := f.watch.waitForAll(ctx, b, syncTimeout, accepted, f.size); err != nil {
		return err
	}
	after, err := b.operator.liveHeap(ctx)
	if err != nil {
		return err
	}
	b.add("heap_kib_per_resource", (after-before)/float64(f.size-from), "KiB", lower)
	return nil
}

// needFleet stops the operator on the fleet that scale left.
func (b *bench) needFleet() (*fleet, error) {
	if b.fleet == nil || b.fleet.size < fleetSize {
		return nil, errors.New("it builds on scale")
	}
	return b.fleet, b.stopOperator()
}

// measureCrowd compares the operator's memory on the fleet without and with Secrets of others, and looks how long it
// takes to come to the first resource.
func measureCrowd(ctx context.Context, b *bench) error {
	f, err := b.needFleet()
	if err != nil {
		return err
	}
	alone, err := b.startAmong(ctx, f)
	if err != nil {
		return err
	}
	if err := b.stopOperator(); err != nil {
		return err
	}
	b.say("Creating %d Secrets", crowdSize)
	if err := b.createCrowd(ctx); err != nil {
		return err
	}
	among, err := b.startAmong(ctx, f)
	if err != nil {
		return err
	}
	b.profile(ctx, "crowd", time.Second)
	if err := pause(ctx, crowdWatched-settled); err != nil {
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

// startAmong starts the operator where one resource is new, and returns its RSS once it has settled.
func (b *bench) startAmong(ctx context.Context, f *fleet) (float64, error) {
	newest := f.size
	if err := b.grow(ctx, f, f.size+1); err != nil {
		return 0, err
	}
	if err := b.startOperator(); err != nil {
		return 0, err
	}
	err := f.watch.wait(ctx, b, syncTimeout, func() bool { return f.watch.states[resourceName(newest)] == accepted })
	if err != nil {
		return 0, err
	}
	first := time.Since(b.operator.began)
	received, err := b.operator.received()
	if err != nil {
		return 0, err
	}
	b.say("First resource after %.1f s, when %.1f MiB had been read", first.Seconds(), received/(1<<20))
	if err := pause(ctx, settled); err != nil {
		return 0, err
	}
	now, _, err := b.operator.memory()
	return now, err
}

func (b *bench) createCrowd(ctx context.Context) error {
	const namespace = "crowd"
	err := b.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if err != nil {
		return err
	}
	value := make([]byte, crowdBytes)
	return each(ctx, 0, crowdSize, func(ctx context.Context, i int) error {
		return b.admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: fmt.Sprintf("crowd-%05d", i),
				Labels: map[string]string{"app.kubernetes.io/name": "crowd", "app.kubernetes.io/managed-by": "somebody"},
			},
			Data: map[string][]byte{"value": value},
		})
	})
}
