// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package checker stands between the controller and the client: it decides whether an endpoint may be asked at all, and
// whether its answers prove anything.
package checker

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// ControlInterval is how long a passed negative control holds. An endpoint that was not asked for as long is forgotten.
const ControlInterval = 24 * time.Hour

// Endpoint is where a check goes.
type Endpoint struct {
	// URL is the base URL, in any spelling.
	URL string
	// CA holds PEM certificates of the authorities that the endpoint's certificate is verified against. Empty means the
	// system's.
	CA string
}

// Checker makes checks. It is safe for concurrent use.
type Checker struct {
	allowed jupico.AllowList
	config  jupico.Config
	clock   clock.PassiveClock

	mu        sync.Mutex
	endpoints map[key]*endpoint
	controls  singleflight.Group
}

// key tells endpoints apart: a proof at one says nothing of another, nor of the same host under other authorities.
type key struct {
	url string
	ca  [sha256.Size]byte
}

type endpoint struct {
	client *jupico.Client

	// These are guarded by Checker.mu.
	lastAsked       time.Time
	controlPassedAt time.Time
}

// New returns a Checker that asks only the allowed endpoints.
func New(allowed jupico.AllowList, config jupico.Config, clock clock.PassiveClock) *Checker {
	return &Checker{allowed: allowed, config: config, clock: clock, endpoints: map[key]*endpoint{}}
}

// Check checks one token. An endpoint is first given a random token, at first use and every ControlInterval: unless it
// refuses that, the token is not sent, since an acceptance would prove nothing.
func (c *Checker) Check(ctx context.Context, where Endpoint, token credential.Token) outcome.Result {
	at, k, problem := c.endpoint(where)
	if problem != nil {
		return *problem
	}
	if !c.controlHolds(at) {
		if problem := c.control(ctx, at, k); problem != nil {
			return *problem
		}
	}
	return at.client.Check(ctx, token)
}

// Controlled reports whether the endpoint is known to refuse a random token, so that a check takes a single request.
func (c *Checker) Controlled(where Endpoint) bool {
	at, _, problem := c.endpoint(where)
	return problem == nil && c.controlHolds(at)
}

// endpoint returns what is kept of an endpoint, or the result that says why it may not be asked.
func (c *Checker) endpoint(where Endpoint) (*endpoint, key, *outcome.Result) {
	canonical, err := jupico.CanonicalBaseURL(where.URL)
	if err != nil {
		return nil, key{}, &outcome.Result{Outcome: outcome.EndpointDenied, Detail: "it is " + err.Error()}
	}
	if !c.allowed.Allows(canonical) {
		return nil, key{}, &outcome.Result{Outcome: outcome.EndpointDenied, Detail: "it is not on the operator's list"}
	}
	k := key{url: canonical, ca: sha256.Sum256([]byte(where.CA))}

	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if known := c.endpoints[k]; known != nil {
		known.lastAsked = now
		return known, k, nil
	}
	var roots *x509.CertPool
	if where.CA != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(where.CA)) {
			return nil, key{}, &outcome.Result{Outcome: outcome.CAInvalid, Detail: "it holds no PEM certificate"}
		}
	}
	c.forgetUnused(now)
	fresh := &endpoint{client: jupico.NewClient(canonical, roots, c.config), lastAsked: now}
	c.endpoints[k] = fresh
	return fresh, k, nil
}

func (c *Checker) forgetUnused(now time.Time) {
	for k, at := range c.endpoints {
		if now.Sub(at.lastAsked) > ControlInterval {
			at.client.CloseIdleConnections()
			delete(c.endpoints, k)
		}
	}
}

func (c *Checker) controlHolds(at *endpoint) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !at.controlPassedAt.IsZero() && c.clock.Since(at.controlPassedAt) < ControlInterval
}

// control gives the endpoint a random token. All who need the control at the same time share one. It returns nil when
// the token was refused, and else the result that stands for the check which therefore is not made.
func (c *Checker) control(ctx context.Context, at *endpoint, k key) *outcome.Result {
	shared, _, _ := c.controls.Do(k.url+"\x00"+string(k.ca[:]), func() (any, error) {
		if c.controlHolds(at) { // who comes late finds it done
			return (*outcome.Result)(nil), nil
		}
		result := at.client.Check(ctx, credential.RandomToken())
		switch result.Outcome.Class() {
		case outcome.Acceptance:
			return &outcome.Result{
				Outcome: outcome.EndpointDoesNotAuthenticate, Detail: result.Detail, Duration: result.Duration,
			}, nil
		case outcome.Rejection:
			c.mu.Lock()
			defer c.mu.Unlock()
			at.controlPassedAt = c.clock.Now()
			return (*outcome.Result)(nil), nil
		case outcome.NoEvidence, outcome.Transient:
		}
		return &result, nil
	})
	problem, _ := shared.(*outcome.Result)
	return problem
}
