// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/jupico-operator/jupico-operator/internal/jupico"
)

const (
	// maxEndpoints is how many endpoints of one URL are remembered, which differ in their authorities. Beyond that, those
	// are forgotten that were not used for the longest time. They have to prove themselves again.
	maxEndpoints = 16
	// endpointTTL is how long an endpoint that is not used is remembered.
	endpointTTL = tokenTTL
)

// site is what is known about a base URL. Whatever authorities the users of its endpoints trust, the requests reach the
// same server, and so share its limits.
type site struct {
	label string // in metrics and logs: host and path
	clock clock.PassiveClock

	mu        sync.Mutex // guards all below and the endpoints, and is never held during a call
	bucket    bucket
	pause     pause
	endpoints map[string]*endpointState // by their authorities in PEM
}

func newSite(canonical string, options Options) *site {
	return &site{
		label: strings.TrimPrefix(canonical, "https://"), clock: options.Clock,
		bucket: newBucket(options), endpoints: map[string]*endpointState{},
	}
}

// find returns the endpoint with these authorities, or nil if it is not known.
func (s *site) find(ca string) *endpointState {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.endpoints[ca]
	if e != nil {
		e.usedAt = s.clock.Now()
	}
	return e
}

// add returns the endpoint with these authorities. If it is not known, it is made with this client.
func (s *site) add(ca string, client *jupico.Client) *endpointState {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	e := s.endpoints[ca]
	if e == nil {
		e = &endpointState{site: s, client: client, tokens: newTokens()}
		s.endpoints[ca] = e
	}
	e.usedAt = now
	s.forget(now)
	return e
}

// forget drops the endpoints that are not used, and those that are too many.
func (s *site) forget(now time.Time) {
	lastUsedFirst := func(a, b string) int { return s.endpoints[b].usedAt.Compare(s.endpoints[a].usedAt) }
	for i, ca := range slices.SortedStableFunc(maps.Keys(s.endpoints), lastUsedFirst) {
		if e := s.endpoints[ca]; i >= maxEndpoints || now.Sub(e.usedAt) > endpointTTL {
			e.client.CloseIdleConnections()
			delete(s.endpoints, ca)
		}
	}
}
