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
	// deliveryControlAge is how old such a refusal may be where an acceptance is to be delivered. It has to be longer than
	// a request may take, or the refusal would be too old when it comes: see --check-timeout.
	deliveryControlAge = 30 * time.Second
	// maxShapes is in how many shapes an endpoint may accept before it has to prove all of them again.
	maxShapes = 16
)

// endpointState is all that is known about one endpoint. The site's lock guards it.
type endpointState struct {
	site    *site
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
	refusedAt time.Time
	// failedAt is when the last control began whose random token was accepted.
	failedAt time.Time
	isFailed bool  // the last control that found anything out had its random token accepted
	call     *call // the control under way
	known    *acceptances
	// isShapeNew: an acceptance in a new shape is why another control is needed. If it passes, the known shapes stay.
	isShapeNew bool
}

// acceptances records the shapes in which acceptances are believed. A new shape needs a control of its own, because
// something else may be answering.
type acceptances struct {
	shapes map[outcome.Shape]bool
	// mayLearn: no shape was learned since the last control. So the first new one is believed, if it comes soon.
	mayLearn bool
}

// caller is a request on its way to an answer.
type caller struct {
	check.Request

	id       identity // of the token
	username identity // zero when the token is no login's, or when the caller does not know
	queue    string   // in which the caller waits for a slot
	// isRepeat: a check of this token, the caller's own or one that it joined, came to nothing, so it is sent again: it
	// was accepted in a new shape, or its sender gave up.
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

	sender *caller
	secret credential.Token
	token  *tokenState  // nil for a control
	known  *acceptances // after the control before it
	done   chan struct{}
}

// isControl reports whether a random token is sent.
func (c *call) isControl() bool { return c.token == nil }

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
		c.isRepeat = c.isRepeat || !ok && !running.isControl()
	}
}

