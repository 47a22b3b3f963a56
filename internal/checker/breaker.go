// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	// failuresToOpen is how many failures in a row open a breaker.
	failuresToOpen = 5
	// shortestOpen is how long it is open at first. That doubles with every probe that fails, up to longestOpen.
	shortestOpen = 5 * time.Second
	longestOpen  = time.Minute
)

// breaker keeps requests from an endpoint that does not serve, but for a probe now and then.
type breaker struct {
	failures  int
	isProbing bool
	openFor   time.Duration // 0: it is closed
	until     time.Time
	// failure, of a check that began then, is what opened it.
	failure outcome.Result
	began   time.Time
}

func (b *breaker) isOpen() bool { return b.openFor > 0 }

// blocks reports whether askers get the failure for an answer.
func (b *breaker) blocks(now time.Time) bool {
	return b.isOpen() && (b.isProbing || now.Before(b.until))
}

// probe reports whether the call that begins is a probe, and lets no other be one.
func (b *breaker) probe() bool {
	b.isProbing = b.isOpen()
	return b.isProbing
}

// giveUp ends a probe without a finding.
func (b *breaker) giveUp(c *call) {
	if c.isProbe {
		b.isProbing = false
	}
}

// report takes note of what came of a call, and reports whether that opened the breaker. A TLS failure may be due to
// one resource's authorities, and a rate limit is honoured in its own way: neither says whether the endpoint serves.
func (b *breaker) report(c *call, now time.Time) bool {
	b.giveUp(c)
	switch {
	case c.result.Outcome == outcome.TLSFailure, c.result.Outcome == outcome.RateLimited:
		return false
	case c.result.Outcome.Class() != outcome.Transient:
		*b = breaker{}
		return false
	}
	b.failures++
	switch {
	case b.isOpen() && !c.isProbe: // it began before the breaker opened
		return false
	case b.isOpen():
		b.openFor = min(2*b.openFor, longestOpen)
	case b.failures < failuresToOpen:
		return false
	default:
		b.openFor = shortestOpen
	}
	b.until = now.Add(b.openFor)
	b.failure, b.began = c.result, c.began
	b.failure.RetryAfter = 0 // it is the pause's to honour
	return true
}

// pause keeps all requests from an endpoint that asked to be left alone.
type pause struct {
	until  time.Time
	result outcome.Result
	began  time.Time
}

// begin reports whether the answer asks for a pause.
func (p *pause) begin(c *call, now time.Time) bool {
	if c.result.RetryAfter <= 0 || c.result.Outcome.Class() != outcome.Transient {
		return false
	}
	until := now.Add(min(c.result.RetryAfter, maxPause))
	if until.After(p.until) {
		*p = pause{until: until, result: c.result, began: c.began}
	}
	return true
}

// stands returns the answer that asked for the pause, as long as it lasts.
func (p *pause) stands(now time.Time) (outcome.Result, time.Time, bool) {
	if !now.Before(p.until) {
		return outcome.Result{}, time.Time{}, false
	}
	result := p.result
	result.RetryAfter = p.until.Sub(now)
	return result, p.began, true
}
