// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// maxPause is the longest Retry-After that is honoured.
const maxPause = 5 * time.Minute

// key tells endpoints apart: a proof at one says nothing of another, nor of the same host under other authorities.
type key struct {
	url string
	ca  [sha256.Size]byte
}

// endpoint is all that is known of one endpoint.
type endpoint struct {
	key    key
	label  string // in metrics and logs: host and path
	client *jupico.Client
	clock  clock.PassiveClock
	log    logr.Logger

	lastAsked time.Time // guarded by Checker.mu

	mu      sync.Mutex // guards what follows, and is not held during a call
	bucket  bucket
	room    room
	tokens  tokens
	control control
	breaker breaker
	pause   pause
}

// asker is who waits for an answer.
type asker struct {
	Request
	id identity
}

// takes reports whether a shared call's answer will do, which may have begun before an edit.
func (a asker) takes(answer Answer) bool {
	return answer.Outcome.Class() != outcome.Rejection || !answer.Began.Before(a.Edited)
}

// endpoint returns what is kept of an endpoint, or the result that says why it may not be asked.
func (c *Checker) endpoint(where Endpoint) (*endpoint, *outcome.Result) {
	canonical, err := jupico.CanonicalBaseURL(where.URL)
	if err != nil {
		return nil, &outcome.Result{Outcome: outcome.EndpointDenied, Detail: "it is " + err.Error()}
	}
	if !c.allowed.Allows(canonical) {
		return nil, &outcome.Result{Outcome: outcome.EndpointDenied, Detail: "it is not on the operator's list"}
	}
	k := key{url: canonical, ca: sha256.Sum256([]byte(where.CA))}

	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.options.Clock.Now()
	c.forgetUnused(now)
	if known := c.endpoints[k]; known != nil {
		known.lastAsked = now
		return known, nil
	}
	var roots *x509.CertPool
	if where.CA != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(where.CA)) {
			return nil, &outcome.Result{Outcome: outcome.CAInvalid, Detail: "it holds no PEM certificate"}
		}
	}
	fresh := &endpoint{
		key:       k,
		label:     strings.TrimPrefix(canonical, "https://"),
		client:    jupico.NewClient(canonical, roots, c.config),
		clock:     c.options.Clock,
		log:       c.options.Log,
		lastAsked: now,
		bucket:    newBucket(c.options.QPS, c.options.Burst),
		room:      newRoom(c.options.Workers, c.config.Timeout),
		tokens:    newTokens(),
	}
	c.endpoints[k] = fresh
	return fresh, nil
}

func (c *Checker) forgetUnused(now time.Time) {
	for k, at := range c.endpoints {
		if now.Sub(at.lastAsked) > ControlInterval {
			at.client.CloseIdleConnections()
			delete(c.endpoints, k)
		}
	}
}

// check answers one asker, or defers it.
func (e *endpoint) check(ctx context.Context, a asker) Answer {
	for {
		turn := e.admit(a)
		if turn.call == nil {
			return turn.answer
		}
		if answer, ok := e.attend(ctx, turn); ok && a.takes(answer) {
			return answer
		}
	}
}

// turn is what an asker is to do: take an answer, or make a call, or wait for another's.
type turn struct {
	answer Answer
	call   *call
	leads  bool
}

// admit goes from what costs nothing to what costs a request.
func (e *endpoint) admit(a asker) turn {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	if now.Before(a.NotBefore) {
		return turn{answer: Answer{RetryAt: a.NotBefore}}
	}
	held := e.tokens.get(a.id, now)
	if held.serves(a.Request, now) {
		answer := e.shared(held.result, held.began, now)
		if held.rejections > 0 {
			answer.LatchedUntil = held.latchedUntil(a.Latch)
		}
		return turn{answer: answer}
	}
	if under := held.call; under != nil && !under.began.Before(a.NotBefore) {
		return e.join(a, under, now)
	}
	if rested := held.restsUntil(a.Request); now.Before(rested) {
		return turn{answer: Answer{RetryAt: rested}}
	}
	if result, began, ok := e.pause.stands(now); ok {
		return turn{answer: e.shared(result, began, now)}
	}
	if e.breaker.blocks(now) {
		return turn{answer: e.shared(e.breaker.failure, e.breaker.began, now)}
	}
	if e.control.holds(now) {
		return e.begin(a, &call{of: held, token: a.Token, latch: a.Latch}, now)
	}
	if e.control.call != nil {
		return e.join(a, e.control.call, now)
	}
	// It waits in a lane of its own, so that no other has to pay for it.
	a.id, a.Lane = identity{}, ""
	return e.begin(a, &call{token: credential.RandomToken()}, now)
}

