// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	// failuresToPause is how many outcomes without evidence in a row begin a pause. The last of them is a control's.
	failuresToPause = 5
	// A pause lasts as long as Retry-After says, but no longer than longestPause. Without Retry-After, it lasts for
	// shortestPause at first, and then twice as long each time, up to longestPause.
	shortestPause = 10 * time.Second
	longestPause  = 5 * time.Minute
)

// pause keeps requests from an endpoint that asked for that, or that gives no evidence. When its time is over, one
// control at a time is let through, and only that ends the pause or begins the next. A pause that the endpoint did not
// ask for begins with a control too: what is answered to a token may be about that token alone, such as one that is too
// long for a header, and must not keep all others waiting. No library does this: those for circuit breakers read the
// system's clock, so that tests cannot let time pass, and know only success and failure.
type pause struct {
	failures int           // outcomes without evidence in a row
	length   time.Duration // 0: there is no pause
	until    time.Time     // after that, a control is let through
	trial    *call         // that control, while it is under way
	last     reply         // of the call that began the pause
}

// answer returns what stands for the reply to every check now. It returns false when a request may be sent.
func (p *pause) answer(now time.Time) (reply, bool) {
	left := max(0, p.until.Sub(now))
	last := p.last
	last.result.RetryAfter = min(last.result.RetryAfter, left)
	return last, left > 0 || p.trial != nil
}

// needsControl reports whether the next request has to be a control.
func (p *pause) needsControl() bool { return p.isOn() || p.failures >= failuresToPause-1 }

// isOn reports whether there is a pause that no control has ended yet.
func (p *pause) isOn() bool { return p.length > 0 }

// begin lets a call through. In a pause, it is a control, and the only call.
func (p *pause) begin(c *call) {
	if p.isOn() {
		p.trial = c
	}
}

// end records what a call says about the endpoint, and reports whether it asks for a pause. A call that was given up
// says nothing, and a TLS failure may be caused by the authorities of one resource.
func (p *pause) end(c *call, now time.Time) bool {
	isTrial := p.trial == c
	if isTrial {
		p.trial = nil
	}
	switch {
	case c.result.Outcome == "", c.result.Outcome == outcome.TLSFailure:
		return false
	case c.result.Outcome.IsEvidence():
		if isTrial || !p.isOn() {
			*p = pause{}
		}
		return false
	}
	p.failures++
	length := min(c.result.RetryAfter, longestPause)
	switch {
	case length > 0: // the endpoint has named it
	case isTrial:
		length = min(max(shortestPause, 2*p.length), longestPause)
	case !p.isOn() && p.isBegunBy(c):
		length = shortestPause
	default:
		return false
	}
	if until := now.Add(length); until.After(p.until) {
		p.length, p.until, p.last = length, until, c.reply
	}
	return true
}

// isBegunBy reports whether a call without evidence, which names no time to wait, begins a pause.
func (p *pause) isBegunBy(c *call) bool {
	isAway := p.failures >= failuresToPause && c.isControl()
	return isAway || c.result.Outcome == outcome.RateLimited
}
