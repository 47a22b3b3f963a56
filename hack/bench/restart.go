// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// What changes while the operator is down: so many sources, as many targets, and so many resources that are new.
const (
	changedEach = 25
	createdNew  = 50
)

// measureRestart stops the operator until every check is overdue, changes some things meanwhile, and looks how long it
// takes until all that is new or changed is proven, while what is overdue waits for its turn.
func measureRestart(ctx context.Context, b *bench) error {
	f, err := b.needFleet()
	if err != nil {
		return err
	}
	b.say("Waiting until every check is overdue")
	if err := pause(ctx, f.interval); err != nil {
		return err
	}
	if err := b.changeMuch(ctx, f); err != nil {
		return err
	}
	before, err := b.countCalls(ctx)
	if err != nil {
		return err
	}
	excess := b.watchRate(ctx, defaultQPS, defaultBurst)
	if err := b.startOperator(); err != nil {
		return err
	}
	if err := f.watch.wait(ctx, b, syncTimeout, f.isCaughtUp); err != nil {
		return err
	}
	b.add("restart_s_10000", time.Since(b.operator.began).Seconds(), "s", lower)
	if err := pause(ctx, time.Until(b.operator.began.Add(settled))); err != nil {
		return err
	}
	total, over, err := excess()
	if err != nil {
		return err
	}
	after, err := b.countCalls(ctx)
	if err != nil {
		return err
	}
	used := after.since(before)
	b.say("Calls in the first minute: %s", used.perItem(1))
	b.add("restart_checks_first_minute", total, "requests", lower)
	b.add("restart_over_bucket", over, "requests", lower)
	b.add("restart_calls_first_minute", used.reads()+used.writes(), "calls", lower)
	return nil
}

// changeMuch changes sources and targets, and makes new resources.
func (b *bench) changeMuch(ctx context.Context, f *fleet) error {
	if err := b.observeTargets(ctx, f); err != nil {
		return err
	}
	for i := range changedEach {
		if _, err := changeSource(ctx, b, f, i); err != nil {
			return err
		}
		err := b.patchSecret(ctx, f, targetName(changedEach+i), `{"stringData":{"token":"tampered"}}`)
		if err != nil {
			return err
		}
	}
	return b.grow(ctx, f, f.size+createdNew)
}

// isCaughtUp reports whether all of that was dealt with.
func (f *fleet) isCaughtUp() bool {
	for i := range changedEach {
		restored := changedEach + i
		if f.watch.tokens[targetName(i)].value != tokenOf(f, i, 1) ||
			f.watch.tokens[targetName(restored)].value != tokenOf(f, restored, 0) {
			return false
		}
	}
	return f.watch.counts[accepted] == f.size
}
