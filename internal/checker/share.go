// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"container/list"
	"context"
	"crypto/sha256"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	// acceptanceServes is how long an acceptance serves all who ask with the same token.
	acceptanceServes = 30 * time.Second
	// shortestLatch is how long a first rejection serves them. That doubles with every further one.
	shortestLatch = 5 * time.Minute
	// rejectionRests is how long a token is not asked about again that was rejected, whoever edits: where one edit is of
	// many resources, or many edits come at once, they share a check that begins after all of them.
	rejectionRests = 2 * time.Second
	// maxDoublings keeps the doubling from overflowing. Any asker's own bound is shorter.
	maxDoublings = 10

	// A token that nobody asked about for tokenKept is forgotten, and beyond maxTokens whichever waited longest.
	tokenKept = 24 * time.Hour
	maxTokens = 1 << 15
)

// identity stands for a token at an endpoint: a digest under a key that the process made up.
type identity [sha256.Size]byte

// call is a request, from its beginning.
type call struct {
	token   credential.Token
	of      *token        // nil: the negative control
	latch   time.Duration // of who makes it
	began   time.Time
	isProbe bool
	done    chan struct{}

	// These are set before done is closed.
	result outcome.Result
	isVoid bool // its maker gave it up
}

func (c *call) wait(ctx context.Context) {
	select {
	case <-c.done:
	case <-ctx.Done():
	}
}

// token is what is known of one token at an endpoint.
type token struct {
	id      identity
	element *list.Element
	asked   time.Time

	// The last evidence, of a check that began then.
	result     outcome.Result
	began      time.Time
	rejections int // 0 unless the last evidence is one
	standing   standing

	call *call // the latest under way
}

// serves reports whether the last evidence may stand for a check.
func (t *token) serves(r Request, now time.Time) bool {
	if t.began.Before(r.NotBefore) {
		return false
	}
	switch t.result.Outcome.Class() {
	case outcome.Acceptance:
		return t.began.After(r.Known) && now.Sub(t.began) < acceptanceServes
	case outcome.Rejection:
		return !t.began.Before(r.Edited) && now.Before(t.latchedUntil(r.Latch))
	case outcome.NoEvidence, outcome.Transient:
	}
	return false
}

// restsUntil is when an edit may have the token asked about again. An asker that cannot be deferred does not wait.
func (t *token) restsUntil(r Request) time.Time {
	if t.rejections == 0 || r.Urgent || !t.began.Before(r.Edited) {
		return time.Time{}
	}
	return t.began.Add(rejectionRests)
}

// latchedUntil is for how long nobody needs to ask again who does not insist. Askers keep the time of a check in whole
// seconds: who comes back after as long a wait must not be answered by the latch, and take that for another rejection.
func (t *token) latchedUntil(longest time.Duration) time.Time {
	doublings := min(t.rejections-1, maxDoublings)
	return t.began.Truncate(time.Second).Add(min(shortestLatch<<doublings, longest))
}

// learn takes over evidence. A rejection that somebody insisted on, while the latch held, renews the latch and does not
// lengthen it.
func (t *token) learn(c *call) {
	switch {
	case c.result.Outcome.Class() == outcome.Acceptance:
		t.rejections = 0
	case t.rejections == 0 || !c.began.Before(t.latchedUntil(c.latch)):
		t.rejections++
	}
	t.result, t.began = c.result, c.began
}

// tokens remembers an endpoint's tokens.
type tokens struct {
	byID   map[identity]*token
	recent *list.List // who was asked about last is in front
	mass   mass
}

func newTokens() tokens {
	return tokens{byID: map[identity]*token{}, recent: list.New(), mass: newMass()}
}

// get finds or makes what is known of a token.
func (s *tokens) get(id identity, now time.Time) *token {
	t := s.byID[id]
	if t == nil {
		t = &token{id: id}
		t.element = s.recent.PushFront(t)
		s.byID[id] = t
	}
	t.asked = now
	s.recent.MoveToFront(t.element)
	s.forget(now)
	return t
}

func (s *tokens) forget(now time.Time) {
	for {
		last := s.recent.Back()
		t, ok := last.Value.(*token)
		if !ok || len(s.byID) <= maxTokens && now.Sub(t.asked) <= tokenKept {
			return
		}
		s.recent.Remove(last)
		delete(s.byID, t.id)
		s.mass.forget(t)
	}
}

// record takes note of evidence, unless a later check's came first.
func (s *tokens) record(c *call, now time.Time) {
	t := c.of
	if !c.result.Outcome.IsEvidence() || c.began.Before(t.began) || s.byID[t.id] != t {
		return
	}
	t.learn(c)
	s.mass.observe(t, now)
}
