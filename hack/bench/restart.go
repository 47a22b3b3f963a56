// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// What changes while the operator is stopped: sources, as many targets, and new resources.
const (
	changedEach = 25
	createdNew  = 50
)

// measureRestart stops the operator until every check is overdue, and changes some resources meanwhile. It measures how
// long the operator then takes for what is new or changed, while the overdue checks wait.
func measureRestart(ctx context.Context, b *bench) error {
	f, err := b.takeLargeFleet()
	if err != nil {
		return err
	}
	b.logf("Waiting until every check is overdue")
	if err := pause(ctx, f.interval); err != nil {
		return err
	}
	if err := b.changeSome(ctx, f); err != nil {
		return err
	}
	before, err := b.countCalls(ctx)
	if err != nil {
		return err
	}
	stopCounting := b.countAgainstBucket(ctx, defaultQPS, defaultBurst)
	if err := b.startOperator(); err != nil {
		return err
	}
	if err := f.observer.wait(ctx, b, waitTimeout, f.isCaughtUp); err != nil {
		return err
	}
	b.add("restart_s_10000", time.Since(b.operator.began).Seconds(), "s", lower)
	if err := pause(ctx, time.Until(b.operator.began.Add(settleTime))); err != nil {
		return err
	}
	total, over, err := stopCounting()
	if err != nil {
		return err
	}
	after, err := b.countCalls(ctx)
	if err != nil {
		return err
	}
	made := after.since(before)
	b.logf("Calls in the first minute: %s", made.perItem(1))
	b.add("restart_checks_first_minute", total, "requests", lower)
	b.add("restart_over_bucket", over, "requests", lower)
	b.add("restart_calls_first_minute", made.reads()+made.writes(), "calls", lower)
	return nil
}

// changeSome changes sources and targets, and creates resources.
func (b *bench) changeSome(ctx context.Context, f *fleet) error {
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
	return b.growFleet(ctx, f, f.size+createdNew)
}

// isCaughtUp reports whether the targets of all that changeSome changed are right. The caller holds the observer's
// lock.
func (f *fleet) isCaughtUp() bool {
	for i := range changedEach {
		restored := changedEach + i
		if f.observer.tokens[targetName(i)].value != tokenOf(f, i, 1) ||
			f.observer.tokens[targetName(restored)].value != tokenOf(f, restored, 0) {
			return false
		}
	}
	return f.observer.counts[accepted] == f.size
}
