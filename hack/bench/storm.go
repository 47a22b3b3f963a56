// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// The politeness bucket of the operator, unless a flag says otherwise.
const (
	defaultQPS   = 20
	defaultBurst = 40
	// rateSampled is how often the emulator is asked how many requests there were.
	rateSampled = 250 * time.Millisecond
)

// watchRate counts the requests beside a token bucket. The function that it returns ends that, and says how many
// requests there were, and how many more at the worst than the bucket lets through.
func (b *bench) watchRate(ctx context.Context, qps, burst float64) func() (total, over float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		total, over float64
		err         error
	}
	done := make(chan result, 1)
	w := rateWatch{qps: qps, burst: burst}
	look := func() (float64, error) {
		asked := time.Now()
		count, err := b.countRequests(context.WithoutCancel(ctx))
		w.look(count, asked, time.Now())
		return count, err
	}
	begin, err := look()
	go func() {
		r := result{err: err}
		for r.err == nil && ctx.Err() == nil {
			var count float64
			count, r.err = look()
			r.total, r.over = count-begin, w.over
			_ = pause(ctx, rateSampled)
		}
		done <- r
	}()
	return func() (float64, float64, error) {
		cancel()
		r := <-done
		return r.total, r.over, r.err
	}
}

// rateWatch holds counts of requests against what a token bucket lets through between any two of them: a burst, and so
// many as are filled in meanwhile.
type rateWatch struct {
	qps, burst float64

	began time.Time
	least float64 // by how much the counts were behind the rate at the most
	over  float64
}

// look takes a count that was made at some time between two. The longest time that may lie between two counts is what
// proves that there were too many.
func (w *rateWatch) look(count float64, after, before time.Time) {
	if w.began.IsZero() {
		w.began, w.least = after, count
	}
	w.over = max(w.over, count-w.qps*before.Sub(w.began).Seconds()-w.least-w.burst)
	w.least = min(w.least, count-w.qps*after.Sub(w.began).Seconds())
}

const (
	stormQPS = 100
	// stormTimeout is longer than two waits after rejections, of which the second is twice the first, and the time that
	// the bucket takes for all.
	stormTimeout = 25 * time.Minute
	revoked      = "False/Revoked"
)

// measureStorm has all tokens of the fleet rejected at once. Each rejection is confirmed before it is reported, so that
// it takes two checks; the bucket is wider than usual, since 20,000 checks would take a quarter of an hour otherwise.
func measureStorm(ctx context.Context, b *bench) error {
	f, err := b.needFleet()
	if err != nil {
		return err
	}
	if err := b.startOperator("--check-qps=100", "--check-burst=100"); err != nil {
		return err
	}
	if err := f.watch.waitForAll(ctx, b, stormTimeout, accepted, f.size); err != nil {
		return err
	}
	before, err := b.countCalls(ctx)
	if err != nil {
		return err
	}
	excess := b.watchRate(ctx, stormQPS, stormQPS)
	if err := b.reject(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := f.watch.waitForAll(ctx, b, stormTimeout, revoked, f.size); err != nil {
		return err
	}
	reported := time.Since(began)
	after, err := b.countCalls(ctx)
	if err != nil {
		return err
	}
	if err := b.accept(ctx); err != nil {
		return err
	}
	began = time.Now()
	if err := f.watch.waitForAll(ctx, b, stormTimeout, accepted, f.size); err != nil {
		return err
	}
	healed := time.Since(began)
	_, over, err := excess()
	if err != nil {
		return err
	}
	used := after.since(before)
	n := float64(f.size)
	b.say("Calls per resource until the rejections were reported: %s", used.perItem(n))
	b.add("storm_reported_s", reported.Seconds(), "s", lower)
	b.add("storm_healed_s", healed.Seconds(), "s", lower)
	b.add("storm_calls_per_resource", (used.reads()+used.writes())/n, "calls", lower)
	b.add("storm_over_bucket", over, "requests", lower)
	return nil
}
