// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// ControlInterval is how long a passed negative control holds. An endpoint that was not asked for as long is forgotten.
const ControlInterval = 24 * time.Hour

// control is what is known of an endpoint's answer to a random token. All who need it at the same time share one.
type control struct {
	passedAt time.Time
	isFailed bool // the endpoint accepted a random token
	call     *call
	// contactedAt is when somebody set out to ask the endpoint that was not known.
	contactedAt time.Time
}

const (
	// contactStep is how often those look who wait for another's first contact.
	contactStep = 100 * time.Millisecond
	// briefContact is how long they wait without a word.
	briefContact = time.Second
	// longContact is longer than a contact takes: after it, another sets out.
	longContact = 2 * time.Minute
)

func (c *control) holds(now time.Time) bool {
	return !c.passedAt.IsZero() && now.Sub(c.passedAt) < ControlInterval
}

// contact is Checker.Contact.
func (c *control) contact(now time.Time) (isFirst bool, retryAt time.Time) {
	if c.holds(now) {
		return false, time.Time{}
	}
	age := now.Sub(c.contactedAt)
	if age > longContact {
		c.contactedAt = now
	}
	if age < briefContact {
		return false, now.Add(contactStep)
	}
	return true, time.Time{}
}

// conclude returns no outcome when the random token was refused, and else the result that stands for the checks which
// therefore are not made.
func (c *control) conclude(result outcome.Result, now time.Time) outcome.Result {
	switch result.Outcome.Class() {
	case outcome.Acceptance:
		c.isFailed = true
		result.Outcome = outcome.EndpointDoesNotAuthenticate
	case outcome.Rejection:
		c.isFailed, c.passedAt = false, now
		return outcome.Result{}
	case outcome.NoEvidence, outcome.Transient:
	}
	return result
}
