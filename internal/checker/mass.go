// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

const (
	// massWindow is the longest time between the rejections of a mass rejection.
	massWindow = 10 * time.Minute
	// massTokens is how many rejected tokens make a mass rejection at least.
	massTokens = 3
)

// mass finds out whether most good tokens of an endpoint were rejected together: then the cause is likely Jupico's, and
// no user's. The tokens must be of several namespaces or usernames, since somebody may well revoke all keys of one
// application. A token counts as rejected when it was rejected twice in a row, as a single rejection may be a slip.
type mass struct {
	good     map[*tokenState]bool      // tokens that were accepted; true: and rejected once since
	rejected map[*tokenState]time.Time // tokens that were good, and when they were rejected
}

// record records the last evidence about a token.
func (m *mass) record(t *tokenState, now time.Time) {
	wasRejected, isGood := m.good[t]
	switch {
	case t.evidence.result.Outcome.Class() == outcome.Acceptance:
		m.good[t] = false
		delete(m.rejected, t)
	case isGood && !wasRejected:
		m.good[t] = true
	case isGood:
		delete(m.good, t)
		m.rejected[t] = now
	}
}

// isOn reports whether a mass rejection is under way.
func (m *mass) isOn(now time.Time) bool {
	for t, at := range m.rejected {
		if now.Sub(at) > massWindow {
			delete(m.rejected, t)
		}
	}
	if len(m.rejected) < massTokens {
		return false
	}
	good := 0
	for t := range m.good {
		if !now.After(t.inUseUntil) {
			good++
		}
	}
	if len(m.rejected) <= good {
		return false
	}
	namespaces, usernames := map[string]bool{}, map[identity]bool{}
	for t := range m.rejected {
		namespaces[t.namespace], usernames[t.username] = true, true
		delete(usernames, identity{}) // it is not known
		if t.isInSeveral || len(namespaces) > 1 || len(usernames) > 1 {
			return true
		}
	}
	return false
}
