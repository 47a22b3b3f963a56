// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package checker stands between the controller and the client. It decides whether an endpoint may be asked at all, and
// when; whether the endpoint's answers prove anything; and which answers serve more than one caller.
package checker

import (
	"context"
	"crypto/rand"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Options of a Checker.
type Options struct {
	// QPS is how many requests one endpoint is sent per second in the long run, and Burst how many at once.
	QPS   float64
	Burst int
	// Workers is how many callers there are at most at the same time. A part of them may be in flight to one endpoint.
	Workers int
	Clock   clock.PassiveClock
}

// Checker makes checks. It is safe for concurrent use, and it is a prometheus.Collector.
type Checker struct {
	allowed endpoint.AllowList
	config  jupico.Config
	options Options
	waits   *prometheus.CounterVec
	shared  *prometheus.CounterVec
	// key of the digests that tokens and usernames are told apart by. It is a pointer so that no way of printing shows it.
	key *[32]byte

	mu    sync.Mutex
	sites map[string]*site // by canonical URL, of which the allow list bounds the number
}

// New returns a Checker that sends requests to the allowed endpoints only.
func New(allowed endpoint.AllowList, config jupico.Config, options Options) *Checker {
	c := &Checker{
		allowed: allowed, config: config, options: options,
		waits: newCounter("jupico_check_waits_total",
			"How often a check was put off, mostly for want of a slot at the endpoint."),
		shared: newCounter("jupico_shared_checks_total",
			"Checks that were answered without a request of their own."),
		key: new([32]byte), sites: map[string]*site{},
	}
	_, _ = rand.Read(c.key[:]) // it never fails
	return c
}

// Check checks one token, or says when to ask again: it never waits for a slot. Before that, an endpoint is sent a
// random token: at first use, then every controlInterval, when its acceptances look different from before, and shortly
// before a token is delivered. The token itself is sent only if the endpoint refused the random one, as its acceptance
// would prove nothing otherwise.
func (c *Checker) Check(ctx context.Context, request check.Request) check.Answer {
	e, problem := c.find(request.Endpoint)
	if problem != nil {
		now := c.options.Clock.Now()
		return check.Answer{Result: *problem, Began: now, Ended: now}
	}
	queue := request.Namespace
	if request.IsAwaited {
		queue += "/awaited" // no namespace's name has a slash
	}
	answer := e.check(ctx, &caller{
		Request:  request,
		id:       request.Token.Digest(c.key[:], e.site.label),
		username: request.Credential.UsernameDigest(c.key[:]),
		queue:    queue,
	})
	switch {
	case !answer.RetryAt.IsZero():
		c.waits.WithLabelValues(e.site.label).Inc()
	case answer.Shared:
		c.shared.WithLabelValues(e.site.label).Inc()
	}
	return answer
}

// find returns what is known about an endpoint, or the result that says why it may not be asked.
func (c *Checker) find(where endpoint.Endpoint) (*endpointState, *outcome.Result) {
	canonical, err := endpoint.Canonical(where.URL)
	if err != nil {
		return nil, &outcome.Result{Outcome: outcome.EndpointDenied, Detail: "it is " + err.Error()}
	}
	if !c.allowed[canonical] {
		return nil, &outcome.Result{Outcome: outcome.EndpointDenied, Detail: "it is not on the operator's list"}
	}
	s := c.site(canonical)
	if e := s.find(where.CA); e != nil {
		return e, nil
	}
	roots, err := where.Roots() // takes a while, and is done without the lock
	if err != nil {
		return nil, &outcome.Result{Outcome: outcome.CAInvalid, Detail: err.Error()}
	}
	return s.add(where.CA, jupico.NewClient(canonical, roots, c.config)), nil
}

func (c *Checker) site(canonical string) *site {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sites[canonical] == nil {
		c.sites[canonical] = newSite(canonical, c.options)
	}
	return c.sites[canonical]
}
