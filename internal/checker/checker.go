// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package checker stands between the controller and the client: it decides whether an endpoint may be asked at all, and
// when, whether its answers prove anything, and which of them serve more than one asker.
package checker

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Endpoint is where a check goes.
type Endpoint struct {
	// URL is the base URL, in any spelling.
	URL string
	// CA holds PEM certificates of the authorities that the endpoint's certificate is verified against. Empty means the
	// system's.
	CA string
}

// Request asks for a check.
type Request struct {
	Endpoint Endpoint
	Token    credential.Token
	// Lane that the asker waits in, such as its namespace. Slots are dealt to the lanes in turn.
	Lane string
	// NotBefore is when the check must have begun at the earliest. Zero: any answer that may be shared serves. An endpoint
	// that is left alone is left alone all the same: an answer without evidence may be older.
	NotBefore time.Time
	// Known is when the check began that the asker knows of. An acceptance must be of a later one. Zero: of any.
	Known time.Time
	// Edited is when that was edited which the asker makes the token of. An edit is tried at once: a rejection must be of
	// a check that began then or later. Zero: of any.
	Edited time.Time
	// Latch is the longest that the asker lets a rejection of this token stand for a check. Zero: not at all.
	Latch time.Duration
	// Urgent: the asker cannot be deferred. Its slot is taken on credit. An answer that serves is taken all the same.
	Urgent bool
}

// Answer is what came of a Request.
type Answer struct {
	// Result is without meaning when RetryAt is set. That of a shared answer has no Duration.
	outcome.Result
	// Began is when the check began. Sharers take this time over, so that equal tokens fall due together.
	Began time.Time
	// Shared: no request was sent for this asker.
	Shared bool
	// RetryAt, when it is not zero, says that no check was made, mostly for want of a slot, and when to ask again. The
	// place in the queue is kept until a little later.
	RetryAt time.Time
	// LatchedUntil is how long a shared rejection goes on standing for a check.
	LatchedUntil time.Time
	// MassRejection: this is a rejection, and most of the endpoint's tokens were rejected together.
	MassRejection bool
}

// Options of a Checker.
type Options struct {
	// QPS is how many requests a second one endpoint is sent in the long run, and Burst how many at once.
	QPS   float64
	Burst int
	// Workers is how many askers there may be at a time. A quarter of them may be in calls to one endpoint, and three
	// quarters while its calls take less than 100 ms.
	Workers int
	Clock   clock.PassiveClock
	// Log is told what concerns an endpoint, rather than one asker.
	Log logr.Logger
}

// Checker makes checks. It is safe for concurrent use, and a prometheus.Collector.
type Checker struct {
	allowed jupico.AllowList
	config  jupico.Config
	options Options
	metrics *metrics
	// secret keys the digests that tokens are told apart by. A pointer, so that no way of printing reaches it.
	secret *[32]byte

	mu        sync.Mutex // never held during a call
	endpoints map[key]*endpoint
}

// New returns a Checker that asks only the allowed endpoints.
func New(allowed jupico.AllowList, config jupico.Config, options Options) *Checker {
	c := &Checker{
		allowed: allowed, config: config, options: options,
		metrics: newMetrics(), secret: new([32]byte), endpoints: map[key]*endpoint{},
	}
	_, _ = rand.Read(c.secret[:]) // it never fails
	return c
}

// Check checks one token, or says when to come back: it never waits for a slot. An endpoint is first given a random
// token, at first use and every ControlInterval: unless it refuses that, the token is not sent, since an acceptance
// would prove nothing.
func (c *Checker) Check(ctx context.Context, request Request) Answer {
	at, problem := c.endpoint(request.Endpoint)
	if problem != nil {
		return Answer{Result: *problem, Began: c.options.Clock.Now()}
	}
	answer := at.check(ctx, asker{Request: request, id: c.identify(at, request.Token)})
	c.metrics.answered(at.label, answer)
	return answer
}

// Contact reports whether an endpoint is about to be asked for the first time, which may take long, so that the asker
// should say that it is under way. Of many who ask at once, one is told so, and the others get a time to come back at:
// mostly it takes but a moment, and then nobody else need say anything. The time is zero when there is none.
func (c *Checker) Contact(where Endpoint) (isFirst bool, retryAt time.Time) {
	at, problem := c.endpoint(where)
	if problem != nil {
		return false, time.Time{} // it is never asked
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	return at.control.contact(c.options.Clock.Now())
}

func (c *Checker) identify(at *endpoint, token credential.Token) identity {
	return token.Digest(c.secret[:], at.key.url+"\x00"+string(at.key.ca[:]))
}
