// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"context"
	"maps"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	// controlInterval is how long the refusal of a random token counts for checks of tokens that are in use.
	controlInterval = time.Hour
	// deliveryControlAge is how old such a refusal may be where an acceptance is to be delivered.
	deliveryControlAge = 30 * time.Second
	// maxShapes is in how many shapes an endpoint may accept before it has to prove all of them again.
	maxShapes = 16
)

// endpointState is all that is known about one endpoint. The site's lock guards it.
type endpointState struct {
	*site

	client  *jupico.Client
	usedAt  time.Time
	control control
	tokens  tokens
}

// control is what is known about how an endpoint answers a random token. All who need a control at the same time share
// one.
type control struct {
	// refusedAt is when the last control began whose random token was refused. Zero: no acceptance proves anything before
	// another one is.
	refusedAt   time.Time
	isFailed    bool  // the last random token was accepted
	call        *call // the control under way
	acceptances *acceptances
}

// acceptances records in which shapes the endpoint has accepted since a control passed. A new shape needs a control of
// its own, because something else may be answering.
type acceptances struct {
	shapes map[outcome.Shape]bool
	isOpen bool // the next acceptance may have a new shape
}

// caller is a request on its way to an answer.
type caller struct {
	check.Request

	id       identity // of the token
	username identity // zero when the token is no login's, or when the caller does not know
	queue    string   // in which the caller waits for a slot
	// isRepeat: a check that the caller waited for came to nothing, so it is sent again. It was accepted in a new shape,
	// or its sender gave up.
	isRepeat bool
}

// isControlled reports whether a control that began at that time counts for the caller's check. An edit that is to be
// delivered needs one that began after it, as the endpoint may have been replaced before.
func (c *caller) isControlled(refusedAt, now time.Time) bool {
	if c.ForDelivery {
		return now.Sub(refusedAt) < deliveryControlAge && !refusedAt.Before(c.Edited)
	}
	return now.Sub(refusedAt) < controlInterval
}

// isServedBy reports whether a call of the same token that is under way, if there is one, is as good as a new one.
func (c *caller) isServedBy(running *call, now time.Time) bool {
	return running != nil && !running.began.Before(c.NotBefore) && c.isControlled(running.controlledAt, now)
}

// call is a request to an endpoint, from its beginning on. Those who join it wait until it is done. Its sender alone
// writes it: the result without the lock, before it is done, and all else under the lock.
type call struct {
	reply

	sender      *caller
	secret      credential.Token
	token       *tokenState  // nil: this is a control, with a random token
	acceptances *acceptances // since the control before it
	done        chan struct{}
}

// reply is what came of a call.
type reply struct {
	began time.Time
	// controlledAt is when, before that, the last control began that passed.
	controlledAt time.Time
	// result has no Outcome when the sender gave up, or when the answer proves nothing before another control. It is set
	// before the call is done.
	result outcome.Result
}

// check answers one caller, or defers it.
func (e *endpointState) check(ctx context.Context, c *caller) check.Answer {
	for {
		running, answer := e.admit(c)
		if running == nil {
			return answer
		}
		answer, ok := e.run(ctx, c, running)
		// The caller may have joined a call that began before its edit. If that was rejected, the edit needs another call.
		if ok && (answer.Outcome.Class() != outcome.Rejection || !answer.Began.Before(c.Edited)) {
			return answer
		}
		c.isRepeat = c.isRepeat || !ok && running.token != nil
	}
}

// admit tries the ways to an answer, from those that cost nothing to those that cost a request. It returns the call
// that the caller is to send or to wait for, or else the answer.
func (e *endpointState) admit(c *caller) (*call, check.Answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.options.Clock.Now()
	if now.Before(c.NotBefore) {
		return nil, check.Answer{RetryAt: c.NotBefore}
	}
	token := e.tokens.get(c, now)
	if token.answers(c, now) {
		answer := e.shared(token.reply, now)
		if token.rejections > 0 {
			answer.BackoffUntil = token.backoffUntil(c.LongestBackoff)
		}
		return nil, answer
	}
	if c.isServedBy(token.call, now) {
		return e.join(c, token.call, now)
	}
	if retryAt := token.editRetryAt(c.Request); now.Before(retryAt) {
		return nil, check.Answer{RetryAt: retryAt}
	}
	if last, isPaused := e.pause.answer(now); isPaused {
		return nil, e.shared(last, now)
	}
	switch {
	case c.isControlled(e.control.refusedAt, now) && !e.pause.needsControl():
		return e.begin(&call{sender: c, secret: c.Token, token: token}, now)
	case e.control.call != nil:
		return e.join(c, e.control.call, now)
	default:
		return e.begin(&call{sender: c, secret: credential.RandomToken()}, now)
	}
}

// shared is an answer without a request.
func (e *endpointState) shared(r reply, now time.Time) check.Answer {
	r.result.Duration = 0
	isMass := r.result.Outcome.Class() == outcome.Rejection && e.tokens.mass.isOn(now)
	return check.Answer{
		Result: r.result, Began: r.began, Ended: r.began, ControlledAt: r.controlledAt, Shared: true, MassRejection: isMass,
	}
}

