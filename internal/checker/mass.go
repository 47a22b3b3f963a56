// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	// massWindow is how close together tokens are rejected in a mass rejection.
	massWindow = 10 * time.Minute
	// massTokens is how many tokens it takes at least to speak of one.
	massTokens = 3
)

// standing is what a token counts as.
type standing int

const (
	unknown standing = iota // never accepted, or rejected for good
	good
	doubted // rejected once since it was accepted
)

// mass tells whether most of an endpoint's good tokens were rejected together. A token counts as rejected by its second
// rejection in a row, as one alone may be a slip of the endpoint's.
type mass struct {
	good    int                    // tokens that are good, or doubted
	flipped map[identity]time.Time // tokens that were, and when they were rejected
	isOn    bool
}

func newMass() mass { return mass{flipped: map[identity]time.Time{}} }

// observe takes note of a token's last evidence.
func (m *mass) observe(t *token, now time.Time) {
	switch {
	case t.result.Outcome.Class() == outcome.Acceptance:
		if t.standing == unknown {
			m.good++
		}
		t.standing = good
		delete(m.flipped, t.id)
	case t.standing == good:
		t.standing = doubted
	case t.standing == doubted:
		t.standing = unknown
		m.good--
		m.flipped[t.id] = now
	}
}

func (m *mass) forget(t *token) {
	if t.standing != unknown {
		m.good--
	}
	delete(m.flipped, t.id)
}

// count returns how many tokens were rejected within the window, and of how many.
func (m *mass) count(now time.Time) (rejected, of int) {
	for id, at := range m.flipped {
		if now.Sub(at) > massWindow {
			delete(m.flipped, id)
		}
	}
	return len(m.flipped), m.good + len(m.flipped)
}

// stands reports whether a mass rejection is under way.
func (m *mass) stands(now time.Time) bool {
	rejected, of := m.count(now)
	return of >= massTokens && 2*rejected > of
}

// update reports whether a mass rejection has just begun.
func (m *mass) update(now time.Time) (hasBegun bool, rejected, of int) {
	wasOn := m.isOn
	m.isOn = m.stands(now)
	rejected, of = m.count(now)
	return m.isOn && !wasOn, rejected, of
}