// shared is an answer without a request.
func (e *endpoint) shared(result outcome.Result, began, now time.Time) Answer {
	result.Duration = 0
	isMass := result.Outcome.Class() == outcome.Rejection && e.tokens.mass.stands(now)
	return Answer{Result: result, Began: began, Shared: true, MassRejection: isMass}
}

func (e *endpoint) join(a asker, under *call, now time.Time) turn {
	if e.room.isFull(now) && !a.Urgent {
		return turn{answer: Answer{RetryAt: e.room.endOf(under, now)}}
	}
	e.room.inside++
	return turn{call: under}
}

// begin registers a call, if there is a slot for it.
func (e *endpoint) begin(a asker, fresh *call, now time.Time) turn {
	if a.Urgent {
		e.bucket.credit(now)
	} else if retryAt, ok := e.bucket.take(a.id, a.Lane, &e.room, now); !ok {
		return turn{answer: Answer{RetryAt: retryAt}}
	}
	fresh.began, fresh.done = now, make(chan struct{})
	fresh.isProbe = e.breaker.probe()
	e.room.inside++
	e.room.calls[fresh] = true
	if fresh.of != nil {
		fresh.of.call = fresh
	} else {
		e.control.call = fresh
	}
	return turn{call: fresh, leads: true}
}

// attend sees a call to its end, the asker's own or a shared one. There is no answer after a control that passed, nor
// after a call that its maker gave up.
func (e *endpoint) attend(ctx context.Context, t turn) (Answer, bool) {
	defer e.leave()
	if t.leads {
		e.send(ctx, t.call)
	} else {
		t.call.wait(ctx)
	}
	switch {
	case ctx.Err() != nil:
		given := outcome.Result{Outcome: outcome.Unreachable, Detail: "it was given up"}
		return Answer{Result: given, Began: t.call.began, Shared: !t.leads}, true
	case t.call.isVoid, t.call.result.Outcome == "":
		return Answer{}, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	answer := e.shared(t.call.result, t.call.began, e.clock.Now())
	if t.leads {
		answer.Shared, answer.Duration = false, t.call.result.Duration
	}
	return answer, true
}

// leave gives the room back, after a panic too.
func (e *endpoint) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.room.inside--
}

// send makes a call that was registered. Even a panic ends it, so that nobody waits for ever.
func (e *endpoint) send(ctx context.Context, c *call) {
	c.isVoid = true
	defer func() { e.finish(c) }()
	c.result = e.client.Check(ctx, c.token)
	c.isVoid = ctx.Err() != nil // the maker's own end says nothing of the endpoint
}

// finish draws the conclusions from a call.
func (e *endpoint) finish(c *call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer close(c.done)
	now := e.clock.Now()
	delete(e.room.calls, c)
	if c.of != nil && c.of.call == c {
		c.of.call = nil
	}
	if e.control.call == c {
		e.control.call = nil
	}
	if c.isVoid {
		e.breaker.giveUp(c)
		return
	}
	e.room.observe(c.result.Duration)
	if hasOpened := e.breaker.report(c, now); e.pause.begin(c, now) || hasOpened {
		e.bucket.clear() // whoever waits gets an answer without a slot
	}
	if c.of == nil {
		c.result = e.control.conclude(c.result, now)
		return
	}
	e.tokens.record(c, now)
	if hasBegun, rejected, of := e.tokens.mass.update(now); hasBegun {
		e.log.Info("Noticed mass rejection", "endpoint", e.label, "rejected", rejected, "tokens", of)
	}
}
