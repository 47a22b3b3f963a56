// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"container/list"
	"crypto/sha256"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	// acceptanceTTL is how long an acceptance is the answer to all who ask about the same token.
	acceptanceTTL = 30 * time.Second
	// editBackoff is how long even an edit does not make a rejected token be checked again. When one edit is of many
	// resources, or many edits come at once, they share a check that begins after all of them.
	editBackoff = 2 * time.Second

	// A token that nobody asked about for tokenTTL is forgotten, which is longer than any resource leaves one alone.
	// Beyond maxTokens, those are forgotten first that nobody asked about for the longest time.
	tokenTTL  = 48 * time.Hour
	maxTokens = 1 << 15
)

// identity stands for a token, or for a username: it is a digest under a key that the process made up.
type identity [sha256.Size]byte

// tokenState is what is known about one token at an endpoint.
type tokenState struct {
	id      identity
	element *list.Element
	askedAt time.Time
	// inUseUntil is when all who asked would have asked again. After that, the token was likely replaced.
	inUseUntil time.Time

	namespace   string   // of the first who asked
	isInSeveral bool     // others asked too
	username    identity // zero when it is no login's, or not known

	evidence   reply // the last
	rejections int   // in a row, up to that
	call       *call // the latest that is under way
}

// answers reports whether the last evidence will do instead of a check. An acceptance will not when a random token was
// accepted after the control before it, by a control that began at failedAt.
func (t *tokenState) answers(c *caller, failedAt, now time.Time) bool {
	last := t.evidence
	if last.began.Before(c.NotBefore) {
		return false
	}
	switch last.result.Outcome.Class() {
	case outcome.Acceptance:
		isRecent := last.began.After(c.AcceptedAfter) && now.Sub(last.began) < acceptanceTTL
		return isRecent && !last.controlledAt.Before(failedAt) && c.isControlled(last.controlledAt, now)
	case outcome.Rejection:
		return !last.began.Before(c.Edited) && now.Before(t.backoffUntil(c.LongestBackoff))
	case outcome.NoEvidence, outcome.Transient:
	}
	return false
}

// editRetryAt is when an edit may have a rejected token checked again. An urgent caller need not wait.
func (t *tokenState) editRetryAt(r check.Request) time.Time {
	if t.rejections == 0 || r.Urgent || !t.evidence.began.Before(r.Edited) {
		return time.Time{}
	}
	return t.evidence.began.Add(editBackoff)
}

// backoffUntil is until when a rejection is the answer to all who do not insist on a check: for check.ShortestBackoff
// at first, and twice as long with every further rejection, up to what each caller allows. It counts from a whole
// second because callers keep times in whole seconds: one that comes back after as long a wait must not be answered
// by the old rejection, and take it for another.
func (t *tokenState) backoffUntil(longest time.Duration) time.Time {
	doublings := min(t.rejections-1, 10) // what callers allow is shorter, and the rest would overflow
	wait := min(check.ShortestBackoff<<doublings, longest)
	began := t.evidence.began
	return began.Add(wait - time.Duration(began.Nanosecond())) // Truncate would go by the wall clock from then on
}

// tokens remembers the tokens of an endpoint.
type tokens struct {
	byID   map[identity]*tokenState
	recent *list.List // the token that was asked about last is in front
	mass   mass
	// inUseUntil is when the last of them is no longer in use.
	inUseUntil time.Time
}

func newTokens() tokens {
	return tokens{
		byID: map[identity]*tokenState{}, recent: list.New(),
		mass: mass{good: map[*tokenState]bool{}, rejected: map[*tokenState]time.Time{}},
	}
}

// get finds or makes what is known about the token of a caller.
func (s *tokens) get(c *caller, now time.Time) *tokenState {
	t := s.byID[c.id]
	if t == nil {
		t = &tokenState{id: c.id, namespace: c.Namespace}
		t.element = s.recent.PushFront(t)
		s.byID[c.id] = t
	}
	t.isInSeveral = t.isInSeveral || t.namespace != c.Namespace
	if c.username != (identity{}) {
		t.username = c.username
	}
	t.askedAt = now
	t.inUseUntil = latest(t.inUseUntil, now.Add(2*max(c.LongestBackoff, controlInterval)))
	s.inUseUntil = latest(s.inUseUntil, t.inUseUntil)
	s.recent.MoveToFront(t.element)
	s.forget(now)
	return t
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *tokens) forget(now time.Time) {
	for {
		oldest := s.recent.Back().Value.(*tokenState)
		if len(s.byID) <= maxTokens && now.Sub(oldest.askedAt) <= tokenTTL {
			return
		}
		s.recent.Remove(oldest.element)
		delete(s.byID, oldest.id)
		delete(s.mass.good, oldest)
		delete(s.mass.rejected, oldest)
	}
}

// end records the evidence that a call gave, unless that of a later check was recorded before. A rejection during the
// backoff, which somebody insisted on, begins the same backoff again and does not lengthen it.
func (s *tokens) end(c *call, now time.Time) {
	t := c.token
	if t.call == c {
		t.call = nil
	}
	if !c.result.Outcome.IsEvidence() || c.began.Before(t.evidence.began) || s.byID[t.id] != t {
		return
	}
	switch {
	case c.result.Outcome.Class() == outcome.Acceptance:
		t.rejections = 0
	case t.rejections == 0 || !c.began.Before(t.backoffUntil(c.sender.LongestBackoff)):
		t.rejections++
	}
	t.evidence = c.reply
	s.mass.record(t, now)
}