// join lets a caller wait for another's call, if there is a place for it.
func (e *endpointState) join(c *caller, running *call, now time.Time) (*call, check.Answer) {
	if !c.Urgent && !e.bucket.hasPlace() {
		return nil, check.Answer{RetryAt: now.Add(shortestCall + now.Sub(running.began))}
	}
	e.bucket.enter(running.began)
	return running, check.Answer{}
}

// begin registers a call, if there are a slot and a place for it. An urgent caller takes a slot on credit, so that it
// is missing later. So do a check that is repeated and, unless a slot is missing already, a control: its check should
// follow in the same round.
func (e *endpointState) begin(fresh *call, now time.Time) (*call, check.Answer) {
	isControl := fresh.token == nil
	isOnCredit := isControl && e.bucket.limiter.TokensAt(now) >= 0 || !isControl && fresh.sender.isRepeat
	if fresh.sender.Urgent || isOnCredit && e.bucket.hasPlace() {
		e.bucket.limiter.ReserveN(now, 1)
	} else if retryAt, ok := e.bucket.take(fresh.sender.id, fresh.sender.queue, now); !ok {
		return nil, check.Answer{RetryAt: retryAt}
	}
	fresh.began, fresh.done = now, make(chan struct{})
	fresh.controlledAt, fresh.acceptances = e.control.refusedAt, e.control.acceptances
	e.bucket.enter(now)
	if e.pause.length > 0 {
		e.pause.halfOpen = fresh
	}
	if isControl {
		e.control.call = fresh
	} else {
		fresh.token.call = fresh
	}
	return fresh, check.Answer{}
}

// run sends the caller's own call, or waits for another's. There is no answer after a control that passed, nor after a
// call without an Outcome: then the caller has to be admitted again.
func (e *endpointState) run(ctx context.Context, c *caller, running *call) (check.Answer, bool) {
	defer e.leave(running)
	isSender := running.sender == c
	if isSender {
		e.send(ctx, running)
	} else {
		select {
		case <-running.done:
		case <-ctx.Done():
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.options.Clock.Now()
	final := reply{
		began: running.began, result: outcome.Result{Outcome: outcome.Unreachable, Detail: "it was given up"},
	}
	if ctx.Err() == nil {
		final = running.reply
	}
	isPassedControl := running.token == nil && final.result.Outcome.Class() == outcome.Rejection
	if isPassedControl || final.result.Outcome == "" {
		return check.Answer{}, false
	}
	answer := e.shared(final, now)
	if isSender {
		answer.Shared, answer.Ended, answer.Duration = false, now, final.result.Duration
	}
	return answer, true
}

// leave gives a place in flight back, even after a panic.
func (e *endpointState) leave(running *call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bucket.leave(running.began)
}

// send makes a call that was registered. Even a panic ends the call, so that nobody waits for ever.
func (e *endpointState) send(ctx context.Context, c *call) {
	defer e.finish(c)
	result := e.client.Check(ctx, c.secret)
	if ctx.Err() == nil { // that the sender gave up says nothing about the endpoint
		c.result = result
	}
}

// finish records the result of a call.
func (e *endpointState) finish(c *call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer close(c.done)
	now := e.options.Clock.Now()
	if c.result.Attempts > 1 {
		e.bucket.limiter.ReserveN(now, 1) // on credit
	}
	if c.token != nil && c.result.Outcome.Class() == outcome.Acceptance && !e.control.proves(c) {
		c.result = outcome.Result{} // the check is repeated, after another control if there was none meanwhile
		if c.controlledAt.Equal(e.control.refusedAt) {
			e.control.refusedAt = time.Time{}
		}
	}
	if c.token != nil {
		e.tokens.end(c, now)
	} else {
		e.control.end(c)
	}
	if e.pause.end(c, now) {
		e.bucket.clear() // all who wait get an answer without a slot
	}
}

// end records the result of a control. When the random token was accepted, the outcome stands for the checks that are
// not made because of this.
func (c *control) end(ended *call) {
	c.call = nil
	switch ended.result.Outcome.Class() {
	case outcome.Acceptance:
		*c = control{isFailed: true}
		ended.result.Outcome = outcome.EndpointDoesNotAuthenticate
	case outcome.Rejection:
		known := &acceptances{shapes: map[outcome.Shape]bool{}, isOpen: true}
		isForShape := c.acceptances != nil && c.refusedAt.IsZero()
		if isForShape && len(c.acceptances.shapes) < maxShapes {
			known.shapes = maps.Clone(c.acceptances.shapes)
		}
		*c = control{refusedAt: ended.began, acceptances: known}
	case outcome.NoEvidence, outcome.Transient:
	}
}

// proves reports whether an acceptance proves anything: since a random token was refused, the endpoint has accepted in
// this shape before, or this is the first new shape, a moment later. It notes the shapes.
func (c *control) proves(accepted *call) bool {
	if c.refusedAt.IsZero() {
		return false
	}
	known, shape := accepted.acceptances, accepted.result.Shape
	isRecent := accepted.began.Sub(accepted.controlledAt) < deliveryControlAge
	if !known.shapes[shape] && known.isOpen && isRecent {
		known.shapes[shape], known.isOpen = true, false
	}
	return known.shapes[shape]
}