// admit tries the ways to an answer, from those that cost nothing to those that cost a request. It returns the call
// that the caller is to send or to wait for, or else the answer.
func (e *endpointState) admit(c *caller) (*call, check.Answer) {
	e.site.mu.Lock()
	defer e.site.mu.Unlock()
	now := e.site.clock.Now()
	if now.Before(c.NotBefore) {
		return nil, check.Answer{RetryAt: c.NotBefore}
	}
	token := e.tokens.get(c, now)
	if token.answers(c, e.control.failedAt, now) {
		answer := e.shared(token.evidence, now)
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
	if last, isPaused := e.site.pause.answer(now); isPaused {
		return nil, e.shared(last, now)
	}
	switch {
	case c.isControlled(e.control.refusedAt, now) && !e.site.pause.needsControl():
		return e.begin(&call{sender: c, secret: c.Token, token: token}, now)
	case e.control.call != nil:
		return e.join(c, e.control.call, now)
	default:
		return e.begin(&call{sender: c, secret: credential.RandomToken()}, now)
	}
}

// shared is an answer without a request of its own.
func (e *endpointState) shared(r reply, now time.Time) check.Answer {
	answer := e.answer(r, now)
	answer.Shared, answer.Ended, answer.Duration = true, r.began, 0
	return answer
}

// answer is that of a call that has just ended.
func (e *endpointState) answer(r reply, now time.Time) check.Answer {
	isMass := r.result.Outcome.Class() == outcome.Rejection && e.tokens.mass.isOn(now)
	return check.Answer{Result: r.result, Began: r.began, Ended: now, ControlledAt: r.controlledAt, MassRejection: isMass}
}

// join lets a caller wait for another's call, if there is a place for it.
func (e *endpointState) join(c *caller, running *call, now time.Time) (*call, check.Answer) {
	if !c.Urgent && !e.site.bucket.hasPlace() {
		return nil, check.Answer{RetryAt: now.Add(shortestCall + now.Sub(running.began))}
	}
	e.site.bucket.enter(running.began)
	return running, check.Answer{}
}

// begin registers a call, if there are a slot and a place for it. An urgent caller takes a slot on credit, so that it
// is missing later. So do a check that is repeated and, unless a slot is missing already, a control: its check should
// follow in the same round.
func (e *endpointState) begin(fresh *call, now time.Time) (*call, check.Answer) {
	bucket := &e.site.bucket
	isOnCredit := fresh.sender.isRepeat
	if fresh.isControl() {
		isOnCredit = bucket.limiter.TokensAt(now) >= 0
	}
	if fresh.sender.Urgent || isOnCredit && bucket.hasPlace() {
		bucket.limiter.ReserveN(now, 1)
	} else if retryAt, ok := bucket.take(fresh.sender.id, fresh.sender.queue, now); !ok {
		return nil, check.Answer{RetryAt: retryAt}
	}
	fresh.began, fresh.done = now, make(chan struct{})
	fresh.controlledAt, fresh.known = e.control.refusedAt, e.control.known
	bucket.enter(now)
	e.site.pause.begin(fresh)
	if fresh.isControl() {
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
	if ctx.Err() != nil {
		givenUp := outcome.Result{Outcome: outcome.Unreachable, Detail: "it was given up"}
		return check.Answer{Result: givenUp, Began: running.began}, true
	}
	isPassedControl := running.isControl() && running.result.Outcome.Class() == outcome.Rejection
	if isPassedControl || running.result.Outcome == "" {
		return check.Answer{}, false
	}
	e.site.mu.Lock()
	defer e.site.mu.Unlock()
	now := e.site.clock.Now()
	if isSender {
		return e.answer(running.reply, now), true
	}
	return e.shared(running.reply, now), true
}

// leave gives a place in flight back, even after a panic.
func (e *endpointState) leave(running *call) {
	e.site.mu.Lock()
	defer e.site.mu.Unlock()
	e.site.bucket.leave(running.began)
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
	e.site.mu.Lock()
	defer e.site.mu.Unlock()
	defer close(c.done)
	now := e.site.clock.Now()
	if c.result.Attempts > 1 {
		e.site.bucket.limiter.ReserveN(now, 1) // on credit
	}
	if c.isControl() {
		e.control.end(c)
	} else {
		if c.result.Outcome.Class() == outcome.Acceptance && !e.control.proves(c) {
			c.result = outcome.Result{} // the check is repeated, after another control if there was none meanwhile
			if c.controlledAt.Equal(e.control.refusedAt) {
				e.control.refusedAt, e.control.isShapeNew = time.Time{}, true
			}
		}
		e.tokens.end(c, now)
	}
	if e.site.pause.end(c, now) {
		e.site.bucket.clear() // all who wait get an answer without a slot
	}
}

// end records the result of a control. When the random token was accepted, the outcome stands for the checks that are
// not made because of this.
func (c *control) end(ended *call) {
	c.call = nil
	switch ended.result.Outcome.Class() {
	case outcome.Acceptance:
		*c = control{isFailed: true, failedAt: ended.began}
		ended.result.Outcome = outcome.EndpointDoesNotAuthenticate
	case outcome.Rejection:
		known := &acceptances{shapes: map[outcome.Shape]bool{}, mayLearn: true}
		if c.isShapeNew && len(c.known.shapes) < maxShapes {
			known.shapes = maps.Clone(c.known.shapes)
		}
		*c = control{refusedAt: ended.began, failedAt: c.failedAt, known: known}
	case outcome.NoEvidence, outcome.Transient:
	}
}

// proves reports whether an acceptance proves anything: as far as is known, no random token was accepted since the
// control before the check, and the shape is known, or it is the first new one, a moment after that control. It notes
// the shape.
func (c *control) proves(accepted *call) bool {
	if c.refusedAt.IsZero() || accepted.controlledAt.Before(c.failedAt) {
		return false
	}
	known, shape := accepted.known, accepted.result.Shape
	isRecent := accepted.began.Sub(accepted.controlledAt) < deliveryControlAge
	if !known.shapes[shape] && known.mayLearn && isRecent {
		known.shapes[shape], known.mayLearn = true, false
	}
	return known.shapes[shape]
}
