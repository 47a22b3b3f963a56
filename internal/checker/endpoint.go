// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"context"
	"sync"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// controlInterval is how long the proof lasts that a refused random token gives. An endpoint that was not used for as
// long is forgotten.
const controlInterval = 24 * time.Hour

// endpointState is all that is known about one endpoint.
type endpointState struct {
	label    string // in metrics and logs: host and path
	client   *jupico.Client
	options  Options
	lastUsed time.Time // guarded by Checker.mu

	mu      sync.Mutex // guards the fields below, and is never held during a call
	bucket  bucket     // is about the URL
	pause   pause      // is about the URL
	control control    // is about the URL and its authorities
	tokens  tokens     // are about the URL, its authorities and one token each
}

// control is what is known about how an endpoint answers a random token. All who need a control at the same time share
// one.
type control struct {
	passedAt time.Time // when a random token was refused
	isFailed bool      // the last random token was accepted
	call     *call     // the control under way
}

// caller is a request on its way to an answer.
type caller struct {
	check.Request

	id       identity // of the token
	username identity // zero when the token is no login's, or when the caller does not know
	queue    string   // in which the caller waits for a slot
}

// call is a request to an endpoint, from its beginning on. Those who join it wait until it is done.
type call struct {
	sender *caller
	secret credential.Token
	token  *tokenState // nil: this is a control, with a random token
	began  time.Time
	done   chan struct{}
	// result is set before done is closed. It has no Outcome when the sender gave up.
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
	if token.answers(c.Request, now) {
		answer := e.shared(token.result, token.began, now)
		if token.rejections > 0 {
			answer.BackoffUntil = token.backoffUntil(c.LongestBackoff)
		}
		return nil, answer
	}
	if running := token.call; running != nil && !running.began.Before(c.NotBefore) {
		return e.join(c, running, now)
	}
	if retryAt := token.editRetryAt(c.Request); now.Before(retryAt) {
		return nil, check.Answer{RetryAt: retryAt}
	}
	if result, began, isPaused := e.pause.answer(now); isPaused {
		return nil, e.shared(result, began, now)
	}
	if now.Sub(e.control.passedAt) < controlInterval {
		return e.begin(&call{sender: c, secret: c.Token, token: token}, c.id, c.queue, now)
	}
	if e.control.call != nil {
		return e.join(c, e.control.call, now)
	}
	// The control has a queue of its own, so that no namespace pays for it.
	return e.begin(&call{sender: c, secret: credential.RandomToken()}, identity{}, "", now)
}

// shared is an answer without a request.
func (e *endpointState) shared(result outcome.Result, began, now time.Time) check.Answer {
	result.Duration = 0
	isMass := result.Outcome.Class() == outcome.Rejection && e.tokens.mass.isOn(now)
	return check.Answer{Result: result, Began: began, Ended: began, Shared: true, MassRejection: isMass}
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
// is missing later.
func (e *endpointState) begin(fresh *call, id identity, queue string, now time.Time) (*call, check.Answer) {
	if fresh.sender.Urgent {
		e.bucket.limiter.ReserveN(now, 1)
	} else if retryAt, ok := e.bucket.take(id, queue, now); !ok {
		return nil, check.Answer{RetryAt: retryAt}
	}
	fresh.began, fresh.done = now, make(chan struct{})
	e.bucket.enter(now)
	if e.pause.length > 0 {
		e.pause.halfOpen = fresh
	}
	if fresh.token != nil {
		fresh.token.call = fresh
	} else {
		e.control.call = fresh
	}
	return fresh, check.Answer{}
}

// run sends the caller's own call, or waits for another's. There is no answer after a control that passed, nor after a
// call whose sender gave up: then the caller has to be admitted again.
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
	result := outcome.Result{Outcome: outcome.Unreachable, Detail: "it was given up"}
	if ctx.Err() == nil {
		result = running.result
		isPassedControl := running.token == nil && result.Outcome.Class() == outcome.Rejection
		if isPassedControl || result.Outcome == "" {
			return check.Answer{}, false
		}
	}
	answer := e.shared(result, running.began, now)
	if isSender {
		answer.Shared, answer.Ended, answer.Duration = false, now, result.Duration
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
	if c.token == nil {
		e.control.end(c, now)
	} else {
		e.tokens.end(c, now)
	}
	if e.pause.end(c, now) {
		e.bucket.clear() // all who wait get an answer without a slot
	}
}

// end records the result of a control. When the random token was accepted, the outcome stands for the checks that are
// not made because of this.
func (c *control) end(ended *call, now time.Time) {
	c.call = nil
	switch ended.result.Outcome.Class() {
	case outcome.Acceptance:
		c.isFailed = true
		ended.result.Outcome = outcome.EndpointDoesNotAuthenticate
	case outcome.Rejection:
		c.isFailed, c.passedAt = false, now
	case outcome.NoEvidence, outcome.Transient:
	}
}
