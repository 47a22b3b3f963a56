// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// The token bucket of the operator, unless a flag says otherwise.
const (
	defaultQPS   = 20
	defaultBurst = 40
	// samplePeriod is how often the emulator is asked how many requests there were.
	samplePeriod = 250 * time.Millisecond
)

// countAgainstBucket begins to count the requests to the emulator. The returned function stops that. It returns how
// many requests there were, and by how many at most they exceeded a token bucket.
func (b *bench) countAgainstBucket(ctx context.Context, qps, burst float64) func() (total, over float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		total, over float64
		err         error
	}
	done := make(chan result, 1)
	bucket := bucketCheck{qps: qps, burst: burst}
	sample := func() (float64, error) {
		asked := time.Now()
		count, err := b.countRequests(context.WithoutCancel(ctx))
		bucket.add(count, asked, time.Now())
		return count, err
	}
	first, err := sample()
	go func() {
		r := result{err: err}
		for r.err == nil && ctx.Err() == nil {
			var count float64
			count, r.err = sample()
			r.total, r.over = count-first, bucket.over
			_ = pause(ctx, samplePeriod)
		}
		done <- r
	}()
	return func() (float64, float64, error) {
		cancel()
		r := <-done
		return r.total, r.over, r.err
	}
}

// bucketCheck compares counts of requests with what a token bucket lets through between any two of them: the burst, and
// as many tokens as were added meanwhile.
type bucketCheck struct {
	qps, burst float64

	began time.Time
	// least is the smallest value so far of the count minus the tokens that were added.
	least float64
	over  float64
}

// add takes a count that was made between two times. A bucket is exceeded only if it is for every pair of times that
// the counts may have been made at, so the longest time between them counts.
func (c *bucketCheck) add(count float64, after, before time.Time) {
	if c.began.IsZero() {
		c.began, c.least = after, count
	}
	c.over = max(c.over, count-c.qps*before.Sub(c.began).Seconds()-c.least-c.burst)
	c.least = min(c.least, count-c.qps*after.Sub(c.began).Seconds())
}
